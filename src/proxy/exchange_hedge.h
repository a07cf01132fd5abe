/* proxy/exchange_hedge.h: another attempt beside the one in hand, which takes longer than most do. Both go on, and whoever gives
 * the first good answer is the one in hand from then on; the other is broken off: an HTTP/1 connection is closed, an HTTP/2
 * stream reset. Of a request there is one at most, and never a third server at the same time.
 *
 * The exchange's state is always that of the attempt in hand. If that one fails, the other takes its place as it stands, and
 * nothing else is tried for it; if the other fails, nothing has happened. So what an exchange waits for, its deadlines included,
 * is the one in hand alone. */
#pragma once

#include "proxy/exchange.h"

struct exchange_hedge {
    struct attempt attempt;
    uint64_t begun_ms, since_ms; /* of the loop: since when what it waits for has not moved */
    uint32_t peer;               /* in the view */
    uint32_t replay_sent;
    uint32_t picked_us, connected_us, sent_us; /* as in the record */
    bool is_open, is_sent;
};

/* Sets when another may be asked, if it may. An attempt has begun, or all of a request with a body is with its server. */
void exchange_hedge_plan(struct exchange *x);
/* From the exchange's timer: asks another if it is time and the budget bears it. */
void exchange_hedge_look(struct exchange *x, uint64_t now_ms);
/* The attempt in hand is over for `reason`, END_OUTRUN if the other has answered: that one is in hand now, and the exchange in the
 * state that it is in. */
void exchange_hedge_take_over(struct exchange *x, enum end_reason reason);
/* The other is over. */
void exchange_hedge_drop(struct exchange *x, enum end_reason reason);
