/* metric/bucket.h: the buckets in which Prometheus is shown a histogram. */
#pragma once

#include <stdint.h>

#define BUCKET_BOUNDS 20u
/* The last has no bound. */
#define BUCKET_COUNT (BUCKET_BOUNDS + 1)

struct bucket_bound {
    uint64_t us;
    const char *text, *text_openmetrics; /* in seconds; OpenMetrics wants a point in it */
};

extern const struct bucket_bound bucket_bounds[BUCKET_BOUNDS];

/* The first whose bound is not exceeded. */
uint32_t bucket_of(uint64_t us);
