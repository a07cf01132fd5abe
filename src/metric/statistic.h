/* metric/statistic.h: what counts allow to say: intervals and tests. Pure; any thread. All intervals are of 95 %. Requests
 * need not be independent of each other: each count comes with its design effect (metric/cluster.h), and says as much as
 * that many times fewer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "metric/cluster.h"
#include "metric/histogram.h"

struct statistic_interval {
    double low, high;
};

/* The upper tail of the chi-square distribution, 0..1: how often chance alone makes a sum at least as large. `sum` may
 * be infinite; no degrees give 1. From the incomplete gamma function's recurrence (DLMF 8.8.6), which for halves of
 * whole numbers begins at a closed form (8.4.5, 8.4.6): finite, nothing to converge. */
double statistic_chi_square_tail(double sum, uint32_t degrees);

/* Whether counts have the shares that they should have: Pearson's test of goodness of fit, its sum divided by the design
 * effect (J. N. K. Rao, A. J. Scott 1981). The effect is itself an estimate, so the tail is F's where it is not 1. */
struct statistic_fit {
    double chi_square, p; /* of independent requests the first is Pearson's own */
    double always_p;      /* see statistic_difference */
};
/* `shares` make 1. What has no share but was counted gives an infinite sum. */
struct statistic_fit statistic_fit(const uint64_t *counts, const double *shares, uint32_t count,
                                   const struct cluster_effect *effect);

/* hits of count. More hits than there are count as all. */
struct statistic_share {
    uint64_t hits, count;
    struct cluster_effect effect; /* of the share */
};
/* Wilson's score interval (E. B. Wilson 1927): sound near 0 and 1 and for small counts, too. Its count is the effective one,
 * and smaller still where the effect has few degrees of freedom, as a t interval is wider (E. L. Korn, B. I. Graubard
 * 1998). 0..1 if count is 0. */
struct statistic_interval statistic_proportion(const struct statistic_share *share);

/* How much larger the second proportion is than the first, with Newcombe's interval from Wilson's (R. G. Newcombe
 * 1998, method 10), and a test that they are the same: z with its two-sided p, where fewer than five hits or misses are
 * expected Fisher's exact one (mid-p), of counts divided by their common effect. Its p and the interval are of different
 * making; where they disagree the interval is to be believed.
 *
 * Those hold when they are looked at once. `always` holds however often it is looked at: a confidence sequence, which with
 * 95 % never fails to hold the difference, from the first look to the last (a normal mixture: H. Robbins 1970; S. R.
 * Howard, A. Ramdas, J. McAuliffe, J. Sekhon, Annals of Statistics 49, 2021). It is wider by half and more. */
struct statistic_difference {
    double difference;
    struct statistic_interval interval, always; /* -1..1 at most */
    double z, p;                                /* 0 and 1 if there is nothing to tell them apart by */
};
struct statistic_difference statistic_difference(const struct statistic_share *first,
                                                 const struct statistic_share *second);
/* `always` alone, which fails to hold the difference at any look with the probability alpha: half of it at either end. */
struct statistic_interval statistic_difference_always(const struct statistic_share *first,
                                                      const struct statistic_share *second, double alpha);

/* A quantile in microseconds, with an interval that holds whatever the distribution is: the values at the ranks between
 * which the quantile's own rank, a binomial variable, falls (W. J. Conover, Practical Nonparametric Statistics, 3.2; of
 * clusters: R. S. Woodruff 1952), widened to the edges of their cells. */
struct statistic_quantile {
    uint64_t value;                     /* 0 if there are none */
    struct statistic_interval interval; /* 0 and infinity where there are too few values for a bound */
};
/* `cells` as in metric/histogram.h; q is 0..1, the ends left out; `effect` is that of the share of values below it. */
struct statistic_quantile statistic_quantile(const uint64_t *cells, double q,
                                             const struct cluster_effect *effect);

/* How much larger the second quantile is than the first: from the distances to the ends of each one's interval, squared and
 * added as Newcombe does (G. Y. Zou, A. Donner 2008). An end that one lacks is infinite. */
struct statistic_shift {
    double difference; /* in microseconds */
    struct statistic_interval interval;
};
struct statistic_shift statistic_shift(const struct statistic_quantile *first,
                                       const struct statistic_quantile *second);

/* The same with an interval that holds however often it is looked at, but for alpha: how many values lie below a quantile is a
 * sum of independent hits, so the ranks are those of the sequence above (S. R. Howard, A. Ramdas, Bernoulli 28, 2022). */
struct statistic_sample {
    const uint64_t *cells; /* borrowed */
    struct cluster_effect effect;
};
struct statistic_shift statistic_shift_always(const struct statistic_sample *first,
                                              const struct statistic_sample *second, double q, double alpha);
