#include "logs/json_reader.h"

#include <string.h>

#include "logs/entry_value.h"
#include "logs/scan.h"

enum state {
    BETWEEN,   /* records: blanks, commas, brackets of an array */
    AWAIT_KEY, /* a key, or the record's end */
    IN_KEY,
    AWAIT_COLON,
    AWAIT_VALUE,
    IN_STRING,
    IN_SCALAR, /* number, true, false, null */
    IN_NESTED, /* an object or an array within the record */
    AWAIT_COMMA,
    LOST, /* until the next line that begins with an object */
};

/* Keys as other programs write them. */
static const struct {
    struct slice name;
    enum log_field field;
} aliases[] = {
#define ALIAS(text, field)                \
    {                                     \
        { text, sizeof(text) - 1 }, field \
    }
    ALIAS("client", LOG_CLIENT),    ALIAS("client_ip", LOG_CLIENT),   ALIAS("ip", LOG_CLIENT),
    ALIAS("time", LOG_TIME_ISO),    ALIAS("timestamp", LOG_TIME_ISO), ALIAS("@timestamp", LOG_TIME_ISO),
    ALIAS("method", LOG_METHOD),    ALIAS("path", LOG_TARGET),        ALIAS("target", LOG_TARGET),
    ALIAS("url", LOG_TARGET),       ALIAS("protocol", LOG_PROTOCOL),  ALIAS("bytes", LOG_BYTES),
    ALIAS("bytes_out", LOG_BYTES),  ALIAS("size", LOG_BYTES),         ALIAS("body_bytes", LOG_BODY_BYTES),
    ALIAS("referer", LOG_REFERER),  ALIAS("referrer", LOG_REFERER),   ALIAS("agent", LOG_AGENT),
    ALIAS("user_agent", LOG_AGENT), ALIAS("upstream", LOG_UPSTREAM),  ALIAS("variant", LOG_VARIANT),
#undef ALIAS
};

static enum log_field known_field(const struct json_reader *r, struct slice key)
{
    enum log_field field = line_format_field(&r->names, key);
    for (unsigned i = 0; field == LOG_FIELD_MAX && i < sizeof(aliases) / sizeof(*aliases); i++)
        if (slice_equal(aliases[i].name, key)) field = aliases[i].field;
    return field;
}

/* A seat for a key that is not known; LOG_FIELD_MAX if there is none left. */
static enum log_field new_field(struct json_reader *r)
{
    if (LOG_FURTHER + r->names.name_count == LOG_FIELD_MAX) return LOG_FIELD_MAX;
    if (r->key_len > sizeof(r->name_text) - r->name_used) return LOG_FIELD_MAX;
    char *name = r->name_text + r->name_used;
    memcpy(name, r->key, r->key_len);
    r->name_used += r->key_len;
    r->names.names[r->names.name_count++] = (struct slice){ name, r->key_len };
    return (enum log_field)(LOG_FURTHER + r->names.name_count - 1);
}

static void expect(struct json_reader *r, uint32_t number, struct slice key, enum log_field field)
{
    if (number >= JSON_READER_EXPECTED) return;
    memcpy(r->expected[number].name, key.data, key.len);
    r->expected[number].len = (uint8_t)key.len;
    r->expected[number].field = (uint8_t)field;
}

static void take_key(struct json_reader *r, struct slice key)
{
    uint32_t number = r->key_number++;
    r->is_new_key = false;
    r->state = AWAIT_COLON;
    r->field = LOG_FIELD_MAX;
    if (key.len > JSON_READER_KEY_MAX) return;
    if (number < JSON_READER_EXPECTED && r->expected[number].len == key.len &&
        memcmp(r->expected[number].name, key.data, key.len) == 0) {
        r->field = r->expected[number].field;
        if (r->field != LOG_FIELD_MAX) return;
    }
    r->field = (uint8_t)known_field(r, key);
    if (r->field != LOG_FIELD_MAX) {
        expect(r, number, key, (enum log_field)r->field);
        return;
    }
    r->is_new_key = true;
    if (key.data != r->key) memcpy(r->key, key.data, key.len);
    r->key_len = (uint8_t)key.len;
}

void json_reader_init(struct json_reader *r, const struct json_reader_events *events, void *context)
{
    memset(r, 0, offsetof(struct json_reader, memory));
    r->events = events;
    r->context = context;
}

static void begin_record(struct json_reader *r)
{
    memset(r->entry.values, 0, sizeof(r->entry.values));
    r->held = r->key_number = 0;
    r->is_cut = r->has_newline = r->is_after_record = false;
    r->raw_len = 0;
    r->is_raw_cut = false;
    r->state = AWAIT_KEY;
}

/* A record begins at the brace `p`. */
static void begin_record_at(struct json_reader *r, const char *p, const char *end)
{
    begin_record(r);
    r->record_at = r->fed - (uint64_t)(end - p);
    r->record = p;
}

/* All of the record, which ends before `p`; what came in earlier pieces was kept. */
static struct slice whole_record(struct json_reader *r, const char *p)
{
    if (r->is_raw_cut) return SLICE_NONE;
    size_t len = (size_t)(p - r->record);
    if (!r->raw_len) return (struct slice){ r->record, len };
    if (len > JSON_READER_HELD - r->raw_len) return SLICE_NONE;
    memcpy(r->raw + r->raw_len, r->record, len);
    return (struct slice){ r->raw, r->raw_len + len };
}

/* The piece ends at `end`, and the record does not. */
static void keep_record(struct json_reader *r, const char *end)
{
    size_t len = (size_t)(end - r->record);
    if (len > JSON_READER_HELD - r->raw_len) r->is_raw_cut = true;
    if (r->is_raw_cut) return;
    memcpy(r->raw + r->raw_len, r->record, len);
    r->raw_len += (uint32_t)len;
}

static void end_record(struct json_reader *r, const char *p)
{
    struct log_entry *e = &r->entry;
    e->line = whole_record(r, p);
    line_clock_set(&r->clock, e);
    entry_derive(e);
    r->state = BETWEEN;
    r->is_after_record = !r->has_newline;
    r->events->on_entry(r->context, e);
}

/* Begins at `p` to look for the next line, or at that if one begins here. */
static const char *lose(struct json_reader *r, const char *p, const char *end)
{
    size_t len = (size_t)(end - p);
    r->events->on_malformed(r->context, (struct slice){ p, len < 256 ? len : 256 });
    r->state = LOST;
    r->is_string = r->is_escaped = false;
    r->is_at_line = *p == '{' && (p > r->record ? p[-1] : r->piece_before) == '\n';
    r->value = NULL;
    return p;
}

/* At the newline `p`, within a record. Where records are lines, and within a string in any case (RFC 8259, 7), this one was
 * cut, and the next begins behind it. true: it was. */
static bool is_cut_by(struct json_reader *r, const char *p)
{
    r->has_newline = true;
    if (!r->is_lines && r->state != IN_STRING && r->state != IN_KEY && !r->is_string) return false;
    size_t len = (size_t)(p - r->record);
    lose(r, r->record, r->record + len);
    r->is_at_line = true;
    return true;
}

/* The value ends before p. */
static void end_value(struct json_reader *r, const char *p)
{
    r->state = AWAIT_COMMA;
    if (!r->value) return;
    if (r->field < LOG_FIELD_MAX)
        r->entry.values[r->field] = (struct slice){ r->value, (size_t)(p - r->value) };
    r->value = NULL;
}

/* Closing quote, newline or end: where a string that does not begin with an escape stands still. */
static inline __attribute__((always_inline)) const char *skip_string(const char *p, const char *end)
{
    __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), newline = _mm_set1_epi8('\n');
    for (; p < end; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i hits = _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash));
        hits = _mm_or_si128(hits, _mm_cmpeq_epi8(bytes, newline));
        uint32_t found = (uint32_t)_mm_movemask_epi8(hits);
        if (!found) continue;
        p += __builtin_ctz(found);
        return p < end ? p : end;
    }
    return end;
}

/* To the quote that ends the string, to a newline, which is lost then, or to the end of the piece. True: *at stands at
 * that quote. */
static bool pass_string(struct json_reader *r, const char **at, const char *end)
{
    const char *p = *at;
    while (p < end) {
        if (r->is_escaped && *p != '\n') {
            r->is_escaped = false;
            p++;
            continue;
        }
        p = skip_string(p, end);
        if (p == end) break;
        if (*p == '"') {
            *at = p;
            return true;
        }
        if (*p == '\n') {
            is_cut_by(r, p);
            *at = p + 1;
            return false;
        }
        r->is_escaped = true;
        p++;
    }
    *at = end;
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static const char *pass_more_blanks(struct json_reader *r, const char *p, const char *end)
{
    for (; p < end && is_blank(*p); p++)
        if (*p == '\n' && is_cut_by(r, p)) return p + 1;
    return p;
}

/* To what is no blank, to the end of the piece, or behind a newline that cuts the record: then it is lost. Writers put one
 * blank or none between what they write, so that is all that is done here: it is done four times a field. */
static inline __attribute__((always_inline)) const char *pass_blanks(struct json_reader *r, const char *p,
                                                                     const char *end)
{
    if (p < end && *p == ' ') p++;
    return p<end && * p> ' ' ? p : pass_more_blanks(r, p, end);
}

static bool is_stopped(const struct json_reader *r, const char *p, const char *end)
{
    return p == end || r->state == LOST;
}

/* NUL: a hole that a writer left which goes on where it was after its file was truncated. */
static const char *pass_between(struct json_reader *r, const char *p, const char *end)
{
    while (p < end && (is_blank(*p) || *p == ',' || *p == '[' || *p == ']' || !*p)) {
        if (*p == '\n' && r->is_after_record) r->is_lines = true;
        if (*p != '\r') r->is_after_record = false;
        p++;
    }
    if (p == end) return p;
    if (*p == '{') {
        begin_record_at(r, p, end);
    } else {
        return lose(r, p, end);
    }
    return p + 1;
}

static const char *pass_key(struct json_reader *r, const char *p, const char *end)
{
    const char *from = p;
    bool is_whole = pass_string(r, &p, end);
    if (r->state == LOST) return p;
    size_t len = (size_t)(p - from), room = sizeof(r->key) - r->key_len;
    if (is_whole && !r->key_len && !r->is_cut) {
        take_key(r, (struct slice){ from, len }); /* all of it is here: no copy */
        return p + 1;
    }
    if (len > room) {
        r->is_cut = true;
        len = room;
    }
    memcpy(r->key + r->key_len, from, len);
    r->key_len = (uint8_t)(r->key_len + len);
    if (!is_whole) return p;
    take_key(r, (struct slice){ r->key, r->is_cut ? JSON_READER_KEY_MAX + 1 : r->key_len });
    r->is_cut = false;
    return p + 1;
}

static const char *begin_value(struct json_reader *r, const char *p, const char *end)
{
    if (r->is_new_key && *p != '{' && *p != '[') {
        r->field = (uint8_t)new_field(r);
        expect(r, r->key_number - 1, (struct slice){ r->key, r->key_len }, (enum log_field)r->field);
    }
    switch (*p) {
    case '"':
        r->state = IN_STRING;
        r->value = p + 1;
        return p + 1;
    case '{':
    case '[':
        r->state = IN_NESTED;
        r->depth = 1;
        r->is_string = false;
        r->before = *p;
        return p + 1;
    default:
        if (!strchr("-0123456789tfn", *p) || !*p) return lose(r, p, end);
        r->state = IN_SCALAR;
        r->value = p;
        return p;
    }
}

static const char *pass_scalar(struct json_reader *r, const char *p, const char *end)
{
    while (p < end && *p != ',' && *p != '}' && !is_blank(*p)) p++;
    if (p == end) return p;
    /* null is as if it were not there. */
    if (p - r->value == 4 && memcmp(r->value, "null", 4) == 0) r->value = NULL;
    end_value(r, p);
    return p;
}

static const char *pass_nested(struct json_reader *r, const char *p, const char *end)
{
    while (p < end) {
        if (r->is_string) {
            if (!pass_string(r, &p, end)) return p;
            r->is_string = false;
            p++;
            continue;
        }
        char c = *p;
        if (c == '\n' && is_cut_by(r, p)) return p + 1;
        p++;
        if (is_blank(c)) continue;
        if (c == '"') r->is_string = true;
        if (c == '{' || c == '[') {
            /* Nothing opens behind a value: that record was cut, and this is the next, if it begins a line. */
            if (!strchr("{[:,", r->before)) return lose(r, p - 1, end);
            r->depth++;
        }
        r->before = c;
        if ((c == '}' || c == ']') && --r->depth == 0) {
            r->state = AWAIT_COMMA;
            return p;
        }
    }
    return p;
}

/* A line that begins with a brace begins a record again. */
static const char *pass_lost(struct json_reader *r, const char *p, const char *end)
{
    if (!r->is_at_line) {
        const char *newline = scan_sse2(p, end, '\n');
        if (!newline) return end;
        p = newline + 1;
        r->is_at_line = true;
    }
    while (p < end && !*p) p++; /* a hole: see pass_between() */
    if (p == end) return p;
    r->is_at_line = false;
    if (*p != '{') return p;
    begin_record_at(r, p, end);
    return p + 1;
}

static const char *step_value(struct json_reader *r, const char *p, const char *end)
{
    switch ((enum state)r->state) {
    case BETWEEN: return pass_between(r, p, end);
    case AWAIT_KEY:
        p = pass_blanks(r, p, end);
        if (is_stopped(r, p, end)) return p;
        if (*p == '"') {
            r->state = IN_KEY;
            r->key_len = 0;
        } else if (*p == '}') {
            end_record(r, p + 1);
        } else if (*p != ',') {
            return lose(r, p, end);
        }
        return p + 1;
    case IN_KEY: return pass_key(r, p, end);
    case AWAIT_COLON:
    case AWAIT_VALUE:
        p = pass_blanks(r, p, end);
        if (is_stopped(r, p, end)) return p;
        if (r->state == AWAIT_VALUE) return begin_value(r, p, end);
        if (*p == ':')
            r->state = AWAIT_VALUE;
        else
            return lose(r, p, end);
        return p + 1;
    case IN_STRING:
        if (!pass_string(r, &p, end)) return p; /* also: lost at a newline */
        end_value(r, p);
        return p + 1;
    case IN_SCALAR: return pass_scalar(r, p, end);
    case IN_NESTED: return pass_nested(r, p, end);
    case AWAIT_COMMA:
        p = pass_blanks(r, p, end);
        if (is_stopped(r, p, end)) return p;
        if (*p == ',')
            r->state = AWAIT_KEY;
        else if (*p == '}')
            end_record(r, p + 1);
        else
            return lose(r, p, end);
        return p + 1;
    case LOST: return pass_lost(r, p, end);
    }
    return end;
}

/* The piece's memory is the caller's: what the record has of it moves into ours. */
static const char *hold(struct json_reader *r, const char *from, size_t len)
{
    if (from >= r->memory && from < r->memory + sizeof(r->memory)) return from; /* from an earlier piece */
    if (len > JSON_READER_HELD - r->held) {
        r->cut_values++;
        return NULL;
    }
    char *to = r->memory + r->held;
    memcpy(to, from, len);
    r->held += (uint32_t)len;
    return to;
}

static void hold_values(struct json_reader *r, const char *end)
{
    for (unsigned i = 0; i < LOG_FIELD_MAX; i++) {
        struct slice *v = &r->entry.values[i];
        if (!v->data) continue;
        v->data = hold(r, v->data, v->len);
        if (!v->data) v->len = 0;
    }
    /* The one in hand comes last, so that it can grow at the end of what is held. */
    if (r->value) r->value = hold(r, r->value, (size_t)(end - r->value));
}

/* The value in hand began in an earlier piece: what this one has of it is put behind it. */
static const char *finish_held_value(struct json_reader *r, const char *p, const char *end)
{
    const char *from = p;
    bool is_over;
    if (r->state == IN_STRING) {
        is_over = pass_string(r, &p, end);
        if (r->state == LOST) return p;
    } else {
        while (p < end && *p != ',' && *p != '}' && !is_blank(*p)) p++;
        is_over = p < end;
    }
    size_t len = (size_t)(p - from);
    if (r->value && len > JSON_READER_HELD - r->held) {
        r->cut_values++;
        r->value = NULL;
    }
    if (r->value) {
        memcpy(r->memory + r->held, from, len);
        r->held += (uint32_t)len;
    }
    if (!is_over) return p;
    bool is_null = r->state == IN_SCALAR && r->value && r->memory + r->held - r->value == 4 &&
                   memcmp(r->value, "null", 4) == 0;
    bool is_string = r->state == IN_STRING;
    if (is_null) r->value = NULL;
    end_value(r, r->memory + r->held);
    return is_string ? p + 1 : p;
}

void json_reader_feed(struct json_reader *r, struct slice piece)
{
    const char *p = piece.data, *end = piece.data + piece.len;
    r->fed += piece.len;
    r->record = p;
    if (p < end && (r->state == IN_STRING || r->state == IN_SCALAR)) p = finish_held_value(r, p, end);
    while (p < end) p = step_value(r, p, end);
    if (p > piece.data) r->piece_before = p[-1];
    if (r->state == BETWEEN || r->state == LOST) return;
    hold_values(r, end);
    keep_record(r, end);
}

uint64_t json_reader_pending(const struct json_reader *r)
{
    return r->state == BETWEEN || r->state == LOST ? 0 : r->fed - r->record_at;
}

void json_reader_end(struct json_reader *r)
{
    if (r->state != BETWEEN && r->state != LOST)
        r->events->on_malformed(r->context, SLICE("(the input ends here)"));
    r->state = BETWEEN;
    r->value = NULL;
}
