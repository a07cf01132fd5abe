/* logs/distinct.h: how many different things there were: HyperLogLog (Flajolet, Fusy, Gandouet, Meunier, 2007) with the
 * estimator of Ertl ("New cardinality estimation algorithms for HyperLogLog sketches", 2017), which needs no tables of
 * corrections and no switch between ranges. One byte a register. One thread. */
#pragma once

#include <stdint.h>

#define DISTINCT_BITS_MIN 8u
#define DISTINCT_BITS_MAX 16u

struct distinct {
    uint8_t bits; /* 2^bits registers */
    uint8_t registers[];
};

/* Bytes of one; zeroed memory with `bits` set is an empty one. */
static inline uint64_t distinct_size(unsigned bits)
{
    return sizeof(struct distinct) + (UINT64_C(1) << bits);
}
void distinct_clear(struct distinct *d);
/* `hash`: 64 good bits. */
static inline void distinct_add(struct distinct *d, uint64_t hash)
{
    uint8_t *r = &d->registers[hash >> (64 - d->bits)];
    uint8_t rank = (uint8_t)(__builtin_clzll((hash << d->bits) | (UINT64_C(1) << (d->bits - 1))) + 1);
    if (*r < rank) *r = rank;
}
/* Both have as many bits. */
void distinct_merge(struct distinct *into, const struct distinct *from);
double distinct_count(const struct distinct *d);
/* The standard error, relative: 1.04 / sqrt(registers). */
double distinct_error(const struct distinct *d);
