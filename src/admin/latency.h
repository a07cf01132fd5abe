/* admin/latency.h: a histogram's quantiles, as answers show them. */
#pragma once

#include "admin/shape.h"
#include "metric/metric.h"

struct latency {
    uint64_t count;
    double p50_ms, p90_ms, p99_ms, p999_ms; /* NaN, shown as null, if there is none */
};

extern const struct shape latency_shape;

struct latency latency_of(const struct metric_registry *m, uint32_t histogram);
