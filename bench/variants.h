/* bench/variants.h: the balancing methods with the options that matter, and servers to try them on. */
#pragma once

#include "balance/balance.h"

struct variant {
    const char *label, *method;
    const void *conf; /* NULL: the defaults */
};
/* Ends with one without a label. */
extern const struct variant variants[];

/* Servers in a set, and one worker's balance over it. */
struct stand {
    uint32_t count, capacity;
    struct balance_peer *lines;
    const struct balance_peer **peers;
    uint32_t *weights;
    uint64_t *name_hashes;
    struct rng rng;
    struct balance balance;
    void *table;
};

/* All weights 1, nothing in flight, no table. Exits when out of memory, as everything here does. */
void stand_init(struct stand *s, uint32_t capacity);
void stand_fini(struct stand *s);
/* The table of `count` servers, and a state for the worker; returns what building it took. */
uint64_t stand_build(struct stand *s, const char *method, const void *conf, uint32_t count);
void stand_drop(struct stand *s);
/* Some requests are under way everywhere, unevenly, and latencies are known. */
void stand_load(struct stand *s, uint64_t now_ns);
void stand_unload(struct stand *s);
