/* The first line is a log_format, the rest a line of it: values lie within the line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "logs/line_format.h"
#include "logs/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct line_format f;
    struct line_clock clock = { 0 };
    struct log_entry e = { 0 };
    struct err err = { "" };
    const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
    if (!newline) return 0;
    struct slice format = { (const char *)data, (size_t)(newline - data) };
    if (line_format_compile(&f, format, LINE_ESCAPE_DEFAULT, &err) < 0) {
        if (!err.text[0]) abort();
        return 0;
    }
    size_t len = size - format.len - 1;
    char *line = calloc(1, len + SCAN_SLACK);
    memcpy(line, newline + 1, len);
    if (line_format_read(&f, (struct slice){ line, len }, &clock, &e)) {
        for (unsigned i = 0; i < LOG_FIELD_MAX; i++) {
            struct slice v = e.values[i];
            if (v.data && v.len && (v.data < line || v.data + v.len > line + len)) abort();
        }
    }
    free(line);
    return 0;
}
