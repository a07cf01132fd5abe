#include "balance/least.h"

#include <stdlib.h>

#include "balance/alias.h"
#include "balance/method.h"
#include "balance/shares.h"

#define HELD_MAX 64

enum least_load { LEAST_REQUESTS, LEAST_CONNECTIONS };

struct least_table {
    struct alias *alias; /* NULL where all are looked at */
    uint32_t choices;
    struct shares shares; /* last: as long as there are servers */
};

static inline uint32_t load_of(const _Atomic uint32_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* What counts before shares do: (load + 1) / weight. The one is the request to be placed. */
static inline uint64_t load_key(const struct least_table *t, enum least_load load,
                                const struct balance_query *q, uint32_t peer)
{
    const struct balance_peer *p = q->peers[peer];
    uint64_t now = load_of(load == LEAST_CONNECTIONS ? &p->open_connections : &p->in_flight);
    return (now + 1) * t->shares.factors[peer];
}

/* (load + 1 - behind) / weight. By connections, a server may be behind by one more for each idle one that it has: a
 * request adds none there, and counted in full one idle connection too many would shut out a light server until it
 * is closed. */
static inline uint64_t key_of(const struct least_table *t, const struct shares_state *s, enum least_load load,
                              const struct balance_query *q, uint32_t peer)
{
    const struct balance_peer *p = q->peers[peer];
    uint64_t factor = t->shares.factors[peer], limit = factor, now = load_of(&p->in_flight);
    if (load == LEAST_CONNECTIONS) {
        uint64_t open = load_of(&p->open_connections), idle = open > now ? open - now : 0;
        now = open;
        limit *= 1 + (idle < SHARES_BEHIND_MAX ? idle : SHARES_BEHIND_MAX - 1);
    }
    return (now + 1) * factor -
           shares_behind(s, peer, limit - 1); /* not all of it: who is busy is no idle one's equal */
}

/* However far it is behind: for most servers this says that they are not the least, and no more is looked at. */
static inline uint64_t key_at_least(const struct least_table *t, enum least_load load,
                                    const struct balance_query *q, uint32_t peer)
{
    const struct balance_peer *p = q->peers[peer];
    uint64_t now = load_of(load == LEAST_CONNECTIONS ? &p->open_connections : &p->in_flight);
    uint64_t most = load == LEAST_CONNECTIONS ? SHARES_BEHIND_MAX - 1 : 0;
    return (now > most ? now - most : 0) * t->shares.factors[peer];
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
    return sizeof(*t) + shares_bytes(t->shares.count) + alias_bytes(t->alias);
}

int least_build(const struct balance_set *set, const void *conf, void **table, struct err *err)
{
    static const struct least_conf preset = { .scan = LEAST_SCAN, .choices = LEAST_CHOICES };
    const struct least_conf *c = conf ? conf : &preset;
    bool is_drawn = set->count > c->scan;
    struct least_table *t = malloc(sizeof(*t) + shares_bytes(set->count));
    if (t) t->alias = is_drawn ? alias_new(set) : NULL;
    if (!t || (is_drawn && !t->alias)) {
        free(t);
        return err_set(err, "out of memory for the table of %u servers", set->count);
    }
    t->choices = c->choices;
    shares_init(&t->shares, set);
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
 * full of equals at first, so the draws for up to 64 of them are saved up and made as one. The runner-up comes for
 * free: most peers are worse than it, and one comparison says so. */
static inline __attribute__((always_inline)) void scan_all(const struct least_table *t,
                                                           const struct shares_state *s, enum least_load load,
                                                           const struct balance_query *q,
                                                           struct balance_choice *out)
{
    uint64_t best = UINT64_MAX, second = UINT64_MAX;
    uint32_t peer = BALANCE_NONE, runner_up = BALANCE_NONE, equals = 0, held[HELD_MAX];
    for (uint32_t i = 0; i < q->peer_count; i++) {
        if (key_at_least(t, load, q, i) > second) continue;
        uint64_t key = key_of(t, s, load, q, i);
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
    *out = (struct balance_choice){ peer, runner_up, BALANCE_LEAST };
    if (equals > 1) {
        uint32_t drawn = rng_below(q->rng, equals < HELD_MAX ? equals : HELD_MAX);
        *out = (struct balance_choice){ held[drawn], held[drawn ? drawn - 1 : 1], BALANCE_TIE };
    } else if (runner_up != BALANCE_NONE && load_key(t, load, q, runner_up) <= load_key(t, load, q, peer)) {
        out->reason = BALANCE_TURN;
    }
}

/* The best of two draws is nearly as even as looking at all, for the price of two lines (Azar et al., 1994;
 * Mitzenmacher, 2001). They are drawn by weight: drawn uniformly, no server could get more than 2/n of the
 * requests, however much it weighs; so drawn, at equal load each is a candidate as often as its weight
 * says, and the comparison only corrects. */
static inline __attribute__((always_inline)) bool pick_of_drawn(const struct least_table *t,
                                                                const struct shares_state *s,
                                                                enum least_load load,
                                                                const struct balance_query *q,
                                                                struct balance_choice *out)
{
    uint32_t drawn[ALIAS_CHOICES_MAX], found = alias_draw_several(t->alias, q, t->choices, drawn);
    if (!found) return false;
    uint64_t keys[ALIAS_CHOICES_MAX];
    uint32_t best = 0, beaten = 0;
    for (uint32_t i = 0; i < found; i++) {
        keys[i] = key_of(t, s, load, q, drawn[i]);
        bool is_better = keys[i] < keys[best];
        beaten = balance_select(is_better, best, i);
        best = balance_select(is_better, i, best);
    }
    /* Of more than two, the last one beaten need not be the second best. */
    *out = (struct balance_choice){ drawn[best], found == 2 ? drawn[beaten] : BALANCE_NONE, BALANCE_TWO };
    return true;
}

/* For one of the two loads each: what is looked at in the loop is then known when it is compiled. */
static inline __attribute__((always_inline)) void pick(const struct least_table *t, struct shares_state *s,
                                                       enum least_load load, const struct balance_query *q,
                                                       struct balance_choice *out)
{
    if (balance_pick_trivial(q, out)) return;
    if (bug_if(BALANCE, t->shares.count != q->peer_count)) { /* of another set: its places are others' */
        balance_pick_none(q, out);
        return;
    }
    shares_advance(&t->shares, s, q);
    if (!t->alias || !pick_of_drawn(t, s, load, q, out)) scan_all(t, s, load, q, out);
    if (out->peer == BALANCE_NONE)
        balance_pick_none(q, out);
    else
        shares_charge(&t->shares, s, out->peer);
}

void least_pick_by_requests(const void *table, void *state, const struct balance_query *q,
                            struct balance_choice *out)
{
    pick(table, state, LEAST_REQUESTS, q, out);
}

void least_pick_by_connections(const void *table, void *state, const struct balance_query *q,
                               struct balance_choice *out)
{
    pick(table, state, LEAST_CONNECTIONS, q, out);
}

void least_inherit(const void *table, void *state, const void *old, const void *old_state,
                   const uint32_t *from, struct rng *rng)
{
    const struct least_table *t = table, *before = old;
    shares_inherit(&t->shares, state, &before->shares, old_state, from, rng);
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
