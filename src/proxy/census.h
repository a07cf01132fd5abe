/* proxy/census.h: what a worker counts as live, beside what its lists lead to. The two are equal unless something was
 * forgotten: taken and never given back, and out of everybody's sight. Walks every connection, about a microsecond for ten
 * of them. */
#pragma once

#include "proxy/worker.h"

enum census_kind {
    CENSUS_EXCHANGES,
    CENSUS_TUNNELS, /* tcp and udp listeners' sessions among them */
    CENSUS_CLIENT_CONNECTIONS,
    CENSUS_SERVER_CONNECTIONS,
    CENSUS_BLOCKS,
    CENSUS_TIMERS,
    CENSUS_KINDS,
};

struct stock;

struct census {
    uint64_t counted[CENSUS_KINDS];
    uint64_t reached[CENSUS_KINDS]; /* zeros if nobody walked */
    uint64_t descriptors;           /* that what was reached holds */
    struct stock *stock; /* hears of all that is come by (proxy/stock.h); NULL: it is counted alone */
};

/* On the worker's thread, between two turns, when all that has ended is buried: see loop_at_end(). Adds to *out. */
void census_take(const struct worker *w, struct census *out);
/* The counts alone, from any thread. */
void census_count(const struct worker *w, struct census *out);
