/* balance/shares.h: how far each server is behind its share of a worker's picks. Load alone gives no shares: while
 * little is under way the heaviest server is the least loaded for its weight each time. So a method that goes by
 * load counts for each request to come what a server is behind, up to one request: who waited for its turn looks
 * that much emptier. When much is under way one request more or less decides only between equals.
 *
 * Time runs with the picks: a request to a server takes as long as its share allows one every so often (its
 * factor), and all usable weights together make time pass. A tag says until when a server has had its share; who is
 * behind has one that lies in the past. */
#pragma once

#include "balance/balance.h"
#include "base/bug.h"

/* Requests that a server may be behind or ahead: what it did not get while it was slow or full is not made up for
 * later, and what it got beyond its share while others were is not held against it. Servers that are drawn wait
 * longer for their turn than those that are looked at in each pick. */
#define SHARES_BEHIND_MAX 4
#define SHARES_AHEAD_MAX 2

/* Part of a method's table. Loads multiplied by factors compare as if divided by weights: exactly where all
 * weights, after division by what they have in common, have a common multiple of 31 bits, else to one part in
 * 2,000. */
struct shares {
    uint64_t whole; /* weight times factor: the same for all */
    uint32_t count;
    uint32_t factors[]; /* below 2^31, the largest near it */
};

/* One worker's; zeroed at start. */
struct shares_state {
    uint64_t now;                /* wraps: tags are compared by their distance to it */
    uint64_t weight, step, part; /* of those that can be used; whole / weight and what is left of it */
    uint64_t rest;
    uint32_t picks_left; /* until it is looked again who can be used */
    bool has_started;
    uint64_t tags[];
};

/* Besides the struct that holds it. */
static inline size_t shares_bytes(uint32_t count)
{
    return count * sizeof(uint32_t);
}
void shares_init(struct shares *t, const struct balance_set *set);

/* As balance_method.inherit, of the tables' shares. */
void shares_inherit(const struct shares *t, struct shares_state *s, const struct shares *old,
                    const struct shares_state *old_state, const uint32_t *from, struct rng *rng);

void shares_look(const struct shares *t, struct shares_state *s, const struct balance_query *q);

/* At the beginning of a pick. */
static inline void shares_advance(const struct shares *t, struct shares_state *s,
                                  const struct balance_query *q)
{
    if (!s->picks_left) shares_look(t, s, q);
    s->picks_left--;
    s->now += s->step;
    s->rest += s->part;
    bool is_over = s->rest >= s->weight;
    s->rest -= is_over ? s->weight : 0;
    s->now += is_over;
    if (bug_if(BALANCE, s->rest >= s->weight)) s->rest = 0; /* it is a part of one step */
}

/* In requests, times the peer's factor; at most `limit`. */
static inline uint64_t shares_behind(const struct shares_state *s, uint32_t peer, uint64_t limit)
{
    int64_t behind = (int64_t)(s->now - s->tags[peer]);
    behind = behind > 0 ? behind : 0;
    return (uint64_t)behind < limit ? (uint64_t)behind : limit;
}

/* At the end of a pick. */
static inline void shares_charge(const struct shares *t, struct shares_state *s, uint32_t peer)
{
    if (bug_if(BALANCE, peer >= t->count)) return;
    int64_t factor = t->factors[peer], behind = (int64_t)(s->now - s->tags[peer]);
    behind = behind < SHARES_BEHIND_MAX * factor ? behind : SHARES_BEHIND_MAX * factor;
    behind -= factor;
    behind = behind > -SHARES_AHEAD_MAX * factor ? behind : -SHARES_AHEAD_MAX * factor;
    s->tags[peer] = s->now - (uint64_t)behind;
}
