#include "pool/pool_lease.h"

#include "base/bug.h"
#include "base/count.h"
#include "pool/slot.h"
#include "pool/upstream.h"

/* counting */

void pool_unlease(struct pool_worker *pw, struct server *s)
{
    slot_free(pw, s);
}

static void one_less_open(struct pool_worker *pw, struct server *s)
{
    count_own(&server_worker_of(pw, s)->moves);
    slot_give(&s->peer.open_connections);
    count_less(POOL_WORKER, pw->env->upstream_live);
    count_less(POOL_WORKER, &pw->open);
}

void pool_connection_closed(struct pool_worker *pw, struct server *s)
{
    one_less_open(pw, s);
    slot_pass(pw, s);
}

bool pool_enter(struct pool_worker *pw, struct server *s)
{
    if (bug_if(POOL_WORKER, s->pool != pw->pool) || !slot_enter(pw, s)) return false;
    count_own(&server_worker_of(pw, s)->moves);
    atomic_fetch_add(&s->peer.open_connections, 1);
    count_add(pw->env->upstream_live, 1);
    count_add(&pw->open, 1);
    return true;
}

void pool_leave(struct pool_worker *pw, struct server *s)
{
    one_less_open(pw, s);
    slot_free(pw, s);
}

/* leases */

enum lease pool_lease(struct pool_worker *pw, struct server *s, enum lease_need need,
                      const struct pool_target *target, struct http_stream **stream, enum end_reason *reason)
{
    struct server_worker *sw = server_worker_of(pw, s);
    if (bug_if(POOL_WORKER, s->pool != pw->pool) || (pw->pool->kind == POOL_EGRESS) != (target != NULL)) {
        *reason = END_INTERNAL;
        return LEASE_FAILED;
    }
    if (!slot_enter(pw, s)) return LEASE_FULL;
    struct upstream *u = upstream_find(sw, need, target);
    if (bug_if(POOL_WORKER, u && u->home != sw)) u = NULL; /* it leads to another server */
    if (u && (*stream = upstream_lease(u, need))) {
        metric_add(pw->env->metrics, s->meter_reuses, 1);
        return u->is_opening ? LEASE_OPENING : LEASE_OPEN;
    }
    /* At the cap an idle connection that is too old for this request makes way for a new one. */
    uint32_t cap = server_connection_cap(s);
    if (cap && !list_is_empty(&sw->idle) &&
        atomic_load_explicit(&s->peer.open_connections, memory_order_relaxed) >= cap)
        (void)upstream_close_oldest(sw);
    enum lease got = upstream_connect(sw, need, target, stream, reason);
    /* Full of connections: whoever closes one passes the slot on, and to do it here would go round in circles. */
    if (got == LEASE_FULL) slot_give_up(pw, s);
    if (got == LEASE_FAILED) slot_free(pw, s);
    return got;
}
