#include "admin/latency.h"

#include <math.h>

static const struct shape_field fields[] = {
    SHAPE_ROW(latency, count, COUNT, "How many were measured."),
    SHAPE_ROW(latency, p50_ms, NUMBER, "Half of them took no longer.", .may_be_null = true),
    SHAPE_ROW(latency, p90_ms, NUMBER, "Nine of ten took no longer.", .may_be_null = true),
    SHAPE_ROW(latency, p99_ms, NUMBER, "99 of a hundred took no longer.", .may_be_null = true),
    SHAPE_ROW(latency, p999_ms, NUMBER, "999 of a thousand took no longer.", .may_be_null = true),
    { 0 },
};

const struct shape latency_shape = { "Latency", sizeof(struct latency), fields };

struct latency latency_of(const struct metric_registry *m, uint32_t histogram)
{
    /* Merged once for all four. */
    uint64_t cells[HISTOGRAM_CELLS] = { 0 };
    metric_merge(m, histogram, cells);
    struct latency l = {
        .count = histogram_count(cells), .p50_ms = NAN, .p90_ms = NAN, .p99_ms = NAN, .p999_ms = NAN
    };
    if (!l.count) return l;
    l.p50_ms = (double)histogram_quantile(cells, 0.5) / 1000;
    l.p90_ms = (double)histogram_quantile(cells, 0.9) / 1000;
    l.p99_ms = (double)histogram_quantile(cells, 0.99) / 1000;
    l.p999_ms = (double)histogram_quantile(cells, 0.999) / 1000;
    return l;
}
