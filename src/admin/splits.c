#include "route/split_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "admin/estimate.h"
#include "admin/routes.h"
#include "admin/split_guard.h"
#include "base/clock.h"
#include "proxy/proxy.h"
#include "proxy/site.h"

/* the list */

struct variant_answer {
    const char *name, *pool;
    double weight, configured_weight;
    uint64_t exchanges, overrides;
};

static const struct shape_field variant_fields[] = {
    SHAPE_ROW(variant_answer, name, STRING, "The variant."),
    SHAPE_ROW(variant_answer, weight, NUMBER, "Its share of the units, in percent."),
    SHAPE_ROW(variant_answer, configured_weight, NUMBER,
              "What the configuration says: a guard may have changed it."),
    SHAPE_ROW(variant_answer, pool, STRING, "The pool that it leads to."),
    SHAPE_ROW(variant_answer, exchanges, COUNT, "Exchanges that the split sent there."),
    SHAPE_ROW(variant_answer, overrides, COUNT, "Exchanges that asked for it, and might."),
    { 0 },
};
static const struct shape variant_shape = { "SplitVariant", sizeof(struct variant_answer), variant_fields };

struct split_answer {
    const char *name, *unit;
    struct shape_list variants;
    struct split_guard_answer guard;
};

static const struct shape_field split_fields[] = {
    SHAPE_ROW(split_answer, name, STRING, "The split."),
    SHAPE_ROW(split_answer, unit, STRING, "What is hashed."),
    SHAPE_ROW(split_answer, variants, LIST, "Its variants in the order of the configuration.",
              .of = &variant_shape),
    SHAPE_ROW(split_answer, guard, OBJECT, "What changes its weights.", .of = &split_guard_shape),
    { 0 },
};
const struct shape split_shape = { "Split", sizeof(struct split_answer), split_fields };

void split_print(const struct split *s, const struct metric_registry *m, struct json *j)
{
    struct variant_answer variants[SPLIT_VARIANTS_MAX];
    char memory[HTTP_TEMPLATE_TEXT_MAX + 1];
    struct text unit = text_over(memory, sizeof(memory));
    http_template_print(&s->conf->unit, &unit);
    for (uint32_t i = 0; i < s->variant_count; i++) {
        const struct split_variant *v = &s->variants[i];
        variants[i] = (struct variant_answer){ .name = v->conf->name,
                                               .pool = v->pool->pool->name,
                                               .weight = v->weight / 100.0,
                                               .configured_weight = v->conf->weight / 100.0,
                                               .exchanges = metric_sum(m, v->meter_exchanges),
                                               .overrides = metric_sum(m, v->meter_overrides) };
    }
    struct split_answer a = {
        s->name, text_cstr(&unit), { variants, s->variant_count }, split_guard_describe(s)
    };
    shape_print(&split_shape, &a, j);
}

void splits_list(const struct admin_request *rq, struct answer *out)
{
    const struct proxy *p = rq->proxy;
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    json_object(&j);
    json_key(&j, "splits");
    json_array(&j);
    for (uint32_t i = 0; i < p->site->split_count; i++) split_print(&p->site->splits[i], p->metrics, &j);
    json_array_end(&j);
    json_object_end(&j);
    answer_json(out, 200, &j);
}

/* the report */

struct comparison_answer {
    struct estimate_answer error_difference, error_difference_always;
    double z, p;
    struct estimate_answer p50_difference_ms, p95_difference_ms, p99_difference_ms;
};

static const struct shape_field comparison_fields[] = {
    SHAPE_ROW(comparison_answer, error_difference, OBJECT,
              "How much larger its error share is than the first's.", .of = &estimate_shape),
    SHAPE_ROW(comparison_answer, error_difference_always, OBJECT,
              "The same with an interval that holds however often it is looked at.", .of = &estimate_shape),
    SHAPE_ROW(comparison_answer, z, NUMBER, "Of the two-proportion test."),
    SHAPE_ROW(comparison_answer, p, NUMBER,
              "How often chance alone makes such a difference; where few errors are expected by Fisher's "
              "exact test."),
    SHAPE_ROW(comparison_answer, p50_difference_ms, OBJECT, "How much longer half of them take at most.",
              .of = &estimate_shape),
    SHAPE_ROW(comparison_answer, p95_difference_ms, OBJECT, "How much longer 95 of a hundred take at most.",
              .of = &estimate_shape),
    SHAPE_ROW(comparison_answer, p99_difference_ms, OBJECT, "How much longer 99 of a hundred take at most.",
              .of = &estimate_shape),
    { 0 },
};
static const struct shape comparison_shape = { "SplitComparison", sizeof(struct comparison_answer),
                                               comparison_fields };

struct reported_variant {
    const char *name, *pool;
    double weight, share;
    uint64_t exchanges, errors;
    double design_effect, error_design_effect;
    struct estimate_answer error_share, p50_ms, p95_ms, p99_ms;
    struct comparison_answer against_first;
};

static const struct shape_field reported_fields[] = {
    SHAPE_ROW(reported_variant, name, STRING, "The variant."),
    SHAPE_ROW(reported_variant, pool, STRING, "The pool that it leads to."),
    SHAPE_ROW(reported_variant, weight, NUMBER, "Its share of the units, in percent."),
    SHAPE_ROW(reported_variant, share, NUMBER, "Its share of the exchanges, 0 to 1."),
    SHAPE_ROW(reported_variant, exchanges, COUNT, "Exchanges that the split sent there."),
    SHAPE_ROW(reported_variant, errors, COUNT, "Those that ended in a 5xx or without a whole response."),
    SHAPE_ROW(reported_variant, design_effect, NUMBER,
              "By what factor the variance of their number is larger than if each were another unit's."),
    SHAPE_ROW(reported_variant, error_design_effect, NUMBER,
              "Likewise, that of the error share. The intervals account for it."),
    SHAPE_ROW(reported_variant, error_share, OBJECT, "Errors of exchanges, 0 to 1.", .of = &estimate_shape),
    SHAPE_ROW(reported_variant, p50_ms, OBJECT, "Half of them took no longer.", .of = &estimate_shape),
    SHAPE_ROW(reported_variant, p95_ms, OBJECT, "95 of a hundred took no longer.", .of = &estimate_shape),
    SHAPE_ROW(reported_variant, p99_ms, OBJECT, "99 of a hundred took no longer.", .of = &estimate_shape),
    SHAPE_ROW(reported_variant, against_first, OBJECT,
              "Compared with the first variant; of that one itself 0, p 1.", .of = &comparison_shape),
    { 0 },
};
static const struct shape reported_shape = { "ReportedVariant", sizeof(struct reported_variant),
                                             reported_fields };

struct ratio_answer {
    double chi2, design_effect, p, always_p;
    bool is_alarm, is_alarm_always;
};

static const struct shape_field ratio_fields[] = {
    SHAPE_ROW(ratio_answer, chi2, NUMBER,
              "How far the shares are from the weights, divided by the design effect.", .may_be_null = true),
    SHAPE_ROW(
        ratio_answer, design_effect, NUMBER,
        "By what factor the variance of the exchanges' number is larger than if each were another unit's."),
    SHAPE_ROW(ratio_answer, p, NUMBER, "How often chance alone takes them so far."),
    SHAPE_ROW(ratio_answer, always_p, NUMBER, "How often it ever does, however often one looks."),
    SHAPE_ROW(ratio_answer, is_alarm, BOOL,
              "p is below 0.001: the variants are not comparable as they were counted."),
    SHAPE_ROW(ratio_answer, is_alarm_always, BOOL, "always_p is below 0.001."),
    { 0 },
};
static const struct shape ratio_shape = { "SampleRatio", sizeof(struct ratio_answer), ratio_fields };

struct report_answer {
    const char *split, *since;
    struct shape_list variants;
    struct ratio_answer sample_ratio;
    struct split_guard_answer guard;
};

static const struct shape_field report_fields[] = {
    SHAPE_ROW(report_answer, split, STRING, "The split."),
    SHAPE_ROW(report_answer, since, STRING,
              "Since when it is counted: its units are dealt as they are since then."),
    SHAPE_ROW(report_answer, variants, LIST,
              "The variants, the first being what the others are compared with.", .of = &reported_shape),
    SHAPE_ROW(report_answer, sample_ratio, OBJECT, "Whether the shares are those of the weights.",
              .of = &ratio_shape),
    SHAPE_ROW(report_answer, guard, OBJECT, "What changes its weights, by which figure.",
              .of = &split_guard_shape),
    { 0 },
};
const struct shape split_report_shape = { "SplitReport", sizeof(struct report_answer), report_fields };

static struct estimate_answer milliseconds(const struct statistic_quantile *q, uint64_t count)
{
    if (!count) return (struct estimate_answer){ NAN, NAN, NAN };
    return (struct estimate_answer){ (double)q->value / 1000, q->interval.low / 1000,
                                     q->interval.high / 1000 };
}

static struct estimate_answer shift_of(const struct statistic_shift *s, bool has_both)
{
    if (!has_both) return (struct estimate_answer){ NAN, NAN, NAN };
    return (struct estimate_answer){ s->difference / 1000, s->interval.low / 1000, s->interval.high / 1000 };
}

static struct comparison_answer comparison(const struct split_report_variant *r,
                                           const struct split_report_variant *first)
{
    const struct statistic_difference *d = &r->error_difference;
    bool has_both = r->requests && first->requests;
    return (struct comparison_answer){
        .error_difference = { d->difference, d->interval.low, d->interval.high },
        .error_difference_always = { d->difference, d->always.low, d->always.high },
        .z = d->z,
        .p = d->p,
        .p50_difference_ms = shift_of(&r->shifts[SPLIT_P50], has_both),
        .p95_difference_ms = shift_of(&r->shifts[SPLIT_P95], has_both),
        .p99_difference_ms = shift_of(&r->shifts[SPLIT_P99], has_both),
    };
}

static void describe(const struct split_variant *v, const struct split_report_variant *r,
                     const struct split_report_variant *first, struct reported_variant *out)
{
    *out = (struct reported_variant){
        .name = v->conf->name,
        .pool = v->pool->pool->name,
        .weight = v->weight / 100.0,
        .share = r->share,
        .exchanges = r->requests,
        .errors = r->errors,
        .design_effect = r->effect.effect,
        .error_design_effect = r->error_effect.effect,
        .error_share = { r->requests ? r->error_share : NAN, r->error_interval.low, r->error_interval.high },
        .p50_ms = milliseconds(&r->quantiles[SPLIT_P50], r->requests),
        .p95_ms = milliseconds(&r->quantiles[SPLIT_P95], r->requests),
        .p99_ms = milliseconds(&r->quantiles[SPLIT_P99], r->requests),
        .against_first = comparison(r, first),
    };
}

/* What is needed for a report; too large for a stack. Zeroed pages cost memory only where something was counted. */
struct work {
    struct split_counts counts[SPLIT_VARIANTS_MAX];
    struct split_tally tallies[SPLIT_VARIANTS_MAX];
    struct split_report report;
    struct reported_variant variants[SPLIT_VARIANTS_MAX];
};

static void fill_split(struct work *w, const struct split *s)
{
    for (uint32_t i = 0; i < s->variant_count; i++) {
        const struct split_variant *v = &s->variants[i];
        split_book_read(s->book, i, &w->counts[i]);
        w->tallies[i] = (struct split_tally){ v->conf->name, v->weight, &w->counts[i] };
    }
    split_report_fill(&w->report, w->tallies, s->variant_count);
    for (uint32_t i = 0; i < s->variant_count; i++)
        describe(&s->variants[i], &w->report.variants[i], &w->report.variants[0], &w->variants[i]);
}

void splits_report(const struct admin_request *rq, struct answer *out)
{
    const struct proxy *p = rq->proxy;
    const struct split *s = site_split_by_name(p->site, rq->params[0].data);
    if (!s) {
        answer_problem(out, 404, "There is no split \"%.64s\"; GET /api/v1/splits lists them.",
                       rq->params[0].data);
        return;
    }
    struct work *w = calloc(1, sizeof(*w));
    if (!w) {
        answer_problem(out, 503, "There is no memory for the report; try again.");
        return;
    }
    fill_split(w, s);
    char since[32];
    time_t begun = (time_t)(s->book->since_wall_ns / NS_PER_S);
    struct tm tm;
    strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&begun, &tm));
    const struct split_report *r = &w->report;
    struct report_answer a = { .split = s->name,
                               .since = since,
                               .variants = { w->variants, s->variant_count },
                               .sample_ratio = { r->sample_ratio.chi_square, r->effect.effect,
                                                 r->sample_ratio.p, r->sample_ratio.always_p, r->is_alarm,
                                                 r->is_alarm_always },
                               .guard = split_guard_describe(s) };
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    shape_print(&split_report_shape, &a, &j);
    answer_json(out, 200, &j);
    free(w);
}
