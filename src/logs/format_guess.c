#include <string.h>

#include "base/printable.h"
#include "logs/entry_value.h"
#include "logs/log_format.h"

#define LINES_MAX 64u

#define USUAL "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent"
#define COMBINED USUAL " \"$http_referer\" \"$http_user_agent\""

/* What a log may be whose format nobody told; those that say more come first. */
static const struct {
    const char *text;
    bool is_told; /* what the fields behind are taken for is said */
} guesses[] = {
    /* ingress-nginx's own */
    { COMBINED " $request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] "
               "$upstream_addr $upstream_response_length $upstream_response_time $upstream_status $req_id",
      true },
    { COMBINED " \"$http_x_forwarded_for\" $request_time $upstream_response_time", true },
    { COMBINED " \"$http_x_forwarded_for\" $request_time", true },
    { COMBINED " $request_time $upstream_response_time", true },
    { COMBINED " $request_time", true },
    { COMBINED " \"$http_x_forwarded_for\"", true }, /* `main` of nginx.org's packages */
    { COMBINED, false },
    { COMBINED " $further", true },
    { "$host:$server_port " COMBINED, true }, /* Apache's vhost_combined */
    { "$host:$server_port " COMBINED " $further", true },
    { USUAL, false },
    { USUAL " $further", true },
};
#define GUESSES (sizeof(guesses) / sizeof(*guesses))

/* values */

static bool is_of(struct slice s, const char *set)
{
    for (size_t i = 0; i < s.len; i++)
        if (!s.data[i] || !strchr(set, s.data[i])) return false;
    return s.len > 0;
}

static bool is_number(struct slice s)
{
    uint64_t value;
    return slice_equal(s, SLICE("-")) || entry_u64(s, &value);
}

/* nginx writes seconds with three places: a whole number is somebody else's microseconds, say. */
static bool is_seconds(struct slice s)
{
    return s.len > 4 && s.data[s.len - 4] == '.' && entry_seconds_us(s) != UINT64_MAX;
}

static bool is_list_of_seconds(struct slice s)
{
    const char *point = s.len ? memchr(s.data, '.', s.len) : NULL;
    return is_of(s, "0123456789.,:- ") && (point || slice_starts_with(s, SLICE("-")));
}

static bool is_list_of_addresses(struct slice s)
{
    return slice_equal(s, SLICE("-")) || (is_of(s, "0123456789abcdefABCDEF.:,[]-_ ") && s.len > 2) ||
           slice_starts_with(s, SLICE("unknown"));
}

static bool is_plausible_value(enum log_field field, struct slice s)
{
    uint64_t status;
    switch (field) {
    case LOG_CLIENT: return s.len && !memchr(s.data, ' ', s.len);
    case LOG_STATUS: return s.len == 3 && entry_u64(s, &status) && status < 1000;
    case LOG_BYTES:
    case LOG_BODY_BYTES:
    case LOG_REQUEST_LENGTH: return is_number(s);
    case LOG_REQUEST_TIME: return is_seconds(s);
    case LOG_UPSTREAM_TIME: return is_list_of_seconds(s);
    case LOG_UPSTREAM_STATUS: return is_of(s, "0123456789,:- ");
    case LOG_XFF: return is_list_of_addresses(s);
    case LOG_UPSTREAM:
        return slice_equal(s, SLICE("-")) ||
               (s.len && (memchr(s.data, ':', s.len) || memchr(s.data, '/', s.len)));
    default: return true;
    }
}

static bool is_plausible(const struct line_format *f, const struct log_entry *e)
{
    if (!e->status || !e->time_s) return false;
    for (uint32_t i = 0; i < f->step_count; i++) {
        enum log_field field = (enum log_field)f->steps[i].field;
        /* The request line is taken apart into these. */
        if (field == LOG_TARGET || field == LOG_PROTOCOL) continue;
        if (!is_plausible_value(field, e->values[field])) return false;
    }
    return true;
}

/* lines */

/* The next line that is one: without a hole in front, and the end that Windows gives it. */
static bool next_line(struct slice *rest, struct slice *line)
{
    while (rest->len && (!*rest->data || strchr(" \t\r\n", *rest->data))) rest->data++, rest->len--;
    if (!rest->len) return false;
    const char *newline = memchr(rest->data, '\n', rest->len);
    *line = (struct slice){ rest->data, newline ? (size_t)(newline - rest->data) : rest->len };
    *rest = (struct slice){ line->data + line->len, rest->len - line->len };
    if (line->data[line->len - 1] == '\r') line->len--;
    return true;
}

/* How many of the first lines it fits; the last may be cut. */
static uint32_t fits(const struct line_format *f, struct slice first, uint32_t *lines)
{
    struct line_clock clock = { 0 };
    struct slice line;
    uint32_t count = 0;
    for (*lines = 0; *lines < LINES_MAX && next_line(&first, &line);) {
        struct log_entry e = { 0 };
        if (*lines && !first.len) break;
        ++*lines;
        count += line_format_read(f, line, &clock, &e) && is_plausible(f, &e);
    }
    return count;
}

static int refuse_line(struct slice line, const char *path, struct err *err)
{
    char memory[256];
    struct text shown = text_over(memory, sizeof(memory));
    line.len = line.len < 120 ? line.len : 120;
    printable_add(&shown, line);
    return err_set(err,
                   "%s: its first lines are of no format that is known here: \"%.*s\"; give it with "
                   "--log-format or --nginx-conf",
                   path, (int)shown.len, shown.data);
}

int log_format_guess(struct slice first, struct log_format *out, const char *path, struct err *err)
{
    struct slice rest = first, line;
    uint32_t lines, most = 0, counts[GUESSES] = { 0 };
    memset(out, 0, sizeof(*out));
    if (!next_line(&rest, &line)) return log_format_parse(out, "combined", err);
    if (*line.data == '{' || *line.data == '[') {
        out->is_json = true;
        return 0;
    }
    for (unsigned i = 0; i < GUESSES; i++) {
        if (line_format_compile(&out->lines, slice_of(guesses[i].text), LINE_ESCAPE_DEFAULT, err) < 0)
            return -1;
        counts[i] = fits(&out->lines, first, &lines);
        if (counts[i] > most) most = counts[i];
    }
    /* A few lines may be others: clients write their own X-Forwarded-For. */
    for (unsigned i = 0; most && i < GUESSES; i++) {
        if (counts[i] * 10 < most * 9) continue;
        if (guesses[i].is_told) out->guess = guesses[i].text;
        return line_format_compile(&out->lines, slice_of(guesses[i].text), LINE_ESCAPE_DEFAULT, err);
    }
    return refuse_line(line, path, err);
}
