/* command/perf_tables.h: tables of figures, filled cell by cell, for the report and for people. One thread. */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "base/json.h"
#include "profile/perf_report.h"

#define PERF_TABLES_MAX 8u
#define PERF_TABLE_ROWS_MAX 64u
#define PERF_TABLE_COLUMNS_MAX 8u

/* All 0 at first. Cells are owned; titles and columns are borrowed. */
struct perf_tables {
    struct perf_table items[PERF_TABLES_MAX];
    uint32_t count;
    uint32_t used; /* cells of the last one */
    char **cells[PERF_TABLES_MAX];
};

void perf_tables_free(struct perf_tables *t);
/* A new table. False: there is no room for one more; then nothing may be added. */
bool perf_tables_begin(struct perf_tables *t, const char *title, const char *const *columns,
                       uint32_t column_count);
/* The next cell of the last table, row by row; more than PERF_TABLE_ROWS_MAX rows are left out. Bytes that would steer a
 * terminal become question marks. */
void perf_tables_add(struct perf_tables *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "4.3 MiB" */
void perf_tables_add_bytes(struct perf_tables *t, uint64_t bytes);

void perf_tables_print(const struct perf_tables *t, FILE *out);
/* An object: a list of rows by title. */
void perf_tables_json(const struct perf_tables *t, struct json *j);
