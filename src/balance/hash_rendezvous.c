/* Table `rendezvous`: no table at all. Every server draws a number for the key, and the highest wins
 * (Thaler and Ravishankar, 1996); drawn as -weight / ln(u), the chance to win is exactly the weight's share
 * (Schindelhauer and Schomaker, 2005). A server that leaves gives up its own keys and nothing else moves; one that
 * is second stands in. */
#include <math.h>
#include <stdlib.h>

#include "balance/hash.h"

/* The upper 52 bits of a hash in (0, 1), exact in a double, never 0 or 1. */
static inline double unit_of(uint64_t hash)
{
    return ((double)(hash >> 12) + 0.5) * 0x1p-52;
}

/* What a server drew. Only for those that may beat `bar`, else anything not above it: -1 / ln(u) is at most
 * 1 / (1 - u), which is enough to spare nearly all of a large set the logarithm. */
static inline double draw_of(const struct hash_servers *servers, uint64_t key, uint32_t i, double bar)
{
    double u = unit_of(hash_mix(key ^ servers->at[i].name_hash));
    double weight = servers->at[i].weight;
    if (servers->is_even) return u;
    return weight <= bar * (1 - u) ? bar : -weight / log(u);
}

static uint32_t own(const struct hash_table *t, uint64_t hash, uint32_t *second)
{
    const struct hash_servers *servers = t->servers;
    uint32_t best = BALANCE_NONE;
    double most = 0, next = 0;
    for (uint32_t i = 0; i < servers->count; i++) {
        double drawn = draw_of(servers, hash, i, next);
        if (drawn > most) {
            *second = best, next = most;
            best = i, most = drawn;
        } else if (drawn > next) {
            *second = i, next = drawn;
        }
    }
    return best;
}

uint32_t hash_next_by_rendezvous(const struct hash_table *t, const struct hash_demand *d, uint32_t own)
{
    const struct hash_servers *servers = t->servers;
    uint32_t best = BALANCE_NONE;
    double most = 0;
    for (uint32_t i = 0; i < servers->count; i++) {
        if (i == own || !hash_may_take(t, d, i)) continue; /* first: with everybody full, no logarithms */
        double drawn = draw_of(servers, d->q->hash, i, most);
        if (drawn <= most) continue;
        best = i;
        most = drawn;
    }
    return best;
}

const struct hash_kind hash_rendezvous = { .own = own, .next = hash_next_by_rendezvous };
