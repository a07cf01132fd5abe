/* bench/lookup.h: what looking a 64-bit key up in a hash table costs: open addressing, linear probing, 16
 * bytes a slot. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct lookup_cost {
    uint32_t entries;
    size_t bytes;
    double hit_ns, miss_ns; /* each lookup waits for the one before it */
    double hit_probes;      /* slots looked at, on average */
};

/* A table of `length` slots (a power of two), of which the share `empty` (0..1) is empty. Exits when out of
 * memory. */
void lookup_measure(uint32_t length, double empty, struct lookup_cost *out);
