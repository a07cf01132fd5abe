#include "logs/time_search.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "logs/intake.h"

#define LOOK_BYTES (64u << 10)

struct look {
    int fd;
    const struct line_format *format;
    char *memory;
    struct err *err;
};

/* The first line that begins at or after `at` and has a time: where, and when. 0: there is none within the look. */
static int first_line(const struct look *look, uint64_t at, uint64_t *line_at, uint64_t *time_s)
{
    struct line_clock clock = { 0 };
    struct log_entry entry = { 0 };
    ssize_t got = pread(look->fd, look->memory, LOOK_BYTES, (off_t)at);
    *time_s = 0;
    if (got < 0) {
        err_set(look->err, "cannot read: %s", strerror(errno));
        return -1;
    }
    const char *p = look->memory, *end = p + got;
    if (got && at) { /* in the middle of a line, as far as is known */
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        p = newline ? newline + 1 : end;
    }
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        if (!newline) return 0;
        struct slice line = { p, (size_t)(newline - p) };
        if (line.len && line.data[line.len - 1] == '\r') line.len--;
        if (line_format_read(look->format, line, &clock, &entry) && entry.time_s) {
            *line_at = at + (uint64_t)(p - look->memory);
            *time_s = entry.time_s;
            return 0;
        }
        p = newline + 1;
    }
    return 0;
}

int time_search(int fd, uint64_t size, const struct line_format *format, uint64_t time_s, uint64_t *offset,
                struct err *err)
{
    struct look look = { fd, format, malloc(LOOK_BYTES + INTAKE_SLACK), err };
    if (!look.memory) return err_set(err, "out of memory");
    uint64_t low = 0, high = size, wanted_s = time_s > TIME_SEARCH_SLACK_S ? time_s - TIME_SEARCH_SLACK_S : 0;
    int result = 0;
    *offset = 0;
    /* Lines that begin at or before `low` are too early; the one looked for begins at or before `high`. */
    while (result == 0 && high - low > LOOK_BYTES / 2) {
        uint64_t middle = low + (high - low) / 2, line_at = 0, line_s = 0;
        result = first_line(&look, middle, &line_at, &line_s);
        if (line_s && line_s < wanted_s) {
            *offset = line_at;
            low = line_at > middle ? line_at : middle;
        } else {
            high = middle;
        }
    }
    free(look.memory);
    return result;
}
