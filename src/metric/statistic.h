/* metric/statistic.h: what counts allow to say: intervals and tests. Pure; any thread. All intervals are of 95 %, all
 * tests take the counted things to be independent of each other. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "metric/histogram.h"

struct statistic_interval {
    double low, high;
};

/* The upper tail of the chi-square distribution, 0..1: how often chance alone makes a sum at least as large. `sum` may
 * be infinite; no degrees give 1. From the incomplete gamma function's recurrence (DLMF 8.8.6), which for halves of
 * whole numbers begins at a closed form (8.4.5, 8.4.6): finite, nothing to converge. */
double statistic_chi_square_tail(double sum, uint32_t degrees);

/* Whether counts have the shares that they should have: Pearson's test of goodness of fit. */
struct statistic_fit {
    double chi_square, p;
};
/* `shares` make 1. What has no share but was counted gives an infinite sum. */
struct statistic_fit statistic_fit(const uint64_t *counts, const double *shares, uint32_t count);

/* Wilson's score interval of hits/count (E. B. Wilson 1927): sound near 0 and 1 and for small counts, too. 0..1 if
 * count is 0. More hits than there are count as all. */
struct statistic_interval statistic_proportion(uint64_t hits, uint64_t count);

/* How much larger the second proportion is than the first, with Newcombe's interval from Wilson's (R. G. Newcombe
 * 1998, method 10), and the pooled z-test that they are the same, with its two-sided p. */
struct statistic_difference {
    double difference;
    struct statistic_interval interval; /* -1..1 at most */
    double z, p;                        /* 0 and 1 if there is nothing to tell them apart by */
};
struct statistic_difference statistic_difference(uint64_t first_hits, uint64_t first_count,
                                                 uint64_t second_hits, uint64_t second_count);

/* A quantile in microseconds, with an interval that holds whatever the distribution is: the values at the ranks between
 * which the quantile's own rank, a binomial variable, falls (W. J. Conover, Practical Nonparametric Statistics, 3.2),
 * widened to the edges of their cells. */
struct statistic_quantile {
    uint64_t value;                     /* 0 if there are none */
    struct statistic_interval interval; /* 0 and infinity where there are too few values for a bound */
};
/* `cells` as in metric/histogram.h; q is 0..1, the ends left out. */
struct statistic_quantile statistic_quantile(const uint64_t *cells, double q);
