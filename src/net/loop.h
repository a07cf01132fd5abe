/* net/loop.h: one thread's event loop: edge-triggered epoll, timers, deferred work, memory for bytes, and the
 * graveyard. Everything here belongs to the loop's thread; others reach it through its mailbox only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/activity.h"
#include "base/block.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/rng.h"
#include "net/timer.h"

/* For bulk reads; whoever receives into it is done with it before it returns to the loop. */
#define LOOP_SCRATCH_BYTES (256u << 10)
/* No direction keeps more than this that its receiver has not taken. */
#define LOOP_HOLD_BYTES (32u << 10)
/* What is read, at least, for whoever takes next to nothing. */
#define LOOP_LITTLE_BYTES (4u << 10)
/* What one direction may move in a turn before the others have theirs. */
#define LOOP_TURN_BYTES (256u << 10)

/* A descriptor's seat in the loop. Embedded; its owner keeps it until the graveyard is emptied. */
struct loop_fd {
    int fd;
    uint32_t pending; /* EPOLL* bits that came in this turn and were not handled yet */
    bool is_registered;
    void (*on_ready)(struct loop_fd *f, uint32_t events); /* NULL once closed: late events are dropped */
};

/* Work for later in this turn, or for the next. */
struct loop_task {
    struct list link;
    void (*run)(struct loop_task *t);
};

/* Something that has ended but may still be on somebody's stack. */
struct loop_grave {
    struct loop_grave *next;
    void (*bury)(struct loop_grave *g);
};

struct loop_trace;

struct loop {
    int epoll_fd;
    uint64_t now_ns; /* monotonic, as of this turn */
    uint64_t wall_offset_ns;
    struct timer_wheel timers;
    struct list tasks, last_tasks;
    struct loop_grave *graves;
    struct block_pool blocks;
    uint64_t settle_ns; /* when the next period of the pool's ends, if it keeps more than it would for ever */
    struct rng rng;
    char *scratch;        /* LOOP_SCRATCH_BYTES, of whoever receives now */
    bool is_scratch_busy; /* see loop_claim_scratch() */
    bool is_stopped;
    bool is_virtual;           /* tests: the clock stands until it is set */
    bool is_copied;            /* another process may hold all descriptors for a moment (fork, exec) */
    struct activity *activity; /* what the thread is doing, for profiles; borrowed, may be NULL */
    struct loop_trace *trace;  /* where its turns are noted; borrowed, NULL: they are not */
    uint32_t fd_count;
    uint32_t full_turns; /* in a row: more is ready than one takes */
    uint64_t turns;      /* begun so far; other threads may look, atomically */
};

/* Whoever works off what he has received into the scratch buffer says so before he calls anybody, who then receives nothing into
 * it: what is to be read waits until that is over. Returns what is to be given back; claims may lie within each other. */
static inline bool loop_claim_scratch(struct loop *l)
{
    bool was_busy = l->is_scratch_busy;
    l->is_scratch_busy = true;
    return was_busy;
}
static inline void loop_release_scratch(struct loop *l, bool was_busy)
{
    l->is_scratch_busy = was_busy;
}

MUST_CHECK int loop_init(struct loop *l, struct budget *budget, struct err *err);
/* No timer may be armed any more: its owner would be gone, or leak. */
void loop_fini(struct loop *l);

/* One turn: waits for events at most max_wait_ms (-1: as long as no timer is due), handles them, runs what is due,
 * and empties the graveyard. */
void loop_turn(struct loop *l, int max_wait_ms);
/* Turns until loop_stop(). */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* Edge-triggered, for reading, writing and the peer's end; the first report comes of itself. 0 or -1 with errno. */
MUST_CHECK int loop_fd_register(struct loop *l, struct loop_fd *f, uint32_t events);
/* Closes the descriptor and forgets its events. */
void loop_fd_close(struct loop *l, struct loop_fd *f);
/* Gives the descriptor up without closing it: it goes on elsewhere. */
void loop_fd_forget(struct loop *l, struct loop_fd *f);

void loop_task_init(struct loop_task *t, void (*run)(struct loop_task *));
/* At the end of the list; once, however often it is asked. */
void loop_defer(struct loop *l, struct loop_task *t);
static inline void loop_cancel(struct loop_task *t)
{
    list_remove(&t->link);
}

/* For the end of this turn, when the graveyard is empty. Not from within such a task. */
void loop_at_end(struct loop *l, struct loop_task *t);

void loop_bury(struct loop *l, struct loop_grave *g, void (*bury)(struct loop_grave *));

static inline uint64_t loop_now_ms(const struct loop *l)
{
    return l->now_ns / NS_PER_MS;
}
/* Nanoseconds since 1970 of this turn. */
static inline uint64_t loop_wall_ns(const struct loop *l)
{
    return l->now_ns + l->wall_offset_ns;
}
static inline void loop_arm(struct loop *l, struct timer *t, uint64_t after_ms)
{
    timer_arm(&l->timers, t, l->now_ns / NS_PER_MS + after_ms);
}
static inline void loop_disarm(struct loop *l, struct timer *t)
{
    timer_disarm(&l->timers, t);
}
