#include "proxy/choose.h"

#include "base/bug.h"
#include "base/secret_same.h"
#include "pool/pool_worker.h"
#include "pool/sticky.h"
#include "pool/sticky_conf.h"
#include "proxy/cors.h"
#include "proxy/denials.h"
#include "proxy/forward.h"
#include "proxy/forwarded.h"
#include "proxy/proxy.h"
#include "proxy/site.h"
#include "route/maintenance_conf.h"

/* A request that has passed through weir this often goes in circles. */
#define HOPS_MAX 16

const char *choose_split_reason_name(enum choose_split_reason reason)
{
    static const char *const names[] = { "", "unit", "client", "override" };
    return names[reason];
}

static void refuse(struct choose_result *out, enum end_reason reason, const char *detail)
{
    out->refusal = reason;
    out->detail = detail;
}

/* What no route can allow. */
static void admit(const struct choose_request *rq, struct choose_result *out)
{
    if (rq->head->method == HTTP_CONNECT)
        refuse(out, END_METHOD_NOT_ALLOWED, "CONNECT is not served here");
    else if (forward_hops(rq->head) >= HOPS_MAX)
        refuse(out, END_LOOP_DETECTED, NULL);
    else if (rq->path_fault != HTTP_PATH_OK)
        refuse(out, rq->path_fault == HTTP_PATH_TOO_LONG ? END_TARGET_TOO_LONG : END_BAD_PATH,
               http_path_fault_text(rq->path_fault));
}

/* Of the request with that head, which need not be the one that came. */
static void match_head(const struct route_set *l, const struct choose_request *rq,
                       const struct http_head *head, struct choose_result *out)
{
    if (!l->table) {
        out->route = &l->routes[0];
        return;
    }
    struct route_request wanted = { .host = rq->head->authority,
                                    .path = http_target_path(rq->head->target),
                                    .query = http_target_query(rq->head->target),
                                    .head = head,
                                    .client = rq->client,
                                    .is_secure = rq->is_secure };
    uint32_t index = route_match(l->table, &wanted, rq->scratch, &out->match);
    if (index == ROUTE_NONE)
        refuse(out, out->match.is_undecided ? END_ROUTE_UNDECIDED : END_NO_ROUTE, NULL);
    else if (bug_if(ROUTE, index >= l->route_count))
        refuse(out, END_INTERNAL, NULL);
    else
        out->route = &l->routes[index];
}

/* A preflight is answered for the route of the request that it asks about, where weir speaks for it; else it is a request like
 * any other. */
static void match_route(const struct route_set *l, const struct choose_request *rq, struct choose_result *out)
{
    if (l->has_cors && cors_is_preflight(rq->head)) {
        struct http_head meant = *rq->head;
        meant.method_text = cors_method_meant(rq->head);
        meant.method = http_method_of(meant.method_text);
        match_head(l, rq, &meant, out);
        out->is_preflight = out->route && cors_of(l, out->route);
        if (out->is_preflight) return;
        *out = (struct choose_result){ .refusal = END_NONE };
    }
    match_head(l, rq, rq->head, out);
}

const struct maintenance_conf *choose_maintenance(const struct route_set *l, const struct route *r,
                                                  const struct ip *client)
{
    const struct maintenance_conf *own = r && r->conf ? r->conf->maintenance : NULL;
    if (maintenance_holds(l->conf->maintenance, client)) return l->conf->maintenance;
    return maintenance_holds(own, client) ? own : NULL;
}

/* The gate was passed at accept with the peer's own address, if there was an accept; who speaks for another passes again, and
 * everybody whose gate has other rules since then. */
static bool is_asked_again(const struct route_set *l, const struct gate_slot *gate,
                           const struct choose_request *rq)
{
    return gate && (!rq->worker || gate_slot_has_changed(gate) ||
                    (l->conf->trust.count && forwarded_is_trusted(l, &rq->peer)));
}

/* Denials may have come since then, too. `r` NULL: no route takes it. */
static bool may_pass(const struct route_set *l, const struct route *r, const struct choose_request *rq)
{
    struct gate_slot *all = l->site->gate;
    if (is_asked_again(l, all, rq) && !gate_slot_passes(all, &rq->client)) return false;
    if (is_asked_again(l, l->gate, rq) && !gate_slot_passes(l->gate, &rq->client)) return false;
    if (denials_have(l->site->proxy->denials, &rq->client)) return false;
    return !r || !r->gate || gate_slot_passes(r->gate, &rq->client);
}

/* A route's own word goes before its listener's. What redirects a whole listener to https asks nobody: what is shown there
 * would be shown to all on the way. */
static const struct auth_conf *auth_of(const struct route_set *l, const struct route *r)
{
    if (r && r->conf && r->conf->https) return NULL;
    return auth_that_asks(r && r->conf && r->conf->auth ? r->conf->auth : l->conf->auth);
}

uint64_t choose_body_limit(const struct route_set *l, const struct route *r)
{
    const struct route_limits *own = r && r->conf ? r->conf->limits : NULL;
    return own ? own->body_bytes : l->conf->limits.body_bytes;
}

static bool is_body_too_large(const struct route_set *l, const struct route *r, const struct http_head *head)
{
    return head->body == HTTP_BODY_LENGTH && head->content_length > choose_body_limit(l, r);
}

static void choose_variant(const struct split *s, const struct http_template_input *in,
                           struct choose_result *out)
{
    uint32_t named = split_override(s->conf, in);
    if (named != SPLIT_NONE && !bug_if(SPLIT, named >= s->variant_count)) {
        out->variant = &s->variants[named];
        out->split_reason = CHOOSE_BY_OVERRIDE;
        return;
    }
    char unit[HTTP_TEMPLATE_TEXT_MAX];
    struct text t = text_over(unit, sizeof(unit));
    http_template_expand(&s->conf->unit, in, &t);
    out->split_reason = t.len ? CHOOSE_BY_UNIT : CHOOSE_BY_CLIENT;
    if (!t.len) {
        char scratch[HTTP_SOURCE_SCRATCH];
        text_add_slice(&t, http_source_value(HTTP_SOURCE_CLIENT, SLICE_NONE, in, scratch));
    }
    out->seat = split_seat(&s->table, text_slice(&t));
    uint32_t at = split_variant_at(&s->table, out->seat.place);
    out->variant = &s->variants[bug_if(SPLIT, at >= s->variant_count) ? 0 : at];
}

static bool is_in(const struct conf_items *blocks, const struct ip *ip)
{
    const struct cidr *block = blocks->data;
    for (uint32_t i = 0; i < blocks->count; i++)
        if (cidr_contains(&block[i], ip)) return true;
    return false;
}

static bool may_pin(const struct route_set *l, const struct choose_request *rq)
{
    const struct pin_conf *pin = l->conf->pin;
    if (!pin) return false;
    /* Behind a trusted proxy that is inside, those outside are still outside. */
    if (is_in(&pin->from, &rq->peer) && is_in(&pin->from, &rq->client)) return true;
    struct slice given = http_field_value(http_head_find(rq->head, HTTP_FIELD_WEIR_PIN_TOKEN));
    return pin->token && secret_is_same(slice_of(pin->token), given) &&
           !http_head_has_several(rq->head, HTTP_FIELD_WEIR_PIN_TOKEN);
}

/* Which servers the pool has, as far as he who asks knows by now. */
static const struct roster *roster_now(const struct choose_request *rq, const struct roster *r)
{
    if (!r->is_open) return r;
    return rq->worker ? r->pool->workers[rq->worker - 1]->view->set->roster : r->pool->roster;
}

/* "web/server-2" */
static void choose_pinned(const struct route_set *l, const struct choose_request *rq, struct slice pin,
                          struct choose_result *out)
{
    const char *slash = memchr(pin.data, '/', pin.len);
    struct slice name = slash ? (struct slice){ pin.data, (size_t)(slash - pin.data) } : pin;
    struct slice server = slash ? (struct slice){ slash + 1, pin.len - name.len - 1 } : SLICE_NONE;
    struct roster *r = site_pool_by_name(l->site, name);
    struct server *named = r && r->conf->kind == POOL_SERVERS ? roster_server(roster_now(rq, r), server)
                                                              : NULL;
    if (named) {
        out->pool = r;
        out->named = named;
        out->reason = BALANCE_PINNED;
        out->variant = NULL; /* it says nothing of the split */
        out->split_reason = CHOOSE_NO_SPLIT;
        return;
    }
    refuse(out, END_PIN_UNKNOWN, slash ? NULL : "write it as pool/server");
}

static void choose_sticky(const struct choose_request *rq, struct choose_result *out)
{
    const struct sticky *sticky = roster_now(rq, out->pool)->sticky;
    struct http_cookies walk = { .head = rq->head, .name = slice_of(out->pool->conf->sticky->cookie) };
    struct slice value;
    /* A stale one may stand before the good one, from another path or another domain. */
    while (sticky && !out->has_current_cookie && http_cookies_next(&walk, &value)) {
        bool is_current;
        struct server *s = sticky_server(sticky, value, &is_current);
        if (!s || !sticky_may_take(sticky, s, rq->now_ms) || (out->named && !is_current)) continue;
        out->named = s;
        out->has_current_cookie = is_current;
        out->reason = BALANCE_STICKY;
    }
}

void choose(const struct route_set *l, const struct choose_request *rq, struct choose_result *out)
{
    struct http_template_input in = {
        .head = rq->head, .client = &rq->client, .request_id = rq->request_id, .is_secure = rq->is_secure
    };
    if (rq->user) in.user = *rq->user;
    *out = (struct choose_result){ .refusal = END_NONE };
    admit(rq, out);
    if (out->refusal == END_NONE) match_route(l, rq, out);
    const struct route *r = out->route;
    /* Whatever else there is to be said: nothing of it is for those who may not pass. */
    if (!may_pass(l, r, rq)) {
        refuse(out, END_GATE_DENIED, NULL);
        return;
    }
    if (!r && out->refusal != END_NO_ROUTE) return;
    /* What is out of service does not say what it lacks. */
    if (choose_maintenance(l, r, &rq->client)) {
        refuse(out, END_MAINTENANCE, NULL);
        return;
    }
    /* A browser asks without what shows who it is (Fetch 3.2.2). */
    if (out->is_preflight) return;
    /* Which routes there are is nothing for those who may not pass. */
    if (!rq->user && (out->auth = auth_of(l, r))) return;
    if (!r) return;
    if (is_body_too_large(l, r, rq->head)) {
        refuse(out, END_BODY_TOO_LARGE, NULL);
        return;
    }
    out->pool = r->pool;
    if (r->split) {
        choose_variant(r->split, &in, out);
        if (!out->pool) out->pool = out->variant->pool;
    }
    struct slice pin = http_field_value(http_head_find(rq->head, HTTP_FIELD_WEIR_PIN));
    if (!out->pool) return;
    if (!r->egress && pin.len && may_pin(l, rq)) {
        if (http_head_has_several(rq->head, HTTP_FIELD_WEIR_PIN))
            refuse(out, END_PIN_UNKNOWN, "it came twice");
        else
            choose_pinned(l, rq, pin, out);
        return;
    }
    if (!r->egress && out->pool->conf->sticky) choose_sticky(rq, out);
    const struct http_template *key = balance_method_key(out->pool->conf->balance.option->object,
                                                         out->pool->conf->balance.conf);
    out->has_hash = key != NULL;
    if (key) out->hash = balance_key_hash(key, &in);
}

size_t choose_target_room(struct slice target)
{
    size_t room = target.len * 3 + 4096;
    return room < HTTP_TARGET_MAX ? room : HTTP_TARGET_MAX;
}

enum end_reason choose_target(const struct route_set *l, const struct route *r, struct route_scratch *scratch,
                              struct slice *target, struct text *out)
{
    switch (rewrite_target(r->rewrite, scratch, &l->conf->paths, *target, out)) {
    case REWRITE_SAME: break;
    case REWRITE_DONE: *target = text_slice(out); break;
    case REWRITE_TOO_LONG: return END_REWRITE_TOO_LONG;
    case REWRITE_BAD_PATH: return END_REWRITE_BAD_PATH;
    }
    return END_NONE;
}
