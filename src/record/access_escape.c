#include "record/access_escape.h"

#include <string.h>

#include "base/utf8.h"

/* 1: written as it is by nginx's default escaping. */
static bool is_plain(unsigned char c)
{
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

/* How many bytes at the start of `s` need no escape in either way of escaping. */
static size_t plain_length(struct slice s)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    size_t at = 0;
    for (; s.len - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, s.data + at, 8);
        /* Has zero byte, per byte, for what differs from '"', '\\' and DEL; below ' '; above 0x7f. False
         * alarms come only from bytes after a true one, so the loop below settles them. */
        uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\'), del = word ^ (ones * 0x7f);
        uint64_t hit = ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | ((del - ones) & ~del) |
                       ((word - ones * ' ') & ~word) | word;
        if (hit & highs) break;
    }
    while (at < s.len && is_plain((unsigned char)s.data[at])) at++;
    return at;
}

static void add_hex_escape(struct text *out, unsigned char c)
{
    const char *digits = "0123456789ABCDEF";
    text_add(out, (const char[]){ '\\', 'x', digits[c >> 4], digits[c & 15] }, 4);
}

/* Adds one character that needs a second look; returns how many bytes it took. */
static size_t add_json_special(struct text *out, struct slice s)
{
    unsigned char c = (unsigned char)*s.data;
    if (c == '"' || c == '\\') {
        text_add(out, (const char[]){ '\\', (char)c }, 2);
        return 1;
    }
    if (c < ' ') {
        TEXT_LITERAL(out, "\\u00");
        text_add_hex(out, c, 2);
        return 1;
    }
    size_t len = utf8_sequence_len(s);
    if (len == 0) {
        TEXT_LITERAL(out, "\\ufffd");
        return 1;
    }
    text_add(out, s.data, len);
    return len;
}

void access_escape_add(struct text *out, enum access_escape escape, struct slice s)
{
    while (s.len) {
        size_t len = plain_length(s);
        text_add(out, s.data, len);
        s = (struct slice){ s.data + len, s.len - len };
        if (s.len == 0) break;
        size_t used = 1;
        if (escape == ACCESS_ESCAPE_JSON)
            used = add_json_special(out, s);
        else
            add_hex_escape(out, (unsigned char)*s.data);
        s = (struct slice){ s.data + used, s.len - used };
    }
}
