#include "route/split_report.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const double quantiles[SPLIT_QUANTILES] = { 0.5, 0.95, 0.99 };

/* What a variant's counts come to. */
struct totals {
    uint64_t requests[SPLIT_BUCKETS], errors[SPLIT_BUCKETS];
    uint64_t rows[SPLIT_ROWS];
    uint64_t all, all_errors;
};

/* How alike the requests of a unit are: in number, in errors, in being below each quantile. */
struct likeness {
    struct cluster_sums requests, errors, quantiles[SPLIT_QUANTILES];
};

static bool has_row(const struct split_counts *c, uint32_t row)
{
    const uint64_t *cells = &c->cells[row * SPLIT_ROW_CELLS];
    for (uint32_t i = 0; i < SPLIT_ROW_CELLS; i++)
        if (cells[i]) return true;
    return false;
}

static void sum_up(const struct split_counts *c, struct totals *t)
{
    memset(t, 0, sizeof(*t));
    for (uint32_t row = 0; row < SPLIT_ROWS; row++) {
        if (!has_row(c, row)) continue;
        for (uint32_t b = 0; b < SPLIT_BUCKETS; b++) {
            t->requests[b] += c->rows[row][b];
            t->rows[row] += c->rows[row][b];
        }
        t->all += t->rows[row];
    }
    for (uint32_t b = 0; b < SPLIT_BUCKETS; b++) {
        /* While they grow a reader may see an error before its request. */
        t->errors[b] = c->errors[b] < t->requests[b] ? c->errors[b] : t->requests[b];
        t->all_errors += t->errors[b];
    }
}

static double logit(double share)
{
    return log(share / (1 - share));
}

/* After which row the share of shorter durations is nearest to q; SPLIT_ROWS if one row has them all. */
static uint32_t row_of_quantile(const struct totals *t, double q)
{
    uint32_t nearest = SPLIT_ROWS;
    double nearest_off = INFINITY;
    uint64_t below = 0;
    for (uint32_t row = 0; row < SPLIT_ROWS; row++) {
        below += t->rows[row];
        if (!t->rows[row] || below == t->all) continue;
        double off = fabs(logit((double)below / (double)t->all) - logit(q));
        if (off >= nearest_off) continue;
        nearest_off = off;
        nearest = row;
    }
    return nearest;
}

/* Of the share of durations below the quantile, at the nearest edge of a row: whoever has slow requests has several. */
static struct cluster_sums likeness_at(const struct split_counts *c, const struct totals *t, double q)
{
    uint64_t below[SPLIT_BUCKETS] = { 0 };
    uint32_t last = row_of_quantile(t, q);
    if (last == SPLIT_ROWS) return (struct cluster_sums){ 0 };
    for (uint32_t row = 0; row <= last; row++)
        for (uint32_t b = 0; t->rows[row] && b < SPLIT_BUCKETS; b++) below[b] += c->rows[row][b];
    return cluster_of_share(below, t->requests, SPLIT_BUCKETS);
}

static void take_tally(struct split_report_variant *v, struct likeness *own, const struct split_tally *tally)
{
    struct totals t;
    sum_up(tally->counts, &t);
    own->requests = cluster_of_counts(t.requests, SPLIT_BUCKETS);
    own->errors = cluster_of_share(t.errors, t.requests, SPLIT_BUCKETS);
    for (uint32_t i = 0; i < SPLIT_QUANTILES; i++)
        own->quantiles[i] = likeness_at(tally->counts, &t, quantiles[i]);
    *v = (struct split_report_variant){ .name = tally->name,
                                        .expected_share = (double)tally->weight / SPLIT_PLACES,
                                        .requests = t.all,
                                        .errors = t.all_errors,
                                        .error_share = t.all ? (double)t.all_errors / (double)t.all : 0,
                                        .effect = cluster_effect(&own->requests),
                                        .error_difference = { .p = 1 } };
}

static void merge(struct likeness *into, const struct likeness *from)
{
    cluster_merge(&into->requests, &from->requests);
    cluster_merge(&into->errors, &from->errors);
    for (uint32_t i = 0; i < SPLIT_QUANTILES; i++) cluster_merge(&into->quantiles[i], &from->quantiles[i]);
}

/* A variant with few users shows little of how alike they are, and where it had luck it shows both few errors and little
 * likeness: the effect is not taken for smaller than that of all variants together. Where none shows anything, users might
 * be wholly alike: the effect of the requests' number, the most that it can be. */
static struct cluster_effect effect_of(const struct cluster_sums *own, const struct cluster_sums *all,
                                       const struct cluster_effect *most)
{
    struct cluster_effect mine = cluster_effect(own), common = cluster_effect(all);
    if (!all->buckets) return *most;
    return mine.effect >= common.effect ? mine : common;
}

static struct statistic_share errors_of(const struct split_report_variant *v)
{
    return (struct statistic_share){ v->errors, v->requests, v->error_effect };
}

static void estimate(struct split_report_variant *v, const uint64_t *cells, const struct likeness *own,
                     const struct likeness *all)
{
    v->error_effect = effect_of(&own->errors, &all->errors, &v->effect);
    struct statistic_share errors = errors_of(v);
    v->error_interval = statistic_proportion(&errors);
    for (uint32_t i = 0; i < SPLIT_QUANTILES; i++) {
        struct cluster_effect effect = effect_of(&own->quantiles[i], &all->quantiles[i], &v->effect);
        v->quantiles[i] = statistic_quantile(cells, quantiles[i], &effect);
    }
}

static void compare_variants(struct split_report_variant *v, const struct split_report_variant *first)
{
    struct statistic_share a = errors_of(first), b = errors_of(v);
    v->error_difference = statistic_difference(&a, &b);
    for (uint32_t i = 0; i < SPLIT_QUANTILES; i++)
        v->shifts[i] = statistic_shift(&first->quantiles[i], &v->quantiles[i]);
}

static struct statistic_fit fit_of(const struct split_report *r)
{
    uint64_t requests[SPLIT_VARIANTS_MAX];
    double shares[SPLIT_VARIANTS_MAX];
    for (uint32_t i = 0; i < r->count; i++) {
        requests[i] = r->variants[i].requests;
        shares[i] = r->variants[i].expected_share;
    }
    return statistic_fit(requests, shares, r->count, &r->effect);
}

void split_report_fill(struct split_report *out, const struct split_tally *tallies, uint32_t count)
{
    struct likeness own[SPLIT_VARIANTS_MAX], all = { 0 };
    assert(count >= 1 && count <= SPLIT_VARIANTS_MAX);
    out->count = count;
    out->requests = 0;
    for (uint32_t i = 0; i < count; i++) {
        take_tally(&out->variants[i], &own[i], &tallies[i]);
        merge(&all, &own[i]);
        out->requests += out->variants[i].requests;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct split_report_variant *v = &out->variants[i];
        v->share = out->requests ? (double)v->requests / (double)out->requests : 0;
        estimate(v, tallies[i].counts->cells, &own[i], &all);
        if (i) compare_variants(v, &out->variants[0]);
    }
    out->effect = cluster_effect(&all.requests);
    out->sample_ratio = fit_of(out);
    out->is_alarm = out->sample_ratio.p < SPLIT_ALARM_P;
    out->is_alarm_always = out->sample_ratio.always_p < SPLIT_ALARM_P;
}

static const struct statistic_shift unbounded = { 0, { -INFINITY, INFINITY } };

static struct statistic_shift contrast_errors(const struct split_report_variant *first,
                                              const struct split_report_variant *v, double alpha)
{
    struct statistic_share a = errors_of(first), b = errors_of(v);
    if (!a.count || !b.count) return unbounded;
    return (struct statistic_shift){ v->error_share - first->error_share,
                                     statistic_difference_always(&a, &b, alpha) };
}

void split_contrast_fill(struct split_contrast *out, const struct split_tally *tallies, uint32_t count,
                         uint32_t variant, unsigned figures, double alpha)
{
    struct likeness own[SPLIT_VARIANTS_MAX], all = { 0 };
    struct split_report r = { .count = count };
    assert(count >= 2 && count <= SPLIT_VARIANTS_MAX && variant >= 1 && variant < count);
    for (uint32_t i = 0; i < count; i++) {
        take_tally(&r.variants[i], &own[i], &tallies[i]);
        merge(&all, &own[i]);
        r.requests += r.variants[i].requests;
    }
    struct split_report_variant *a = &r.variants[0], *b = &r.variants[variant];
    *out = (struct split_contrast){ .requests = b->requests, .first_requests = a->requests };
    a->error_effect = effect_of(&own[0].errors, &all.errors, &a->effect);
    b->error_effect = effect_of(&own[variant].errors, &all.errors, &b->effect);
    out->figures[SPLIT_ERRORS] = figures & 1u << SPLIT_ERRORS ? contrast_errors(a, b, alpha) : unbounded;
    for (uint32_t i = 0; i < SPLIT_QUANTILES; i++) {
        out->figures[SPLIT_OF_P50 + i] = unbounded;
        if (!(figures & 1u << (SPLIT_OF_P50 + i))) continue;
        const struct statistic_sample first = {
            tallies[0].counts->cells, effect_of(&own[0].quantiles[i], &all.quantiles[i], &a->effect)
        };
        const struct statistic_sample second = { tallies[variant].counts->cells,
                                                 effect_of(&own[variant].quantiles[i], &all.quantiles[i],
                                                           &b->effect) };
        out->figures[SPLIT_OF_P50 + i] = statistic_shift_always(&first, &second, quantiles[i], alpha);
    }
    r.effect = cluster_effect(&all.requests);
    out->is_alarm = fit_of(&r).always_p < SPLIT_ALARM_P;
}
