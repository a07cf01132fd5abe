/* Drawn by weight; nothing is remembered. */
#include <stdlib.h>

#include "balance/alias.h"
#include "balance/method.h"

/* Draws that hit a peer which may not be used are thrown away, so that the others keep their shares; after
 * this many, one draw among those that may be used decides. */
#define DRAWS 8

struct random_table {
    struct alias *alias;
    uint32_t count;
    uint32_t weights[];
};

static void drop(void *table)
{
    struct random_table *t = table;
    if (t) free(t->alias);
    free(t);
}

static int build_random(const struct balance_set *set, const void *conf, void **table, struct err *err)
{
    (void)conf;
    struct random_table *t = malloc(sizeof(*t) + set->count * sizeof(uint32_t));
    if (t) t->alias = alias_new(set);
    if (!t || !t->alias) {
        free(t);
        return err_set(err, "out of memory for the table of %u servers", set->count);
    }
    t->count = set->count;
    for (uint32_t i = 0; i < set->count; i++) t->weights[i] = set->weights[i];
    *table = t;
    return 0;
}

static size_t table_bytes(const void *table)
{
    const struct random_table *t = table;
    return sizeof(*t) + t->count * sizeof(uint32_t) + alias_bytes(t->alias);
}

static void draw_among_usable(const struct random_table *t, const struct balance_query *q,
                              struct balance_choice *out)
{
    uint32_t sum = 0, peer = BALANCE_NONE;
    /* One pass: whoever comes replaces the one held with its share of the weights so far. Peers become full
     * at any moment, so a second pass might not see what the first did. */
    for (uint32_t i = 0; i < q->peer_count; i++) {
        if (!balance_may_take(q, i)) continue;
        sum += t->weights[i];
        if (rng_below(q->rng, sum) < t->weights[i]) peer = i;
    }
    if (peer == BALANCE_NONE)
        balance_pick_none(q, out);
    else
        *out = (struct balance_choice){ peer, BALANCE_NONE, BALANCE_FALLBACK };
}

static void pick_random(const void *table, void *state, const struct balance_query *q,
                        struct balance_choice *out)
{
    const struct random_table *t = table;
    (void)state;
    if (balance_pick_trivial(q, out)) return;
    if (bug_if(BALANCE, t->count != q->peer_count)) { /* of another set: its places are others' */
        balance_pick_none(q, out);
        return;
    }
    for (uint32_t draw = 0; draw < DRAWS; draw++) {
        uint32_t peer = alias_draw(t->alias, q->rng);
        if (!balance_may_take(q, peer)) continue;
        *out = (struct balance_choice){ peer, BALANCE_NONE, draw ? BALANCE_FALLBACK : BALANCE_DRAWN };
        return;
    }
    draw_among_usable(t, q, out);
}

BALANCE_METHOD(random, "Drawn at random, by weight.", NULL, .build = build_random, .drop = drop,
               .table_bytes = table_bytes, .pick = pick_random);
