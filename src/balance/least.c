#include "balance/least.h"

#include <stdlib.h>

#include "balance/alias.h"
#include "balance/method.h"

/* Draws for two different peers that may be used. In a set where one peer has nearly all the weight, most
 * draws are that one. */
#define DRAWS 8

struct least_table {
    struct alias *alias; /* NULL where all are looked at */
    /* By which loads are multiplied so that they compare as if divided by the weights: exact where all
     * weights have a common multiple of 31 bits, else to one part in 200,000. */
    uint32_t factors[];
};

#define FACTOR_MAX (UINT32_C(1) << 31)

/* (load + 1) / weight. The one is the request to be placed: without it, idle servers would look alike
 * whatever they weigh. */
static inline uint64_t key_of(const struct least_table *t, size_t offset, const struct balance_query *q,
                              uint32_t peer)
{
    const char *line = (const char *)q->peers[peer];
    const _Atomic uint32_t *load = (const _Atomic uint32_t *)(const void *)(line + offset);
    return ((uint64_t)atomic_load_explicit(load, memory_order_relaxed) + 1) * t->factors[peer];
}

/* FACTOR_MAX if there is none as small as that. */
static uint32_t common_multiple(const struct balance_set *set)
{
    uint64_t multiple = 1;
    for (uint32_t i = 0; i < set->count; i++) {
        multiple = multiple / balance_gcd(multiple, set->weights[i]) * set->weights[i];
        if (multiple > FACTOR_MAX) return FACTOR_MAX;
    }
    return (uint32_t)multiple;
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
    uint32_t multiple = common_multiple(set);
    for (uint32_t i = 0; i < set->count; i++) t->factors[i] = multiple / set->weights[i];
    *table = t;
    return 0;
}

/* Looks at all. Among equals the draw is fair: the k-th takes the place with a chance of 1/k. Idle pools are
 * full of equals, so the draws for up to 64 of them are saved up and made as one. The runner-up comes for
 * free: most peers are worse than it, and one comparison says so. */
static void scan(const struct least_table *t, size_t load, const struct balance_query *q,
                 struct balance_choice *out)
{
    uint64_t best = UINT64_MAX, second = UINT64_MAX;
    uint32_t peer = BALANCE_NONE, runner_up = BALANCE_NONE, equals = 0, held[LEAST_SCAN_MAX];
    for (uint32_t i = 0; i < q->peer_count; i++) {
        uint64_t key = key_of(t, load, q, i);
        if (key > second || (key == second && key != best)) continue;
        if (!balance_may_take(q, i)) continue;
        if (key > best) {
            runner_up = i, second = key;
            continue;
        }
        runner_up = peer, second = best;
        if (key < best) equals = 0;
        peer = i, best = key;
        if (equals < LEAST_SCAN_MAX)
            held[equals] = i;
        else if (rng_below(q->rng, equals + 1) < LEAST_SCAN_MAX)
            held[rng_below(q->rng, LEAST_SCAN_MAX)] = i;
        equals++;
    }
    if (peer == BALANCE_NONE) {
        balance_pick_none(q, out);
        return;
    }
    *out = (struct balance_choice){ peer, runner_up, BALANCE_LEAST };
    if (equals == 1) return;
    uint32_t drawn = rng_below(q->rng, equals < LEAST_SCAN_MAX ? equals : LEAST_SCAN_MAX);
    *out = (struct balance_choice){ held[drawn], held[drawn ? drawn - 1 : 1], BALANCE_TIE };
}

/* The better of two draws: nearly as even as looking at all, for the price of two lines. The two are drawn by
 * weight: drawn uniformly, no server could get more than 2/n of the requests, however much it weighs; so
 * drawn, at equal load each is a candidate as often as its weight says, and the comparison only corrects. */
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
        bool is_better = key_of(t, load, q, other) < key_of(t, load, q, one);
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
