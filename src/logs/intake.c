#include "logs/intake.h"

#include <stdlib.h>
#include <string.h>

#include "logs/json_reader.h"
#include "logs/scan.h"

struct intake {
    const struct line_format *format; /* NULL: JSON */
    const struct intake_events *events;
    void *context;
    struct json_reader *json;
    struct line_clock clock;
    struct log_entry entry;
    uint64_t pending;
    bool is_skipping; /* the rest of a line that is too long */
    uint32_t held_len;
    char *held; /* the beginning of a line whose end has not come */
};

static void on_entry(void *context, struct log_entry *e)
{
    struct intake *in = context;
    in->events->on_entry(in->context, e);
}

static void on_malformed_record(void *context, struct slice bytes)
{
    struct intake *in = context;
    in->events->on_malformed(in->context, bytes);
}

static const struct json_reader_events json_events = { on_entry, on_malformed_record };

int intake_new(struct intake **out, const struct line_format *format, const struct intake_events *events,
               void *context, struct err *err)
{
    struct intake *in = calloc(1, sizeof(*in));
    if (!in) return err_set(err, "out of memory for reading a log");
    in->format = format;
    in->events = events;
    in->context = context;
    if (format)
        in->held = malloc(INTAKE_RECORD_MAX + INTAKE_SLACK);
    else
        in->json = malloc(sizeof(*in->json));
    if (format ? !in->held : !in->json) {
        intake_free(in);
        return err_set(err, "out of memory for reading a log");
    }
    if (in->json) json_reader_init(in->json, &json_events, in);
    *out = in;
    return 0;
}

void intake_free(struct intake *in)
{
    if (!in) return;
    free(in->json);
    free(in->held);
    free(in);
}

static void take_line(struct intake *in, struct slice line)
{
    /* A writer that goes on where it was after its file was truncated leaves a hole before its next line. */
    while (line.len && !*line.data) line.data++, line.len--;
    if (line.len && line.data[line.len - 1] == '\r') line.len--;
    if (!line.len) return; /* an empty line is no record, and nothing wrong */
    if (line_format_read(in->format, line, &in->clock, &in->entry))
        in->events->on_entry(in->context, &in->entry);
    else
        in->events->on_malformed(in->context, line);
}

static const char *find_newline(const char *p, const char *end)
{
    return scan_has_avx2() ? scan_newline_avx2(p, end) : scan_sse2(p, end, '\n');
}

/* The first bytes of a piece end the line that is held. Returns where the next one begins; `end` if none does. */
static const char *finish_held(struct intake *in, const char *p, const char *end)
{
    const char *newline = find_newline(p, end);
    size_t len = (size_t)((newline ? newline : end) - p);
    if (!in->is_skipping && len > INTAKE_RECORD_MAX - in->held_len) {
        in->is_skipping = true;
        in->events->on_malformed(in->context, (struct slice){ in->held, in->held_len });
    }
    if (!in->is_skipping) {
        memcpy(in->held + in->held_len, p, len);
        in->held_len += (uint32_t)len;
    }
    if (!newline) return end;
    if (!in->is_skipping) take_line(in, (struct slice){ in->held, in->held_len });
    in->is_skipping = false;
    in->held_len = 0;
    return newline + 1;
}

/* Of any length, so none of it is held. */
static const char *pass_hole(const char *p, const char *end)
{
    while (p < end && !*p) p++;
    return p;
}

static void feed_lines(struct intake *in, struct slice piece)
{
    const char *p = piece.data, *end = piece.data + piece.len, *from = p, *newline;
    in->pending += piece.len;
    if (in->held_len || in->is_skipping) {
        p = finish_held(in, p, end);
        if (in->held_len || in->is_skipping) return;
        in->pending = (uint64_t)(end - p);
    }
    while (p < end && (newline = find_newline(p, end))) {
        take_line(in, (struct slice){ p, (size_t)(newline - p) });
        p = newline + 1;
    }
    if (p < end && !*p) p = pass_hole(p, end);
    if (p != from) in->pending = (uint64_t)(end - p);
    if (p < end) finish_held(in, p, end);
}

void intake_feed(struct intake *in, struct slice piece)
{
    if (!piece.len) return;
    if (in->json) {
        json_reader_feed(in->json, piece);
        in->pending = json_reader_pending(in->json);
    } else {
        feed_lines(in, piece);
    }
}

void intake_end(struct intake *in)
{
    if (in->json)
        json_reader_end(in->json);
    else if (in->held_len && !in->is_skipping)
        take_line(in, (struct slice){ in->held, in->held_len });
    intake_reset(in);
}

void intake_reset(struct intake *in)
{
    if (in->json) json_reader_init(in->json, &json_events, in);
    in->held_len = 0;
    in->is_skipping = false;
    in->pending = 0;
}

uint64_t intake_pending(const struct intake *in)
{
    return in->pending;
}

enum log_field intake_field(const struct intake *in, struct slice name)
{
    return line_format_field(in->format ? in->format : &in->json->names, name);
}
