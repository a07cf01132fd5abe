/* command/simulate_plot.h: before and after as one SVG that needs nothing else. */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct simulate_bar {
    const char *name;
    double before, after; /* percent */
};

struct simulate_plot {
    const char *pool;
    const struct simulate_bar *bars;
    uint32_t bar_count;
    const uint64_t *wait_before, *wait_after; /* HISTOGRAM_CELLS of microseconds */
};

MUST_CHECK int simulate_plot_write(const struct simulate_plot *p, const char *path, struct err *err);
