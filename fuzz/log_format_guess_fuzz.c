/* A log's first bytes: what is guessed reads at least one of its lines, what is refused is shown without a byte that steers
 * a terminal, and the beginning of a further line, which is all that there is of the last one, changes nothing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "logs/log_format.h"
#include "logs/scan.h"

#define TAIL "203.0.113.7 - x [12/Mar/20"

static void check_refusal(const struct err *err)
{
    if (!strstr(err->text, "--log-format")) abort();
    for (const char *p = err->text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f) abort();
}

static void check_reads_a_line(const struct log_format *f, struct slice first)
{
    struct line_clock clock = { 0 };
    while (first.len) {
        struct log_entry e = { 0 };
        while (first.len && (!*first.data || strchr(" \t\r\n", *first.data))) first.data++, first.len--;
        if (!first.len) break;
        const char *newline = memchr(first.data, '\n', first.len);
        struct slice line = { first.data, newline ? (size_t)(newline - first.data) : first.len };
        first = (struct slice){ line.data + line.len, first.len - line.len };
        if (line.data[line.len - 1] == '\r') line.len--;
        if (line_format_read(&f->lines, line, &clock, &e) && e.status && e.time_s) return;
    }
    abort();
}

static bool is_empty(struct slice first)
{
    for (size_t i = 0; i < first.len; i++)
        if (first.data[i] && !strchr(" \t\r\n", first.data[i])) return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct log_format f, again;
    struct err err = { "" };
    if (size > 65536) return 0;
    char *bytes = calloc(1, size + sizeof(TAIL) + SCAN_SLACK);
    memcpy(bytes, data, size);
    struct slice first = { bytes, size };
    int result = log_format_guess(first, &f, "a.log", &err);
    if (result < 0)
        check_refusal(&err);
    else if (!f.is_json && !is_empty(first))
        check_reads_a_line(&f, first);
    if (!is_empty(first) && bytes[size - 1] == '\n') {
        memcpy(bytes + size, TAIL, sizeof(TAIL));
        first.len += sizeof(TAIL) - 1;
        if (log_format_guess(first, &again, "a.log", &err) != result) abort();
        if (result == 0 && (again.guess != f.guess || again.is_json != f.is_json ||
                            again.lines.step_count != f.lines.step_count))
            abort();
    }
    free(bytes);
    return 0;
}
