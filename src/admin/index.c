#include <stdlib.h>
#include <string.h>

#include "admin/dashboard.h"
#include "admin/routes.h"
#include "base/text.h"

/* Of a line, beside its path and its summary. */
#define LINE_MAX_REST 64u

static size_t size_of(const struct admin_route *routes)
{
    size_t size = LINE_MAX_REST;
    for (const struct admin_route *r = routes; r->path; r++)
        size += LINE_MAX_REST + strlen(r->path) + strlen(r->summary);
    return size;
}

void index_list(const struct admin_request *rq, struct answer *out)
{
    if (dashboard_is_wanted(rq)) {
        dashboard_page(rq, out);
        return;
    }
    size_t size = size_of(rq->routes);
    char *memory = malloc(size);
    struct text t = text_over(memory, memory ? size : 0);
    if (memory) TEXT_LITERAL(&t, "weir's admin API\n\n");
    for (const struct admin_route *r = rq->routes; memory && r->path; r++)
        text_printf(&t, "%-6s %-45s %s\n", http_method_name(r->method), r->path, r->summary);
    answer_body(out, "text/plain; charset=utf-8", memory, memory ? text_slice(&t).len : 0);
}
