#include "base/log_line.h"

#include <stdbool.h>
#include <string.h>

#include "base/utf8.h"

#define PAIRS_MAX 40u
#define VALUE_MAX 1024u
/* What the object ends with: ,"cut":true} */
#define END_ROOM 16u

struct pair {
    struct slice key;
    struct text value; /* as it was before it was quoted */
    char memory[VALUE_MAX];
};

struct reading {
    struct slice rest;
    struct slice keys[PAIRS_MAX];
    uint32_t count;
};

/* reading */

static bool is_key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `at` is behind the quote; returns what is behind the other, or NULL: there is none. */
static const char *read_quoted(const char *at, const char *end, struct text *out)
{
    for (; at < end && *at != '"'; at++) {
        if (*at != '\\') {
            text_add_char(out, *at);
            continue;
        }
        bool is_hex = end - at > 3 && at[1] == 'x' && hex_of(at[2]) >= 0 && hex_of(at[3]) >= 0;
        if (is_hex) {
            text_add_char(out, (char)(hex_of(at[2]) * 16 + hex_of(at[3])));
            at += 3;
        } else if (end - at > 1) {
            text_add_char(out, *++at);
        }
    }
    return at < end ? at + 1 : NULL;
}

/* Also those that the object has for itself: a pair by such a name would be there twice. */
static bool is_known(const struct reading *r, struct slice key)
{
    if (slice_equal(key, SLICE("text")) || slice_equal(key, SLICE("cut"))) return true;
    for (uint32_t i = 0; i < r->count; i++)
        if (slice_equal(r->keys[i], key)) return true;
    return false;
}

static void skip_spaces(struct reading *r)
{
    while (r->rest.len && (*r->rest.data == ' ' || *r->rest.data == '\n'))
        r->rest = (struct slice){ r->rest.data + 1, r->rest.len - 1 };
}

/* The next pair; false: what is left is none, or nothing. */
static bool read_pair(struct reading *r, struct pair *out)
{
    const char *at = r->rest.data, *end = at + r->rest.len, *key = at;
    while (at < end && is_key_char(*at)) at++;
    out->key = (struct slice){ key, (size_t)(at - key) };
    if (at == key || at == end || *at != '=' || r->count == PAIRS_MAX || is_known(r, out->key)) return false;
    out->value = text_over(out->memory, sizeof(out->memory));
    at++;
    if (at < end && *at == '"')
        at = read_quoted(at + 1, end, &out->value);
    else
        while (at < end && *at != ' ' && *at != '\n') text_add_char(&out->value, *at++);
    if (!at || (at < end && *at != ' ' && *at != '\n')) return false;
    r->keys[r->count++] = out->key;
    r->rest = (struct slice){ at, (size_t)(end - at) };
    skip_spaces(r);
    return true;
}

static struct reading read_line(struct slice line)
{
    struct reading r = { .rest = line };
    while (r.rest.len && r.rest.data[r.rest.len - 1] == '\n') r.rest.len--;
    skip_spaces(&r);
    return r;
}

/* JSON */

/* What is not UTF-8 is U+FFFD, a byte each. */
static void add_json_string(struct text *out, struct slice s)
{
    text_add_char(out, '"');
    for (size_t at = 0; at < s.len;) {
        unsigned char c = (unsigned char)s.data[at];
        size_t len = utf8_sequence_len((struct slice){ s.data + at, s.len - at });
        if (c == '"' || c == '\\') {
            text_add_char(out, '\\');
            text_add_char(out, (char)c);
        } else if (c < ' ' || c == 0x7f) {
            TEXT_LITERAL(out, "\\u");
            text_add_hex(out, c, 4);
        } else if (!len) {
            TEXT_LITERAL(out, "\\ufffd");
        } else {
            text_add(out, s.data + at, len);
        }
        at += len ? len : 1;
    }
    text_add_char(out, '"');
}

/* False, and nothing is added: there is no room for it. */
static bool add_member(struct text *out, size_t from, struct slice key, struct slice value)
{
    struct text before = *out;
    if (before.len > from + 1) text_add_char(out, ',');
    add_json_string(out, key);
    text_add_char(out, ':');
    add_json_string(out, value);
    if (!out->is_cut && out->cap - out->len >= END_ROOM) return true;
    *out = before;
    return false;
}

void log_line_json(struct slice line, struct text *out)
{
    struct reading r = read_line(line);
    struct pair p;
    size_t from = out->len;
    bool fits = true;
    text_add_char(out, '{');
    while (fits && read_pair(&r, &p)) fits = add_member(out, from, p.key, text_slice(&p.value));
    if (fits && r.rest.len) fits = add_member(out, from, SLICE("text"), r.rest);
    if (!fits && out->len > from + 1) text_add_char(out, ',');
    if (!fits) TEXT_LITERAL(out, "\"cut\":true");
    text_add_char(out, '}');
}

/* journald */

void log_journal_field(struct text *out, struct slice name, struct slice value)
{
    bool has_breaks = value.len && memchr(value.data, '\n', value.len);
    text_add_slice(out, name);
    text_add_char(out, has_breaks ? '\n' : '=');
    if (has_breaks)
        for (unsigned i = 0; i < 8; i++) text_add_char(out, (char)((uint64_t)value.len >> 8 * i & 0xff));
    text_add_slice(out, value);
    text_add_char(out, '\n');
}

/* syslog(3)'s numbers: err, warning, info, debug. */
static struct slice priority_of(struct slice level)
{
    if (slice_equal(level, SLICE("error"))) return SLICE("3");
    if (slice_equal(level, SLICE("warn"))) return SLICE("4");
    return slice_equal(level, SLICE("debug")) ? SLICE("7") : SLICE("6");
}

/* "WEIR_" and the key in capitals, which is all that journald takes. */
static void add_own_field(struct text *out, struct slice key, struct slice value)
{
    char memory[64];
    struct text name = text_over(memory, sizeof(memory));
    TEXT_LITERAL(&name, "WEIR_");
    for (size_t i = 0; i < key.len; i++)
        text_add_char(&name,
                      key.data[i] >= 'a' && key.data[i] <= 'z' ? (char)(key.data[i] - 32) : key.data[i]);
    if (!name.is_cut) log_journal_field(out, text_slice(&name), value);
}

void log_line_journal(struct slice line, struct text *out)
{
    struct reading r = read_line(line);
    struct pair p;
    TEXT_LITERAL(out, "SYSLOG_IDENTIFIER=weir\n");
    while (read_pair(&r, &p)) {
        struct slice value = text_slice(&p.value);
        if (slice_equal(p.key, SLICE("time"))) continue;
        if (slice_equal(p.key, SLICE("level"))) {
            log_journal_field(out, SLICE("PRIORITY"), priority_of(value));
            continue;
        }
        add_own_field(out, p.key, value);
        if (!slice_equal(p.key, SLICE("event"))) continue;
        struct text message = text_over(p.memory, sizeof(p.memory));
        message.len = value.len; /* the event is there already */
        if (r.rest.len) text_add_char(&message, ' ');
        text_add_slice(&message, r.rest);
        log_journal_field(out, SLICE("MESSAGE"), text_slice(&message));
    }
}
