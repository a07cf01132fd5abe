/* Where an egress route's request goes: named by the request, resolved, checked against the route's list. */
#include "base/bug.h"
#include "proxy/exchange_steps.h"
#include "proxy/route_set.h"
#include "route/egress.h"

struct exchange_egress {
    struct resolver_query query;
    struct exchange *exchange;
    struct egress_target target;
    struct resolver_answer answer;
    uint32_t at; /* of the answer's addresses: the one in hand */
    struct pool_target connect;
    struct slice authority;
};

static bool is_egress_field(const struct http_field *f, struct slice name)
{
    return f->id == HTTP_FIELD_OTHER && slice_equal_fold((struct slice){ f->name, f->name_len }, name);
}

/* Takes both fields out. False: one came twice. */
static bool take_fields(struct exchange *x, struct slice *host, struct slice *scheme)
{
    uint32_t hosts = 0, schemes = 0;
    for (uint32_t i = 0; i < x->head.field_count; i++) {
        struct http_field *f = &x->head.fields[i];
        bool is_host = is_egress_field(f, SLICE("x-egress-host"));
        bool is_scheme = is_egress_field(f, SLICE("x-egress-scheme"));
        if (!is_host && !is_scheme) continue;
        f->is_dropped = true;
        if (is_host) *host = http_field_value(f);
        if (is_scheme) *scheme = http_field_value(f);
        hosts += is_host;
        schemes += is_scheme;
    }
    return hosts <= 1 && schemes <= 1;
}

static struct address address_of(const struct ip *ip, uint16_t port)
{
    struct address a = { 0 };
    if (ip_is_v4(ip)) {
        a.len = sizeof(a.sa.in4);
        a.sa.in4.sin_family = AF_INET;
        a.sa.in4.sin_port = htons(port);
        memcpy(&a.sa.in4.sin_addr, ip->bytes + 12, 4);
    } else {
        a.len = sizeof(a.sa.in6);
        a.sa.in6.sin6_family = AF_INET6;
        a.sa.in6.sin6_port = htons(port);
        memcpy(&a.sa.in6.sin6_addr, ip->bytes, 16);
    }
    return a;
}

/* An egress pool leaves by addresses of one family: what it can reach is of the same. */
static sa_family_t family_of(const struct exchange *x)
{
    return x->view->set->roster->places[0].server->address.sa.any.sa_family;
}

/* The next of the answer's addresses, from `at` on, that may be connected to and that the pool's addresses can reach. */
static bool use_address(struct exchange *x)
{
    struct exchange_egress *e = x->egress;
    sa_family_t family = family_of(x);
    for (; e->at < e->answer.count; e->at++) {
        const struct ip *ip = &e->answer.addresses[e->at];
        if (ip_is_v4(ip) != (family == AF_INET)) continue;
        if (!egress_allows_address(x->route->egress, &e->target, ip)) continue;
        e->connect.address = address_of(ip, e->target.port);
        return true;
    }
    return false;
}

static enum step resolved(struct exchange *x)
{
    struct exchange_egress *e = x->egress;
    if (e->answer.result != RESOLVER_OK)
        return exchange_fail_with(x, END_EGRESS_UNRESOLVED,
                                  resolver_result_text(e->answer.result, family_of(x)));
    if (use_address(x)) return exchange_enter(x, EXCHANGE_PICK);
    return exchange_fail_with(
        x, END_EGRESS_DENIED,
        "it has no address that may be connected to: inner ones need a block in `allow`");
}

static void on_answer(struct resolver_query *q, const struct resolver_answer *answer)
{
    struct exchange_egress *e = container_of(q, struct exchange_egress, query);
    struct exchange *x = e->exchange;
    if (bug_if(EXCHANGE, x->egress != e)) return; /* it was taken back */
    if (x->state != EXCHANGE_RESOLVE) return;
    e->answer = *answer;
    if (resolved(x) == STEP_GO) exchange_advance(x);
}

static struct slice authority_of(struct exchange *x, const struct egress_target *t)
{
    char text[EGRESS_HOST_MAX + 16];
    struct text out = text_over(text, sizeof(text));
    bool is_v6 = t->is_address && !ip_is_v4(&t->address);
    text_printf(&out, is_v6 ? "[%s]" : "%s", t->host);
    if (t->port != (t->is_secure ? EGRESS_PORT_HTTPS : EGRESS_PORT_HTTP)) text_printf(&out, ":%u", t->port);
    return arena_copy(&x->arena, text_slice(&out));
}

enum step egress_begin(struct exchange *x)
{
    struct slice host = SLICE_NONE, scheme = SLICE_NONE;
    bool is_once = take_fields(x, &host, &scheme);
    struct exchange_egress *e = arena_alloc(&x->arena, sizeof(*e));
    if (!e) return exchange_fail(x, END_NO_MEMORY);
    memset(e, 0, sizeof(*e));
    e->exchange = x;
    e->query.on_answer = on_answer;
    list_init(&e->query.link);
    x->egress = e;
    const char *wrong = is_once ? egress_target_parse(host, scheme, &e->target) : "it came twice";
    if (wrong) return exchange_fail_with(x, END_EGRESS_BAD_TARGET, wrong);
    if (!egress_allows_target(x->route->egress, &e->target))
        return exchange_fail_with(x, END_EGRESS_DENIED,
                                  "the route's `allow` does not name it with this port");
    if (e->target.is_secure && !x->pool_conf->egress_tls)
        return exchange_fail_with(
            x, END_SERVER_CERTIFICATE,
            "no CA is known to verify it by: the system has none (the package ca-certificates), "
            "and the pool does not name one as `tls: {ca: …}`");
    e->connect.host = e->target.host;
    e->connect.is_secure = e->target.is_secure;
    e->authority = authority_of(x, &e->target);
    if (!e->authority.data) return exchange_fail(x, END_NO_MEMORY);
    struct slice name = slice_of(e->target.host);
    if (resolver_ask(x->worker->resolver, name, family_of(x), &e->query, &e->answer)) return resolved(x);
    return exchange_enter(x, EXCHANGE_RESOLVE);
}

const struct pool_target *egress_target(const struct exchange *x)
{
    return x->egress ? &x->egress->connect : NULL;
}

bool egress_next_address(struct exchange *x)
{
    x->egress->at++;
    return use_address(x);
}

struct slice egress_authority(const struct exchange *x)
{
    return x->egress->authority;
}

void egress_end(struct exchange *x)
{
    resolver_cancel(&x->egress->query);
}
