#include "lookup.h"

#include <stdio.h>
#include <stdlib.h>

#include "balance/hash.h"
#include "base/clock.h"

#define ROUNDS 5
#define LOOKUPS 200000u

struct slot {
    uint64_t key; /* 0: empty */
    uint64_t value;
};

struct table {
    uint32_t mask, entries;
    struct slot *slots;
};

/* Keys are numbered, so that no list of them has to be in the cache beside the table. Odd ones are in the
 * table, even ones are not. */
static uint64_t key_of(uint64_t number, bool is_in)
{
    return hash_mix(number * 2 + is_in + 1);
}

static const struct slot *find(const struct table *t, uint64_t key, uint64_t *probes)
{
    for (uint32_t at = (uint32_t)(key >> 32);; at++) {
        const struct slot *slot = &t->slots[at & t->mask];
        ++*probes;
        if (slot->key == key || !slot->key) return slot;
    }
}

static void fill(struct table *t)
{
    for (uint32_t i = 0; i < t->entries; i++) {
        uint64_t key = key_of(i, true), probes = 0;
        struct slot *slot = (struct slot *)find(t, key, &probes);
        *slot = (struct slot){ key, i };
    }
}

/* The next number depends on what was found: what is measured is how long one lookup takes, not how many
 * fit side by side. The arithmetic between two lookups is some 3 ns of it. */
static double look_up(const struct table *t, bool is_in, uint64_t *probes)
{
    uint64_t chain = 1;
    uint64_t start = clock_now_ns();
    for (uint32_t i = 0; i < LOOKUPS; i++) {
        uint32_t number = hash_place(hash_mix(chain + i), t->entries);
        chain += find(t, key_of(number, is_in), probes)->value;
    }
    uint64_t took_ns = clock_now_ns() - start;
    return chain ? (double)took_ns / LOOKUPS : 0;
}

static double best_of(const struct table *t, bool is_in, double *probes)
{
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t looked_at = 0;
        double ns = look_up(t, is_in, &looked_at);
        if (ns < best) best = ns;
        *probes = (double)looked_at / LOOKUPS;
    }
    return best;
}

void lookup_measure(uint32_t length, double empty, struct lookup_cost *out)
{
    double probes;
    struct table t = { .mask = length - 1, .entries = (uint32_t)(length * (1 - empty)) };
    t.slots = calloc(length, sizeof(*t.slots));
    if (!t.slots) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    fill(&t);
    out->entries = t.entries;
    out->bytes = length * sizeof(*t.slots);
    out->miss_ns = best_of(&t, false, &probes);
    out->hit_ns = best_of(&t, true, &out->hit_probes);
    free(t.slots);
}
