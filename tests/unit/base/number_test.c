#include "base/number.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
/* after the above */
#include <cmocka.h>

/* Exactly these bytes on the heap, so that the sanitizer sees a read of what is behind. */
static char *bare(struct slice text, struct slice *out)
{
    char *copy = malloc(text.len ? text.len : 1);
    assert_non_null(copy);
    memcpy(copy, text.data, text.len);
    *out = (struct slice){ copy, text.len };
    return copy;
}

static void whole_numbers_are_digits_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_number;
        uint64_t value;
    } cases[] = {
        { "0", true, 0 },
        { "007", true, 7 },
        { "18446744073709551615", true, UINT64_MAX },
        { "18446744073709551616", false, 0 },
        { "99999999999999999999999", false, 0 },
        { "", false, 0 },
        { "-1", false, 0 },
        { "+1", false, 0 },
        { " 1", false, 0 },
        { "1 ", false, 0 },
        { "0x10", false, 0 },
        { "1e3", false, 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct slice text;
        uint64_t value = 0;
        char *memory = bare(slice_of(cases[i].text), &text);
        assert_int_equal(number_u64(text, &value), cases[i].is_number);
        if (cases[i].is_number) assert_true(value == cases[i].value);
        free(memory);
    }
}

static void addresses_are_hexadecimal_behind_0x(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_number;
        uint64_t value;
    } cases[] = {
        { "0x1F", true, 31 }, { "0Xffffffffffffffff", true, UINT64_MAX },
        { "31", true, 31 },   { "0", true, 0 },
        { "0x", false, 0 },   { "0x10000000000000000", false, 0 },
        { "1f", false, 0 },   { "0x1g", false, 0 },
        { "-0x1", false, 0 }, { "", false, 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct slice text;
        uint64_t value = 0;
        char *memory = bare(slice_of(cases[i].text), &text);
        assert_int_equal(number_address(text, &value), cases[i].is_number);
        if (cases[i].is_number) assert_true(value == cases[i].value);
        free(memory);
    }
}

static void decimals_are_digits_with_one_point_between_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_number;
        double value;
    } cases[] = {
        { "5", true, 5 },
        { "0.25", true, 0.25 },
        { "60.", false, 0 },
        { ".5", false, 0 },
        { "1.2.3", false, 0 },
        { "nan", false, 0 },
        { "inf", false, 0 },
        { "0x1p3", false, 0 },
        { "1e3", false, 0 },
        { "-1", false, 0 },
        { " 1", false, 0 },
        { "", false, 0 },
        { "111111111111111111111111111111111", false, 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct slice text;
        double value = 0;
        char *memory = bare(slice_of(cases[i].text), &text);
        assert_int_equal(number_decimal(text, &value), cases[i].is_number);
        if (cases[i].is_number) assert_true(value == cases[i].value);
        free(memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_digits_and_nothing_else),
        cmocka_unit_test(addresses_are_hexadecimal_behind_0x),
        cmocka_unit_test(decimals_are_digits_with_one_point_between_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
