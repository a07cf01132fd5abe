#include "pool/queue.h"

#include "base/bug.h"
#include "base/count.h"
#include "pool/upstream.h"

void queue_mark(struct pool_worker *pw, bool is_waiting)
{
    if (pw->is_marked == is_waiting) return;
    pw->is_marked = is_waiting;
    uint64_t bit = UINT64_C(1) << (pw->env->index % 64);
    const struct roster *r = pw->view->set->roster;
    for (uint32_t i = 0; i < r->count; i++) {
        _Atomic uint64_t *mask = &r->places[i].server->peer.waiting_mask;
        if (is_waiting)
            atomic_fetch_or(mask, bit);
        else
            atomic_fetch_and(mask, ~bit);
    }
}

/* For other workers to see who waits longest. */
static void note_oldest(struct pool_worker *pw)
{
    struct list *at = pw->queue.next;
    for (uint32_t i = 0; i < POOL_WAITS_SEEN; i++) {
        bool is_waiting = at != &pw->queue;
        uint64_t since_ns = is_waiting ? container_of(at, struct pool_waiter, link)->since_ns : UINT64_MAX;
        atomic_store_explicit(&pw->waits_since_ns[i], since_ns, memory_order_relaxed);
        if (is_waiting) at = at->next;
    }
}

/* Of the one who would have the next slot that is sent there. */
static uint64_t next_since_ns(const struct pool_worker *pw)
{
    uint32_t promised = atomic_load_explicit(&pw->promised, memory_order_relaxed);
    if (promised >= POOL_WAITS_SEEN) promised = POOL_WAITS_SEEN - 1;
    return atomic_load_explicit(&pw->waits_since_ns[promised], memory_order_relaxed);
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

static uint32_t cap_of(const struct server *s)
{
    return atomic_load_explicit(&s->peer.cap, memory_order_relaxed);
}

static void on_slot_mail(void *reader, const struct mail *m);

/* A slot of `s`, which is counted as in flight, goes to this worker. */
static bool give_to(struct pool_worker *pw, struct pool_worker *to, struct server *s)
{
    atomic_fetch_add_explicit(&to->promised, 1, memory_order_relaxed);
    struct server_worker *sw = server_worker_of(to, s);
    if (to == pw) {
        if (!sw->handed++) list_push_back(&pw->handed_servers, &sw->handed_link);
        loop_defer(pw->env->loop, &pw->handed_task);
        return true;
    }
    struct mail m = { .deliver = on_slot_mail, .object = sw };
    if (mailbox_post(to->env->box, &m)) return true;
    atomic_fetch_sub_explicit(&to->promised, 1, memory_order_relaxed);
    return false;
}

/* Of those in the mask the one where somebody waits longest, of equals the next in turn, this one last. NULL: none. */
static struct pool_worker *longest_waiting(const struct pool_worker *pw, uint64_t mask)
{
    struct pool_worker *longest = NULL;
    uint64_t longest_ns = UINT64_MAX;
    for (uint32_t i = 1; mask && i <= pw->env->worker_count; i++) {
        uint32_t next = (pw->env->index + i) % pw->env->worker_count;
        if (!(mask & (UINT64_C(1) << (next % 64)))) continue;
        struct pool_worker *to = pw->pool->workers[next];
        if (bug_if(QUEUE, !to)) continue; /* it has said that somebody waits there */
        uint64_t since_ns = next_since_ns(to);
        if (to == pw && !pw->queue_length) continue;
        if (longest && since_ns >= longest_ns) continue;
        longest = to, longest_ns = since_ns;
    }
    return longest;
}

/* The slot stays counted all the way, so that nobody else can take it. The cap counts idle connections too: one that
 * is kept here makes way for the one that the slot's new owner will open. */
static void hand(struct pool_worker *pw, struct server *s, uint64_t mask)
{
    struct pool_worker *to;
    while ((to = longest_waiting(pw, mask))) {
        if (to != pw && atomic_load(&s->peer.open_connections) >= server_connection_cap(s))
            (void)upstream_close_oldest(server_worker_of(pw, s));
        if (give_to(pw, to, s)) return;
        mask &= ~(UINT64_C(1) << (to->env->index % 64)); /* its box is full */
    }
    /* Nobody could be told, but somebody may wait: the next turn tries again. */
    if (atomic_load(&s->peer.waiting_mask)) {
        (void)give_to(pw, pw, s);
        return;
    }
    slot_give(&s->peer.in_flight);
}

/* Whoever can free a slot, or finds one free, passes it on if somebody waits. */
void slot_pass(struct pool_worker *pw, struct server *s)
{
    uint64_t mask = atomic_load(&s->peer.waiting_mask);
    if (mask && slot_take(&s->peer.in_flight, cap_of(s))) hand(pw, s, mask);
}

/* One that is counted is free now. Who waits sets the mark and looks for a free slot then, and this gives the slot up
 * and looks for a mark then: one of them sees the other (all four are sequentially consistent). */
void slot_free(struct pool_worker *pw, struct server *s)
{
    if (bug_if(QUEUE, s->pool != pw->pool)) return;
    uint64_t mask = atomic_load(&s->peer.waiting_mask);
    if (mask) {
        hand(pw, s, mask);
        return;
    }
    slot_give(&s->peer.in_flight);
    slot_pass(pw, s);
}

/* Whom an exchange may end up with: those of the set, then those on standby. */
static struct server *candidate(const struct peer_set *set, uint32_t i)
{
    return i < set->count ? set->servers[i] : set->standby[i - set->count]->server;
}

static bool is_candidate(const struct peer_set *set, const struct server *s)
{
    if (atomic_load_explicit(&s->peer.is_out, memory_order_relaxed)) return false;
    for (uint32_t i = 0; i < set->count + set->standby_count; i++)
        if (candidate(set, i) == s) return true;
    return false;
}

/* Who waits longest for what `s` has to give: anybody, or if it gets nothing new, who is named to it. */
static struct pool_waiter *first_for(const struct pool_worker *pw, const struct server *s)
{
    bool is_anybodys = is_candidate(pw->view->set, s);
    for (struct list *at = pw->queue.next; at != &pw->queue; at = at->next) {
        struct pool_waiter *w = container_of(at, struct pool_waiter, link);
        if (is_anybodys || w->named == s) return w;
    }
    return NULL;
}

/* A slot of `s` is held for those who wait here. He whose turn it is may have ended, or may find another server: then
 * it is the next one's. */
static void offer(struct pool_worker *pw, struct server *s)
{
    struct pool_waiter *w, *last = NULL;
    if (bug_if(QUEUE, !s || pw->offered)) return; /* one after the other */
    count_less_shared(QUEUE, &pw->promised);
    pw->offered = s;
    while (pw->offered && (w = first_for(pw, s)) && w != last) {
        list_remove(&w->link);
        count_less(QUEUE, &pw->queue_length);
        note_oldest(pw);
        last = w;
        w->on_turn(w);
    }
    bool is_left = pw->offered != NULL;
    pw->offered = NULL;
    queue_mark(pw, pw->queue_length > 0);
    if (is_left && !pw->queue_length) {
        slot_free(pw, s);
        return;
    }
    /* Nobody here wants it, and nobody elsewhere would. */
    if (is_left) slot_give(&s->peer.in_flight);
    /* He may have had no connection for the slot and given it up: whoever has closed one since may have found no slot
     * to pass on with it. And where one is free there may be more. */
    uint32_t cap = server_connection_cap(s);
    if (!is_left && (!cap || atomic_load(&s->peer.open_connections) < cap)) slot_pass(pw, s);
}

static void on_slot_mail(void *reader, const struct mail *m)
{
    (void)reader;
    struct server_worker *sw = m->object;
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
        sw->handed = 0;
        for (; handed; handed--) offer(pw, sw->server);
    }
}

/* Takes what is free for those who wait here, as many slots as they are. Without a cap there is no end of slots, and
 * who waits has been told so by somebody else's. */
static void look_for_slots(struct pool_worker *pw, uint32_t wanted)
{
    const struct peer_set *set = pw->view->set;
    for (uint32_t i = 0; i < set->count + set->standby_count && wanted; i++) {
        struct server *s = candidate(set, i);
        if (atomic_load_explicit(&s->peer.is_out, memory_order_relaxed)) continue;
        if (!slot_take(&s->peer.in_flight, cap_of(s))) continue;
        (void)give_to(pw, pw, s);
        wanted--;
    }
}

/* Those who wait know the servers that were there before. */
void queue_look(struct pool_worker *pw)
{
    look_for_slots(pw, pw->queue_length);
}

bool pool_wait(struct pool_worker *pw, struct pool_waiter *w, bool is_again)
{
    if (bug_if(QUEUE, !list_is_empty(&w->link) || !w->on_turn)) return false; /* he waits already */
    if (!is_again && pw->queue_length >= pw->view->set->roster->conf->queue.length) {
        metric_add(pw->env->metrics, pw->pool->meter_queue_full, 1);
        return false;
    }
    if (!is_again || !w->since_ns) w->since_ns = pw->env->loop->now_ns;
    if (is_again)
        list_push_front(&pw->queue, &w->link);
    else
        list_push_back(&pw->queue, &w->link);
    count_add(&pw->queue_length, 1);
    note_oldest(pw);
    if (!is_again) metric_add(pw->env->metrics, pw->pool->meter_queued, 1);
    /* During his own turn the mark stands, and to look at once again would go round in circles. */
    if (is_again && pw->is_marked) return true;
    queue_mark(pw, true);
    look_for_slots(pw, 1);
    return true;
}

void pool_stop_waiting(struct pool_worker *pw, struct pool_waiter *w)
{
    if (!list_is_empty(&w->link)) {
        list_remove(&w->link);
        count_less(QUEUE, &pw->queue_length);
        note_oldest(pw);
    }
    queue_mark(pw, pw->queue_length > 0);
}

/* Whose turn it is has his slot already. Others stand behind those who wait. */
bool slot_enter(struct pool_worker *pw, struct server *s)
{
    if (pw->offered == s) {
        pw->offered = NULL;
        return true;
    }
    uint32_t cap = cap_of(s);
    if (cap && atomic_load_explicit(&s->peer.waiting_mask, memory_order_relaxed)) return false;
    return slot_take(&s->peer.in_flight, cap);
}

void queue_init(struct pool_worker *pw)
{
    list_init(&pw->queue);
    list_init(&pw->handed_servers);
    loop_task_init(&pw->handed_task, on_handed);
    note_oldest(pw);
}

void queue_fini(struct pool_worker *pw)
{
    (void)bug_if(QUEUE, !list_is_empty(&pw->queue) || pw->queue_length);
    loop_cancel(&pw->handed_task);
}

uint32_t pool_waiting(const struct pool *p)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < p->worker_count; i++)
        if (p->workers[i]) sum += count_get(&p->workers[i]->queue_length);
    return sum;
}
