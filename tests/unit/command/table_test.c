#include "command/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(const struct table *t, const char *expected)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_int_equal(table_print(t, out), 0);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
    (void)state;
    struct table t;
    table_init(&t, 3, 0);
    const char *const cells[] = { "a", "bbbb", "last is not padded", "aaa", "b", "x" };
    for (int i = 0; i < 6; i++) table_add(&t, "%s", cells[i]);
    expect(&t, "a    bbbb  last is not padded\n"
               "aaa  b     x\n");
    table_fini(&t);
}

static void numbers_end_under_each_other(void **state)
{
    (void)state;
    struct table t;
    table_init(&t, 2, 2);
    table_add(&t, "%s", "one");
    table_add(&t, "%d", 7);
    table_add(&t, "%s", "two");
    table_add(&t, "%d", 1234);
    expect(&t, "one     7\n"
               "two  1234\n");
    table_fini(&t);
}

static void letters_beyond_ascii_are_one_column_wide(void **state)
{
    (void)state;
    struct table t;
    table_init(&t, 2, 0);
    table_add(&t, "%s", "größe");
    table_add(&t, "%s", "x");
    table_add(&t, "%s", "grund");
    table_add(&t, "%s", "y");
    expect(&t, "größe  x\n"
               "grund  y\n");
    table_fini(&t);
}

static void what_steers_a_terminal_is_shown_as_question_marks(void **state)
{
    (void)state;
    struct table t;
    table_init(&t, 1, 0);
    table_add(&t, "%s", "\x1b[2Jgone\r\n\x7f");
    table_add(&t, "%s",
              "c1 \xc2\x9b"
              "2J, nbsp \xc2\xa0");
    table_add(&t, "%s", "cut \xe2\x82");
    expect(&t, "?[2Jgone???\n"
               "c1 ??2J, nbsp \xc2\xa0\n"
               "cut ??\n");
    table_fini(&t);
}

static void many_rows_fit(void **state)
{
    (void)state;
    struct table t;
    table_init(&t, 2, 0);
    for (int i = 0; i < 20000; i++) table_add(&t, "%d", i % 10);
    assert_int_equal(t.count, 20000);
    assert_false(t.is_failed);
    table_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(numbers_end_under_each_other),
        cmocka_unit_test(letters_beyond_ascii_are_one_column_wide),
        cmocka_unit_test(what_steers_a_terminal_is_shown_as_question_marks),
        cmocka_unit_test(many_rows_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
