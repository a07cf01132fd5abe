#include "base/number.h"

#include <stdlib.h>

#define DECIMAL_MAX 32u

static int digit_of(char c, unsigned base)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return base == 16 && c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_whole(struct slice text, unsigned base, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_of(text.data[i], base);
        if (digit < 0 || __builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value))
            return false;
    }
    *out = value;
    return text.len > 0;
}

bool number_u64(struct slice text, uint64_t *out)
{
    return read_whole(text, 10, out);
}

bool number_address(struct slice text, uint64_t *out)
{
    bool is_hex = text.len > 2 && text.data[0] == '0' && (text.data[1] | 32) == 'x';
    return is_hex ? read_whole((struct slice){ text.data + 2, text.len - 2 }, 16, out)
                  : read_whole(text, 10, out);
}

bool number_decimal(struct slice text, double *out)
{
    char copy[DECIMAL_MAX + 1];
    if (!text.len || text.len > DECIMAL_MAX) return false;
    for (size_t i = 0, points = 0; i < text.len; i++) {
        bool is_point = text.data[i] == '.';
        points += is_point;
        if (is_point ? points > 1 || i == 0 || i + 1 == text.len : digit_of(text.data[i], 10) < 0)
            return false;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = 0;
    *out = strtod(copy, NULL);
    return true;
}
