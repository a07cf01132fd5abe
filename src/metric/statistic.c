#include "metric/statistic.h"

#include <math.h>

#define Z_95 1.9599639845400545 /* the normal distribution's quantile of 0.975 */

double statistic_chi_square_tail(double sum, uint32_t degrees)
{
    double x = sum / 2, a, tail, log_term;
    if (degrees == 0 || !(x > 0)) return 1;
    if (isinf(x)) return 0;
    if (degrees % 2) {
        a = 0.5;
        tail = erfc(sqrt(x));
        log_term = 0.5 * log(x) - x - log(sqrt(M_PI) / 2);
    } else {
        a = 1;
        tail = exp(-x);
        log_term = log(x) - x;
    }
    /* Q(a + 1, x) = Q(a, x) + x^a e^-x / Γ(a + 1); log_term is the logarithm of what is added. */
    for (uint32_t step = 0; step < (degrees - 1) / 2; step++) {
        tail += exp(log_term);
        log_term += log(x / (a + step + 1));
    }
    return tail < 1 ? tail : 1;
}

struct statistic_fit statistic_fit(const uint64_t *counts, const double *shares, uint32_t count)
{
    struct statistic_fit fit = { 0 };
    uint32_t categories = 0;
    double all = 0;
    for (uint32_t i = 0; i < count; i++) all += (double)counts[i];
    for (uint32_t i = 0; i < count; i++) {
        double expected = all * shares[i], off = (double)counts[i] - expected;
        if (shares[i] > 0) categories++;
        if (expected > 0)
            fit.chi_square += off * off / expected;
        else if (counts[i])
            fit.chi_square = INFINITY;
    }
    /* What cannot be is not a matter of chance, not even where all is one category's. */
    fit.p = isinf(fit.chi_square)
                ? 0
                : statistic_chi_square_tail(fit.chi_square, categories ? categories - 1 : 0);
    return fit;
}

static double share(uint64_t hits, uint64_t count)
{
    return count ? (double)(hits < count ? hits : count) / (double)count : 0;
}

struct statistic_interval statistic_proportion(uint64_t hits, uint64_t count)
{
    if (!count) return (struct statistic_interval){ 0, 1 };
    double n = (double)count, p = share(hits, count);
    double shrink = 1 + Z_95 * Z_95 / n;
    double middle = (p + Z_95 * Z_95 / (2 * n)) / shrink;
    double half = Z_95 / shrink * sqrt(p * (1 - p) / n + Z_95 * Z_95 / (4 * n * n));
    return (struct statistic_interval){ hits ? fmax(middle - half, 0) : 0,
                                        hits < count ? fmin(middle + half, 1) : 1 };
}

static double z_of_difference(uint64_t first_hits, uint64_t first_count, uint64_t second_hits,
                              uint64_t second_count)
{
    if (!first_count || !second_count) return 0;
    double n1 = (double)first_count, n2 = (double)second_count;
    double p1 = share(first_hits, first_count), p2 = share(second_hits, second_count);
    double pooled = (p1 * n1 + p2 * n2) / (n1 + n2);
    double variance = pooled * (1 - pooled) * (1 / n1 + 1 / n2);
    return variance > 0 ? (p2 - p1) / sqrt(variance) : 0;
}

struct statistic_difference statistic_difference(uint64_t first_hits, uint64_t first_count,
                                                 uint64_t second_hits, uint64_t second_count)
{
    struct statistic_difference out = { 0 };
    struct statistic_interval first = statistic_proportion(first_hits, first_count);
    struct statistic_interval second = statistic_proportion(second_hits, second_count);
    double p1 = share(first_hits, first_count), p2 = share(second_hits, second_count);
    out.difference = p2 - p1;
    out.interval = (struct statistic_interval){ -1, 1 };
    if (first_count && second_count) {
        out.interval.low = out.difference - hypot(p2 - second.low, first.high - p1);
        out.interval.high = out.difference + hypot(second.high - p2, p1 - first.low);
    }
    out.z = z_of_difference(first_hits, first_count, second_hits, second_count);
    out.p = erfc(fabs(out.z) / M_SQRT2);
    return out;
}

/* The cell of the value of that rank, from 1; `rank` is at most the number of values. */
static uint32_t cell_of_rank(const uint64_t *cells, double rank)
{
    double seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_CELLS - 1; i++) {
        seen += (double)cells[i];
        if (seen >= rank) return i;
    }
    return HISTOGRAM_CELLS - 1;
}

struct statistic_quantile statistic_quantile(const uint64_t *cells, double q)
{
    struct statistic_quantile out = { .interval = { 0, INFINITY } };
    double count = (double)histogram_count(cells), middle = count * q;
    double half = Z_95 * sqrt(middle * (1 - q));
    double low_rank = ceil(middle - half), high_rank = ceil(middle + half);
    out.value = histogram_quantile(cells, q);
    if (low_rank >= 1) out.interval.low = (double)histogram_cell_low(cell_of_rank(cells, low_rank));
    if (count < 1 || high_rank > count) return out;
    uint32_t cell = cell_of_rank(cells, high_rank);
    if (cell < HISTOGRAM_CELLS - 1) /* the last one has all that is larger, too */
        out.interval.high = (double)(histogram_cell_low(cell) + histogram_cell_width(cell));
    return out;
}
