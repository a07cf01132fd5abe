#include "metric/distribution.h"

#include <math.h>
#include <stdbool.h>

#define BETA_STEPS_MAX 20000
/* Ranks are found so exactly: a tenth of what metric/statistic.c takes for none. */
#define RANK_WIDTH 1e-7
#define RANK_HALVINGS 50
/* A binomial variable of a larger variance is taken for a normal one. */
#define NORMAL_FROM_VARIANCE 1000.0
/* Where less than five hits are expected, so many are as good as never. */
#define FISHER_HITS_MAX 2000u

static double log_gamma(double x)
{
    int sign;
    return lgamma_r(x, &sign);
}

static double log_beta(double a, double b)
{
    return log_gamma(a) + log_gamma(b) - log_gamma(a + b);
}

/* The continued fraction of I_x(a, b) (DLMF 8.17.22) from its front (W. J. Lentz's method); it needs few steps where
 * x < (a + 1)/(a + b + 2), about the root of the larger of a and b at most. */
static double beta_fraction(double x, double a, double b)
{
    double value = 1, above = 1, below = 0;
    for (int step = 1; step <= BETA_STEPS_MAX; step++) {
        int m = step / 2;
        double term = step % 2 ? -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
                               : m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        below = 1 / (1 + term * below);
        above = 1 + term / above;
        value *= above * below;
        if (fabs(above * below - 1) < 1e-15) break;
    }
    return 1 / value;
}

double distribution_beta(double x, double a, double b)
{
    if (!(x > 0)) return 0;
    if (x >= 1) return 1;
    double front = exp(a * log(x) + b * log1p(-x) - log_beta(a, b));
    if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(x, a, b) / a;
    return 1 - front * beta_fraction(1 - x, b, a) / b;
}

double distribution_t_tail(double t, double degrees)
{
    t = fabs(t);
    if (isinf(t)) return 0;
    if (degrees > 1e7) return erfc(t / M_SQRT2);
    return distribution_beta(degrees / (degrees + t * t), degrees / 2, 0.5);
}

double distribution_t_95(double degrees)
{
    if (degrees > 1e7) return DISTRIBUTION_Z_95;
    double low = 1, high = 2;
    while (high < 1e9 && distribution_t_tail(high, degrees) > 0.05) high *= 2;
    while (high - low > high * 1e-12) {
        double middle = (low + high) / 2;
        *(distribution_t_tail(middle, degrees) > 0.05 ? &low : &high) = middle;
    }
    return high;
}

double distribution_f_tail(double f, double degrees_above, double degrees_below)
{
    if (isinf(f)) return 0;
    if (!(f > 0)) return 1;
    if (degrees_below > 1e7) degrees_below = 1e7;
    return distribution_beta(degrees_below / (degrees_below + degrees_above * f), degrees_below / 2,
                             degrees_above / 2);
}

/* A rank between `low` and `high`, at which the tail on its side is `tail`. */
struct rank_search {
    double count, q, tail;
    bool is_upper;
    double low, high;
};

/* How often fewer than `rank` of the values are at most the quantile; or how often so many. */
static bool is_outside(const struct rank_search *s, double rank)
{
    double beyond = s->count - rank + 1;
    return (s->is_upper ? distribution_beta(s->q, rank, beyond)
                        : distribution_beta(1 - s->q, beyond, rank)) <= s->tail;
}

static void try_rank(struct rank_search *s, double rank)
{
    if (rank > s->low && rank < s->high) *(is_outside(s, rank) == s->is_upper ? &s->high : &s->low) = rank;
}

/* By halving what lies around the normal distribution's; should it not lie there, around the rest. */
static void find_rank(struct rank_search *s, double normal, double z)
{
    double reach = 1 + z * z / 2;
    try_rank(s, normal - reach);
    try_rank(s, normal + reach);
    for (int i = 0; i < RANK_HALVINGS && s->high - s->low > RANK_WIDTH; i++)
        try_rank(s, (s->low + s->high) / 2);
}

struct distribution_ranks distribution_quantile_ranks(double count, double q, double z)
{
    double variance = count * q * (1 - q), half = z * sqrt(variance), tail = erfc(z / M_SQRT2) / 2;
    struct distribution_ranks out = { count * q - half + 0.5, count * q + half + 0.5 };
    if (variance > NORMAL_FROM_VARIANCE) return out;
    struct rank_search low = { count, q, tail, false, 0, count + 1 };
    struct rank_search high = { count, q, tail, true, 0, count + 1 };
    find_rank(&low, out.low, z);
    find_rank(&high, out.high, z);
    return (struct distribution_ranks){ low.low, high.high };
}

struct table {
    double hits, others, count; /* of both; and how many the one has whose hits are told */
};

/* The logarithm of how likely `k` is; only differences matter. */
static double log_likelihood(const struct table *t, double k)
{
    return -log_gamma(k + 1) - log_gamma(t->hits - k + 1) - log_gamma(t->count - k + 1) -
           log_gamma(t->others - t->count + k + 1);
}

double distribution_fisher_mid_p(uint64_t first_hits, uint64_t first_count, uint64_t second_hits,
                                 uint64_t second_count)
{
    bool is_first_fewer = first_count < second_count;
    uint64_t seen = is_first_fewer ? first_hits : second_hits;
    uint64_t count = is_first_fewer ? first_count : second_count;
    uint64_t hits = first_hits + second_hits, all = first_count + second_count, others = all - hits;
    if (others < hits) { /* the rarer of the two outcomes is told */
        hits = others;
        others = all - hits;
        seen = count - seen;
    }
    if (seen > FISHER_HITS_MAX) return 0;
    const struct table t = { (double)hits, (double)others, (double)count };
    uint64_t least = count > others ? count - others : 0, most = hits < count ? hits : count;
    double at_seen = log_likelihood(&t, (double)seen), less = 0, as_much = 0, more = 0;
    for (uint64_t k = least; k <= most && k <= least + FISHER_HITS_MAX; k++) {
        double off = log_likelihood(&t, (double)k) - at_seen;
        *(off < -1e-7 ? &less : off > 1e-7 ? &more : &as_much) += exp(off);
    }
    return isinf(more) ? 0 : (less + as_much / 2) / (less + as_much + more);
}
