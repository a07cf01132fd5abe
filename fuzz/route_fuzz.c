/* Rows and one request, a line each; whatever they are, the table takes the rows or says why not, and a match
 * gives what trying every row gives.
 *
 * The first line is the request, "host path"; each other is a row, "host path", where a host of "-" is any,
 * and a path is in full after "=", any where it is empty, and a prefix otherwise. */
#include <stdint.h>
#include <stdlib.h>

#include "../tests/unit/route/linear.h"

#define INPUT_MAX 4096
#define ROWS_MAX 200

static char *cut(char **rest, char end)
{
    char *begin = *rest, *at = strchr(begin, end);
    if (at) *at = 0;
    *rest = at ? at + 1 : begin + strlen(begin);
    return begin;
}

static struct route_row row_of(char *line, uint32_t index)
{
    struct route_row row = { .name = "fuzzed", .index = index };
    const char *host = cut(&line, ' ');
    if (strcmp(host, "-") != 0) row.host = host;
    if (line[0] == '=')
        row.path = line + 1;
    else if (line[0])
        row.path_prefix = line;
    return row;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[INPUT_MAX + 1];
    static struct route_row rows[ROWS_MAX];
    struct route_choice got, wanted;
    struct err err = { "" };
    uint32_t count = 0;
    if (size > INPUT_MAX) return 0;
    if (size) memcpy(text, data, size);
    text[size] = 0;

    char *rest = text, *path = cut(&rest, '\n');
    struct slice host = slice_of(cut(&path, ' '));
    while (*rest && count < ROWS_MAX) {
        rows[count] = row_of(cut(&rest, '\n'), count);
        if (!rows[count].host || route_check_host(slice_of(rows[count].host), &err) == 0) {
            count++;
            continue;
        }
        if (!err.text[0] || route_table_new(&rows[count], 1, &err)) abort();
    }
    struct route_table *t = route_table_new(rows, count, &err);
    if (!t) abort();
    if (match_plain(t, host, slice_of(path), &got) != got.index) abort();
    linear_match(rows, count, host, slice_of(path), &wanted);
    if (got.index != wanted.index || got.host != wanted.host || got.path != wanted.path) abort();
    route_table_free(t);
    return 0;
}
