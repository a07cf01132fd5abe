#include "base/utf8.h"

/* How many bytes a sequence has that begins with `first`; 0 if none does. */
static size_t len_by_first(unsigned char first)
{
    if (first < 0x80) return 1;
    if (first >= 0xc2 && first <= 0xdf) return 2;
    if (first >= 0xe0 && first <= 0xef) return 3;
    return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

size_t utf8_sequence_len(struct slice s)
{
    const unsigned char *b = (const unsigned char *)s.data;
    size_t len = len_by_first(b[0]);
    if (len < 2) return len;
    if (s.len < len) return 0;
    /* RFC 3629 4: the second byte is what tells overlong forms, surrogates and too large values. */
    unsigned char low = b[0] == 0xe0 ? 0xa0 : b[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = b[0] == 0xed ? 0x9f : b[0] == 0xf4 ? 0x8f : 0xbf;
    if (b[1] < low || b[1] > high) return 0;
    for (size_t i = 2; i < len; i++)
        if ((b[i] & 0xc0) != 0x80) return 0;
    return len;
}

size_t utf8_encode(uint32_t code_point, char out[4])
{
    if (code_point < 0x80) {
        out[0] = (char)code_point;
        return 1;
    }
    size_t len = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    for (size_t i = len; i-- > 1; code_point >>= 6) out[i] = (char)(0x80 | (code_point & 0x3f));
    static const unsigned char first[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    out[0] = (char)(first[len] | code_point);
    return len;
}
