#include "base/text.h"

#include <stdio.h>

void text_add_u64(struct text *t, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    text_add(t, digits + at, sizeof(digits) - at);
}

void text_add_hex(struct text *t, uint64_t value, unsigned digits)
{
    char out[16];
    if (digits > sizeof(out)) digits = sizeof(out);
    for (unsigned i = digits; i-- > 0; value >>= 4) out[i] = "0123456789abcdef"[value & 15];
    text_add(t, out, digits);
}

void text_printf(struct text *t, const char *format, ...)
{
    char small[1024];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (len <= 0) return;
    if ((size_t)len >= sizeof(small)) {
        t->is_cut = true;
        len = (int)sizeof(small) - 1;
    }
    text_add(t, small, (size_t)len);
}

const char *text_cstr(struct text *t)
{
    if (t->len == t->cap) {
        t->len--;
        t->is_cut = true;
    }
    t->data[t->len] = 0;
    return t->data;
}
