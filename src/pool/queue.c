#include "pool/queue.h"

#include "base/bug.h"
#include "base/count.h"
#include "pool/slot.h"

/* A place in line: the class above the time. Nobody's is behind all of them. */
#define CLASS_SHIFT 62u
#define NOBODY UINT64_MAX

_Static_assert((int)POOL_PRIORITY_COUNT == (int)POOL_CLASSES, "a list for each class");

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

/* order */

bool queue_is_newest_first(const struct pool_worker *pw)
{
    return pool_serves_newest_first(pw->pool, pw->view->set->roster->conf, pw->env->loop->now_ns);
}

static void note_refused(struct pool_worker *pw)
{
    atomic_store_explicit(&pw->pool->refused_ns, pw->env->loop->now_ns, memory_order_relaxed);
}

void pool_waited_in_vain(struct pool_worker *pw)
{
    note_refused(pw);
}

static uint64_t place_of(const struct pool_waiter *w)
{
    return ((uint64_t)w->priority << CLASS_SHIFT) | (w->since_ns & ((UINT64_C(1) << CLASS_SHIFT) - 1));
}

bool queue_goes_before(uint64_t place, uint64_t other, bool is_newest_first)
{
    uint64_t class = place >> CLASS_SHIFT, other_class = other >> CLASS_SHIFT;
    if (class != other_class) return class < other_class;
    return is_newest_first && class < POOL_PRIORITY_COUNT ? place > other : place < other;
}

static struct list *step(const struct list *at, bool is_newest_first)
{
    return is_newest_first ? at->prev : at->next;
}

/* The next in the order in which they have their turns; NULL for `at`: the first. NULL: no other. */
static struct pool_waiter *next_in_line(const struct pool_worker *pw, const struct pool_waiter *at,
                                        bool is_newest_first)
{
    uint32_t class = at ? at->priority : 0;
    struct list *next = step(at ? &at->link : &pw->queues[0], is_newest_first);
    while (next == &pw->queues[class]) {
        if (++class == POOL_PRIORITY_COUNT) return NULL;
        next = step(&pw->queues[class], is_newest_first);
    }
    return container_of(next, struct pool_waiter, link);
}

/* For other workers to see who is next here. */
static void show_first(struct pool_worker *pw)
{
    bool is_newest_first = queue_is_newest_first(pw);
    const struct pool_waiter *w = NULL;
    for (uint32_t i = 0; i < POOL_WAITS_SEEN; i++) {
        if (w || !i) w = next_in_line(pw, w, is_newest_first);
        atomic_store_explicit(&pw->waits_at[i], w ? place_of(w) : NOBODY, memory_order_relaxed);
    }
}

struct pool_waiter *queue_first(const struct pool_worker *pw, const struct server *named)
{
    bool is_newest_first = queue_is_newest_first(pw);
    struct pool_waiter *w = next_in_line(pw, NULL, is_newest_first);
    while (named && w && w->named != named) w = next_in_line(pw, w, is_newest_first);
    return w;
}

/* joining and leaving */

void queue_take(struct pool_worker *pw, struct pool_waiter *w)
{
    if (bug_if(QUEUE, w->is_displaced || list_is_empty(&w->link))) return;
    list_remove(&w->link);
    count_less(QUEUE, &pw->queue_length);
    show_first(pw);
}

static void on_displaced(struct loop_task *t)
{
    struct pool_worker *pw = container_of(t, struct pool_worker, displaced_task);
    struct list *at;
    while ((at = list_pop_front(&pw->displaced))) {
        struct pool_waiter *w = container_of(at, struct pool_waiter, link);
        (void)bug_if(QUEUE, !w->is_displaced); /* he is in this list */
        w->is_displaced = false;
        count_less(QUEUE, &pw->displaced_count);
        count_less(QUEUE, &pw->queue_length);
        if (!bug_if(QUEUE, !w->on_displaced)) w->on_displaced(w);
    }
}

/* The last in line of the lowest class: he makes way for a higher one, and for one of his own that goes before him. */
static bool make_way(struct pool_worker *pw, const struct pool_waiter *w, bool is_newest_first)
{
    uint32_t class = POOL_PRIORITY_COUNT;
    while (class -- > w->priority) {
        struct list *queue = &pw->queues[class];
        if (list_is_empty(queue)) continue;
        if (class == w->priority && !is_newest_first) return false;
        struct list *last = step(queue, !is_newest_first);
        struct pool_waiter *other = container_of(last, struct pool_waiter, link);
        list_remove(last);
        list_push_back(&pw->displaced, last);
        other->is_displaced = true;
        count_add(&pw->displaced_count, 1);
        loop_defer(pw->env->loop,
                   &pw->displaced_task); /* he is told from the loop, not from within another's turn */
        return true;
    }
    return false;
}

/* Those who are to be told that they were displaced are counted until they are. */
static bool is_full(const struct pool_worker *pw)
{
    return queue_waiting(pw) >= pw->view->set->roster->conf->queue.length;
}

static bool may_join(struct pool_worker *pw, const struct pool_waiter *w)
{
    if (!is_full(pw)) return true;
    metric_add(pw->env->metrics, pw->pool->meter_queue_full, 1); /* one of the two is refused */
    note_refused(pw);
    return make_way(pw, w, queue_is_newest_first(pw));
}

static void join(struct pool_worker *pw, struct pool_waiter *w, bool is_again)
{
    struct list *queue = &pw->queues[w->priority];
    if (is_again && !queue_is_newest_first(pw))
        list_push_front(queue, &w->link);
    else
        list_push_back(queue, &w->link);
    count_add(&pw->queue_length, 1);
    show_first(pw);
}

bool pool_wait(struct pool_worker *pw, struct pool_waiter *w, bool is_again)
{
    /* He waits already, or is of no class. */
    if (bug_if(QUEUE, !list_is_empty(&w->link) || !w->on_turn || w->priority >= POOL_PRIORITY_COUNT))
        return false;
    if (!is_again && !may_join(pw, w)) return false;
    if (!is_again || !w->since_ns) w->since_ns = pw->env->loop->now_ns;
    join(pw, w, is_again);
    if (!is_again) metric_add(pw->env->metrics, pw->pool->meter_queued, 1);
    /* During his own turn the mark stands, and to look at once again would go round in circles. */
    if (is_again && pw->is_marked) return true;
    queue_mark(pw, true);
    slot_look(pw, 1);
    return true;
}

void pool_stop_waiting(struct pool_worker *pw, struct pool_waiter *w)
{
    if (!list_is_empty(&w->link)) {
        list_remove(&w->link);
        count_less(QUEUE, &pw->queue_length);
        if (w->is_displaced) count_less(QUEUE, &pw->displaced_count);
        w->is_displaced = false;
        show_first(pw);
    }
    queue_mark(pw, queue_waiting(pw) > 0);
}

void queue_look(struct pool_worker *pw)
{
    slot_look(pw, queue_waiting(pw));
}

void queue_init(struct pool_worker *pw)
{
    for (uint32_t i = 0; i < POOL_PRIORITY_COUNT; i++) list_init(&pw->queues[i]);
    list_init(&pw->displaced);
    loop_task_init(&pw->displaced_task, on_displaced);
    for (uint32_t i = 0; i < POOL_WAITS_SEEN; i++) atomic_init(&pw->waits_at[i], NOBODY);
}

void queue_fini(struct pool_worker *pw)
{
    (void)bug_if(QUEUE, pw->queue_length || pw->displaced_count);
    loop_cancel(&pw->displaced_task);
}
