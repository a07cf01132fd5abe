/* pool/latency.h: how long a pool's servers take to begin their answers, of late, as percentiles: after such a time another
 * server may be asked as well (`retry: {hedge: …}`). What is looked at is the histogram that each server has anyway.
 *
 * The pool's figure is that of the server in its middle (of two, the quicker): one that is slow does not make the others be
 * waited for, and one that refuses quickly does not make everybody slow. Workers say which percentile they want, and read it;
 * the rest is the control thread's. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "metric/history.h"
#include "route/retry_conf.h"

#define LATENCY_PERCENTS (HEDGE_PERCENTILE_MAX - HEDGE_PERCENTILE_MIN + 1)

struct metric_registry;
struct pool;
struct server;

/* The pool's. Relaxed: who reads an old figure waits a little too long. */
struct pool_latency {
    _Atomic uint64_t wanted; /* bit i: percentile HEDGE_PERCENTILE_MIN + i, by this configuration */
    _Atomic uint32_t us[LATENCY_PERCENTS]; /* 0: not known */
};

/* One server's: what has come of late. Older answers count for less: a fiftieth less with each look, and so that all together
 * count for no more than ten thousand. */
struct latency_window {
    uint32_t seen[HISTORY_GROUPS]; /* since the beginning, at the last look; they wrap */
    float kept[HISTORY_GROUPS];
    double total;
};

/* The worker's: from now on it is looked after. 0: it is not known yet, or too little has come. */
uint32_t pool_latency_us(struct pool_latency *l, uint32_t percentile);

/* The control thread's. Somebody wants a percentile of this pool. */
static inline bool pool_latency_is_wanted(const struct pool_latency *l)
{
    return atomic_load_explicit(&l->wanted, memory_order_relaxed) != 0;
}
/* Looks at what has come of one server; without memory for that nothing is known of it. */
void server_look_at_latency(struct server *s, const struct metric_registry *metrics);
/* Works out what is wanted, once its servers have been looked at. */
void pool_settle_latency(struct pool *p);

/* The parts, pure: `counted` since the beginning. */
void latency_window_add(struct latency_window *w, const uint32_t counted[HISTORY_GROUPS]);
/* 0: too little has come to tell: at least one answer is to be beyond it. */
uint32_t latency_window_us(const struct latency_window *w, uint32_t percentile);
/* Of those that are known, which are put in order; 0: none is. */
uint32_t latency_middle(uint32_t *values, uint32_t count);
