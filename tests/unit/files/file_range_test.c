#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "files/file_range.h"

static void parts_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        uint64_t size, begin, end;
    } cases[] = {
        { "bytes=0-0", 10, 0, 1 },
        { "bytes=0-", 10, 0, 10 },
        { "Bytes=3-4", 10, 3, 5 },
        { " bytes=9-9 ", 10, 9, 10 },
        { "bytes=5-999", 10, 5, 10 },
        { "bytes=-3", 10, 7, 10 },
        { "bytes=-30", 10, 0, 10 },
        { "bytes= 1-2", 10, 1, 3 },
        { "bytes=,1-2,", 10, 1, 3 },
        { "bytes=0-99999999999999999999999", 10, 0, 10 },
        { "bytes=-99999999999999999999999", 10, 0, 10 },
        { "bytes=1-18446744073709551615", UINT64_MAX, 1, UINT64_MAX },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        uint64_t begin = 99, end = 99;
        if (file_range_read(slice_of(cases[i].value), cases[i].size, &begin, &end) != FILE_RANGE_PART)
            fail_msg("no part: %s", cases[i].value);
        assert_int_equal(begin, cases[i].begin);
        assert_int_equal(end, cases[i].end);
    }
}

static void what_cannot_be_read_says_nothing(void **state)
{
    (void)state;
    static const char *const values[] = { "",
                                          "bytes",
                                          "bytes=",
                                          "bytes=,",
                                          "bytes=-",
                                          "bytes=a-b",
                                          "bytes=1",
                                          "bytes=1-2-3",
                                          "bytes=2-1",
                                          "bytes=1 -2",
                                          "bytes=--1",
                                          "items=0-1",
                                          "bytes=0x1-2",
                                          "bytes=+1-2",
                                          "bytes =0-1",
                                          "bytes=0-0,2-2",
                                          "bytes=0-0,x" };
    uint64_t begin, end;
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
        if (file_range_read(slice_of(values[i]), 10, &begin, &end) != FILE_RANGE_ALL)
            fail_msg("read: %s", values[i]);
    assert_int_equal(file_range_read(SLICE("bytes=-1"), 0, &begin, &end), FILE_RANGE_ALL);
}

static void what_lies_outside_is_told_apart(void **state)
{
    (void)state;
    uint64_t begin, end;
    assert_int_equal(file_range_read(SLICE("bytes=10-"), 10, &begin, &end), FILE_RANGE_OUTSIDE);
    assert_int_equal(file_range_read(SLICE("bytes=10-12"), 10, &begin, &end), FILE_RANGE_OUTSIDE);
    assert_int_equal(file_range_read(SLICE("bytes=-0"), 10, &begin, &end), FILE_RANGE_OUTSIDE);
    assert_int_equal(file_range_read(SLICE("bytes=0-"), 0, &begin, &end), FILE_RANGE_OUTSIDE);
    assert_int_equal(file_range_read(SLICE("bytes=99999999999999999999999-"), 10, &begin, &end),
                     FILE_RANGE_OUTSIDE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_read),
        cmocka_unit_test(what_cannot_be_read_says_nothing),
        cmocka_unit_test(what_lies_outside_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
