/* In turn, by weight, spread as evenly as whole turns can be (nginx's smooth weighted round robin): each peer
 * gains its weight, the one that has most is chosen and pays the sum of all. */
#include <stdlib.h>

#include "balance/method.h"
#include "base/bug.h"

/* How far at most a worker goes into the cycle before its first pick. */
#define START_TURNS 256

struct round_robin_table {
    uint32_t count;
    int64_t total;
    /* Twice over, so that a worker may begin anywhere and still walk straight. Divided by what they have in
     * common. */
    int32_t weights[];
};

/* One worker's. */
struct round_robin_state {
    bool has_started;
    uint32_t first; /* held[i] is of peer (first + i) % count */
    int64_t held[];
};

static int build_round_robin(const struct balance_set *set, const void *conf, void **table, struct err *err)
{
    (void)conf;
    uint32_t n = set->count, gcd = balance_weights_gcd(set);
    struct round_robin_table *t = malloc(sizeof(*t) + 2 * n * sizeof(int32_t));
    if (!t) return err_set(err, "out of memory for the table of %u servers", n);
    t->count = n;
    t->total = 0;
    for (uint32_t i = 0; i < n; i++) {
        t->weights[i] = t->weights[n + i] = (int32_t)(set->weights[i] / gcd);
        t->total += t->weights[i];
    }
    *table = t;
    return 0;
}

static size_t table_bytes(const void *table)
{
    const struct round_robin_table *t = table;
    return sizeof(*t) + 2 * t->count * sizeof(int32_t);
}

static uint32_t peer_of(const struct round_robin_table *t, const struct round_robin_state *s, uint32_t i)
{
    uint32_t peer = s->first + i;
    return peer >= t->count ? peer - t->count : peer;
}

/* Everyone gains; returns who has most, the first of several. */
static uint32_t gain(const struct round_robin_table *t, struct round_robin_state *s)
{
    const int32_t *weights = t->weights + s->first;
    int64_t most = INT64_MIN;
    uint32_t best = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        int64_t held = s->held[i] += weights[i];
        if (held <= most) continue;
        most = held;
        best = i;
    }
    return best;
}

/* Workers that all began with the first peer, or all with the heaviest, would march in step and hit each
 * server together: each begins at a place of its own. */
static void start_round(const struct round_robin_table *t, struct round_robin_state *s, struct rng *rng)
{
    s->has_started = true;
    s->first = rng_below(rng, t->count);
    uint32_t cycle = t->total < START_TURNS ? (uint32_t)t->total : START_TURNS;
    for (uint32_t turns = rng_below(rng, cycle); turns; turns--) s->held[gain(t, s)] -= t->total;
}

/* Whose turn it is may not be used: nobody has gained yet, and now only those gain who may be used. */
static void turn_among_usable(const struct round_robin_table *t, struct round_robin_state *s,
                              const struct balance_query *q, struct balance_choice *out)
{
    uint32_t best = BALANCE_NONE;
    int64_t total = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        if (!balance_may_take(q, peer_of(t, s, i))) continue;
        s->held[i] += t->weights[s->first + i];
        total += t->weights[s->first + i];
        if (best == BALANCE_NONE || s->held[i] > s->held[best]) best = i;
    }
    if (best == BALANCE_NONE) {
        balance_pick_none(q, out);
        return;
    }
    s->held[best] -= total;
    *out = (struct balance_choice){ peer_of(t, s, best), BALANCE_NONE, BALANCE_FALLBACK };
}

static void pick_round_robin(const void *table, void *state, const struct balance_query *q,
                             struct balance_choice *out)
{
    const struct round_robin_table *t = table;
    struct round_robin_state *s = state;
    if (balance_pick_trivial(q, out)) return;
    if (bug_if(BALANCE, t->count != q->peer_count)) { /* of another set: its places are others' */
        balance_pick_none(q, out);
        return;
    }
    if (!s->has_started) start_round(t, s, q->rng);
    if (bug_if(BALANCE, s->first >= t->count)) s->first = 0; /* the weights are there twice, not more often */
    uint32_t best = gain(t, s), peer = peer_of(t, s, best);
    /* Only the one whose turn it is gets looked at: the peers' lines belong to all workers. */
    if (balance_may_take(q, peer)) {
        s->held[best] -= t->total;
        *out = (struct balance_choice){ peer, BALANCE_NONE, BALANCE_TURN };
        return;
    }
    for (uint32_t i = 0; i < t->count; i++) s->held[i] -= t->weights[s->first + i];
    turn_among_usable(t, s, q, out);
}

BALANCE_METHOD(round_robin, "In turn, by weight, evenly spread.", NULL, .build = build_round_robin,
               .drop = free, .table_bytes = table_bytes, .state_size = sizeof(struct round_robin_state),
               .state_size_per_peer = sizeof(int64_t), .pick = pick_round_robin);
