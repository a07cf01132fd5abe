#include "base/quantity.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

struct unit {
    const char *name;
    uint64_t scale;
};

/* From large to small: the parts of a duration come in this order, each at most once. */
static const struct unit time_units[] = {
    { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
};

static const struct unit byte_units[] = {
    { "TiB", UINT64_C(1) << 40 },
    { "TB", UINT64_C(1000000000000) },
    { "GiB", UINT64_C(1) << 30 },
    { "GB", 1000000000 },
    { "MiB", UINT64_C(1) << 20 },
    { "MB", 1000000 },
    { "KiB", UINT64_C(1) << 10 },
    { "KB", 1000 },
    { "B", 1 },
};

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
/* Digits after the point: more cannot be exact in any unit that we know. */
#define FRACTION_DIGITS_MAX 9

enum number { NUMBER_OK, NUMBER_NONE, NUMBER_TOO_LARGE };

struct decimal {
    uint64_t whole, fraction, fraction_scale; /* whole + fraction / fraction_scale */
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool add_digit(uint64_t *value, char digit)
{
    return !__builtin_mul_overflow(*value, 10, value) &&
           !__builtin_add_overflow(*value, (uint64_t)(digit - '0'), value);
}

/* Takes "12" or "1.5" off the front of *rest. */
static enum number take_decimal(struct slice *rest, struct decimal *out)
{
    *out = (struct decimal){ .fraction_scale = 1 };
    size_t at = 0;
    for (; at < rest->len && is_digit(rest->data[at]); at++)
        if (!add_digit(&out->whole, rest->data[at])) return NUMBER_TOO_LARGE;
    if (at == 0) return NUMBER_NONE;
    if (at < rest->len && rest->data[at] == '.') {
        size_t point = at++;
        for (; at < rest->len && is_digit(rest->data[at]); at++, out->fraction_scale *= 10)
            if (at - point > FRACTION_DIGITS_MAX || !add_digit(&out->fraction, rest->data[at]))
                return NUMBER_NONE;
        if (at == point + 1) return NUMBER_NONE;
    }
    rest->data += at;
    rest->len -= at;
    return NUMBER_OK;
}

/* Takes the letters at the front of *rest as one of the units; its index, or -1. */
static int take_unit(struct slice *rest, const struct unit *units, size_t count)
{
    size_t len = 0;
    while (len < rest->len && rest->data[len] != '.' && !is_digit(rest->data[len])) len++;
    for (size_t i = 0; i < count; i++) {
        if (!slice_equal((struct slice){ rest->data, len }, slice_of(units[i].name))) continue;
        rest->data += len;
        rest->len -= len;
        return (int)i;
    }
    return -1;
}

/* *sum += number * scale, if that is whole and fits. */
static bool add_scaled(uint64_t *sum, const struct decimal *number, uint64_t scale, bool *is_whole)
{
    uint64_t part, fraction;
    *is_whole = true;
    if (__builtin_mul_overflow(number->fraction, scale, &fraction)) return false;
    if (fraction % number->fraction_scale) *is_whole = false;
    return !__builtin_mul_overflow(number->whole, scale, &part) &&
           !__builtin_add_overflow(part, fraction / number->fraction_scale, &part) &&
           !__builtin_add_overflow(*sum, part, sum);
}

int quantity_parse_ms(struct slice text, uint64_t *ms, struct err *err)
{
    uint64_t sum = 0;
    size_t next = 0; /* first unit that may still follow */
    struct slice rest = text;
    if (slice_equal(text, SLICE("0"))) {
        *ms = 0;
        return 0;
    }
    if (!text.len) return err_set(err, "an empty text is not a duration; write one like 5s, 200ms or 1h30m");
    while (rest.len) {
        struct decimal number;
        bool is_whole;
        enum number got = take_decimal(&rest, &number);
        if (got == NUMBER_NONE)
            return err_set(err, "\"%.*s\" is not a duration; write one like 5s, 200ms or 1h30m",
                           SLICE_ARGS(text));
        if (got == NUMBER_OK && !rest.len)
            return err_set(err, "\"%.*s\" lacks a unit; write %.*ss for seconds or %.*sms for milliseconds",
                           SLICE_ARGS(text), SLICE_ARGS(text), SLICE_ARGS(text));
        int unit = got == NUMBER_OK ? take_unit(&rest, time_units, COUNT(time_units)) : 0;
        if (unit < 0 || (got == NUMBER_OK && (size_t)unit < next))
            return err_set(err, "\"%.*s\" is not a duration; the units are d, h, m, s and ms, in this order",
                           SLICE_ARGS(text));
        if (got == NUMBER_TOO_LARGE || !add_scaled(&sum, &number, time_units[unit].scale, &is_whole))
            return err_set(err, "\"%.*s\" is too long a duration", SLICE_ARGS(text));
        if (!is_whole)
            return err_set(err, "\"%.*s\" is not a whole number of milliseconds", SLICE_ARGS(text));
        next = (size_t)unit + 1;
    }
    *ms = sum;
    return 0;
}

int quantity_parse_bytes(struct slice text, uint64_t *bytes, struct err *err)
{
    struct slice rest = text;
    struct decimal number;
    bool is_whole;
    uint64_t sum = 0;
    enum number got = take_decimal(&rest, &number);
    if (got == NUMBER_NONE)
        return err_set(err, "\"%.*s\" is not a size; write one like 512, 16KiB or 1MiB", SLICE_ARGS(text));
    uint64_t scale = 1;
    if (got == NUMBER_OK && rest.len) {
        int unit = take_unit(&rest, byte_units, COUNT(byte_units));
        if (unit < 0 || rest.len)
            return err_set(err,
                           "\"%.*s\" is not a size; the units are B, KiB, MiB, GiB, TiB and KB, MB, GB, TB",
                           SLICE_ARGS(text));
        scale = byte_units[unit].scale;
    }
    if (got == NUMBER_TOO_LARGE || !add_scaled(&sum, &number, scale, &is_whole))
        return err_set(err, "\"%.*s\" is too large a size", SLICE_ARGS(text));
    if (!is_whole) return err_set(err, "\"%.*s\" is not a whole number of bytes", SLICE_ARGS(text));
    *bytes = sum;
    return 0;
}

void quantity_print_ms(uint64_t ms, char out[32])
{
    size_t at = 0;
    uint64_t rest = ms;
    for (size_t i = 1; i < COUNT(time_units);
         i++) { /* days are read but not written: 24h is the usual form */
        uint64_t scale = time_units[i].scale;
        uint64_t whole = rest / scale;
        if (!whole) continue;
        rest %= scale;
        at += (size_t)snprintf(out + at, 32 - at, "%" PRIu64, whole);
        if (scale == 1000 && rest) {
            at += (size_t)snprintf(out + at, 32 - at, ".%03" PRIu64, rest);
            while (out[at - 1] == '0') at--;
            rest = 0;
        }
        at += (size_t)snprintf(out + at, 32 - at, "%s", time_units[i].name);
    }
    if (!at) snprintf(out, 32, "0");
}

void quantity_print_bytes(uint64_t bytes, char out[32])
{
    const struct unit *best = NULL;
    for (size_t i = 0; bytes && i + 1 < COUNT(byte_units); i++)
        if (bytes % byte_units[i].scale == 0 && (!best || byte_units[i].scale > best->scale))
            best = &byte_units[i];
    if (best)
        snprintf(out, 32, "%" PRIu64 "%s", bytes / best->scale, best->name);
    else
        snprintf(out, 32, "%" PRIu64, bytes);
}
