#include "metric/statistic.h"

#include <math.h>

#include "metric/distribution.h"

#define Z_95 DISTRIBUTION_Z_95
#define ALPHA 0.05
/* Where the confidence sequences are narrowest, in what they have seen so far: some ten times as much. Hits are what a
 * difference of shares is seen by, requests what shares off the weights are. */
#define MIXTURE_HITS 30.0
#define MIXTURE_COUNT 1000.0
#define FISHER_EXPECTED 5.0

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

/* How often chance alone ever makes so large a sum, in all looks from the first on: the inverse of a normal mixture's
 * likelihood ratio (J. Ville's inequality). `seen` is the effective number of requests. */
static double always_of_fit(double sum, uint32_t degrees, double seen)
{
    double spread = seen / MIXTURE_COUNT;
    double log_p = degrees * log1p(spread) / 2 - sum * spread / (2 * (1 + spread));
    return log_p < 0 ? exp(log_p) : 1;
}

struct statistic_fit statistic_fit(const uint64_t *counts, const double *shares, uint32_t count,
                                   const struct cluster_effect *effect)
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
    if (isinf(fit.chi_square)) return fit;
    uint32_t degrees = categories ? categories - 1 : 0;
    fit.chi_square /= effect->effect;
    fit.p = degrees == 0 ? 1
            : isinf(effect->degrees)
                ? statistic_chi_square_tail(fit.chi_square, degrees)
                : distribution_f_tail(fit.chi_square / degrees, degrees, effect->degrees);
    fit.always_p = always_of_fit(fit.chi_square, degrees, all / effect->effect);
    return fit;
}

static double share_of(const struct statistic_share *s)
{
    return s->count ? (double)(s->hits < s->count ? s->hits : s->count) / (double)s->count : 0;
}

static double effective_count(const struct statistic_share *s)
{
    return (double)s->count / s->effect.effect;
}

struct statistic_interval statistic_proportion(const struct statistic_share *s)
{
    if (!s->count) return (struct statistic_interval){ 0, 1 };
    double t = distribution_t_95(s->effect.degrees) / Z_95, p = share_of(s);
    double n = effective_count(s) / (t * t);
    double shrink = 1 + Z_95 * Z_95 / n;
    double middle = (p + Z_95 * Z_95 / (2 * n)) / shrink;
    double half = Z_95 / shrink * sqrt(p * (1 - p) / n + Z_95 * Z_95 / (4 * n * n));
    return (struct statistic_interval){ s->hits ? fmax(middle - half, 0) : 0,
                                        s->hits < s->count ? fmin(middle + half, 1) : 1 };
}

/* A difference whose shares are taken to be one: its variance. */
struct pooled {
    double share, variance, degrees;
    double effect; /* of both */
};

static struct pooled pool_shares(const struct statistic_share *a, const struct statistic_share *b)
{
    double n1 = (double)a->count, n2 = (double)b->count;
    struct pooled out = { .share = (share_of(a) * n1 + share_of(b) * n2) / (n1 + n2) };
    double v1 = a->effect.effect / n1, v2 = b->effect.effect / n2;
    out.variance = out.share * (1 - out.share) * (v1 + v2);
    out.degrees = (v1 + v2) * (v1 + v2) / (v1 * v1 / a->effect.degrees + v2 * v2 / b->effect.degrees);
    out.effect = (a->effect.effect * n1 + b->effect.effect * n2) / (n1 + n2);
    return out;
}

/* Whether one of the table's four expected counts is too small for a normal variable. */
static bool is_sparse(const struct statistic_share *a, const struct statistic_share *b,
                      const struct pooled *both)
{
    double fewer = (double)(a->count < b->count ? a->count : b->count) / both->effect;
    return fewer * fmin(both->share, 1 - both->share) < FISHER_EXPECTED;
}

static double fisher(const struct statistic_share *a, const struct statistic_share *b, double effect)
{
    uint64_t rounded[4];
    const struct statistic_share *shares[] = { a, b };
    for (unsigned i = 0; i < 2; i++) {
        uint64_t hits = shares[i]->hits < shares[i]->count ? shares[i]->hits : shares[i]->count;
        rounded[2 * i] = (uint64_t)((double)hits / effect + 0.5);
        rounded[2 * i + 1] = rounded[2 * i] + (uint64_t)((double)(shares[i]->count - hits) / effect + 0.5);
    }
    return distribution_fisher_mid_p(rounded[0], rounded[1], rounded[2], rounded[3]);
}

/* How many standard deviations the sequence goes to either side, when as much was seen as these hits tell. */
static double mixture_z(double hits, double alpha)
{
    double part = MIXTURE_HITS / hits;
    return sqrt((1 + part) * log((1 + 1 / part) / (alpha * alpha)));
}

/* The hits that the variance of a difference of shares tells, when both are `share`. */
static double hits_of(double share, double variance)
{
    double each = share * (1 - share);
    return each * each / variance;
}

/* `a` and `b` are the intervals of each share by itself. */
static struct statistic_interval always_within(const struct statistic_share *first,
                                               const struct statistic_share *second,
                                               const struct statistic_interval *a,
                                               const struct statistic_interval *b, double alpha)
{
    struct statistic_interval out = { -1, 1 };
    if (!first->count || !second->count) return out;
    struct pooled both = pool_shares(first, second);
    if (!(both.variance > 0)) return out;
    double p1 = share_of(first), p2 = share_of(second);
    double width = mixture_z(hits_of(both.share, both.variance), alpha) / Z_95;
    out.low = fmax(p2 - p1 - hypot(p2 - b->low, a->high - p1) * width, -1);
    out.high = fmin(p2 - p1 + hypot(b->high - p2, p1 - a->low) * width, 1);
    return out;
}

struct statistic_interval statistic_difference_always(const struct statistic_share *first,
                                                      const struct statistic_share *second, double alpha)
{
    struct statistic_interval a = statistic_proportion(first), b = statistic_proportion(second);
    return always_within(first, second, &a, &b, alpha);
}

struct statistic_difference statistic_difference(const struct statistic_share *first,
                                                 const struct statistic_share *second)
{
    struct statistic_interval a = statistic_proportion(first), b = statistic_proportion(second);
    double p1 = share_of(first), p2 = share_of(second);
    struct statistic_difference out = { .difference = p2 - p1, .interval = { -1, 1 }, .p = 1 };
    out.always = always_within(first, second, &a, &b, ALPHA);
    if (!first->count || !second->count) return out;
    out.interval.low = out.difference - hypot(p2 - b.low, a.high - p1);
    out.interval.high = out.difference + hypot(b.high - p2, p1 - a.low);
    struct pooled both = pool_shares(first, second);
    if (!(both.variance > 0)) return out;
    out.z = out.difference / sqrt(both.variance);
    out.p = is_sparse(first, second, &both) ? fisher(first, second, both.effect)
                                            : distribution_t_tail(out.z, both.degrees);
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

/* With an interval of so many standard deviations to either side. */
static struct statistic_quantile quantile_within(const uint64_t *cells, double q,
                                                 const struct cluster_effect *effect, double z)
{
    struct statistic_quantile out = { .interval = { 0, INFINITY } };
    double count = (double)histogram_count(cells);
    out.value = histogram_quantile(cells, q);
    if (count < 1) return out;
    double t = distribution_t_95(effect->degrees) / Z_95, each = effect->effect * t * t;
    struct distribution_ranks ranks = distribution_quantile_ranks(count / each, q, z);
    /* A hair's breadth for whole ranks, which are found by halving. */
    double low_rank = floor((ranks.low + 1e-6) * each), high_rank = ceil((ranks.high - 1e-6) * each);
    if (ranks.low + 1e-6 >= 1) out.interval.low = (double)histogram_cell_low(cell_of_rank(cells, low_rank));
    if (ranks.high - 1e-6 > count / each || high_rank > count) return out;
    uint32_t cell = cell_of_rank(cells, high_rank);
    if (cell < HISTOGRAM_CELLS - 1) /* the last one has all that is larger, too */
        out.interval.high = (double)(histogram_cell_low(cell) + histogram_cell_width(cell));
    return out;
}

struct statistic_quantile statistic_quantile(const uint64_t *cells, double q,
                                             const struct cluster_effect *effect)
{
    return quantile_within(cells, q, effect, Z_95);
}

struct statistic_shift statistic_shift(const struct statistic_quantile *first,
                                       const struct statistic_quantile *second)
{
    double a = (double)first->value, b = (double)second->value;
    const struct statistic_interval *i = &first->interval, *j = &second->interval;
    struct statistic_shift out = { .difference = b - a };
    bool has_low = j->low > 0 && isfinite(i->high), has_high = i->low > 0 && isfinite(j->high);
    out.interval.low = has_low ? out.difference - hypot(b - j->low, i->high - a) : -INFINITY;
    out.interval.high = has_high ? out.difference + hypot(j->high - b, a - i->low) : INFINITY;
    return out;
}

struct statistic_shift statistic_shift_always(const struct statistic_sample *first,
                                              const struct statistic_sample *second, double q, double alpha)
{
    double n1 = (double)histogram_count(first->cells), n2 = (double)histogram_count(second->cells);
    struct statistic_shift none = { 0, { -INFINITY, INFINITY } };
    if (n1 < 1 || n2 < 1) return none;
    double variance = q * (1 - q) * (first->effect.effect / n1 + second->effect.effect / n2);
    double z = mixture_z(hits_of(q, variance), alpha);
    struct statistic_quantile a = quantile_within(first->cells, q, &first->effect, z);
    struct statistic_quantile b = quantile_within(second->cells, q, &second->effect, z);
    return statistic_shift(&a, &b);
}
