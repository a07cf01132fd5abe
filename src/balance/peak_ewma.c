/* The least latency to expect: what a server's answers have lately taken (balance/peak.h), times what it
 * has to do before this request's answer, for its weight. */
#include <stdlib.h>

#include "balance/alias.h"
#include "balance/method.h"
#include "balance/peak.h"

/* Up to so many servers all are looked at; above, two that are drawn. */
#define SCAN 64

/* What a server without an estimate is expected to take once something is under way to it: nothing was
 * learned yet, and who does not answer must not be given more. With nothing under way it is expected to
 * answer at once, so that it is tried first. */
#define UNKNOWN_US ((double)PEAK_MAX_US)

struct peak_table {
    struct alias *alias; /* NULL where all are looked at */
    uint32_t count;
    double per_half_life;
    double per_weight[]; /* one over the weight */
};

static void drop(void *table)
{
    struct peak_table *t = table;
    if (t) free(t->alias);
    free(t);
}

static int build(const struct balance_set *set, const void *conf, void **table, struct err *err)
{
    const struct peak_conf *c = conf;
    uint64_t half_life_ms = c ? c->half_life_ms : PEAK_HALF_LIFE_MS;
    bool is_drawn = set->count > SCAN;
    struct peak_table *t = malloc(sizeof(*t) + set->count * sizeof(*t->per_weight));
    if (t) t->alias = is_drawn ? alias_new(set) : NULL;
    if (!t || (is_drawn && !t->alias)) {
        free(t);
        return err_set(err, "out of memory for the table of %u servers", set->count);
    }
    t->count = set->count;
    t->per_half_life = 1e-6 / (double)half_life_ms;
    for (uint32_t i = 0; i < set->count; i++) t->per_weight[i] = 1.0 / set->weights[i];
    *table = t;
    return 0;
}

static size_t table_bytes(const void *table)
{
    const struct peak_table *t = table;
    return sizeof(*t) + t->count * sizeof(*t->per_weight) + alias_bytes(t->alias);
}

static inline double cost_of(const struct peak_table *t, const struct balance_query *q, uint32_t peer)
{
    const struct balance_peer *p = q->peers[peer];
    uint32_t in_flight = atomic_load_explicit(&p->in_flight, memory_order_relaxed);
    double expected_us = peak_expected_us(p, q->now_ns, t->per_half_life);
    if (expected_us == 0 && in_flight) expected_us = UNKNOWN_US;
    return expected_us * (in_flight + 1.0) * t->per_weight[peer];
}

/* The best of `count` candidates (all if `candidates` is NULL); the runner-up comes for free. Among equals,
 * the k-th takes the place with a chance of 1/k. */
static void pick_among(const struct peak_table *t, const struct balance_query *q, const uint32_t *candidates,
                       uint32_t count, struct balance_choice *out)
{
    double least = 0, second = 0;
    uint32_t equals = 1;
    *out = (struct balance_choice){ BALANCE_NONE, BALANCE_NONE, BALANCE_QUICKEST };
    for (uint32_t i = 0; i < count; i++) {
        uint32_t peer = candidates ? candidates[i] : i;
        double cost = cost_of(t, q, peer);
        if (out->runner_up != BALANCE_NONE && cost > second) continue;
        if (!candidates && !balance_may_take(q, peer)) continue;
        bool is_equal = out->peer != BALANCE_NONE && cost == least;
        bool is_better = out->peer == BALANCE_NONE || cost < least;
        equals = is_better ? 1 : equals + is_equal;
        if (is_better || (is_equal && rng_below(q->rng, equals) == 0)) {
            out->runner_up = out->peer, second = least;
            out->peer = peer, least = cost;
        } else if (out->runner_up == BALANCE_NONE || cost < second) {
            out->runner_up = peer, second = cost;
        }
    }
    if (equals > 1) out->reason = BALANCE_TIE;
}

static void pick(const void *table, void *state, const struct balance_query *q, struct balance_choice *out)
{
    const struct peak_table *t = table;
    uint32_t drawn[ALIAS_CHOICES_MAX];
    (void)state;
    if (balance_pick_trivial(q, out)) return;
    uint32_t found = t->alias ? alias_draw_several(t->alias, q, 2, drawn) : 0;
    pick_among(t, q, found ? drawn : NULL, found ? found : q->peer_count, out);
    if (found) out->reason = BALANCE_TWO;
    if (out->peer == BALANCE_NONE) balance_pick_none(q, out);
}

static void observe(const void *table, struct balance_peer *peer, const struct balance_outcome *outcome)
{
    const struct peak_table *t = table;
    peak_observe(peer, outcome, t->per_half_life);
}

static const struct conf_field fields[] = {
    { "half_life", CONF_MSEC(struct peak_conf, half_life_ms), .min = 100, .max = 3600000, .preset = "10s",
      .help = "After how long without news half of what is known of a server's latency is forgotten. A worse "
              "latency counts at once, whatever this is." },
    { 0 },
};

static const struct conf_type peak_conf_type = { .name = "peak_ewma",
                                                 .size = sizeof(struct peak_conf),
                                                 .fields = fields };

BALANCE_METHOD(
    peak_ewma,
    "The server with the least latency to expect, from its latest answers and what it has to do, for its "
    "weight: of all up to 64 servers, of two drawn above.",
    &peak_conf_type, .build = build, .drop = drop, .table_bytes = table_bytes, .pick = pick,
    .observe = observe);
