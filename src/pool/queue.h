/* pool/queue.h: a worker's exchanges that wait for a server of a pool, and whose turn is next. What they wait for is a slot
 * (pool/slot.h). That worker's thread only.
 *
 * Those of a higher class go first. Within a class who waits longest is next, as long as everybody is served in the end.
 * Once the pool's queue has refused somebody, because his time was over or because it was full, not all can be served, and
 * who waits longest is the one who is about to give up: then who came last is next, until a whole `timeouts: {queue: …}`
 * has passed without another refusal (decision 0040). So a pool that gets more than it can do still answers most of what it
 * does answer at once, instead of all of it at the last moment. */
#pragma once

#include "base/bug.h"
#include "pool/pool_worker.h"

/* In the order of the names in a route's `priority`. */
enum pool_priority { POOL_PRIORITY_HIGH, POOL_PRIORITY_NORMAL, POOL_PRIORITY_LOW, POOL_PRIORITY_COUNT };

/* An exchange that waits for a server under its cap. */
struct pool_waiter {
    struct list link;
    uint64_t since_ns;
    uint8_t priority;           /* enum pool_priority; not to be changed while he waits */
    bool is_displaced;          /* the queue's: he is about to be told */
    const struct server *named; /* whose slot he takes even if it is not to be picked; NULL: none */
    void (*on_turn)(struct pool_waiter *w); /* taken off the queue already; pool_offered() is his to take */
    void (*on_displaced)(
        struct pool_waiter *w); /* the queue was full, and another goes before: taken off already */
};

/* False: the queue is full, and nobody in it has to make way. on_turn and on_displaced come from the loop. Who had his turn
 * in vain (`is_again`) is next again. */
MUST_CHECK bool pool_wait(struct pool_worker *pw, struct pool_waiter *w, bool is_again);
void pool_stop_waiting(struct pool_worker *pw, struct pool_waiter *w);
/* Somebody's time to wait was over: for the pool this is a refusal. */
void pool_waited_in_vain(struct pool_worker *pw);
/* Within on_turn: the server whose slot is held for him; the next pool_lease() or pool_enter() of it takes that. NULL
 * at all other times. */
static inline struct server *pool_offered(const struct pool_worker *pw)
{
    return pw->offered;
}

/* For pool_worker_life.c and slot.c: */
void queue_init(struct pool_worker *pw);
/* Nobody may wait any more. */
void queue_fini(struct pool_worker *pw);
/* Whether others are to hand this worker slots of its set's servers. */
void queue_mark(struct pool_worker *pw, bool is_waiting);
/* There is a new set: those who wait know the servers that were there before. */
void queue_look(struct pool_worker *pw);
bool queue_is_newest_first(const struct pool_worker *pw);
/* Without those who made way and were not told yet: they want nothing any more. */
static inline uint32_t queue_waiting(const struct pool_worker *pw)
{
    if (bug_if(QUEUE, pw->displaced_count > pw->queue_length)) return 0;
    return pw->queue_length - pw->displaced_count;
}
/* Whose turn it is: anybody's, or of those who are named to `named`. NULL: nobody's. */
struct pool_waiter *queue_first(const struct pool_worker *pw, const struct server *named);
/* He has his turn. */
void queue_take(struct pool_worker *pw, struct pool_waiter *w);
/* Of two places in line, as workers show them to each other: which one is next. */
bool queue_goes_before(uint64_t place, uint64_t other, bool is_newest_first);
