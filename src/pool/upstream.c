#include "pool/upstream.h"

#include "base/bug.h"
#include "base/count.h"
#include "pool/slot.h"
#include "pool/upstream_tls.h"

/* How many are looked at for one to the same target. */
#define TARGET_LOOKS 16

static struct loop *loop_of(const struct upstream *u)
{
    return u->home->pool->env->loop;
}

static const struct pool_conf *conf_of(const struct server_worker *sw)
{
    return sw->pool->view->set->roster->conf;
}

/* So many times as many as are to be kept may be idle for so long. */
#define EXCESS_TIMES 4u
#define EXCESS_MS 1000u

static void set_idle_count(struct server_worker *sw, int change)
{
    uint32_t now = atomic_load_explicit(&sw->idle_count, memory_order_relaxed);
    if (bug_if(UPSTREAM, change < 0 && !now)) return;
    atomic_store_explicit(&sw->idle_count, now + (uint32_t)change, memory_order_relaxed);
    count_add(sw->pool->env->upstream_idle, change);
}

static uint64_t idle_ms(const struct upstream *u)
{
    return (loop_of(u)->now_ns - u->idle_since_ns) / NS_PER_MS;
}

void upstream_was_stale(const struct upstream *u, uint64_t idle_ns)
{
    /* In egress pools it is a target that closed, of which its local address knows nothing. */
    if (u->target) return;
    server_saw_idle_close(u->home->server, idle_ns / NS_PER_MS, loop_now_ms(loop_of(u)));
}

static void leave_lists(struct upstream *u)
{
    /* Nobody would have found it: it would have stayed open for nothing. */
    (void)bug_if(UPSTREAM, u->is_idle && list_is_empty(&u->link));
    list_remove(&u->link);
    if (!u->is_idle) return;
    u->is_idle = false;
    set_idle_count(u->home, -1);
}

static void close_idle(struct upstream *u)
{
    if (bug_if(UPSTREAM,
               !u->is_idle)) { /* it is at work; in the list of idle ones it would be found for ever */
        list_remove(&u->link);
        return;
    }
    if (u->transport->has_hangup) upstream_was_stale(u, loop_of(u)->now_ns - u->idle_since_ns);
    leave_lists(u);
    u->ops->close(u);
}

/* Targets that are asked no more would keep out the others. */
bool upstream_close_oldest(struct server_worker *sw)
{
    if (list_is_empty(&sw->idle)) return false;
    close_idle(container_of(sw->idle.prev, struct upstream, link));
    return true;
}

void upstream_closed(struct upstream *u, bool is_by_peer)
{
    if (u->is_idle && is_by_peer) upstream_was_stale(u, loop_of(u)->now_ns - u->idle_since_ns);
    leave_lists(u);
}

static uint64_t limit_ms(const struct upstream *u)
{
    return server_idle_limit_ms(u->home->server, conf_of(u->home)->timeouts.keep_alive_ms,
                                loop_now_ms(loop_of(u)));
}

/* Another configuration verifies servers in another way, or speaks with them in another. */
static bool is_outdated(const struct upstream *u)
{
    if (u->protocol != conf_of(u->home)->protocol) return true;
    if (u->target && !u->tls_print) return false; /* targets may be plain */
    return u->tls_print != upstream_tls_print(u->home->pool);
}

static uint32_t idle_count(const struct server_worker *sw)
{
    return atomic_load_explicit(&sw->idle_count, memory_order_relaxed);
}

static bool has_excess(const struct server_worker *sw)
{
    return idle_count(sw) > conf_of(sw)->idle_connections;
}

/* How long it may be idle, as things are. */
static uint64_t patience_ms(const struct upstream *u)
{
    uint64_t limit = limit_ms(u);
    return has_excess(u->home) && limit > EXCESS_MS ? EXCESS_MS : limit;
}

/* For one more that is idle. As many as were at work at the same time will be wanted again at once, if anybody: so more than are
 * to be kept are let live on for a while, and what nobody has wanted for so long makes way first. */
static bool make_room(struct server_worker *sw, const struct upstream *u)
{
    uint64_t keep = conf_of(sw)->idle_connections;
    if (idle_count(sw) < keep) return true;
    (void)bug_if(UPSTREAM,
                 idle_count(sw) && list_is_empty(&sw->idle)); /* none of those counted could make way */
    if (u->target) return upstream_close_oldest(sw);
    if (!list_is_empty(&sw->idle)) {
        const struct upstream *oldest = container_of(sw->idle.prev, struct upstream, link);
        if (idle_ms(oldest) >= EXCESS_MS) return upstream_close_oldest(sw);
    }
    return idle_count(sw) < keep * EXCESS_TIMES;
}

void upstream_went_idle(struct upstream *u)
{
    struct server_worker *sw = u->home;
    bool is_worn = u->max_leases && u->leases >= u->max_leases;
    if (bug_if(UPSTREAM, u->is_idle)) return;
    list_remove(&u->link);
    if (is_worn || !u->ops->capacity(u) || is_outdated(u) || !server_worker_keeps_idle(sw) ||
        !make_room(sw, u)) {
        u->ops->close(u);
        return;
    }
    list_push_front(&sw->idle, &u->link);
    set_idle_count(sw, 1);
    u->is_idle = true;
    u->idle_since_ns = loop_of(u)->now_ns;
    loop_arm(loop_of(u), u->timer, patience_ms(u));
    /* Somebody may have a slot and lack this connection. Last: it may be closed for him. */
    slot_pass(sw->pool, sw->server);
}

/* The timer may have been set for an earlier time of idleness. */
void upstream_check_idle(struct upstream *u)
{
    if (!u->is_idle) return;
    uint64_t limit = patience_ms(u), idle = idle_ms(u);
    if (idle >= limit)
        close_idle(u);
    else
        loop_arm(loop_of(u), u->timer, limit - idle);
}

static bool leads_to(const struct upstream *u, const struct pool_target *target, uint64_t host_hash)
{
    return u->target && u->target->host_hash == host_hash &&
           address_equal(&u->target->address, &target->address);
}

/* The first in the list that leads there; NULL: none among those that are looked at. */
static struct upstream *first_to(const struct server_worker *sw, const struct list *among,
                                 const struct pool_target *target)
{
    uint32_t looks = 0;
    uint64_t host_hash = target ? upstream_host_hash(sw->pool, target) : 0;
    for (struct list *at = among->next; at != among; at = at->next) {
        struct upstream *u = container_of(at, struct upstream, link);
        if (!target || leads_to(u, target, host_hash)) return u;
        if (++looks == TARGET_LOOKS) break;
    }
    return NULL;
}

static struct upstream *find_idle(struct server_worker *sw, enum lease_need need,
                                  const struct pool_target *target)
{
    uint64_t conf_ms = conf_of(sw)->timeouts.keep_alive_ms, now_ms = loop_now_ms(sw->pool->env->loop);
    uint32_t limit = need <= LEASE_ANY ? server_idle_limit_ms(sw->server, conf_ms, now_ms)
                                       : server_young_limit_ms(sw->server, conf_ms, now_ms);
    struct upstream *u;
    /* It closes after each answer: even one that was used a moment ago may be closed already. */
    if (need > LEASE_ANY && !limit) return NULL;
    while ((u = first_to(sw, &sw->idle, target))) {
        /* One without room will not get any while nobody is on it. */
        bool is_dead = transport_is_dead(u->transport) || !u->ops->capacity(u) || is_outdated(u);
        if (!is_dead && idle_ms(u) <= limit) return u;
        if (!is_dead && need > LEASE_ANY) return NULL; /* the others are older still */
        close_idle(u);
    }
    return NULL;
}

/* One that is at work. Those that have no room any more leave the list: they come back when they have. So do those that were
 * opened by rules that hold no more. */
static struct upstream *find_open(struct server_worker *sw, enum lease_need need,
                                  const struct pool_target *target)
{
    struct upstream *u;
    while ((u = first_to(sw, &sw->open, target)) && (!u->ops->capacity(u) || is_outdated(u)))
        list_remove(&u->link);
    return u && u->is_ordered && need != LEASE_SHARED ? NULL : u;
}

struct upstream *upstream_find(struct server_worker *sw, enum lease_need need,
                               const struct pool_target *target)
{
    struct upstream *u = find_open(sw, need, target);
    /* What is at work is alive; of those that were idle one has just failed. */
    return u || need == LEASE_FRESH ? u : find_idle(sw, need, target);
}

void upstream_has_room(struct upstream *u, bool has_room)
{
    if (u->is_idle) return;
    list_remove(&u->link);
    if (has_room) list_push_front(&u->home->open, &u->link);
}

bool upstream_close_outdated(struct server_worker *sw)
{
    for (struct list *at = sw->idle.prev; at != &sw->idle; at = at->prev) {
        struct upstream *u = container_of(at, struct upstream, link);
        if (!is_outdated(u)) continue;
        close_idle(u);
        return true;
    }
    return false;
}

struct http_stream *upstream_lease(struct upstream *u, enum lease_need need)
{
    leave_lists(u);
    if (bug_if(UPSTREAM, !u->ops->capacity(u))) return NULL;
    struct http_stream *s = u->ops->lease(u, need);
    if (!s) return NULL;
    u->leases++;
    upstream_has_room(u, u->ops->capacity(u));
    return s;
}

void upstream_bury(struct upstream *u)
{
    struct pool_worker *pw = u->home->pool;
    if (bug_if(UPSTREAM,
               !list_is_empty(&u->link) || timer_is_armed(u->timer))) { /* somebody would find it there */
        list_remove(&u->link);
        loop_disarm(pw->env->loop, u->timer);
    }
    slab_put(&pw->upstreams, u);
}
