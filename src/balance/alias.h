/* balance/alias.h: drawing one of n by weight in constant time (Walker's alias table, built as Vose does), in
 * whole numbers, so that the draw is exactly by weight. Immutable. */
#pragma once

#include "balance/method.h"

struct alias_column {
    uint32_t keep;  /* of `total`: how much of this column is its own peer's */
    uint32_t other; /* whose the rest is */
};

struct alias {
    uint32_t count;
    uint32_t total; /* of all weights; 0 if they are equal, and no column needs to be looked at */
    struct alias_column columns[];
};

/* NULL when out of memory. */
struct alias *alias_new(const struct balance_set *set);
/* 0 for NULL. */
size_t alias_bytes(const struct alias *a);

/* As rng_below(), from 32 bits that are at hand. */
static inline uint32_t alias_below(uint32_t bits, struct rng *rng, uint32_t bound)
{
    uint64_t product = (uint64_t)bits * bound;
    if ((uint32_t)product < bound && (uint32_t)product < -bound % bound) return rng_below(rng, bound);
    return (uint32_t)(product >> 32);
}

/* One number for both draws, and no branch that could be guessed wrong. */
static inline uint32_t alias_draw(const struct alias *a, struct rng *rng)
{
    uint64_t bits = rng_next(rng);
    uint32_t column = alias_below((uint32_t)(bits >> 32), rng, a->count);
    if (!a->total) return column;
    uint32_t part = alias_below((uint32_t)bits, rng, a->total), other = a->columns[column].other;
    return balance_select(part < a->columns[column].keep, column, other);
}

#define ALIAS_CHOICES_MAX 16u
/* Draws `wanted` (at most ALIAS_CHOICES_MAX) different peers that may take the request. Returns how many it
 * found in four times as many draws: in a set where one peer has nearly all the weight, most draws are that
 * one. */
uint32_t alias_draw_several(const struct alias *a, const struct balance_query *q, uint32_t wanted,
                            uint32_t peers[ALIAS_CHOICES_MAX]);
