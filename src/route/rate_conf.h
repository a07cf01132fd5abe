/* route/rate_conf.h: how many requests may come in a time, as configured: of a listener, a route or a pool. Part of a
 * snapshot. What is counted is the proxy's (proxy/rate.h). */
#pragma once

#include "conf/field.h"
#include "http/template.h"

/* "100/s", "10/m", "5/10s" */
struct rate_amount {
    uint32_t count;
    uint32_t period_s;
};

enum rate_tells { RATE_TELLS_REFUSED, RATE_TELLS_ALL, RATE_TELLS_NOBODY };

struct rate_conf {
    struct rate_amount requests;
    uint32_t burst;           /* at once; never 0 once it is decoded */
    struct http_template key; /* without parts: one account for everybody */
    uint64_t delay_ms;        /* how long a request may be held back rather than refused */
    uint32_t keys;            /* for about how many at a time there is memory */
    uint32_t tells;           /* enum rate_tells */
    bool is_dry;
};

extern const struct conf_type rate_conf_type;

/* From one request to the next, rounded up: never more than was asked for. */
static inline uint64_t rate_interval_ns(const struct rate_conf *conf)
{
    uint64_t period_ns = (uint64_t)conf->requests.period_s * 1000000000u;
    return (period_ns + conf->requests.count - 1) / conf->requests.count;
}
/* "100/s", as people write it. */
void rate_amount_print(const struct rate_amount *amount, struct text *out);
