/* New connections to servers. */
#include "base/bug.h"
#include "base/count.h"
#include "http/h1_client.h"
#include "http/h2_client.h"
#include "pool/slot.h"
#include "pool/upstream_kind.h"
#include "pool/upstream_tls.h"
#include "tls/conn.h"

static void on_close_one_mail(void *reader, const struct mail *m)
{
    (void)reader;
    (void)upstream_close_oldest(m->object);
}

/* The cap counts idle connections too: one that another worker does not need is asked for. */
static void ask_for_idle(struct server_worker *sw)
{
    struct pool_worker *pw = sw->pool;
    for (uint32_t i = 1; i < pw->env->worker_count; i++) {
        struct pool_worker *other = pw->pool->workers[(pw->env->index + i) % pw->env->worker_count];
        if (bug_if(UPSTREAM, !other)) continue;
        struct server_worker *theirs = server_worker_of(other, sw->server);
        if (!atomic_load_explicit(&theirs->idle_count, memory_order_relaxed)) continue;
        struct mail m = { .deliver = on_close_one_mail, .object = theirs };
        if (mailbox_post(other->env->box, &m)) return;
    }
}

static enum end_reason secure(struct upstream *u, const struct pool_target *target)
{
    struct server_worker *sw = u->home;
    static const char *const alpns[] = { [POOL_HTTP1] = TLS_CONN_HTTP_1_1,
                                         [POOL_H2] = H2_CLIENT_ALPN,
                                         [POOL_H2C] = H2_CLIENT_ALPN,
                                         [POOL_AUTO] = H2_CLIENT_ALPN TLS_CONN_HTTP_1_1 };
    if (!upstream_is_secure(sw->pool, target)) return END_NONE;
    u->tls_print = upstream_tls_print(sw->pool);
    return upstream_secure(sw->pool, sw->server, target, alpns[u->protocol], u->transport);
}

static int begin(struct upstream *u, const struct pool_target *target)
{
    return u->protocol == POOL_HTTP1 ? upstream_h1_begin(u, target) : upstream_h2_begin(u, target);
}

static enum lease give_up(struct upstream *u, enum end_reason why, enum end_reason *reason)
{
    u->ops->close(u);
    *reason = why;
    return LEASE_FAILED;
}

enum lease upstream_connect(struct server_worker *sw, enum lease_need need, const struct pool_target *target,
                            struct http_stream **stream, enum end_reason *reason)
{
    struct pool_worker *pw = sw->pool;
    struct server *s = sw->server;
    const struct pool_conf *conf = pw->view->set->roster->conf;
    if (pw->env->may_open && !pw->env->may_open(pw->env->worker)) {
        *reason = END_NO_DESCRIPTORS;
        return LEASE_FAILED;
    }
    count_own(&sw->moves);
    if (!slot_take(&s->peer.open_connections, server_connection_cap(s))) {
        ask_for_idle(sw);
        return LEASE_FULL;
    }
    struct upstream *u = slab_get(&pw->upstreams);
    if (!u) {
        count_own(&sw->moves);
        slot_give(&s->peer.open_connections);
        *reason = END_NO_MEMORY;
        return LEASE_FAILED;
    }
    *u = (struct upstream){ .home = sw,
                            .protocol = (uint8_t)conf->protocol,
                            .max_leases = conf->max_requests };
    list_init(&u->link);
    metric_add(pw->env->metrics, s->meter_connects, 1);
    if (begin(u, target) < 0) {
        *reason = h1_client_connect_reason(u->transport);
        count_own(&sw->moves);
        slot_give(&s->peer.open_connections);
        return LEASE_FAILED;
    }
    count_add(pw->env->upstream_live, 1);
    count_add(&pw->open, 1);
    enum end_reason refusal = secure(u, target);
    if (refusal) return give_up(u, refusal, reason);
    *stream = upstream_lease(u, need);
    return *stream ? LEASE_OPENING : give_up(u, END_NO_MEMORY, reason);
}

size_t upstream_size(bool has_target)
{
    size_t h1 = upstream_h1_size(has_target), h2 = upstream_h2_size();
    return h1 > h2 ? h1 : h2;
}
