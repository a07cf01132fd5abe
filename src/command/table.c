#include "command/table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/printable.h"

#define GAP "  "

void table_init(struct table *t, uint32_t columns, uint32_t right)
{
    assert(columns >= 1 && columns <= TABLE_COLUMNS_MAX);
    *t = (struct table){ .columns = columns, .right = right };
}

void table_fini(struct table *t)
{
    for (uint32_t i = 0; i < t->count; i++) free(t->cells[i]);
    free(t->cells);
    *t = (struct table){ 0 };
}

void table_clean(char *text)
{
    printable_mask(text);
}

static bool make_cell_room(struct table *t)
{
    if (t->count < t->cap) return true;
    uint32_t cap = t->cap ? 2 * t->cap : 64;
    char **cells = realloc(t->cells, cap * sizeof(*cells));
    if (!cells) return false;
    t->cells = cells;
    t->cap = cap;
    return true;
}

void table_add(struct table *t, const char *format, ...)
{
    char *cell = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&cell, format, args);
    va_end(args);
    if (len < 0 || !make_cell_room(t)) {
        if (len >= 0) free(cell);
        t->is_failed = true;
        return;
    }
    table_clean(cell);
    t->cells[t->count++] = cell;
}

/* Characters, each taken to be one column wide. */
static uint32_t width_of(const char *text)
{
    uint32_t width = 0;
    for (; *text; text++) width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void measure(const struct table *t, uint32_t *widths)
{
    for (uint32_t i = 0; i < t->count; i++) {
        uint32_t width = width_of(t->cells[i]);
        if (width > widths[i % t->columns]) widths[i % t->columns] = width;
    }
}

int table_print(const struct table *t, FILE *out)
{
    uint32_t widths[TABLE_COLUMNS_MAX] = { 0 };
    if (t->is_failed) return -1;
    measure(t, widths);
    for (uint32_t i = 0; i < t->count; i++) {
        uint32_t column = i % t->columns;
        int padding = (int)(widths[column] - width_of(t->cells[i]));
        bool is_right = t->right >> column & 1, is_last = column + 1 == t->columns;
        if (is_right) fprintf(out, "%*s", padding, "");
        fputs(t->cells[i], out);
        if (!is_right && !is_last) fprintf(out, "%*s", padding, "");
        fputs(is_last ? "\n" : GAP, out);
    }
    return ferror(out) ? -1 : 0;
}
