#include "base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void list_elements_are_split_trimmed_and_never_empty(void **state)
{
    (void)state;
    static const struct {
        const char *list, *elements; /* joined by | */
    } cases[] = {
        { "a", "a" },
        { "a,b", "a|b" },
        { " a\t, b ,,c,", "a|b|c" },
        { "", "" },
        { " , ,", "" },
        { "a;x=\"1,2\", b", "a;x=\"1,2\"|b" },
        { "\"a\\\",b\",c", "\"a\\\",b\"|c" },
        { "\"a,b", "\"a,b" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char joined[64] = "";
        struct slice rest = slice_of(cases[i].list), element;
        while (slice_next_element(&rest, &element)) {
            if (*joined) strcat(joined, "|");
            strncat(joined, element.data, element.len);
        }
        assert_string_equal(joined, cases[i].elements);
    }
}

static void equality_and_prefixes_cope_with_nothing(void **state)
{
    (void)state;
    assert_true(slice_equal(SLICE_NONE, SLICE("")));
    assert_false(slice_equal(SLICE("a"), SLICE("A")));
    assert_true(slice_equal_fold(SLICE("hOst"), SLICE("HosT")));
    assert_false(slice_equal_fold(SLICE("host"), SLICE("hos")));
    assert_false(slice_equal_fold(SLICE("a\0b"), SLICE("a\0c"))); /* a zero byte ends nothing */
    assert_true(slice_equal_fold(SLICE("a\0B"), SLICE("A\0b")));
    assert_false(slice_equal_fold(SLICE("@"), SLICE("`"))); /* 0x20 apart, but no letters */
    assert_true(slice_equal_fold(SLICE_NONE, SLICE("")));
    assert_true(slice_starts_with(SLICE("abc"), SLICE("ab")));
    assert_true(slice_starts_with(SLICE_NONE, SLICE_NONE));
    assert_false(slice_starts_with(SLICE("a"), SLICE("ab")));
}

static void trimming_takes_spaces_and_tabs_only(void **state)
{
    (void)state;
    assert_true(slice_equal(slice_trim(SLICE(" \ta b\t ")), SLICE("a b")));
    assert_true(slice_equal(slice_trim(SLICE("\na")), SLICE("\na")));
    assert_int_equal(slice_trim(SLICE(" \t ")).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_elements_are_split_trimmed_and_never_empty),
        cmocka_unit_test(equality_and_prefixes_cope_with_nothing),
        cmocka_unit_test(trimming_takes_spaces_and_tabs_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
