/* balance/method.h: what the methods share. A method is one file here and one line in methods.c. */
#pragma once

#include "balance/balance.h"

/* Defines the method, and the option of `balance:` that names it. */
#define BALANCE_METHOD(id, help_, type_, ...)                                     \
    const struct balance_method balance_method_##id = {                           \
        .name = #id, .help = help_, .type = type_, __VA_ARGS__                    \
    };                                                                            \
    const struct conf_option balance_option_##id = {                              \
        .name = #id, .help = help_, .type = type_, .object = &balance_method_##id \
    }

static inline bool balance_is_tried(const struct balance_query *q, uint32_t peer)
{
    for (uint32_t i = 0; i < q->tried_count; i++)
        if (q->tried[i] == peer) return true;
    return false;
}

static inline bool balance_is_out(const struct balance_query *q, uint32_t peer)
{
    return atomic_load_explicit(&q->peers[peer]->is_out, memory_order_relaxed);
}

static inline bool balance_may_take(const struct balance_query *q, uint32_t peer)
{
    return !balance_is_tried(q, peer) && !balance_is_out(q, peer) && !balance_peer_is_full(q->peers[peer]);
}

/* `yes` or `no`, without a branch: for conditions that are as good as drawn, each wrong guess of which
 * costs more than all the rest of a pick. */
static inline uint32_t balance_select(bool which, uint32_t yes, uint32_t no)
{
    return no ^ ((yes ^ no) & -(uint32_t)which);
}

/* Sets of none and of one need no method. True if `out` is filled. */
bool balance_pick_trivial(const struct balance_query *q, struct balance_choice *out);
/* For when no peer may take the request. */
void balance_pick_none(const struct balance_query *q, struct balance_choice *out);

/* The greatest common divisor, never 0; and that of all weights, 1 if there are none. */
uint64_t balance_gcd(uint64_t a, uint64_t b);
uint32_t balance_weights_gcd(const struct balance_set *set);
