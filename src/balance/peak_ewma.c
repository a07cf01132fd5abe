/* The least latency to expect: what a server's answers have lately taken (balance/peak.h), times what it
 * has to do before this request's answer, for its weight; among those that are about as quick, what each is behind
 * its share counts as in balance/shares.h. */
#include <stdlib.h>

#include "balance/alias.h"
#include "balance/method.h"
#include "balance/peak.h"
#include "balance/shares.h"

/* Up to so many servers all are looked at; above, two that are drawn. */
#define SCAN 64
#define DRAWN 2

/* What a server without an estimate is expected to take once something is under way to it: nothing was
 * learned yet, and who does not answer must not be given more. With nothing under way it is expected to
 * answer at once, so that it is tried first. */
#define UNKNOWN_US ((double)PEAK_MAX_US)
/* More than any. */
#define NOBODY_US (UNKNOWN_US * PEAK_FAILING_MAX)

/* A server that is expected to take more than so many times as long as the quickest has no share to claim. Below,
 * it may be chance: the estimate goes by the slowest of the latest answers, and equal servers have had different
 * ones. */
#define AS_QUICK 3
/* And up to here all count the same: of a server that weighs nine times as much, the slowest answer is the slowest of
 * nine times as many. */
#define SAME 2

struct peak_table {
    struct alias *alias; /* NULL where all are looked at */
    double per_half_life;
    struct shares shares; /* last: as long as there are servers */
};

static void drop(void *table)
{
    struct peak_table *t = table;
    if (t) free(t->alias);
    free(t);
}

static int build_peak_ewma(const struct balance_set *set, const void *conf, void **table, struct err *err)
{
    const struct peak_conf *c = conf;
    uint64_t half_life_ms = c ? c->half_life_ms : PEAK_HALF_LIFE_MS;
    bool is_drawn = set->count > SCAN;
    struct peak_table *t = malloc(sizeof(*t) + shares_bytes(set->count));
    if (t) t->alias = is_drawn ? alias_new(set) : NULL;
    if (!t || (is_drawn && !t->alias)) {
        free(t);
        return err_set(err, "out of memory for the table of %u servers", set->count);
    }
    t->per_half_life = 1e-6 / (double)half_life_ms;
    shares_init(&t->shares, set);
    *table = t;
    return 0;
}

static size_t table_bytes(const void *table)
{
    const struct peak_table *t = table;
    return sizeof(*t) + shares_bytes(t->shares.count) + alias_bytes(t->alias);
}

/* One worker's. */
struct peak_state {
    /* What the quickest was expected to take in the pick before this one, which spares a look at all before the
     * look at all; 0 at first. */
    double quickest_us;
    uint64_t quickest_at_ns;
    struct shares_state shares; /* last: as long as there are servers */
};

/* One look at some servers. */
struct look {
    const struct peak_table *t;
    const struct shares_state *shares;
    const struct balance_query *q;
    double reference_us; /* what the quickest is expected to take */
    /* Seen in this look: by estimates that are fresh, by any. Those that wait long for their turn have been halved
     * over and over, and must not make those look slow that do the work. */
    double quickest_us, quickest_void_us;
    double least, second;
    uint32_t equals;
};

struct candidate {
    uint32_t in_flight;
    struct peak_estimate e;
};

static inline struct candidate look_at_peer(struct look *l, uint32_t peer)
{
    const struct balance_peer *p = l->q->peers[peer];
    uint32_t in_flight = atomic_load_explicit(&p->in_flight, memory_order_relaxed);
    struct peak_estimate e = peak_estimate(p, l->q->now_ns, l->t->per_half_life);
    if (e.expected_us == 0 && in_flight) e.expected_us = UNKNOWN_US;
    double *quickest_us = e.is_void ? &l->quickest_void_us : &l->quickest_us;
    if (e.expected_us < *quickest_us && e.expected_us > 0 && !balance_peer_is_full(p))
        *quickest_us = e.expected_us;
    return (struct candidate){ in_flight, e };
}

static inline double quickest_us(const struct look *l)
{
    return l->quickest_us < NOBODY_US ? l->quickest_us : l->quickest_void_us;
}

static inline double cost_of(const struct look *l, uint32_t peer, const struct candidate *c)
{
    uint64_t factor = l->t->shares.factors[peer], work = (c->in_flight + UINT64_C(1)) * factor;
    double expected_us = c->e.expected_us, same_us = SAME * l->reference_us;
    /* One request at a time finds out whether a server is still as slow as it was long ago. */
    if (expected_us <= AS_QUICK * l->reference_us || (c->e.is_void && !c->in_flight))
        work -= shares_behind(l->shares, peer, factor - 1);
    /* Of whom nothing is known stays the first. */
    if (expected_us < same_us && expected_us > 0) expected_us = same_us;
    return expected_us * (double)(int64_t)work;
}

/* The runner-up comes for free. Among equals, the k-th takes the place with a chance of 1/k. */
static inline void consider(struct look *l, uint32_t peer, double cost, struct balance_choice *out)
{
    bool is_equal = out->peer != BALANCE_NONE && cost == l->least;
    bool is_better = out->peer == BALANCE_NONE || cost < l->least;
    l->equals = is_better ? 1 : l->equals + is_equal;
    if (is_better || (is_equal && rng_below(l->q->rng, l->equals) == 0)) {
        out->runner_up = out->peer, l->second = l->least;
        out->peer = peer, l->least = cost;
    } else if (out->runner_up == BALANCE_NONE || cost < l->second) {
        out->runner_up = peer, l->second = cost;
    }
}

static void pick_of_all(struct look *l, struct balance_choice *out)
{
    for (uint32_t i = 0; i < l->q->peer_count; i++) {
        struct candidate c = look_at_peer(l, i);
        /* However far it is behind, for most servers this says that they are not the least. */
        double least = c.e.expected_us * c.in_flight * l->t->shares.factors[i];
        if (out->runner_up != BALANCE_NONE && least > l->second) continue;
        double cost = cost_of(l, i, &c);
        if (out->runner_up != BALANCE_NONE && cost > l->second) continue;
        if (balance_may_take(l->q, i)) consider(l, i, cost, out);
    }
    if (l->equals > 1) out->reason = BALANCE_TIE;
}

/* They are measured by one another. */
static void pick_of_drawn(struct look *l, const uint32_t *drawn, uint32_t count, struct balance_choice *out)
{
    struct candidate c[DRAWN];
    for (uint32_t i = 0; i < count; i++) c[i] = look_at_peer(l, drawn[i]);
    l->reference_us = quickest_us(l);
    for (uint32_t i = 0; i < count; i++) consider(l, drawn[i], cost_of(l, drawn[i], &c[i]), out);
    out->reason = BALANCE_TWO;
}

/* The first pick has none before it. */
__attribute__((noinline)) static double first_reference_us(struct look *l)
{
    for (uint32_t i = 0; i < l->q->peer_count; i++) (void)look_at_peer(l, i);
    return quickest_us(l);
}

static void pick_peak_ewma(const void *table, void *state, const struct balance_query *q,
                           struct balance_choice *out)
{
    const struct peak_table *t = table;
    struct peak_state *s = state;
    uint32_t drawn[ALIAS_CHOICES_MAX];
    if (balance_pick_trivial(q, out)) return;
    if (bug_if(BALANCE, t->shares.count != q->peer_count)) { /* of another set: its places are others' */
        balance_pick_none(q, out);
        return;
    }
    shares_advance(&t->shares, &s->shares, q);
    uint32_t found = t->alias ? alias_draw_several(t->alias, q, DRAWN, drawn) : 0;
    double left = peak_decay(peak_age_of(s->quickest_at_ns, q->now_ns), t->per_half_life);
    struct look look = { .t = t,
                         .shares = &s->shares,
                         .q = q,
                         .quickest_us = NOBODY_US,
                         .quickest_void_us = NOBODY_US,
                         .equals = 1 };
    look.reference_us = s->quickest_us > 0 ? s->quickest_us * left : first_reference_us(&look);
    *out = (struct balance_choice){ BALANCE_NONE, BALANCE_NONE, BALANCE_QUICKEST };
    if (found)
        pick_of_drawn(&look, drawn, found, out);
    else
        pick_of_all(&look, out);
    s->quickest_us = quickest_us(&look);
    s->quickest_at_ns = q->now_ns;
    if (out->peer == BALANCE_NONE)
        balance_pick_none(q, out);
    else
        shares_charge(&t->shares, &s->shares, out->peer);
}

static void inherit(const void *table, void *state, const void *old, const void *old_state,
                    const uint32_t *from, struct rng *rng)
{
    const struct peak_table *t = table, *before = old;
    const struct peak_state *old_s = old_state;
    struct peak_state *s = state;
    shares_inherit(&t->shares, &s->shares, &before->shares, &old_s->shares, from, rng);
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
    &peak_conf_type, .build = build_peak_ewma, .drop = drop, .table_bytes = table_bytes,
    .state_size = sizeof(struct peak_state), .state_size_per_peer = sizeof(uint64_t), .inherit = inherit,
    .pick = pick_peak_ewma, .observe = observe);
