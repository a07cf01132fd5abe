#include "balance/least.h"

#include <stdlib.h>

#include "balance/alias.h"
#include "balance/method.h"

/* Draws for two different peers that may be used. In a set where one peer has nearly all the weight, most draws
 * are that one. */
#define DRAWS 8

struct least_table {
    struct alias *alias; /* NULL where all are looked at */
    uint32_t weights[];
};

/* (load + 1) / weight, kept as two numbers and compared crosswise: exact, and without a division. The one is the
 * request to be placed: without it, idle servers would look alike whatever they weigh. */
struct least_key {
    uint64_t load, weight;
};

static inline struct least_key key_of(const struct least_table *t, size_t offset,
                                      const struct balance_query *q, uint32_t peer)
{
    const char *line = (const char *)q->peers[peer];
    const _Atomic uint32_t *load = (const _Atomic uint32_t *)(const void *)(line + offset);
    return (struct least_key){ (uint64_t)atomic_load_explicit(load, memory_order_relaxed) + 1,
                               t->weights[peer] };
}

static inline bool is_less(struct least_key a, struct least_key b)
{
    return a.load * b.weight < b.load * a.weight;
}

void least_drop(void *table)
{
    struct least_table *t = table;
    if (t) free(t->alias);
    free(t);
}

int least_build(const struct balance_set *set, const void *conf, void **table, struct err *err)
{
    (void)conf;
    bool is_drawn = set->count > LEAST_SCAN_MAX;
    struct least_table *t = malloc(sizeof(*t) + set->count * sizeof(uint32_t));
    if (t) t->alias = is_drawn ? alias_new(set) : NULL;
    if (!t || (is_drawn && !t->alias)) {
        free(t);
        return err_set(err, "out of memory for the table of %u servers", set->count);
    }
    for (uint32_t i = 0; i < set->count; i++) t->weights[i] = set->weights[i];
    *table = t;
    return 0;
}

/* Looks at all. Among equals the draw is fair: the k-th takes the place with a chance of 1/k. Idle pools are full
 * of equals, so the draws for up to 64 of them are saved up and made as one. */
static void scan(const struct least_table *t, size_t load, const struct balance_query *q,
                 struct balance_choice *out)
{
    struct least_key best = { 0, 0 }, second = { 0, 0 };
    uint32_t peer = BALANCE_NONE, runner_up = BALANCE_NONE, equals = 0, seen = 0;
    uint32_t held[LEAST_SCAN_MAX];
    for (uint32_t i = 0; i < q->peer_count; i++) {
        if (!balance_may_take(q, i)) continue;
        struct least_key key = key_of(t, load, q, i);
        if (peer == BALANCE_NONE || is_less(key, best)) {
            runner_up = peer, second = best;
            peer = i, best = key;
            held[0] = i, equals = seen = 1;
        } else if (!is_less(best, key)) {
            seen++;
            if (equals < LEAST_SCAN_MAX)
                held[equals++] = i;
            else if (rng_below(q->rng, seen) < LEAST_SCAN_MAX)
                held[rng_below(q->rng, LEAST_SCAN_MAX)] = i;
        } else if (runner_up == BALANCE_NONE || is_less(key, second)) {
            runner_up = i, second = key;
        }
    }
    if (peer == BALANCE_NONE) {
        balance_pick_none(q, out);
        return;
    }
    *out = (struct balance_choice){ peer, runner_up, BALANCE_LEAST };
    if (equals == 1) return;
    uint32_t drawn = rng_below(q->rng, equals);
    *out = (struct balance_choice){ held[drawn], held[drawn ? drawn - 1 : 1], BALANCE_TIE };
}

/* The better of two draws: nearly as even as looking at all, for the price of two lines. The two are drawn by
 * weight: drawn uniformly, no server could get more than 2/n of the requests, however much it weighs; so drawn, at
 * equal load each is a candidate as often as its weight says, and the comparison only corrects. */
static bool pick_of_two(const struct least_table *t, size_t load, const struct balance_query *q,
                        struct balance_choice *out)
{
    uint32_t one = BALANCE_NONE;
    for (uint32_t draw = 0; draw < DRAWS; draw++) {
        uint32_t other = alias_draw(t->alias, q->rng);
        if (other == one || !balance_may_take(q, other)) continue;
        if (one == BALANCE_NONE) {
            one = other;
            continue;
        }
        bool is_better = is_less(key_of(t, load, q, other), key_of(t, load, q, one));
        *out = (struct balance_choice){ is_better ? other : one, is_better ? one : other, BALANCE_TWO };
        return true;
    }
    if (one == BALANCE_NONE) return false;
    *out = (struct balance_choice){ one, BALANCE_NONE, BALANCE_TWO };
    return true;
}

void least_pick(const void *table, size_t load, const struct balance_query *q, struct balance_choice *out)
{
    const struct least_table *t = table;
    if (balance_pick_trivial(q, out)) return;
    if (!t->alias || !pick_of_two(t, load, q, out)) scan(t, load, q, out);
}
