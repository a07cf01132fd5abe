/* logs/period.h: what was counted of one stretch of time, in memory that is given beforehand. Periods add up: a window is
 * the sum of its slices. One thread. */
#pragma once

#include "logs/distinct.h"
#include "logs/top.h"
#include "metric/histogram.h"

#define PERIOD_STATUSES 600u
#define PERIOD_METHODS 10u /* enum http_method and one for any other */

/* X(identifier, name): by what records are counted; by ERROR_PATH those with a 5xx alone. */
#define PERIOD_DIMENSIONS(X) \
    X(CLIENT, "client")      \
    X(NETWORK, "network")    \
    X(PATH, "path")          \
    X(HOST, "host")          \
    X(AGENT, "agent")        \
    X(REFERER, "referer")    \
    X(UPSTREAM, "upstream")  \
    X(VARIANT, "variant")    \
    X(ERROR_PATH, "error_path")

enum period_dimension {
#define X(id, name) PERIOD_##id,
    PERIOD_DIMENSIONS(X)
#undef X
        PERIOD_DIMENSION_COUNT
};

const char *period_dimension_name(enum period_dimension d);
/* PERIOD_DIMENSION_COUNT if there is none of that name. */
enum period_dimension period_dimension_by_name(struct slice name);

/* How much it may remember. */
struct period_size {
    unsigned distinct_bits;
    struct {
        uint32_t capacity, key_max;
    } tops[PERIOD_DIMENSION_COUNT];
};

/* One record, reduced to what is counted. */
struct period_facts {
    uint32_t status, method;
    bool is_binary;
    uint64_t bytes, request_us, upstream_us; /* UINT64_MAX: not known */
    uint64_t client_hash;                    /* 0: not known */
    struct {
        uint64_t hash; /* 0: not known */
        struct slice key;
    } keys[PERIOD_DIMENSION_COUNT];
};

struct period {
    uint64_t records, bytes, binary;
    uint64_t statuses[PERIOD_STATUSES]; /* [0]: not known */
    uint64_t methods[PERIOD_METHODS];
    uint64_t latency[HISTOGRAM_CELLS], upstream[HISTOGRAM_CELLS]; /* microseconds */
    uint64_t sizes[HISTOGRAM_CELLS];                              /* bytes */
    /* How much more often than tops say a key may have come: what was left out of the periods that were added, and 5xx of
     * before they were counted by path. */
    uint64_t missing[PERIOD_DIMENSION_COUNT];
    struct distinct *clients;
    struct top *tops[PERIOD_DIMENSION_COUNT];
};

/* NULL: out of memory. */
struct period *period_new(const struct period_size *size);
void period_free(struct period *p); /* NULL is fine */
size_t period_bytes(const struct period_size *size);
/* The same in zeroed memory of period_bytes(), at a multiple of eight, which is the caller's: not to be freed by
 * period_free(). */
struct period *period_place(void *start, const struct period_size *size);
void period_clear(struct period *p);
void period_add(struct period *p, const struct period_facts *f);
/* Adds `from`, of the same distinct_bits. */
void period_merge(struct period *into, const struct period *from);
/* Keys that are not in tops[d] came at most so often; none came more often than its count and the period's missing[d]. */
uint64_t period_missing(const struct period *p, enum period_dimension d);
