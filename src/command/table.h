/* command/table.h: cells under each other, for people: every column as wide as its widest cell, the last as it is. Cells
 * may hold what others wrote: bytes that would steer a terminal are shown as question marks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct table {
    char **cells; /* owned, row by row */
    uint32_t count, cap;
    uint32_t columns;
    uint32_t right; /* bit i: column i ends under itself, as numbers do */
    bool is_failed; /* out of memory: there is nothing worth printing */
};

/* columns: 1..TABLE_COLUMNS_MAX. */
#define TABLE_COLUMNS_MAX 16u
void table_init(struct table *t, uint32_t columns, uint32_t right);
void table_fini(struct table *t);
/* The next cell: of the row that is begun, or of a new one. */
void table_add(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* 0, or -1: out of memory, or `out` refused it. */
int table_print(const struct table *t, FILE *out);

/* Makes question marks of what is no printable UTF-8, in place. */
void table_clean(char *text);
