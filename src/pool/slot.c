/* pool/slot.c: what those who wait are waiting for. */
#include "pool/slot.h"

#include "base/bug.h"
#include "base/count.h"
#include "pool/queue.h"
#include "pool/upstream.h"

/* Of the one who would have the next slot that is sent there. */
static uint64_t next_place(const struct pool_worker *pw)
{
    uint32_t promised = atomic_load_explicit(&pw->promised, memory_order_relaxed);
    if (promised >= POOL_WAITS_SEEN) promised = POOL_WAITS_SEEN - 1;
    return atomic_load_explicit(&pw->waits_at[promised], memory_order_relaxed);
}

/* Never over the cap, not even for a moment: somebody else would take the server to be full, and wait. */
bool slot_take(_Atomic uint32_t *counter, uint32_t cap)
{
    if (!cap) {
        atomic_fetch_add(counter, 1);
        return true;
    }
    uint32_t before = atomic_load(counter);
    while (before < cap)
        if (atomic_compare_exchange_weak(counter, &before, before + 1)) return true;
    return false;
}

/* One too many would make the server full for ever. */
void slot_give(_Atomic uint32_t *counter)
{
    count_less_shared(QUEUE, counter);
}

/* One of those in flight is this worker's from now on, or no more. */
static bool take(struct pool_worker *pw, struct server *s, uint32_t cap)
{
    struct server_worker *sw = server_worker_of(pw, s);
    count_own(&sw->moves);
    if (!slot_take(&s->peer.in_flight, cap)) return false;
    sw->slots++;
    return true;
}

void slot_give_up(struct pool_worker *pw, struct server *s)
{
    struct server_worker *sw = server_worker_of(pw, s);
    count_own(&sw->moves);
    if (!bug_if(QUEUE, !sw->slots)) sw->slots--;
    slot_give(&s->peer.in_flight);
}

static uint32_t cap_of(const struct server *s)
{
    return atomic_load_explicit(&s->peer.cap, memory_order_relaxed);
}

static void on_slot_mail(void *reader, const struct mail *m);

/* A slot of `s`, which is counted as in flight, goes to this worker. */
static bool give_to(struct pool_worker *pw, struct pool_worker *to, struct server *s)
{
    struct server_worker *sw = server_worker_of(to, s), *own = server_worker_of(pw, s);
    /* Of those that it holds, this one is nobody's yet. */
    bool is_held = !bug_if(QUEUE, own->handed >= own->slots);
    count_own(&pw->moves);
    atomic_fetch_add_explicit(&to->promised, 1, memory_order_release);
    if (to == pw) {
        if (!sw->handed++) list_push_back(&pw->handed_servers, &sw->handed_link);
        loop_defer(pw->env->loop, &pw->handed_task);
        return true;
    }
    struct mail m = { .deliver = on_slot_mail, .object = sw };
    if (mailbox_post(to->env->box, &m)) {
        if (is_held) own->slots--;
        own->slots_sent++;
        return true;
    }
    count_less_shared(QUEUE, &to->promised);
    return false;
}

/* Of those in the mask the one where he waits who goes before all others, of equals the next in turn, this one last. NULL:
 * none. */
static struct pool_worker *whose_turn(const struct pool_worker *pw, uint64_t mask)
{
    struct pool_worker *first = NULL;
    uint64_t first_at = UINT64_MAX;
    bool is_newest_first = queue_is_newest_first(pw);
    for (uint32_t i = 1; mask && i <= pw->env->worker_count; i++) {
        uint32_t next = (pw->env->index + i) % pw->env->worker_count;
        if (!(mask & (UINT64_C(1) << (next % 64)))) continue;
        struct pool_worker *to = pw->pool->workers[next];
        if (bug_if(QUEUE, !to)) continue; /* it has said that somebody waits there */
        uint64_t at = next_place(to);
        if (to == pw && !queue_waiting(pw)) continue;
        if (first && !queue_goes_before(at, first_at, is_newest_first)) continue;
        first = to, first_at = at;
    }
    return first;
}

/* The slot stays counted all the way, so that nobody else can take it. The cap counts idle connections too: one that
 * is kept here makes way for the one that the slot's new owner will open. */
static void hand(struct pool_worker *pw, struct server *s, uint64_t mask)
{
    struct pool_worker *to;
    while ((to = whose_turn(pw, mask))) {
        uint32_t most = server_connection_cap(s);
        if (to != pw && most && atomic_load(&s->peer.open_connections) >= most)
            (void)upstream_close_oldest(server_worker_of(pw, s));
        if (give_to(pw, to, s)) return;
        mask &= ~(UINT64_C(1) << (to->env->index % 64)); /* its box is full */
    }
    /* Nobody could be told, but somebody may wait: the next turn tries again. */
    if (atomic_load(&s->peer.waiting_mask)) {
        (void)give_to(pw, pw, s);
        return;
    }
    slot_give_up(pw, s);
}

/* Whoever can free a slot, or finds one free, passes it on if somebody waits. */
void slot_pass(struct pool_worker *pw, struct server *s)
{
    uint64_t mask = atomic_load(&s->peer.waiting_mask);
    if (mask && take(pw, s, cap_of(s))) hand(pw, s, mask);
}

/* There may be fewer than there were: then it is nobody's. */
static bool is_over_cap(const struct server *s)
{
    uint32_t cap = cap_of(s);
    return cap && atomic_load_explicit(&s->peer.in_flight, memory_order_relaxed) > cap;
}

/* One that is counted is free now. Who waits sets the mark and looks for a free slot then, and this gives the slot up
 * and looks for a mark then: one of them sees the other (all four are sequentially consistent). */
void slot_free(struct pool_worker *pw, struct server *s)
{
    if (bug_if(QUEUE, s->pool != pw->pool)) return;
    uint64_t mask = atomic_load(&s->peer.waiting_mask);
    if (mask && !is_over_cap(s)) {
        hand(pw, s, mask);
        return;
    }
    slot_give_up(pw, s);
    slot_pass(pw, s);
}

/* Whom an exchange may end up with: those of the set, then those on standby. */
static struct server *candidate(const struct peer_set *set, uint32_t i)
{
    return i < set->count ? set->servers[i] : set->standby[i - set->count]->server;
}

/* Whether it may be picked for whoever comes; else it gives its slots to those alone who are named to it. */
static bool is_anybodys(const struct pool_worker *pw, const struct server *s)
{
    const struct peer_set *set = pw->view->set;
    if (atomic_load_explicit(&s->peer.is_out, memory_order_relaxed)) return false;
    for (uint32_t i = 0; i < set->count + set->standby_count; i++)
        if (candidate(set, i) == s) return true;
    return false;
}

/* A slot of `s` is held for those who wait here. He whose turn it is may have ended, or may find another server: then
 * it is the next one's. */
static void offer(struct pool_worker *pw, struct server *s)
{
    struct pool_waiter *w, *last = NULL;
    if (bug_if(QUEUE, !s || pw->offered)) return; /* one after the other */
    count_own(&pw->moves);
    count_less_shared(QUEUE, &pw->promised);
    pw->offered = s;
    while (pw->offered && (w = queue_first(pw, is_anybodys(pw, s) ? NULL : s)) && w != last) {
        queue_take(pw, w);
        last = w;
        w->on_turn(w);
    }
    bool is_left = pw->offered != NULL;
    pw->offered = NULL;
    queue_mark(pw, queue_waiting(pw) > 0);
    if (is_left && !queue_waiting(pw)) {
        slot_free(pw, s);
        return;
    }
    /* Nobody here wants it, and nobody elsewhere would. */
    if (is_left) slot_give_up(pw, s);
    /* He may have had no connection for the slot and given it up: whoever has closed one since may have found no slot
     * to pass on with it. And where one is free there may be more. */
    uint32_t cap = server_connection_cap(s);
    if (!is_left && (!cap || atomic_load(&s->peer.open_connections) < cap)) slot_pass(pw, s);
}

static void on_slot_mail(void *reader, const struct mail *m)
{
    (void)reader;
    struct server_worker *sw = m->object;
    if (bug_if(QUEUE, !sw->pool)) { /* nobody can wait for it here */
        slot_give(&sw->server->peer.in_flight);
        return;
    }
    sw->slots++;
    sw->slots_received++;
    offer(sw->pool, sw->server);
}

static void on_handed(struct loop_task *t)
{
    struct pool_worker *pw = container_of(t, struct pool_worker, handed_task);
    struct list *first;
    struct list mine;
    /* What is handed over meanwhile is for the next time. */
    list_init(&mine);
    while ((first = list_pop_front(&pw->handed_servers))) list_push_back(&mine, first);
    while ((first = list_pop_front(&mine))) {
        struct server_worker *sw = container_of(first, struct server_worker, handed_link);
        uint32_t handed = sw->handed;
        (void)bug_if(QUEUE, !handed || handed > sw->slots); /* it stands there for those that it holds */
        sw->handed = 0;
        for (; handed; handed--) offer(pw, sw->server);
    }
}

/* Takes what is free for those who wait here, as many slots as they are. Without a cap there is no end of slots, and
 * who waits has been told so by somebody else's. */
void slot_look(struct pool_worker *pw, uint32_t wanted)
{
    const struct peer_set *set = pw->view->set;
    for (uint32_t i = 0; i < set->count + set->standby_count && wanted; i++) {
        struct server *s = candidate(set, i);
        if (atomic_load_explicit(&s->peer.is_out, memory_order_relaxed)) continue;
        if (!take(pw, s, cap_of(s))) continue;
        (void)give_to(pw, pw, s);
        wanted--;
    }
}

void slot_init(struct pool_worker *pw)
{
    list_init(&pw->handed_servers);
    loop_task_init(&pw->handed_task, on_handed);
}

void slot_fini(struct pool_worker *pw)
{
    loop_cancel(&pw->handed_task);
}

/* Whose turn it is has his slot already. Others stand behind those who wait. */
bool slot_enter(struct pool_worker *pw, struct server *s)
{
    if (pw->offered == s) {
        (void)bug_if(QUEUE, !server_worker_of(pw, s)->slots); /* it was held for him */
        pw->offered = NULL;
        return true;
    }
    uint32_t cap = cap_of(s);
    if (cap && atomic_load_explicit(&s->peer.waiting_mask, memory_order_relaxed)) return false;
    return take(pw, s, cap);
}
