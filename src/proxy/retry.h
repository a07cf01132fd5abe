/* proxy/retry.h: whether a request may go to a server once more, by what is known of the attempt that failed: pure, so that
 * the simulation plays by the same rules. What the pool's budget has left is asked behind it (pool/retry_budget.h). */
#pragma once

#include "base/end_reason.h"
#include "pool/pool.h"
#include "route/retry_conf.h"

struct retry_facts {
    enum end_reason
        reason;        /* of the attempt; END_ANSWER_GIVEN_UP: its answer's status is one that is named */
    uint32_t attempts; /* so far */
    uint64_t since_start_ms;
    bool is_repeatable;  /* by its method, or because the operator says so */
    bool is_unprocessed; /* the server cannot have acted on it: no byte of it was sent, or it says so */
    bool is_kept;        /* on a connection that had been used before */
    bool was_replaced;   /* a kept connection has been already */
    bool has_received;   /* a byte of the answer came */
    bool is_begun;       /* something of an answer went to the client */
    bool is_whole;       /* all of the request that has come is here to be sent again */
};

/* Why another attempt may follow; POOL_RETRY_NONE: it may not. */
enum pool_retry retry_decide(const struct retry_conf *conf, const struct retry_facts *facts);
/* What no server can have seen, or a dead connection has swallowed, gives servers nothing more to do: the budget is not
 * asked. */
bool retry_is_free(enum pool_retry why);
