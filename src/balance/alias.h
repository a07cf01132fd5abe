/* balance/alias.h: drawing one of n by weight in constant time (Walker's alias table, built as Vose does), in
 * whole numbers, so that the draw is exactly by weight. Immutable. */
#pragma once

#include "balance/balance.h"

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

static inline uint32_t alias_draw(const struct alias *a, struct rng *rng)
{
    uint32_t column = rng_below(rng, a->count);
    if (!a->total || rng_below(rng, a->total) < a->columns[column].keep) return column;
    return a->columns[column].other;
}
