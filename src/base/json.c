#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

#define JSON_FIRST_CAP 256

void json_init(struct json *j, size_t max, bool is_indented)
{
    *j = (struct json){ .max = max, .is_indented = is_indented };
}

void json_fini(struct json *j)
{
    free(j->data);
    j->data = NULL;
}

char *json_take(struct json *j, size_t *len)
{
    char *data = j->is_failed ? NULL : j->data;
    if (j->is_failed) free(j->data);
    if (len) *len = data ? j->len : 0;
    j->data = NULL;
    j->len = j->cap = 0;
    return data;
}

/* Room for `more` bytes and a terminator; false marks the whole text as failed. */
static bool reserve(struct json *j, size_t more)
{
    if (j->is_failed) return false;
    if (more > j->max - j->len) {
        j->is_failed = j->is_full = true;
        return false;
    }
    if (j->cap - j->len > more) return true;
    size_t cap = j->cap ? j->cap * 2 : JSON_FIRST_CAP;
    while (cap - j->len <= more) cap *= 2;
    if (cap > j->max + 1) cap = j->max + 1;
    char *data = realloc(j->data, cap);
    if (!data) {
        j->is_failed = true;
        return false;
    }
    j->data = data;
    j->cap = cap;
    return true;
}

static void json_put(struct json *j, const void *data, size_t len)
{
    if (!reserve(j, len)) return;
    if (len) memcpy(j->data + j->len, data, len);
    j->len += len;
    j->data[j->len] = 0;
}

static void put_char(struct json *j, char c)
{
    json_put(j, &c, 1);
}

static void new_line(struct json *j)
{
    if (!j->is_indented || !j->depth) return;
    put_char(j, '\n');
    for (uint32_t i = 0; i < j->depth; i++) json_put(j, "  ", 2);
}

/* What must stand before a value or a key. */
static void json_begin_value(struct json *j)
{
    if (j->is_after_key) {
        j->is_after_key = false;
        return;
    }
    if (j->needs_comma) put_char(j, ',');
    new_line(j);
}

static void open_with(struct json *j, char bracket)
{
    json_begin_value(j);
    put_char(j, bracket);
    j->depth++;
    j->needs_comma = false;
}

static void close_with(struct json *j, char bracket)
{
    j->depth--;
    if (j->needs_comma) { /* not empty */
        if (!j->depth && j->is_indented) put_char(j, '\n');
        new_line(j);
    }
    put_char(j, bracket);
    j->needs_comma = true;
}

void json_object(struct json *j)
{
    open_with(j, '{');
}

void json_object_end(struct json *j)
{
    close_with(j, '}');
}

void json_array(struct json *j)
{
    open_with(j, '[');
}

void json_array_end(struct json *j)
{
    close_with(j, ']');
}

static void put_escaped(struct json *j, unsigned char c)
{
    char escape[8];
    switch (c) {
    case '"': json_put(j, "\\\"", 2); break;
    case '\\': json_put(j, "\\\\", 2); break;
    case '\n': json_put(j, "\\n", 2); break;
    case '\r': json_put(j, "\\r", 2); break;
    case '\t': json_put(j, "\\t", 2); break;
    default: json_put(j, escape, (size_t)snprintf(escape, sizeof(escape), "\\u%04x", c));
    }
}

static void put_string(struct json *j, struct slice s)
{
    put_char(j, '"');
    size_t at = 0, from = 0; /* from..at goes as it is */
    while (at < s.len && !j->is_failed) {
        unsigned char c = (unsigned char)s.data[at];
        size_t len = utf8_sequence_len((struct slice){ s.data + at, s.len - at });
        bool is_c1 = len == 2 && c == 0xc2 && (unsigned char)s.data[at + 1] < 0xa0; /* U+0080 to U+009F */
        if (len && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f && !is_c1) {
            at += len;
            continue;
        }
        json_put(j, s.data + from, at - from);
        if (len)
            put_escaped(j, is_c1 ? (unsigned char)s.data[at + 1] : c);
        else
            json_put(j, "\xef\xbf\xbd", 3);
        from = at += len ? len : 1;
    }
    json_put(j, s.data + from, at - from);
    put_char(j, '"');
}

void json_key(struct json *j, const char *key)
{
    json_key_slice(j, slice_of(key));
}

void json_key_slice(struct json *j, struct slice key)
{
    json_begin_value(j);
    put_string(j, key);
    json_put(j, ": ", j->is_indented ? 2 : 1);
    j->is_after_key = true;
}

void json_string(struct json *j, const char *value)
{
    if (value)
        json_slice(j, slice_of(value));
    else
        json_null(j);
}

void json_slice(struct json *j, struct slice value)
{
    json_begin_value(j);
    put_string(j, value);
    j->needs_comma = true;
}

void json_printf(struct json *j, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0) {
        j->is_failed = true;
        return;
    }
    json_slice(j, (struct slice){ text, (size_t)len });
    free(text);
}

void json_raw(struct json *j, struct slice value)
{
    json_begin_value(j);
    json_put(j, value.data, value.len);
    j->needs_comma = true;
}

void json_u64(struct json *j, uint64_t value)
{
    char text[24];
    json_raw(j, (struct slice){ text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, value) });
}

void json_i64(struct json *j, int64_t value)
{
    char text[24];
    json_raw(j, (struct slice){ text, (size_t)snprintf(text, sizeof(text), "%" PRId64, value) });
}

void json_double(struct json *j, double value)
{
    char text[32];
    if (!isfinite(value)) {
        json_null(j);
        return;
    }
    /* The fewest digits that read back as the same number; 17 always do. */
    int len = 0;
    for (int digits = 15; digits <= 17; digits++) {
        len = snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    json_raw(j, (struct slice){ text, (size_t)len });
}

void json_bool(struct json *j, bool value)
{
    json_raw(j, value ? SLICE("true") : SLICE("false"));
}

void json_null(struct json *j)
{
    json_raw(j, SLICE("null"));
}
