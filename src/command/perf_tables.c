#include "command/perf_tables.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "command/table.h"

void perf_tables_free(struct perf_tables *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        for (uint32_t j = 0; j < PERF_TABLE_ROWS_MAX * PERF_TABLE_COLUMNS_MAX; j++) free(t->cells[i][j]);
        free(t->cells[i]);
    }
}

bool perf_tables_begin(struct perf_tables *t, const char *title, const char *const *columns,
                       uint32_t column_count)
{
    if (t->count == PERF_TABLES_MAX) return false;
    char **cells = calloc((size_t)PERF_TABLE_ROWS_MAX * PERF_TABLE_COLUMNS_MAX, sizeof(char *));
    if (!cells) return false;
    t->used = 0;
    t->cells[t->count] = cells;
    t->items[t->count++] = (struct perf_table){
        .title = title, .columns = columns, .column_count = column_count, .cells = (const char *const *)cells
    };
    return true;
}

void perf_tables_add(struct perf_tables *t, const char *format, ...)
{
    struct perf_table *table = &t->items[t->count - 1];
    char text[256];
    va_list args;
    if (t->used / table->column_count >= PERF_TABLE_ROWS_MAX) return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    table_clean(text);
    t->cells[t->count - 1][t->used++] = strdup(text);
    table->row_count = t->used / table->column_count;
}

void perf_tables_add_bytes(struct perf_tables *t, uint64_t bytes)
{
    if (bytes < 10240)
        perf_tables_add(t, "%llu B", (unsigned long long)bytes);
    else if (bytes < 10u << 20)
        perf_tables_add(t, "%.1f KiB", (double)bytes / 1024);
    else
        perf_tables_add(t, "%.1f MiB", (double)bytes / 1048576);
}

static void print(const struct perf_table *t, FILE *out)
{
    struct table shown;
    table_init(&shown, t->column_count, 0);
    for (uint32_t i = 0; i < t->column_count; i++) table_add(&shown, "%s", t->columns[i]);
    for (uint32_t i = 0; i < t->row_count * t->column_count; i++)
        table_add(&shown, "%s", t->cells[i] ? t->cells[i] : "");
    fputc('\n', out);
    if (table_print(&shown, out) < 0) fputs("(out of memory)\n", out);
    table_fini(&shown);
}

void perf_tables_print(const struct perf_tables *t, FILE *out)
{
    for (uint32_t i = 0; i < t->count; i++) print(&t->items[i], out);
}

static void put_row(const struct perf_table *t, uint32_t row, struct json *j)
{
    json_object(j);
    for (uint32_t c = 0; c < t->column_count; c++) {
        const char *cell = t->cells[row * t->column_count + c];
        json_key(j, t->columns[c]);
        json_string(j, cell ? cell : "");
    }
    json_object_end(j);
}

void perf_tables_json(const struct perf_tables *t, struct json *j)
{
    json_object(j);
    for (uint32_t i = 0; i < t->count; i++) {
        json_key(j, t->items[i].title);
        json_array(j);
        for (uint32_t row = 0; row < t->items[i].row_count; row++) put_row(&t->items[i], row, j);
        json_array_end(j);
    }
    json_object_end(j);
}
