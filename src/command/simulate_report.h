/* command/simulate_report.h: what a run of `weir simulate` was asked, what it knows at its end, and printing that. */
#pragma once

#include "balance/simulation.h"
#include "command/simulate_log.h"
#include "command/simulate_route.h"
#include "control/config.h"

#define SIMULATE_CHANGES_MAX 64u
#define SIMULATE_SLOW_MAX 64u

struct simulate_options {
    const char *config, *pool, *listener, *log, *format, *plot;
    const char *changes[SIMULATE_CHANGES_MAX], *slow[SIMULATE_SLOW_MAX];
    uint32_t change_count, slow_count, slots, workers;
    double rps, seconds, service_ms;
    uint64_t seed;
    bool is_json, is_unrouted;
};

/* One side: before, or after the change. */
struct simulate_side {
    struct config *config;
    struct proxy *proxy;
    struct pool *pool;
    const struct peer_set *set;
    struct balance_peer **peers;
    double *speeds, *failures; /* failures: which part of its answers, by the log */
    struct simulate_route route;
    struct simulation *simulation;
    const struct simulation_result *result;
};

struct simulate_keys;

struct simulate_source {
    const struct simulate_options *options;
    struct simulate_side *sides;
    struct simulate_keys *keys;
    uint64_t elsewhere; /* requests of the log that come to the pool neither before nor after */
    struct simulate_log log;
};

/* `moved`: which part of the keys changes its server; NaN: not known. Text goes to stdout; the others return an exit code. */
void simulate_print_text(const struct simulate_source *s, const struct simulate_options *o, double moved);
MUST_CHECK int simulate_print_json(const struct simulate_source *s, const struct simulate_options *o,
                                   double moved);
MUST_CHECK int simulate_plot(const struct simulate_source *s, const struct simulate_options *o);
