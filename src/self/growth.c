#include "self/growth.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define PAIRS_MAX (GROWTH_POINTS_MAX * (GROWTH_POINTS_MAX - 1) / 2)
#define PART_COUNT 4u
/* Moments count as of the same load within this part of the load's range. */
#define SAME_LOAD 0.1
/* A half of the series that rises less than this part of the whole does not rise. */
#define HALF_SHARE 0.25
/* From here on value and load go together so closely that nothing is left to be tested. */
#define RHO_MAX 0.99
/* Neighbours that resemble each other more than this are no samples at all. */
#define NEIGHBOURS_MAX 0.95

const char *const growth_verdict_names[] = {
    [GROWTH_UNKNOWN] = "unknown", [GROWTH_STEADY] = "steady", [GROWTH_WITH_LOAD] = "with_load",
    [GROWTH_STAYED] = "stayed",   [GROWTH_LEAK] = "leak",
};

struct series {
    struct growth_point points[GROWTH_POINTS_MAX];
    uint32_t count;
};

static bool is_finite(const struct growth_point *p)
{
    return isfinite(p->time_s) && isfinite(p->value) && isfinite(p->load);
}

static void add_mean(struct series *s, const struct growth_point *points, uint32_t count)
{
    struct growth_point sum = { 0 };
    double used = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_finite(&points[i])) continue;
        sum.time_s += points[i].time_s;
        sum.value += points[i].value;
        sum.load += points[i].load;
        used++;
    }
    sum = (struct growth_point){ sum.time_s / used, sum.value / used, sum.load / used };
    if (used > 0 && is_finite(&sum)) s->points[s->count++] = sum;
}

/* Means of runs of equal length; the last may be shorter. */
static void condense(struct series *s, const struct growth_point *points, uint32_t count)
{
    uint32_t run = count / GROWTH_POINTS_MAX + (count % GROWTH_POINTS_MAX ? 1 : 0);
    s->count = 0;
    for (uint32_t at = 0; at < count; at += run)
        add_mean(s, points + at, count - at < run ? count - at : run);
}

static double sign(double x)
{
    return (x > 0) - (x < 0);
}

static void swap(double *x, double *y)
{
    double kept = *x;
    *x = *y;
    *y = kept;
}

/* The upper median, by Hoare's selection (CACM 4, 1961); the array is left in another order. */
static double find_median(double *x, uint32_t count)
{
    int64_t low = 0, high = (int64_t)count - 1, middle = count / 2;
    while (low < high) {
        double pivot = x[middle];
        int64_t i = low, j = high;
        while (i <= j) {
            while (x[i] < pivot) i++;
            while (x[j] > pivot) j--;
            if (i <= j) swap(&x[i++], &x[j--]);
        }
        if (j < middle) low = i;
        if (i > middle) high = j;
    }
    return x[middle];
}

/* Kendall's statistics of value and load against time, and their variances under chance. */
struct kendall {
    double value, load;
    double value_variance, load_variance, covariance;
};

/* Dietz and Killeen: (K + 4 * sum of products of ranks - n(n+1)^2) / 3; right with ties too. */
static double covariance(double concordance, double rank_products, double n)
{
    return (concordance + 4 * rank_products - n * (n + 1) * (n + 1)) / 3;
}

static void find_kendall(const struct series *s, struct kendall *k)
{
    double n = s->count, vv = 0, ll = 0, vl = 0; /* concordance of pairs */
    double rank_vv = 0, rank_ll = 0, rank_vl = 0;
    *k = (struct kendall){ 0 };
    for (uint32_t j = 0; j < s->count; j++) {
        double rank_value = (n + 1) / 2, rank_load = (n + 1) / 2;
        for (uint32_t i = 0; i < s->count; i++) {
            double v = sign(s->points[j].value - s->points[i].value),
                   l = sign(s->points[j].load - s->points[i].load);
            rank_value += v / 2;
            rank_load += l / 2;
            if (i >= j) continue;
            k->value += v;
            k->load += l;
            vv += v * v;
            ll += l * l;
            vl += v * l;
        }
        rank_vv += rank_value * rank_value;
        rank_ll += rank_load * rank_load;
        rank_vl += rank_value * rank_load;
    }
    k->value_variance = covariance(vv, rank_vv, n);
    k->load_variance = covariance(ll, rank_ll, n);
    k->covariance = covariance(vl, rank_vl, n);
}

#define PART_MAX (GROWTH_POINTS_MAX / PART_COUNT + 1)

/* Part of a series as columns about their means: residuals begins as the values. */
struct part {
    double regressors[3][PART_MAX]; /* time, load, all load so far */
    double residuals[PART_MAX];
    uint32_t count;
};

static void centre(double *x, uint32_t count)
{
    double mean = 0;
    for (uint32_t i = 0; i < count; i++) mean += x[i] / count;
    for (uint32_t i = 0; i < count; i++) x[i] -= mean;
}

static void fill_part(struct part *p, const struct growth_point *points, uint32_t count)
{
    double load = 0;
    p->count = count;
    for (uint32_t i = 0; i < count; i++) {
        load += points[i].load;
        p->regressors[0][i] = points[i].time_s;
        p->regressors[1][i] = points[i].load;
        p->regressors[2][i] = load;
        p->residuals[i] = points[i].value;
    }
    for (uint32_t r = 0; r < 3; r++) centre(p->regressors[r], count);
    centre(p->residuals, count);
}

static double product(const double *x, const double *y, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) sum += x[i] * y[i];
    return sum;
}

/* Takes out of y what x explains. */
static void project_out(const double *x, double square, double *y, uint32_t count)
{
    double share = product(x, y, count) / square;
    for (uint32_t i = 0; i < count; i++) y[i] -= share * x[i];
}

/* What the regressors leave, by least squares (Gram and Schmidt). */
static void find_residuals(struct part *p)
{
    for (uint32_t r = 0; r < 3; r++) {
        double *x = p->regressors[r], before = product(x, x, p->count);
        for (uint32_t q = 0; q < r; q++) {
            double square = product(p->regressors[q], p->regressors[q], p->count);
            if (square > 0) project_out(p->regressors[q], square, x, p->count);
        }
        double left = product(x, x, p->count);
        if (left <= 1e-9 * before) /* nothing new in it */
            memset(x, 0, p->count * sizeof(*x));
        else
            project_out(x, left, p->residuals, p->count);
    }
}

/* Correlation of each residual with the next, and what is missing in it for so few points (Kendall, Biometrika 41,
 * 1954). */
static double part_neighbours(const struct growth_point *points, uint32_t count)
{
    struct part p;
    fill_part(&p, points, count);
    double scale = product(p.residuals, p.residuals, count);
    find_residuals(&p);
    double squares = product(p.residuals, p.residuals, count);
    double r = squares > 1e-12 * scale ? product(p.residuals, p.residuals + 1, count - 1) / squares : 0;
    return r + (1 + 4 * r) / count;
}

/* The median of the parts, so that one jump, or one bend, does not pass for noise that drifts. */
static double find_neighbours(const struct series *s)
{
    double r[PART_COUNT];
    for (uint32_t part = 0; part < PART_COUNT; part++) {
        uint32_t from = s->count * part / PART_COUNT, to = s->count * (part + 1) / PART_COUNT;
        r[part] = part_neighbours(s->points + from, to - from);
    }
    double median = find_median(r, PART_COUNT);
    return median < 0 ? 0 : median > NEIGHBOURS_MAX ? NEIGHBOURS_MAX : median;
}

static double chance_of(double statistic, double variance)
{
    return variance > 0 ? erfc(statistic / sqrt(variance) / M_SQRT2) / 2 : 1;
}

/* p of a rise: with the load left aside, and as it is. */
struct chances {
    double given_load, plain;
    double rho;
};

static void find_chances(const struct series *s, struct chances *c)
{
    struct kendall k;
    find_kendall(s, &k);
    double r = find_neighbours(s), inflation = (1 + r) / (1 - r);
    bool is_load_known = k.load_variance > 0 && k.value_variance > 0;
    c->rho = is_load_known ? k.covariance / sqrt(k.load_variance * k.value_variance) : 0;
    c->plain = chance_of(k.value, k.value_variance * inflation);
    double by_load = is_load_known ? k.covariance / k.load_variance * k.load : 0;
    c->given_load = chance_of(k.value - by_load, k.value_variance * (1 - c->rho * c->rho) * inflation);
    if (fabs(c->rho) > RHO_MAX) c->given_load = 1;
}

static double load_range(const struct series *s)
{
    double least = s->points[0].load, most = least;
    for (uint32_t i = 1; i < s->count; i++) {
        least = fmin(least, s->points[i].load);
        most = fmax(most, s->points[i].load);
    }
    return most - least;
}

struct range {
    uint32_t from, to;
};

/* The median slope over pairs of about the same load, one of either range; 0 if there are none. */
static double find_slope(const struct series *s, struct range a, struct range b)
{
    double slopes[PAIRS_MAX], near = load_range(s) * SAME_LOAD;
    uint32_t count = 0;
    for (uint32_t j = b.from; j < b.to; j++)
        for (uint32_t i = a.from; i < a.to && i < j; i++) {
            double seconds = s->points[j].time_s - s->points[i].time_s;
            if (seconds <= 0 || fabs(s->points[j].load - s->points[i].load) > near) continue;
            slopes[count++] = (s->points[j].value - s->points[i].value) / seconds;
        }
    return count ? find_median(slopes, count) : 0;
}

static double slope_within(const struct series *s, uint32_t from, uint32_t to)
{
    struct range all = { from, to };
    return find_slope(s, all, all);
}

/* From the first third to the last: a jump counts here in full, wherever it is. */
static double slope_across(const struct series *s)
{
    uint32_t third = s->count / 3;
    return find_slope(s, (struct range){ 0, third }, (struct range){ s->count - third, s->count });
}

/* Of a series with a trend. One jump leaves one half flat; a leak rises in both. What rises in the latter only is asked
 * again by itself: it may have begun there. */
static enum growth_verdict judge_halves(const struct series *s, double slope, bool *is_late)
{
    uint32_t half = s->count / 2;
    double least = fmax(slope, slope_across(s)) * HALF_SHARE;
    bool rises_first = slope_within(s, 0, half) > least;
    bool rises_then = slope_within(s, half, s->count) > least;
    *is_late = rises_then && !rises_first;
    return rises_first && rises_then ? GROWTH_LEAK : GROWTH_STAYED;
}

static void keep_latter_half(struct series *s)
{
    uint32_t half = s->count / 2;
    s->count -= half;
    memmove(s->points, s->points + half, s->count * sizeof(*s->points));
}

/* *is_late: only the latter half tells whether it goes on. */
static void judge(const struct series *s, const struct growth_options *options, struct growth *out,
                  bool *is_late)
{
    struct chances c;
    *is_late = false;
    find_chances(s, &c);
    out->p = c.given_load;
    out->load_share = c.rho;
    out->slope_per_s = slope_within(s, 0, s->count);
    out->rise = out->slope_per_s * (s->points[s->count - 1].time_s - s->points[0].time_s);
    out->verdict = GROWTH_STEADY;
    if (c.given_load <= options->p_max && out->slope_per_s > 0) {
        if (out->rise >= options->rise_min) out->verdict = judge_halves(s, out->slope_per_s, is_late);
    } else if (c.plain <= options->p_max) {
        out->verdict = GROWTH_WITH_LOAD;
    }
}

void growth_judge(const struct growth_point *points, uint32_t count, const struct growth_options *options,
                  struct growth *out)
{
    struct series s;
    struct growth late;
    bool is_late;
    *out = (struct growth){ .p = 1 };
    condense(&s, points, count);
    out->point_count = s.count;
    if (s.count < GROWTH_POINTS_MIN) return;
    judge(&s, options, out, &is_late);
    while (is_late && s.count / 2 >= GROWTH_POINTS_MIN) {
        keep_latter_half(&s);
        late = *out;
        judge(&s, options, &late, &is_late);
        if (late.verdict == GROWTH_LEAK) *out = late;
    }
}
