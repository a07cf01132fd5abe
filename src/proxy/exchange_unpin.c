#include "base/bug.h"
#include "proxy/exchange_steps.h"
#include "proxy/fields.h"
#include "proxy/mirror.h"
#include "proxy/site.h"

/* What is kept of the configuration: copies of the few things that are still asked after the response's head, in the places
 * where they are asked for. Whatever else these structs point to is gone, and so is NULL in them. */
struct kept {
    struct route_set routes;
    struct listener_conf listener;
    struct route route;
    struct route_conf route_conf;
    struct route_timeouts route_timeouts;
    struct route_limits route_limits;
    struct route_headers_conf request_headers, response_headers;
    struct pool_conf pool;
    struct split_variant variant;
    struct split split;
    struct split_conf split_conf;
};

static const char *keep_text(struct exchange *x, const char *text)
{
    struct slice copy = arena_copy(&x->arena, (struct slice){ text, strlen(text) + 1 });
    return copy.data;
}

static int keep_names(struct exchange *x, struct conf_items *to, const struct conf_items *from)
{
    const char *const *names = from->data;
    const char **copy = arena_alloc(&x->arena, (from->count + 1) * sizeof(*copy));
    if (!copy) return -1;
    for (uint32_t i = 0; i < from->count; i++)
        if (!(copy[i] = keep_text(x, names[i]))) return -1;
    *to = (struct conf_items){ .data = copy, .count = from->count };
    return 0;
}

/* The fields that trailers may have. The listener's identities are not kept: what is one is none of these. */
static int keep_trailers(struct exchange *x, struct conf_items *to, const struct conf_items *from)
{
    const char *const *names = from->data;
    const char **may = arena_alloc(&x->arena, (from->count + 1) * sizeof(*may));
    uint32_t count = 0;
    if (!may) return -1;
    for (uint32_t i = 0; i < from->count; i++)
        if (!fields_are_identity(x->routes, slice_of(names[i]))) may[count++] = names[i];
    return keep_names(x, to, &(struct conf_items){ .data = may, .count = count });
}

/* Which fields trailers may not have: those that a rule takes out or sets. */
static int keep_rules(struct exchange *x, struct route_headers_conf *to,
                      const struct route_headers_conf *from)
{
    const struct route_header_conf *set = from->set.data;
    struct route_header_conf *copy = arena_alloc(&x->arena, (from->set.count + 1) * sizeof(*copy));
    if (!copy || keep_names(x, &to->remove, &from->remove) < 0) return -1;
    for (uint32_t i = 0; i < from->set.count; i++) {
        copy[i] = (struct route_header_conf){ .name = keep_text(x, set[i].name) };
        if (!copy[i].name) return -1;
    }
    to->set = (struct conf_items){ .data = copy, .count = from->set.count };
    return 0;
}

static int keep_route_conf(struct exchange *x, struct kept *k, const struct route_conf *conf)
{
    k->route.conf = &k->route_conf;
    if (conf->timeouts) {
        k->route_timeouts = *conf->timeouts;
        k->route_conf.timeouts = &k->route_timeouts;
    }
    if (conf->limits) {
        k->route_limits = *conf->limits;
        k->route_conf.limits = &k->route_limits;
    }
    if (keep_trailers(x, &k->route_conf.request_trailers, &conf->request_trailers) < 0) return -1;
    if (conf->request_headers) {
        if (keep_rules(x, &k->request_headers, conf->request_headers) < 0) return -1;
        k->route_conf.request_headers = &k->request_headers;
    }
    if (conf->response_headers) {
        if (keep_rules(x, &k->response_headers, conf->response_headers) < 0) return -1;
        k->route_conf.response_headers = &k->response_headers;
    }
    return 0;
}

static void keep_variant(struct kept *k, const struct split_variant *v)
{
    k->variant = *v;
    k->variant.pool = NULL;
    k->variant.split = &k->split;
    k->split = (struct split){ .conf = &k->split_conf, .name = v->split->name };
    k->split_conf = (struct split_conf){ .response_header = v->split->conf->response_header };
}

static int keep(struct exchange *x, struct kept *k)
{
    k->listener.timeouts = x->routes->conf->timeouts;
    k->listener.limits = x->routes->conf->limits;
    k->routes = (struct route_set){ .listener = x->routes->listener, .conf = &k->listener };
    k->route = (struct route){ .name = x->route->name, .id = x->route->id, .meters = x->route->meters };
    if (x->route->conf && keep_route_conf(x, k, x->route->conf) < 0) return -1;
    if (x->pool_conf) k->pool.timeouts = x->pool_conf->timeouts;
    if (x->variant) keep_variant(k, x->variant);
    return 0;
}

/* The access log tells the addresses of all attempts. */
static void keep_addresses(struct exchange *x)
{
    for (uint32_t i = 0; x->view && i < flight_kept_attempts(&x->record); i++) {
        const struct server *s = roster_server_by_id(x->view->set->roster, x->record.attempts[i].server);
        x->addresses[i] = s ? keep_text(x, s->address_text) : NULL;
    }
}

static bool asks_nothing_more(const struct exchange *x)
{
    bool is_past_head = x->state == EXCHANGE_RESPONSE || x->state == EXCHANGE_TUNNEL ||
                        x->state == EXCHANGE_FLUSH;
    return is_past_head && !exchange_is_local(x) && (x->view || x->file) && x->route;
}

void exchange_unpin(struct exchange *x)
{
    if (!x->site || x->site->is_current || !asks_nothing_more(x)) return;
    if (bug_if(EXCHANGE, x->hedge || !list_is_empty(&x->waiter.link)))
        return; /* either goes by what would be let go of */
    struct kept *k = arena_alloc(&x->arena, sizeof(*k));
    if (!k) return; /* it holds its configuration as long as it goes on */
    memset(k, 0, sizeof(*k));
    if (keep(x, k) < 0) return;
    keep_addresses(x);
    x->routes = &k->routes;
    x->route = &k->route;
    if (x->pool_conf) x->pool_conf = &k->pool;
    x->retry = &k->pool.retry.how; /* none any more */
    if (x->variant) x->variant = &k->variant;
    x->named = NULL;
    if (x->egress) egress_end(x);
    x->egress = NULL;
    if (x->mirror) mirror_original_ended(x); /* without a comparison: its copy need not wait */
    x->straggles = x->site->site;
    atomic_fetch_add_explicit(&x->straggles->stragglers, 1, memory_order_relaxed);
    if (x->view) pool_view_put(x->view);
    x->view = x->attempt.view = NULL;
    site_view_put(x->site);
    x->site = NULL;
}
