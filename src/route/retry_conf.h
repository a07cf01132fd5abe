/* route/retry_conf.h: when a request is sent once more, as configured: of a pool, or of a route in place of its pool's.
 * Part of a snapshot. It lives here, below the pool, because a route may have it. */
#pragma once

#include "conf/field.h"

/* What `on:` may name besides statuses of answers, which are themselves. */
enum retry_on {
    RETRY_ON_CONNECT = 1, /* no byte of the request can have reached the server */
    RETRY_ON_RESET        /* the connection broke before a byte of the answer */
};

#define HEDGE_PERCENTILE_MIN 50u
#define HEDGE_PERCENTILE_MAX 99u

/* Another server is asked beside one that takes longer than most do, and the first good answer is taken. */
struct hedge_conf {
    uint32_t percentile; /* of how long the pool's servers take of late: pool/latency.h */
    uint64_t at_least_ms;
};

struct retry_conf {
    uint32_t attempts; /* in all, the first included */
    uint64_t buffer_bytes;
    struct conf_items on;     /* uint32_t: enum retry_on, or a status from 400 to 599 */
    uint64_t per_try_ms;      /* 0: none */
    uint64_t total_ms;        /* 0: no end */
    struct hedge_conf *hedge; /* NULL: nobody is asked beside another */
};

/* How many a pool's servers bear, of all workers together. */
struct retry_budget_conf {
    uint32_t share, reserve; /* share: percent of the requests */
};

struct pool_retry_conf {
    struct retry_conf how; /* first: the same rows fill it */
    struct retry_budget_conf budget;
};

extern const struct conf_type retry_conf_type, pool_retry_conf_type;

bool retry_conf_names(const struct retry_conf *conf, uint32_t what);
/* As it would be written: "connect", "reset" or the status. */
void retry_on_print(const void *value, struct text *out);
