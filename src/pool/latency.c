#include "pool/latency.h"

#include <stdlib.h>
#include <string.h>

#include "metric/metric.h"
#include "pool/pool.h"

#define KEEPS 0.98
#define MOST 10000
/* Less of a window is nothing: what is left of one answer after so many looks. */
#define LEAST 0.01

static uint64_t bit_of(uint32_t percentile)
{
    return UINT64_C(1) << (percentile - HEDGE_PERCENTILE_MIN);
}

uint32_t pool_latency_us(struct pool_latency *l, uint32_t percentile)
{
    if (percentile < HEDGE_PERCENTILE_MIN || percentile > HEDGE_PERCENTILE_MAX) return 0;
    if (!(atomic_load_explicit(&l->wanted, memory_order_relaxed) & bit_of(percentile)))
        atomic_fetch_or_explicit(&l->wanted, bit_of(percentile), memory_order_relaxed);
    return atomic_load_explicit(&l->us[percentile - HEDGE_PERCENTILE_MIN], memory_order_relaxed);
}

void latency_window_add(struct latency_window *w, const uint32_t counted[HISTORY_GROUPS])
{
    double total = 0;
    for (uint32_t i = 0; i < HISTORY_GROUPS; i++) {
        double kept = w->kept[i] * KEEPS + (uint32_t)(counted[i] - w->seen[i]);
        w->kept[i] = kept < LEAST ? 0 : (float)kept;
        total += w->kept[i];
    }
    memcpy(w->seen, counted, sizeof(w->seen));
    double share = total > MOST ? MOST / total : 1;
    for (uint32_t i = 0; share < 1 && i < HISTORY_GROUPS; i++) w->kept[i] *= (float)share;
    w->total = total * share;
}

/* The longest of a group: rather a little later than too soon. */
static uint32_t group_end_us(uint32_t group)
{
    uint32_t last = ((group + 1) << HISTORY_GROUP_BITS) - 1;
    uint64_t end = histogram_cell_low(last) + histogram_cell_width(last);
    return end < UINT32_MAX ? (uint32_t)end : UINT32_MAX;
}

uint32_t latency_window_us(const struct latency_window *w, uint32_t percentile)
{
    double beyond = w->total * (100 - percentile) / 100, seen = 0;
    uint32_t group = HISTORY_GROUPS;
    if (beyond < 1) return 0;
    while (group && seen + w->kept[group - 1] <= beyond) seen += w->kept[--group];
    return group ? group_end_us(group - 1) : 0;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

uint32_t latency_middle(uint32_t *values, uint32_t count)
{
    uint32_t known = 0;
    for (uint32_t i = 0; i < count; i++)
        if (values[i]) values[known++] = values[i];
    if (!known) return 0;
    qsort(values, known, sizeof(*values), compare);
    return values[(known - 1) / 2];
}

void server_look_at_latency(struct server *s, const struct metric_registry *metrics)
{
    uint32_t counted[HISTORY_GROUPS] = { 0 };
    if (s->meter_latency == METRIC_NONE) return;
    if (!s->latency) s->latency = calloc(1, sizeof(*s->latency));
    if (!s->latency) return;
    metric_fold(metrics, s->meter_latency, HISTORY_GROUP_BITS, counted);
    latency_window_add(s->latency, counted);
}

void pool_settle_latency(struct pool *p)
{
    const struct roster *r = p->roster;
    uint64_t wanted = atomic_load_explicit(&p->latency.wanted, memory_order_relaxed);
    uint32_t *values = wanted && r->count ? malloc(r->count * sizeof(*values)) : NULL;
    if (!values) return; /* what was known stays */
    for (uint32_t i = 0; i < LATENCY_PERCENTS; i++) {
        if (!(wanted & (UINT64_C(1) << i))) continue;
        uint32_t percentile = HEDGE_PERCENTILE_MIN + i;
        for (uint32_t k = 0; k < r->count; k++) {
            const struct latency_window *w = r->places[k].server->latency;
            values[k] = w ? latency_window_us(w, percentile) : 0;
        }
        uint32_t us = latency_middle(values, r->count);
        atomic_store_explicit(&p->latency.us[i], us, memory_order_relaxed);
    }
    free(values);
}
