/* balance/simulation.h: what a method would do to a stream of requests: the very picks of the proxy, on the very
 * counters, with a queueing model in the place of servers, on a virtual clock. Each server serves `slots` requests at a time,
 * each as long as it asks for divided by the server's speed, and the others wait in order. Pure; deterministic by its
 * seed; memory for what is outstanding, at most SIMULATION_OUTSTANDING_MAX. One thread. */
#pragma once

#include "balance/balance.h"
#include "metric/histogram.h"

#define SIMULATION_OUTSTANDING_MAX (1u << 20)
#define SIMULATION_WORKERS_MAX 64u

struct simulation_conf {
    const struct balance_method *method;
    const void *table;                 /* of these peers */
    struct balance_peer *const *peers; /* the simulation's own: nothing else may count on them meanwhile */
    const double *speeds;              /* 1: as asked; 0.5: half as fast */
    const double *failures;            /* which part of its answers are quick failures; NULL: none */
    uint32_t count;                    /* of peers */
    uint32_t slots;                    /* of each */
    uint32_t worker_count;             /* each with a state of its own; requests come to them at random */
    uint64_t seed;
};

/* How long a server takes to fail. */
#define SIMULATION_FAILURE_NS UINT64_C(1000000)

struct simulation_request {
    uint64_t at_ns;      /* never goes back */
    uint64_t hash;       /* of its key */
    uint64_t service_ns; /* at a server of speed 1 */
    bool is_failure;     /* wherever it goes it is answered with a failure */
};

struct simulation_server {
    uint64_t requests, failures, busy_ns;
    uint32_t outstanding_max;
};

struct simulation_result {
    uint64_t requests,
        refused;      /* refused: more outstanding than there is room for, or no server could be picked */
    uint64_t last_ns; /* when the last response was sent */
    uint64_t queued;  /* waited before a server was picked, because all were at their caps */
    uint64_t failures;
    /* Microseconds, failures left out: before service begins; in all. */
    uint64_t wait[HISTOGRAM_CELLS], response[HISTOGRAM_CELLS];
    const struct simulation_server *servers;
};

struct simulation;

/* Borrows all of `conf` but the struct. */
MUST_CHECK int simulation_new(struct simulation **out, const struct simulation_conf *conf, struct err *err);
void simulation_free(struct simulation *s); /* NULL is fine; the peers' counters are as they were */
void simulation_add(struct simulation *s, const struct simulation_request *r);
/* Ends what is going on. Valid until the simulation is freed. */
const struct simulation_result *simulation_end(struct simulation *s);
