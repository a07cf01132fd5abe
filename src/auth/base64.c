#include "auth/base64.h"

/* -1: no digit. */
static int digit_of(char c, const char *last_two)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == last_two[0]) return 62;
    return c == last_two[1] ? 63 : -1;
}

/* Without padding. */
static bool decode(struct slice text, const char *last_two, char *out, size_t room, size_t *len)
{
    unsigned bits = 0, held = 0;
    *len = 0;
    if (text.len % 4 == 1) return false;
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_of(text.data[i], last_two);
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

bool base64_decode(struct slice text, char *out, size_t room, size_t *len)
{
    *len = 0;
    if (text.len % 4) return false;
    for (int i = 0; i < 2 && text.len && text.data[text.len - 1] == '='; i++) text.len--;
    return decode(text, "+/", out, room, len);
}

bool base64url_decode(struct slice text, char *out, size_t room, size_t *len)
{
    return decode(text, "-_", out, room, len);
}
