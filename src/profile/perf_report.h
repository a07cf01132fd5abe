/* profile/perf_report.h: what was measured of a process on one HTML page: notes, time lines, tables, flame graphs. Pure. */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "profile/profile.h"

/* A line of a chart. NaN is a gap. A unit is "bytes", "nanoseconds", "percent", or any word, which is shown. */
struct perf_series {
    const char *name, *unit, *group; /* lines of one group share a chart, and a unit */
    const double *values;
    uint32_t count;
};

struct perf_table {
    const char *title;
    const char *const *columns;
    uint32_t column_count;
    const char *const *cells; /* row by row; NULL: empty */
    uint32_t row_count;
};

/* Everything is borrowed. */
struct perf_report {
    const char *title, *subtitle;
    const struct profile *on_cpu, *off_cpu; /* NULL: none */
    uint64_t start_ns, interval_ns;         /* of the series' values; since 1970, 0: not known */
    const struct perf_series *series;
    uint32_t series_count;
    const struct perf_table *tables;
    uint32_t table_count;
    const char *const *notes;
    uint32_t note_count;
};

MUST_CHECK int perf_report_write(const struct perf_report *r, FILE *out, struct err *err);
