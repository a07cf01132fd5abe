#include "proxy/share.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/count.h"
#include "proxy/accept.h"

/* In tenths of the average. */
#define BEGIN_TENTHS 12u
#define END_TENTHS 11u

/* the choice */

struct sums {
    uint64_t connections, exchanges;
};

static struct sums sum_up(const struct share_load *loads, uint32_t count)
{
    struct sums s = { 0, 0 };
    for (uint32_t i = 0; i < count; i++) {
        s.connections += loads[i].connections;
        s.exchanges += loads[i].exchanges;
    }
    return s;
}

/* More than so many tenths of the average of `count` that have `sum` together. */
static bool is_over(uint64_t own, uint64_t sum, uint32_t count, uint32_t tenths)
{
    return own * count * 10 > sum * tenths;
}

static bool is_busy(const struct share_load *l, const struct sums *s, uint32_t count)
{
    return is_over(l->exchanges, s->exchanges, count, BEGIN_TENTHS) &&
           (uint64_t)l->exchanges * count >= s->exchanges + (uint64_t)SHARE_APART_MIN * count;
}

/* Who has fewest, of equals the next in turn; `own`: nobody takes any. */
static uint32_t find_least(const struct share_load *loads, uint32_t count, uint32_t own, const struct sums *s)
{
    uint32_t least = own;
    for (uint32_t i = 1; i < count; i++) {
        uint32_t at = (own + i) % count;
        if (!loads[at].takes || is_busy(&loads[at], s, count)) continue;
        if (least == own || loads[at].connections < loads[least].connections) least = at;
    }
    return least;
}

static uint32_t apart(bool is_sharing)
{
    return is_sharing ? SHARE_APART_MIN / 2 : SHARE_APART_MIN;
}

bool share_is_over(bool is_sharing, uint32_t connections, uint64_t all, uint32_t count)
{
    return connections >= apart(is_sharing) &&
           is_over(connections, all, count, is_sharing ? END_TENTHS : BEGIN_TENTHS);
}

uint32_t share_choose(bool *is_sharing, const struct share_load *loads, uint32_t count, uint32_t own)
{
    struct sums s = sum_up(loads, count);
    uint32_t least = find_least(loads, count, own, &s);
    uint32_t mine = loads[own].connections, theirs = loads[least].connections;
    *is_sharing = least != own && mine >= theirs + apart(*is_sharing) &&
                  share_is_over(*is_sharing, mine, s.connections, count);
    return *is_sharing ? least : own;
}

/* handing over */

void share_init(struct share *s, uint32_t worker_count)
{
    s->turn = UINT64_MAX;
    s->loads = worker_count > 1 ? calloc(worker_count, sizeof(*s->loads)) : NULL;
}

void share_fini(struct share *s)
{
    free(s->loads);
    s->loads = NULL;
}

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
bool share_hand_over(struct listener_worker *lw, int fd)
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
