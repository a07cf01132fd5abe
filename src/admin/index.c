#include <stdio.h>

#include "admin/dashboard.h"
#include "admin/routes.h"
#include "base/text.h"

#define INDEX_MAX 8192

void index_list(const struct admin_request *rq, struct answer *out)
{
    char memory[INDEX_MAX];
    if (dashboard_is_wanted(rq)) {
        dashboard_page(rq, out);
        return;
    }
    struct text t = text_over(memory, sizeof(memory));
    TEXT_LITERAL(&t, "weir's admin API\n\n");
    for (const struct admin_route *r = rq->routes; r->path; r++)
        text_printf(&t, "%-6s %-45s %s\n", http_method_name(r->method), r->path, r->summary);
    answer_text(out, 200, text_cstr(&t));
}
