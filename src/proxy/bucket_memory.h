/* proxy/bucket_memory.h: what tables of counters that all workers share lie in: buckets that a hash with a seed of its own
 * chooses from, so that nobody outside can choose which keys fall together. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bucket_memory {
    void *buckets; /* zeroes at first; pages come when they are first written to */
    size_t bytes;
    uint64_t seed;
    uint64_t mask; /* of a hash: which bucket */
};

/* As many buckets (a power of two) of `bucket_bytes` as it takes for `keys` to be at most `mean` in each. False: memory is out. */
bool bucket_memory_init(struct bucket_memory *m, uint32_t keys, uint32_t mean, size_t bucket_bytes);
void bucket_memory_fini(struct bucket_memory *m);
