#include "balance/shares.h"

#include "balance/method.h"

#define FACTOR_MAX (UINT32_C(1) << 31)
/* A server that is full is looked at once in so many picks, or in as many as there are servers: then no pick costs
 * more than a look at one. */
#define LOOK_AFTER 64

/* FACTOR_MAX if there is none as small as that. */
static uint64_t common_multiple(const struct balance_set *set, uint32_t gcd)
{
    uint64_t multiple = 1;
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t weight = set->weights[i] / gcd;
        multiple = multiple / balance_gcd(multiple, weight) * weight;
        if (multiple > FACTOR_MAX) return FACTOR_MAX;
    }
    return multiple;
}

void shares_init(struct shares *t, const struct balance_set *set)
{
    uint32_t gcd = balance_weights_gcd(set), least = UINT32_MAX;
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t weight = set->weights[i] / gcd;
        if (weight < least) least = weight;
    }
    t->count = set->count;
    t->whole = common_multiple(set, gcd);
    /* As fine as they can be: with factors of 1 nobody could be half a request behind. */
    while (t->whole / least < FACTOR_MAX / 2) t->whole *= 2;
    for (uint32_t i = 0; i < set->count; i++) t->factors[i] = (uint32_t)(t->whole / (set->weights[i] / gcd));
}

static uint32_t least_factor(const struct shares *t)
{
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < t->count; i++)
        if (t->factors[i] < least) least = t->factors[i];
    return least;
}

/* Each worker begins at a place of its own, and each first pick is as the weights say: of a set that is replaced
 * after every few requests the light ones would get nothing else. One number for all, so that not two are due at
 * once. The heaviest have what is left, and begin with their own share of the first pick. */
static void start_shares(const struct shares *t, struct shares_state *s, struct rng *rng)
{
    uint32_t least = least_factor(t), place = (uint32_t)(rng_next(rng) >> 32);
    double weight = 0, passed = 0;
    for (uint32_t i = 0; i < t->count; i++) weight += 1.0 / t->factors[i];
    for (uint32_t i = 0; i < t->count; i++) {
        double factor = t->factors[i], behind = -1 / weight;
        passed += 1 / factor / weight;
        if (t->factors[i] != least)
            behind = (place - (uint32_t)(uint64_t)(passed * 0x1p32)) * 0x1p-32 * factor - least;
        s->tags[i] = s->now - (uint64_t)(int64_t)behind;
    }
    s->has_started = true;
}

/* While some are full, the others share out what is left, so that their time passes more quickly. Out of line: it is
 * rare. Tags are drawn near, lest time goes round the whole number and past one that was not picked for long. */
__attribute__((noinline)) void shares_look(const struct shares *t, struct shares_state *s,
                                           const struct balance_query *q)
{
    if (!s->has_started) start_shares(t, s, q->rng);
    s->picks_left = t->count > LOOK_AFTER ? t->count : LOOK_AFTER;
    uint64_t usable = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        int64_t factor = t->factors[i], behind = (int64_t)(s->now - s->tags[i]);
        if (behind > SHARES_BEHIND_MAX * factor) s->tags[i] = s->now - (uint64_t)(SHARES_BEHIND_MAX * factor);
        if (behind < -SHARES_AHEAD_MAX * factor) s->tags[i] = s->now + (uint64_t)(SHARES_AHEAD_MAX * factor);
        if (!balance_is_out(q, i) && !balance_peer_is_full(q->peers[i])) usable += t->whole / t->factors[i];
    }
    if (!usable) usable = 1; /* and nobody can be picked */
    s->weight = usable;
    s->step = t->whole / usable;
    s->part = t->whole % usable;
    s->rest = 0;
}

void shares_inherit(const struct shares *t, struct shares_state *s, const struct shares *old,
                    const struct shares_state *old_state, const uint32_t *from, struct rng *rng)
{
    if (!old_state->has_started) return;
    start_shares(t, s, rng);
    for (uint32_t i = 0; i < t->count; i++) {
        if (from[i] == BALANCE_NONE || bug_if(BALANCE, from[i] >= old->count)) continue;
        /* What it is behind stays the same in requests. */
        int64_t behind = (int64_t)(old_state->now - old_state->tags[from[i]]);
        int64_t limit = (int64_t)SHARES_BEHIND_MAX * old->factors[from[i]];
        double requests = (double)(behind < limit ? behind : limit) / old->factors[from[i]];
        s->tags[i] = s->now - (uint64_t)(int64_t)(requests * t->factors[i]);
    }
}
