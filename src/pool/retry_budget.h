/* pool/retry_budget.h: how many requests may be sent again to a pool's servers, of all workers together: a share of the
 * requests that came, and of those that go on, so that servers in trouble do not get more to do. A request pays with two
 * increments in memory of its worker's own; only who wants another attempt looks at what the others have. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct pool_worker;

/* One worker's part: written by it, read by all. */
struct retry_tally {
    _Atomic uint64_t begun, ended; /* requests */
};

/* The pool's: any worker. */
struct retry_budget {
    _Atomic uint64_t spent;    /* out of what the requests so far have earned, each a hundred */
    _Atomic uint32_t retrying; /* requests that go on, and are there again */
    _Atomic uint64_t
        slow_ms; /* when one was last let go that the budget did not bear, because its server hangs */
};

void retry_budget_began(struct pool_worker *pw);
/* is_again: retry_budget_take() has counted it. */
void retry_budget_ended(struct pool_worker *pw, bool is_again);
/* One more attempt of a request that has begun. is_again: it has had one before. is_slow: its server does not answer, so
 * that nothing is multiplied; one of these a second is free, lest a client that waits for each answer waits for ever. False:
 * there is nothing left. */
bool retry_budget_take(struct pool_worker *pw, bool is_again, bool is_slow);
