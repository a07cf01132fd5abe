#include "logs/line_format.h"

#include <string.h>

#include "logs/entry_value.h"
#include "logs/scan.h"

const char *const line_format_combined =
    "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" "
    "\"$http_user_agent\"";

/* names */

static const struct slice field_names[] = {
#define X(id, name) { name, sizeof(name) - 1 },
    LOG_FIELDS(X)
#undef X
};

/* Other names for what has a seat. */
static const struct {
    struct slice name;
    enum log_field field;
} aliases[] = { { { "uri", 3 }, LOG_TARGET },
                { { "http_host", 9 }, LOG_HOST },
                { { "server_name", 11 }, LOG_HOST } };

enum log_field line_format_field(const struct line_format *f, struct slice name)
{
    for (unsigned i = 0; i < LOG_FURTHER; i++)
        if (slice_equal(field_names[i], name)) return (enum log_field)i;
    for (unsigned i = 0; i < sizeof(aliases) / sizeof(*aliases); i++)
        if (slice_equal(aliases[i].name, name)) return aliases[i].field;
    for (unsigned i = 0; i < f->name_count; i++)
        if (slice_equal(f->names[i], name)) return (enum log_field)(LOG_FURTHER + i);
    return LOG_FIELD_MAX;
}

/* compiling */

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* "$name" or "${name}" at the start of `rest`; its length, 0 if it is neither. */
static size_t variable_at(struct slice rest, struct slice *name)
{
    size_t i = 1;
    bool is_braced = rest.len > 1 && rest.data[1] == '{';
    if (is_braced) i++;
    size_t from = i;
    while (i < rest.len && is_name_char(rest.data[i])) i++;
    *name = (struct slice){ rest.data + from, i - from };
    if (!name->len) return 0;
    if (!is_braced) return i;
    return i < rest.len && rest.data[i] == '}' ? i + 1 : 0;
}

static int add_step(struct line_format *f, struct slice name, struct err *err)
{
    enum log_field field = line_format_field(f, name);
    if (f->step_count == LINE_FORMAT_STEPS_MAX)
        return err_set(err, "a log format may have %u variables", LINE_FORMAT_STEPS_MAX);
    if (field == LOG_FIELD_MAX) {
        if (f->name_count == LOG_FIELD_MAX - LOG_FURTHER)
            return err_set(err, "a log format may have %d variables that weir has no use of its own for",
                           LOG_FIELD_MAX - LOG_FURTHER);
        field = (enum log_field)(LOG_FURTHER + f->name_count);
        f->names[f->name_count++] = name;
    }
    f->steps[f->step_count++] = (struct line_step){ .field = (uint8_t)field };
    return 0;
}

/* What a value may have within that looks like the literal behind it. */
static uint8_t inner_of(const struct line_format *f, const struct line_step *s)
{
    char first = s->literal_len ? f->text[s->at] : 0;
    if (first == '"' && f->escape != LINE_ESCAPE_NONE) return LINE_INNER_QUOTES;
    bool is_list = s->field >= LOG_UPSTREAM && s->field <= LOG_UPSTREAM_TIME;
    if (s->field >= LOG_FURTHER && s->field < LOG_FIELD_MAX)
        is_list = slice_starts_with(f->names[s->field - LOG_FURTHER], SLICE("upstream_"));
    return first == ' ' && is_list ? LINE_INNER_LIST : 0;
}

int line_format_compile(struct line_format *f, struct slice text, enum line_escape escape, struct err *err)
{
    *f = (struct line_format){ .escape = escape };
    if (text.len > LINE_FORMAT_TEXT_MAX)
        return err_set(err, "a log format may have %u bytes, this one has %zu", LINE_FORMAT_TEXT_MAX,
                       text.len);
    memcpy(f->text, text.data, text.len);
    f->text_len = (uint16_t)text.len;
    for (size_t at = 0; at < text.len;) {
        struct slice name;
        size_t from = at;
        while (at < text.len && text.data[at] != '$') at++;
        if (f->step_count) {
            struct line_step *before = &f->steps[f->step_count - 1];
            before->at = (uint16_t)from;
            before->literal_len = (uint16_t)(at - from);
            if (at == from)
                return err_set(err,
                               "\"%.*s\" follows another variable without text between them: where one ends "
                               "cannot be told",
                               (int)(text.len - at < 40 ? text.len - at : 40), text.data + at);
        } else {
            f->head_len = (uint16_t)at;
        }
        if (at == text.len) break;
        size_t len = variable_at((struct slice){ f->text + at, text.len - at }, &name);
        if (!len)
            return err_set(err, "\"%.*s\" is no variable; write $name or ${name}",
                           (int)(text.len - at < 40 ? text.len - at : 40), text.data + at);
        if (add_step(f, name, err) < 0) return -1;
        at += len;
    }
    for (uint32_t i = 0; i < f->step_count; i++) f->steps[i].inner = inner_of(f, &f->steps[i]);
    return f->step_count ? 0 : err_set(err, "the log format has no variable");
}

/* reading */

static uint64_t time_of(struct slice text, struct line_clock *clock, uint64_t (*parse)(struct slice))
{
    if (text.len == clock->len && memcmp(text.data, clock->text, text.len) == 0) return clock->time_s;
    uint64_t time_s = parse(text);
    if (text.len > sizeof(clock->text)) return time_s;
    memcpy(clock->text, text.data, text.len);
    clock->len = (uint8_t)text.len;
    clock->time_s = time_s;
    return time_s;
}

void line_clock_set(struct line_clock *clock, struct log_entry *e)
{
    e->time_s = 0;
    if (e->values[LOG_TIME_LOCAL].len)
        e->time_s = time_of(e->values[LOG_TIME_LOCAL], clock, entry_time_local_s);
    else if (e->values[LOG_TIME_ISO].len)
        e->time_s = time_of(e->values[LOG_TIME_ISO], clock, entry_time_iso_s);
    else if (e->values[LOG_MSEC].len)
        e->time_s = entry_seconds_us(e->values[LOG_MSEC]) / 1000000;
    if (e->time_s == UINT64_MAX / 1000000) e->time_s = 0;
}

/* Of texts that are short, mostly: no call for those. Either may be read for eight bytes: see SCAN_SLACK. */
static inline bool is_same(const char *a, const char *b, size_t len)
{
    uint64_t left, right;
    if (len > 8) return memcmp(a, b, len) == 0;
    memcpy(&left, a, 8);
    memcpy(&right, b, 8);
    return ((left ^ right) << (64 - 8 * len)) == 0;
}

/* Whether the quote or blank at `p` is of the value that begins at `from` and does not end it. */
static __attribute__((noinline)) bool is_within(uint8_t inner, const char *from, const char *p,
                                                const char *end, size_t *len)
{
    const char *before = p;
    *len = 1;
    if (inner ==
        LINE_INNER_QUOTES) { /* an odd number of backslashes: \" as Apache and escape=json write it */
        while (before > from && before[-1] == '\\') before--;
        return (p - before) % 2 == 1;
    }
    if (p > from && p[-1] == ',') return true;
    *len = 3; /* nginx parts the attempts of one group from the next by a colon between blanks */
    return end - p > 3 && p[1] == ':' && p[2] == ' ';
}

/* Where the literal begins in [p, end); NULL. */
#define FIND_LITERAL(scan)                                                                             \
    static inline const char *find_literal_##scan(const char *p, const char *end, const char *literal, \
                                                  size_t len, uint8_t inner)                           \
    {                                                                                                  \
        const char *from = p;                                                                          \
        size_t passed;                                                                                 \
        if (!len) return end;                                                                          \
        while ((p = scan(p, end, *literal)) && (size_t)(end - p) >= len) {                             \
            bool may_be_within = inner && (inner == LINE_INNER_LIST || (p > from && p[-1] == '\\'));   \
            if (may_be_within && is_within(inner, from, p, end, &passed)) {                            \
                p += passed;                                                                           \
                continue;                                                                              \
            }                                                                                          \
            if (len == 1 || is_same(p, literal, len)) return p;                                        \
            p++;                                                                                       \
        }                                                                                              \
        return NULL;                                                                                   \
    }

SCAN_FOR_AVX2 FIND_LITERAL(scan_avx2) FIND_LITERAL(scan_sse2)

#define SPLIT(scan)                                                                                    \
    static bool split_##scan(const struct line_format *f, struct slice line, struct log_entry *out)    \
    {                                                                                                  \
        const char *p = line.data + f->head_len, *end = line.data + line.len;                          \
        for (uint32_t i = 0; i < f->step_count; i++) {                                                 \
            const struct line_step *s = &f->steps[i];                                                  \
            const char *stop = find_literal_##scan(p, end, f->text + s->at, s->literal_len, s->inner); \
            if (!stop) return false;                                                                   \
            out->values[s->field] = (struct slice){ p, (size_t)(stop - p) };                           \
            p = stop + s->literal_len;                                                                 \
        }                                                                                              \
        return p == end;                                                                               \
    }

    SCAN_FOR_AVX2 SPLIT(scan_avx2) SPLIT(scan_sse2)

        bool line_format_read(const struct line_format *f, struct slice line, struct line_clock *clock,
                              struct log_entry *out)
{
    if (line.len < f->head_len || memcmp(line.data, f->text, f->head_len) != 0) return false;
    if (!(scan_has_avx2() ? split_scan_avx2(f, line, out) : split_scan_sse2(f, line, out))) return false;
    out->line = line;
    line_clock_set(clock, out);
    entry_derive(out);
    return true;
}
