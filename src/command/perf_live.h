/* command/perf_live.h: what `weir perf` shows on a terminal while it watches: a screen that is painted over once a second.
 * One thread. */
#pragma once

#include <stdio.h>

#include "command/perf_top.h"
#include "command/perf_watch.h"

struct perf_live {
    FILE *out;      /* a terminal */
    uint32_t lines; /* of the screen that stands */
};

struct perf_live_view {
    const char *title; /* "nginx.service: active (running)", "nginx, process 1234" */
    const struct perf_watch *const *watches;
    uint32_t watch_count, second, seconds;
    const struct perf_top *top; /* of the last second; NULL: not known */
};

void perf_live_show(struct perf_live *l, const struct perf_live_view *v);
/* Takes the screen away. */
void perf_live_clear(struct perf_live *l);
