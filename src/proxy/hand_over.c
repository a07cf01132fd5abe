#include "proxy/hand_over.h"

#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/count.h"
#include "proxy/accept.h"
#include "proxy/listener.h"
#include "proxy/site.h"

/* Whoever goes by an older configuration may not know the listener yet. */
static bool takes(const struct worker *w, const struct worker *other)
{
    return atomic_load_explicit(&other->generation, memory_order_acquire) >= w->site->site->generation &&
           !atomic_load_explicit(&other->has_left, memory_order_relaxed);
}

/* By what all workers count together, at hand as each connection changes it: mostly nobody else has to be looked at. */
static bool has_too_much(struct worker *w)
{
    const struct proxy *p = w->proxy;
    struct share *s = &w->share;
    uint32_t all = atomic_load_explicit(&p->connections, memory_order_relaxed);
    bool is = share_is_over(s->is_sharing, count_get(&w->live.client_connections), all, p->worker_count);
    if (!is) s->is_sharing = false;
    return is;
}

/* Once a turn: others' memory is far away. */
static void look(struct worker *w)
{
    const struct proxy *p = w->proxy;
    if (w->share.turn == w->loop.turns) return;
    w->share.turn = w->loop.turns;
    for (uint32_t i = 0; i < p->worker_count; i++) {
        struct worker *other = p->workers[i];
        w->share.loads[i] = (struct share_load){
            .connections = count_get(&other->live.client_connections) +
                           atomic_load_explicit(&other->share.arriving, memory_order_relaxed),
            .exchanges = count_get(&other->live.exchanges) + count_get(&other->sessions.live),
            .takes = takes(w, other),
        };
    }
}

static void on_arrival(void *reader, const struct mail *m)
{
    struct worker *w = reader;
    struct listener_worker *lw = m->object;
    struct address peer = { .len = sizeof(peer.sa) };
    int fd = (int)m->number;
    count_own(&w->share.taken_over);
    accept_arrived(lw);
    /* It has gone meanwhile; or this worker ends, and nobody would end it. */
    if (w->loop.is_stopped || getpeername(fd, &peer.sa.any, &peer.len) < 0)
        close(fd);
    else
        accept_here(lw, fd, &peer);
    count_less_shared(WORKER, &w->share.arriving); /* last: until then it is counted nowhere else */
}

/* It is counted at the listener while it is under way: so that is not given up before it arrives, and nobody comes in its
 * place. */
bool hand_over_begin(struct listener_worker *lw, int fd)
{
    struct worker *w = lw->worker;
    struct share *s = &w->share;
    if (!s->loads || w->is_draining || lw->service.is_draining || !has_too_much(w)) return false;
    look(w);
    s->loads[w->index].connections = count_get(&w->live.client_connections);
    uint32_t to = share_choose(&s->is_sharing, s->loads, w->proxy->worker_count, w->index);
    if (to == w->index || !accept_depart(lw)) return false;
    struct worker *other = w->proxy->workers[to];
    struct mail m = { .deliver = on_arrival, .object = &lw->listener->workers[to], .number = (uint64_t)fd };
    atomic_fetch_add_explicit(&other->share.arriving, 1, memory_order_relaxed);
    if (!mailbox_post(other->box, &m)) {
        count_less_shared(WORKER, &other->share.arriving);
        accept_arrived(lw);
        return false;
    }
    s->loads[to].connections++;
    count_own(&s->handed_over);
    return true;
}
