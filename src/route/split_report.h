/* route/split_report.h: how the variants of a split do, from what was counted of each. Pure; any thread. Intervals are
 * of 95 %; they and the alarm know how alike the requests of one unit are (metric/cluster.h). */
#pragma once

#include "metric/statistic.h"
#include "route/split.h"

/* Requests in other shares than the weights' mean that not only the split decides who is counted, so that the variants
 * cannot be compared. Below this p that is an alarm, as is usual for sample ratio mismatches: it is to be quiet unless
 * something is broken (R. Kohavi, D. Tang, Y. Xu, Trustworthy Online Controlled Experiments, 2020, chapter 21). */
#define SPLIT_ALARM_P 0.001

/* What was counted of a variant's requests: those that were assigned to it, overrides left out. Rows are of four cells of a
 * histogram each; their buckets lie side by side, so that only durations which occur cost memory. */
#define SPLIT_ROW_CELLS 4u
#define SPLIT_ROWS (HISTOGRAM_CELLS / SPLIT_ROW_CELLS)
struct split_counts {
    uint64_t errors[SPLIT_BUCKETS];  /* read before the others while all grow */
    uint64_t cells[HISTOGRAM_CELLS]; /* durations, as in metric/histogram.h */
    uint64_t rows
        [SPLIT_ROWS]
        [SPLIT_BUCKETS]; /* the same, coarsely, of each bucket; nothing where a row's cells have nothing */
};

struct split_tally {
    const char *name;                  /* borrowed; the report has it, too */
    uint32_t weight;                   /* in hundredths of a percent; all make SPLIT_PLACES */
    const struct split_counts *counts; /* borrowed during the call */
};

enum split_quantile { SPLIT_P50, SPLIT_P95, SPLIT_P99, SPLIT_QUANTILES };

struct split_report_variant {
    const char *name;
    double expected_share, share; /* of all requests, 0..1; share is 0 if there are none */
    uint64_t requests, errors;
    struct cluster_effect effect, error_effect; /* of the requests' number, of the error share */
    double error_share;                         /* 0..1; 0 without requests */
    struct statistic_interval error_interval;
    struct statistic_quantile quantiles[SPLIT_QUANTILES]; /* in microseconds */
    /* How much larger the error share and the durations are than the first variant's; of the first itself: 0, with p 1. */
    struct statistic_difference error_difference;
    struct statistic_shift shifts[SPLIT_QUANTILES];
};

struct split_report {
    uint32_t count;
    uint64_t requests;
    struct split_report_variant variants[SPLIT_VARIANTS_MAX];
    struct cluster_effect effect; /* of the requests' numbers, in all variants */
    struct statistic_fit sample_ratio;
    bool is_alarm, is_alarm_always; /* looked at once; however often it is looked at */
};

/* count is 1..SPLIT_VARIANTS_MAX. Takes some milliseconds where durations are of many kinds. */
void split_report_fill(struct split_report *out, const struct split_tally *tallies, uint32_t count);

/* What a guard goes by (route/split_guard.h): how much more a variant has of each figure than the first, in intervals that
 * hold however often one looks but for `alpha`, each by itself. Errors are shares, durations microseconds. */
enum split_figure { SPLIT_ERRORS, SPLIT_OF_P50, SPLIT_OF_P95, SPLIT_OF_P99, SPLIT_FIGURES };
struct split_contrast {
    uint64_t requests; /* of the variant; of the first */
    uint64_t first_requests;
    struct statistic_shift
        figures[SPLIT_FIGURES]; /* unbounded where not asked for, or where nothing can be told */
    bool is_alarm;              /* shares are not those of the weights, however often one looks */
};
/* `figures`: a bit for each that is asked for; others cost nothing. `variant` is 1..count-1. */
void split_contrast_fill(struct split_contrast *out, const struct split_tally *tallies, uint32_t count,
                         uint32_t variant, unsigned figures, double alpha);
