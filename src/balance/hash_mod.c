/* Table `mod`: the hash modulo the sum of the weights is a place in a row in which each server has as many
 * places as it weighs. The next in the row stands in for a server that is out. A 64-bit hash modulo at most
 * 4096 * 1000000 is uneven by less than one in 10^9.
 *
 * The example of what not to do: when the set changes, nearly all keys move, and the load of one that is
 * out falls on its neighbour alone. */
#include <stdlib.h>

#include "balance/hash.h"

struct row {
    uint64_t total;
    uint64_t ends[]; /* of server i: the place after its last */
};

static int build_mod(struct hash_table *t, const struct hash_conf *conf, struct err *err)
{
    (void)conf;
    const struct hash_servers *servers = t->servers;
    struct row *row = malloc(sizeof(*row) + servers->count * sizeof(*row->ends));
    if (!row) return err_set(err, "out of memory for the table of %u servers", servers->count);
    row->total = 0;
    for (uint32_t i = 0; i < servers->count; i++) row->ends[i] = row->total += servers->at[i].weight;
    t->places = row;
    return 0;
}

static size_t places_bytes(const struct hash_table *t)
{
    return sizeof(struct row) + t->servers->count * sizeof(uint64_t);
}

static uint32_t own(const struct hash_table *t, uint64_t hash, uint32_t *second)
{
    (void)second;
    const struct row *row = t->places;
    uint64_t place = hash % row->total;
    uint32_t low = 0, count = t->servers->count;
    if (t->servers->is_even) return (uint32_t)place;
    while (count > 1) {
        uint32_t half = count / 2;
        low += row->ends[low + half - 1] <= place ? half : 0;
        count -= half;
    }
    return low;
}

static uint32_t next(const struct hash_table *t, const struct hash_demand *d, uint32_t own)
{
    uint32_t count = t->servers->count;
    for (uint32_t i = 1; i < count; i++) {
        uint32_t peer = own + i < count ? own + i : own + i - count;
        if (hash_may_take(t, d, peer)) return peer;
    }
    return BALANCE_NONE;
}

const struct hash_kind hash_mod = {
    .build = build_mod, .places_bytes = places_bytes, .own = own, .next = next
};
