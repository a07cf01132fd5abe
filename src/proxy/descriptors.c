#include "proxy/descriptors.h"

#include "base/count.h"
#include "pool/upstream.h"
#include "proxy/worker.h"

uint32_t descriptors_for_clients(uint32_t limit)
{
    uint32_t left = limit - limit / 8;
    return left ? left : 1;
}

uint32_t descriptors_used(const struct proxy *p)
{
    uint32_t used = atomic_load_explicit(&p->connections, memory_order_relaxed);
    for (uint32_t i = 0; i < p->worker_count; i++) {
        const struct worker *w = p->workers[i];
        if (w)
            used += count_get(&w->live.server_connections) + count_get(&w->open_files) +
                    2 * count_get(&w->live.held_sessions);
    }
    /* A session has one, to its server, and is counted as both a client's connection and a server's; as neither once it is held. */
    uint32_t sessions = atomic_load_explicit(&p->udp_sessions, memory_order_relaxed);
    return used > sessions ? used - sessions : 0;
}

static bool close_idle(struct worker *w)
{
    /* As many servers as there are need not be looked at for none. */
    if (!count_get(&w->live.idle_server_connections)) return false;
    for (const struct list *at = w->pools.next; at != &w->pools; at = at->next) {
        struct pool_worker *pw = container_of((struct list *)(uintptr_t)at, struct pool_worker, link);
        const struct roster *r = pw->view->set->roster;
        for (uint32_t i = 0; i < r->count; i++)
            if (upstream_close_oldest(server_worker_of(pw, r->places[i].server))) return true;
    }
    return false;
}

bool descriptors_are_left(struct worker *w)
{
    const struct proxy *p = w->proxy;
    struct descriptors_seen *seen = &w->descriptors;
    if (!p->descriptor_limit) return true;
    if (seen->turn != w->loop.turns || seen->used >= p->descriptor_limit)
        *seen = (struct descriptors_seen){ w->loop.turns, descriptors_used(p) };
    if (seen->used >= p->descriptor_limit && !close_idle(w)) return false;
    seen->used++;
    return true;
}
