#include "route/split_report.h"

#include <assert.h>

static double share_of(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

static void fill_variant(struct split_report_variant *v, const struct split_tally *tally,
                         const struct split_tally *first, uint64_t all)
{
    *v = (struct split_report_variant){
        .name = tally->name,
        .expected_share = share_of(tally->weight, SPLIT_PLACES),
        .share = share_of(tally->requests, all),
        .requests = tally->requests,
        .errors = tally->errors,
        .error_share = share_of(tally->errors, tally->requests),
        .error_interval = statistic_proportion(tally->errors, tally->requests),
        .p50 = statistic_quantile(tally->cells, 0.5),
        .p95 = statistic_quantile(tally->cells, 0.95),
        .p99 = statistic_quantile(tally->cells, 0.99),
        .error_difference = { .p = 1 },
    };
    if (tally != first)
        v->error_difference = statistic_difference(first->errors, first->requests, tally->errors,
                                                   tally->requests);
}

static struct statistic_fit fit_of(const struct split_tally *tallies, uint32_t count)
{
    uint64_t requests[SPLIT_VARIANTS_MAX];
    double shares[SPLIT_VARIANTS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        requests[i] = tallies[i].requests;
        shares[i] = share_of(tallies[i].weight, SPLIT_PLACES);
    }
    return statistic_fit(requests, shares, count);
}

void split_report_fill(struct split_report *out, const struct split_tally *tallies, uint32_t count)
{
    assert(count >= 1 && count <= SPLIT_VARIANTS_MAX);
    out->count = count;
    out->requests = 0;
    for (uint32_t i = 0; i < count; i++) out->requests += tallies[i].requests;
    for (uint32_t i = 0; i < count; i++)
        fill_variant(&out->variants[i], &tallies[i], &tallies[0], out->requests);
    out->sample_ratio = fit_of(tallies, count);
    out->is_alarm = out->sample_ratio.p < SPLIT_ALARM_P;
}
