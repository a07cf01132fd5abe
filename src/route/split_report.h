/* route/split_report.h: how the variants of a split do, from what was counted of each. Pure; any thread. Intervals are
 * of 95 % and take requests to be independent of each other (docs/splits.md says what that leaves out). */
#pragma once

#include "metric/statistic.h"
#include "route/split.h"

/* Requests in other shares than the weights' mean that something else than the split decides who is counted, so that
 * the variants cannot be compared. Below this p that is an alarm, as is usual for sample ratio mismatches: it is looked
 * at again and again, and is to be quiet unless something is broken (R. Kohavi, D. Tang, Y. Xu, Trustworthy Online
 * Controlled Experiments, 2020, chapter 21). */
#define SPLIT_ALARM_P 0.001

struct split_tally {
    const char *name;      /* borrowed; the report has it, too */
    uint32_t weight;       /* in hundredths of a percent; all make SPLIT_PLACES */
    uint64_t requests;     /* those that were assigned: overrides left out */
    uint64_t errors;       /* of these; read before them while both grow */
    const uint64_t *cells; /* borrowed; their durations, as in metric/histogram.h */
};

struct split_report_variant {
    const char *name;
    double expected_share, share; /* of all requests, 0..1; share is 0 if there are none */
    uint64_t requests, errors;
    double error_share; /* 0..1; 0 without requests */
    struct statistic_interval error_interval;
    struct statistic_quantile p50, p95, p99; /* in microseconds */
    /* How much larger the error share is than the first variant's; of the first itself: 0, with p 1. */
    struct statistic_difference error_difference;
};

struct split_report {
    uint32_t count;
    uint64_t requests;
    struct split_report_variant variants[SPLIT_VARIANTS_MAX];
    struct statistic_fit sample_ratio;
    bool is_alarm;
};

/* count is 1..SPLIT_VARIANTS_MAX. */
void split_report_fill(struct split_report *out, const struct split_tally *tallies, uint32_t count);
