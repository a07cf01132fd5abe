/* metric/distribution.h: the tails of distributions that tests and intervals need. Pure; any thread. Degrees of freedom
 * are real numbers above 0; INFINITY is the normal distribution, or chi-square's. */
#pragma once

#include <stdint.h>

#define DISTRIBUTION_Z_95 1.9599639845400545 /* the normal distribution's quantile of 0.975 */

/* The regularized incomplete beta function I_x(a, b), 0..1. */
double distribution_beta(double x, double a, double b);
/* How often chance alone takes a t variable at least so far from 0, to either side. */
double distribution_t_tail(double t, double degrees);
/* Beyond which a t variable is once in 20 times, to either side. */
double distribution_t_95(double degrees);
/* The upper tail of Fisher's F. */
double distribution_f_tail(double f, double degrees_above, double degrees_below);

/* Between which ranks, from 1, the quantile q of a population lies but in as many samples of `count` values as a normal variable
 * lies beyond z, to either side: in 19 of 20 for DISTRIBUTION_Z_95. From the binomial distribution, to the letter where there
 * are few. `count` need not be whole: an effective number. Below 1 and above `count` where there are too few values for a
 * bound. */
struct distribution_ranks {
    double low, high;
};
struct distribution_ranks distribution_quantile_ranks(double count, double q, double z);

/* Fisher's exact test that two shares are the same, to both sides, with half the weight of what is as likely as what was
 * seen (mid-p: H. O. Lancaster 1961). For small expected counts: it sums what is likely one by one. */
double distribution_fisher_mid_p(uint64_t first_hits, uint64_t first_count, uint64_t second_hits,
                                 uint64_t second_count);
