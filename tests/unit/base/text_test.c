#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void what_does_not_fit_is_cut_and_remembered(void **state)
{
    (void)state;
    char data[4];
    struct text t = text_over(data, sizeof(data));
    text_add(&t, "abc", 3);
    assert_false(t.is_cut);
    text_add(&t, "de", 2);
    assert_true(t.is_cut);
    assert_true(slice_equal(text_slice(&t), SLICE("abcd")));
    assert_string_equal(text_cstr(&t), "abc");
}

static void numbers_are_written_in_decimal_and_hex(void **state)
{
    (void)state;
    char data[128];
    struct text t = text_over(data, sizeof(data));
    text_add_u64(&t, 0);
    text_add_char(&t, ' ');
    text_add_u64(&t, UINT64_MAX);
    TEXT_LITERAL(&t, " ");
    text_add_hex(&t, 0xbeef, 8);
    TEXT_LITERAL(&t, " ");
    text_add_hex(&t, UINT64_MAX, 99);
    text_printf(&t, " %d%%", 5);
    assert_string_equal(text_cstr(&t), "0 18446744073709551615 0000beef ffffffffffffffff 5%");
    assert_false(t.is_cut);
}

static void a_long_format_is_cut_too(void **state)
{
    (void)state;
    char data[4096], many[2001];
    struct text t = text_over(data, sizeof(data));
    memset(many, 'x', sizeof(many) - 1);
    many[sizeof(many) - 1] = 0;
    text_printf(&t, "%s", many);
    assert_true(t.is_cut);
    assert_true(t.len >= 1000 && t.len < 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_does_not_fit_is_cut_and_remembered),
        cmocka_unit_test(numbers_are_written_in_decimal_and_hex),
        cmocka_unit_test(a_long_format_is_cut_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
