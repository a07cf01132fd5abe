/* metric/comparison.h: what was counted of something before an event and after it, compared: rate, errors and durations. All of it
 * holds however often one looks (metric/statistic.h), each figure but for COMPARISON_ALPHA. Pure; any thread.
 *
 * What comes close together in time is alike, so requests say less than as many independent ones would: how much less is told by
 * slots of time, as users' buckets tell it of a split. Of durations no slots are kept; their intervals take requests for
 * independent of each other. */
#pragma once

#include "metric/statistic.h"

#define COMPARISON_ALPHA 0.01

enum comparison_quantile { COMPARISON_P50, COMPARISON_P95, COMPARISON_P99, COMPARISON_QUANTILES };

/* Slots of one length, in order. */
struct comparison_slots {
    const uint64_t *requests, *errors;
    uint32_t count; /* 0: none are known */
};

struct comparison_side {
    uint64_t requests, errors; /* no more errors than requests */
    double seconds;            /* above 0 */
    const uint64_t *cells;     /* durations, as in metric/histogram.h */
    struct comparison_slots slots;
};

struct comparison {
    double rates[2];               /* a second: before, after */
    double rate_p;                 /* how often chance alone ever makes such a difference of rates */
    struct statistic_shift errors; /* of the error share; unbounded if either has no requests */
    uint64_t quantiles[2][COMPARISON_QUANTILES]; /* in microseconds; 0: none */
    struct statistic_shift shifts[COMPARISON_QUANTILES];
};

void comparison_fill(struct comparison *out, const struct comparison_side *before,
                     const struct comparison_side *after);
