/* pool/queue.h: a worker's exchanges that wait for a server of a pool, and the slots they wait for: a server under a
 * cap has so many, shared by all workers. That worker's thread only. */
#pragma once

#include "pool/pool_worker.h"

/* An exchange that waits for a server under its cap. */
struct pool_waiter {
    struct list link;
    uint64_t since_ns;
    const struct server *named; /* whose slot he takes even if it is not to be picked; NULL: none */
    void (*on_turn)(struct pool_waiter *w); /* taken off the queue already; pool_offered() is his to take */
};

/* The queue. While somebody waits for a pool, on whatever worker, a slot that is freed is not given up but handed to
 * who waits longest, and those who come later are told that the server is full: they stand behind.
 *
 * False: the queue is full. on_turn comes from the loop. Who had his turn in vain (`is_again`) waits in front. */
MUST_CHECK bool pool_wait(struct pool_worker *pw, struct pool_waiter *w, bool is_again);
void pool_stop_waiting(struct pool_worker *pw, struct pool_waiter *w);
/* Within on_turn: the server whose slot is held for him; the next pool_lease() or pool_enter() of it takes that. NULL
 * at all other times. */
static inline struct server *pool_offered(const struct pool_worker *pw)
{
    return pw->offered;
}

/* How many wait now, of all workers. Control thread. */
uint32_t pool_waiting(const struct pool *p);

/* For pool_worker.c: */
void queue_init(struct pool_worker *pw);
/* Nobody may wait any more. */
void queue_fini(struct pool_worker *pw);
/* Whether others are to hand this worker slots of its set's servers. */
void queue_mark(struct pool_worker *pw, bool is_waiting);
/* There is a new set: those who wait know the servers that were there before. */
void queue_look(struct pool_worker *pw);

/* Slots: in flight, or open connections. Without a cap (0) there is always one. */
bool slot_take(_Atomic uint32_t *counter, uint32_t cap);
void slot_give(_Atomic uint32_t *counter);
/* One in flight, unless others are before; who has his turn takes the one that is held for him. */
bool slot_enter(struct pool_worker *pw, struct server *s);
/* One that is counted in flight is free now: it goes to who waits longest, or is given up. */
void slot_free(struct pool_worker *pw, struct server *s);
/* There may be a free one, and somebody who waits for it. */
void slot_pass(struct pool_worker *pw, struct server *s);
