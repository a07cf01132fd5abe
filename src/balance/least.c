#include "balance/least.h"

#include <stdlib.h>

#include "balance/alias.h"
#include "balance/method.h"

#define HELD_MAX 64

struct least_table {
    struct alias *alias; /* NULL where all are looked at */
    uint32_t count, choices;
    /* By which loads are multiplied so that they compare as if divided by the weights: exact where all
     * weights, after division by what they have in common, have a common multiple of 31 bits, else to one
     * part in 2,000. */
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
static uint32_t common_multiple(const struct balance_set *set, uint32_t gcd)
{
    uint64_t multiple = 1;
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t weight = set->weights[i] / gcd;
        multiple = multiple / balance_gcd(multiple, weight) * weight;
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

size_t least_table_bytes(const void *table)
{
    const struct least_table *t = table;
    return sizeof(*t) + t->count * sizeof(uint32_t) + alias_bytes(t->alias);
}

int least_build(const struct balance_set *set, const void *conf, void **table, struct err *err)
{
    static const struct least_conf preset = { .scan = LEAST_SCAN, .choices = LEAST_CHOICES };
    const struct least_conf *c = conf ? conf : &preset;
    bool is_drawn = set->count > c->scan;
    struct least_table *t = malloc(sizeof(*t) + set->count * sizeof(uint32_t));
    if (t) t->alias = is_drawn ? alias_new(set) : NULL;
    if (!t || (is_drawn && !t->alias)) {
        free(t);
        return err_set(err, "out of memory for the table of %u servers", set->count);
    }
    t->count = set->count;
    t->choices = c->choices;
    uint32_t gcd = balance_weights_gcd(set), multiple = common_multiple(set, gcd);
    for (uint32_t i = 0; i < set->count; i++) t->factors[i] = multiple / (set->weights[i] / gcd);
    *table = t;
    return 0;
}

/* More equals than there is room for: each stays with the same chance. Out of line, or the loop runs out of
 * registers. */
__attribute__((noinline)) static void hold_by_chance(uint32_t held[HELD_MAX], uint32_t equals, uint32_t peer,
                                                     struct rng *rng)
{
    if (rng_below(rng, equals + 1) < HELD_MAX) held[rng_below(rng, HELD_MAX)] = peer;
}

/* Looks at all. Among equals the draw is fair: the k-th takes the place with a chance of 1/k. Idle pools are
 * full of equals, so the draws for up to 64 of them are saved up and made as one. The runner-up comes for
 * free: most peers are worse than it, and one comparison says so. */
static void scan_all(const struct least_table *t, size_t load, const struct balance_query *q,
                     struct balance_choice *out)
{
    uint64_t best = UINT64_MAX, second = UINT64_MAX;
    uint32_t peer = BALANCE_NONE, runner_up = BALANCE_NONE, equals = 0, held[HELD_MAX];
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
        if (equals < HELD_MAX)
            held[equals] = i;
        else
            hold_by_chance(held, equals, i, q->rng);
        equals++;
    }
    if (peer == BALANCE_NONE) {
        balance_pick_none(q, out);
        return;
    }
    *out = (struct balance_choice){ peer, runner_up, BALANCE_LEAST };
    if (equals == 1) return;
    uint32_t drawn = rng_below(q->rng, equals < HELD_MAX ? equals : HELD_MAX);
    *out = (struct balance_choice){ held[drawn], held[drawn ? drawn - 1 : 1], BALANCE_TIE };
}

/* The best of two draws is nearly as even as looking at all, for the price of two lines (Azar et al., 1994;
 * Mitzenmacher, 2001). They are drawn by weight: drawn uniformly, no server could get more than 2/n of the
 * requests, however much it weighs; so drawn, at equal load each is a candidate as often as its weight
 * says, and the comparison only corrects. */
static bool pick_of_drawn(const struct least_table *t, size_t load, const struct balance_query *q,
                          struct balance_choice *out)
{
    uint32_t drawn[ALIAS_CHOICES_MAX], found = alias_draw_several(t->alias, q, t->choices, drawn);
    if (!found) return false;
    uint64_t keys[ALIAS_CHOICES_MAX];
    uint32_t best = 0, beaten = 0;
    for (uint32_t i = 0; i < found; i++) {
        keys[i] = key_of(t, load, q, drawn[i]);
        bool is_better = keys[i] < keys[best];
        beaten = balance_select(is_better, best, i);
        best = balance_select(is_better, i, best);
    }
    /* Of more than two, the last one beaten need not be the second best. */
    *out = (struct balance_choice){ drawn[best], found == 2 ? drawn[beaten] : BALANCE_NONE, BALANCE_TWO };
    return true;
}

void least_pick(const void *table, size_t load, const struct balance_query *q, struct balance_choice *out)
{
    const struct least_table *t = table;
    if (balance_pick_trivial(q, out)) return;
    if (!t->alias || !pick_of_drawn(t, load, q, out)) scan_all(t, load, q, out);
}

static const struct conf_field fields[] = {
    { "scan", CONF_U32(struct least_conf, scan), .max = 4096, .preset = "64",
      .help = "Up to so many servers, the load of each is looked at. Of more, some are drawn." },
    { "choices", CONF_U32(struct least_conf, choices), .min = 2, .max = ALIAS_CHOICES_MAX, .preset = "2",
      .help =
          "How many servers are drawn, by weight, where not all are looked at; the least loaded of them is "
          "picked." },
    { 0 },
};

const struct conf_type least_conf_type = { .name = "least",
                                           .size = sizeof(struct least_conf),
                                           .fields = fields };
