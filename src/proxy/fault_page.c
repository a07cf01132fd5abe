#include "proxy/fault_page.h"

#include "proxy/choose.h"
#include "proxy/fault.h"
#include "route/maintenance_conf.h"

static const struct page_conf *find(const struct exchange *x, uint16_t status)
{
    const struct maintenance_conf *m = fault_maintenance(x);
    const struct page_conf *found = m ? m->page : NULL;
    if (!found && x->route && x->route->conf) found = page_conf_find(&x->route->conf->errors, status);
    return found ? found : page_conf_find(&x->routes->conf->errors, status);
}

const struct page *fault_page(const struct exchange *x, uint16_t status, bool wants_json)
{
    const struct page_conf *conf = find(x, status);
    return conf ? page_conf_form(conf, wants_json) : NULL;
}

bool fault_page_replaces(const struct exchange *x, uint16_t status)
{
    if (status < 400 || x->is_grpc) return false;
    const struct route_conf *own = x->route ? x->route->conf : NULL;
    const struct page_conf *found = own ? page_conf_find(&own->errors, status) : NULL;
    if (found) return found->intercept;
    return page_conf_find_intercept(&x->routes->conf->errors, status) != NULL;
}

int fault_page_fill(struct exchange *x, const struct page *page, uint16_t status, struct slice sentence,
                    bool tells_names, struct slice *body)
{
    if (page_is_fixed(page, body)) return 0;
    char *memory = arena_alloc(&x->arena, page->room);
    if (!memory) return -1;
    const struct server *s = tells_names ? fault_server(x) : NULL;
    struct slice reason = slice_of(end_reason_info((enum end_reason)x->end)->name);
    struct page_input in = { .request = { .head = &x->head,
                                          .client = &x->record.client,
                                          .request_id = slice_of(x->request_id),
                                          .user = exchange_user_text(x),
                                          .is_secure = exchange_is_secure(x) },
                             .status = status,
                             .title = slice_of(http_status_text(status)),
                             .reason = x->replaced ? SLICE("server_answer") : reason,
                             .detail = sentence,
                             .server = slice_of(s ? s->name : NULL) };
    if (tells_names && x->pool) in.pool = slice_of(x->pool->pool->name);
    struct text t = text_over(memory, page->room);
    page_expand(page, &in, &t);
    *body = text_slice(&t);
    return 0;
}
