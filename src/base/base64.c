#include "base/base64.h"

enum alphabet { PLAIN = 1, URL = 2 };

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* -1: no digit. */
static int digit_of(char c, unsigned alphabets)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if ((c == '+' && alphabets & PLAIN) || (c == '-' && alphabets & URL)) return 62;
    return (c == '/' && alphabets & PLAIN) || (c == '_' && alphabets & URL) ? 63 : -1;
}

/* Without padding. */
static bool decode(struct slice text, unsigned alphabets, char *out, size_t room, size_t *len)
{
    unsigned bits = 0, held = 0;
    *len = 0;
    if (text.len % 4 == 1) return false;
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_of(text.data[i], alphabets);
        if (digit < 0) return false;
        held = (held << 6 | (unsigned)digit) & 0xffff;
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        if (*len == room) return false;
        out[(*len)++] = (char)(held >> bits & 0xff);
    }
    return !(held & ((1u << bits) - 1)); /* RFC 4648 3.5 */
}

static struct slice without_padding(struct slice text)
{
    for (int i = 0; i < 2 && text.len && text.data[text.len - 1] == '='; i++) text.len--;
    return text;
}

bool base64_decode(struct slice text, char *out, size_t room, size_t *len)
{
    *len = 0;
    return text.len % 4 == 0 && decode(without_padding(text), PLAIN, out, room, len);
}

bool base64url_decode(struct slice text, char *out, size_t room, size_t *len)
{
    return decode(text, URL, out, room, len);
}

bool base64_decode_pasted(struct slice text, char *out, size_t room, size_t *len)
{
    return decode(without_padding(text), PLAIN | URL, out, room, len);
}

void base64url_add(struct text *t, struct slice bytes)
{
    const unsigned char *at = (const unsigned char *)bytes.data;
    for (size_t left = bytes.len; left; at += 3) {
        size_t now = left < 3 ? left : 3;
        unsigned value = (unsigned)at[0] << 16 | (now > 1 ? (unsigned)at[1] << 8 : 0) | (now > 2 ? at[2] : 0);
        for (size_t i = 0; i <= now; i++) text_add_char(t, letters[value >> (18 - 6 * i) & 63]);
        left -= now;
    }
}

bool base64url_is_token(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (digit_of(text.data[i], URL) < 0) return false;
    return text.len > 0;
}
