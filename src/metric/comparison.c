#include "metric/comparison.h"

#include <math.h>

static const double quantiles[COMPARISON_QUANTILES] = { 0.5, 0.95, 0.99 };

static struct cluster_effect effect_of_errors(const struct comparison_side *s)
{
    struct cluster_sums sums = cluster_of_share(s->slots.errors, s->slots.requests, s->slots.count);
    return cluster_effect(&sums);
}

/* Of both, each by its own mean: that they differ is not to be taken for unrest. */
static struct cluster_effect effect_of_rates(const struct comparison_side *before,
                                             const struct comparison_side *after)
{
    struct cluster_sums sums = { 0 };
    const struct comparison_side *sides[] = { before, after };
    for (int i = 0; i < 2; i++) {
        if (sides[i]->slots.count < 2) continue;
        struct cluster_sums own = cluster_of_counts(sides[i]->slots.requests, sides[i]->slots.count);
        cluster_merge(&sums, &own);
    }
    return cluster_effect(&sums);
}

static double compare_rates(const struct comparison_side *before, const struct comparison_side *after)
{
    const uint64_t counts[] = { before->requests, after->requests };
    double all = before->seconds + after->seconds;
    const double shares[] = { before->seconds / all, after->seconds / all };
    if (!counts[0] && !counts[1]) return 1;
    struct cluster_effect effect = effect_of_rates(before, after);
    return statistic_fit(counts, shares, 2, &effect).always_p;
}

static struct statistic_shift compare_errors(const struct comparison_side *before,
                                             const struct comparison_side *after)
{
    const struct statistic_share a = { before->errors, before->requests, effect_of_errors(before) };
    const struct statistic_share b = { after->errors, after->requests, effect_of_errors(after) };
    if (!a.count || !b.count) return (struct statistic_shift){ 0, { -INFINITY, INFINITY } };
    return (struct statistic_shift){ (double)b.hits / (double)b.count - (double)a.hits / (double)a.count,
                                     statistic_difference_always(&a, &b, COMPARISON_ALPHA) };
}

void comparison_fill(struct comparison *out, const struct comparison_side *before,
                     const struct comparison_side *after)
{
    const struct cluster_effect independent = { 1, INFINITY };
    const struct statistic_sample a = { before->cells, independent }, b = { after->cells, independent };
    out->rates[0] = (double)before->requests / before->seconds;
    out->rates[1] = (double)after->requests / after->seconds;
    out->rate_p = compare_rates(before, after);
    out->errors = compare_errors(before, after);
    for (int i = 0; i < COMPARISON_QUANTILES; i++) {
        out->quantiles[0][i] = histogram_quantile(before->cells, quantiles[i]);
        out->quantiles[1][i] = histogram_quantile(after->cells, quantiles[i]);
        out->shifts[i] = statistic_shift_always(&a, &b, quantiles[i], COMPARISON_ALPHA);
    }
}
