#include "auth/credentials.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void the_example_of_rfc_7617_is_read(void **state)
{
    (void)state;
    struct slice rest;
    struct credentials c;
    assert_int_equal(credentials_scheme(SLICE("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), &rest),
                     CREDENTIALS_BASIC);
    assert_true(credentials_basic(rest, &c));
    assert_string_equal(c.name, "Aladdin");
    assert_string_equal(c.password, "open sesame");
    assert_int_equal(c.password_len, 11);
    credentials_wipe(&c);
    assert_int_equal(c.password[0], 0);
}

static void schemes_are_told_apart_without_case(void **state)
{
    (void)state;
    struct slice rest;
    assert_int_equal(credentials_scheme(SLICE("  bAsIc   x "), &rest), CREDENTIALS_BASIC);
    assert_true(slice_equal(rest, SLICE("x")));
    assert_int_equal(credentials_scheme(SLICE("BEARER a.b.c"), &rest), CREDENTIALS_BEARER);
    assert_int_equal(credentials_scheme(SLICE("Basicx y"), &rest), CREDENTIALS_OTHER);
    assert_int_equal(credentials_scheme(SLICE("Digest x"), &rest), CREDENTIALS_OTHER);
    assert_int_equal(credentials_scheme(SLICE_NONE, &rest), CREDENTIALS_OTHER);
}

static void a_password_may_be_empty_and_have_colons_and_a_name_may_not(void **state)
{
    (void)state;
    struct credentials c;
    assert_true(credentials_basic(SLICE("YTpiOmM="), &c)); /* a:b:c */
    assert_string_equal(c.name, "a");
    assert_string_equal(c.password, "b:c");
    assert_true(credentials_basic(SLICE("YTo="), &c)); /* a: */
    assert_string_equal(c.password, "");
    assert_false(credentials_basic(SLICE("OmI="), &c)); /* :b */
    assert_false(credentials_basic(SLICE("YWI="), &c)); /* ab */
}

static void what_is_no_base64_is_refused(void **state)
{
    (void)state;
    struct credentials c;
    static const char *const bad[] = { "",       "YTpi\n", "YTpi YTpi", "YTpiY", "YTo",  "YTo==", "YTp=",
                                       "YT==pi", "_-==",   "YTpi====",  "=",     "====", "YTph=" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(credentials_basic(slice_of(bad[i]), &c));
}

static void control_characters_are_in_neither(void **state)
{
    (void)state;
    struct credentials c;
    assert_false(credentials_basic(SLICE("YQA6Yg=="), &c)); /* a\0:b */
    assert_false(credentials_basic(SLICE("YTpiAGM="), &c)); /* a:b\0c */
    assert_false(credentials_basic(SLICE("YTpiCg=="), &c)); /* a:b\n */
}

static void what_is_too_long_is_refused_at_every_length(void **state)
{
    (void)state;
    static char text[4096];
    struct credentials c;
    for (size_t len = 0; len <= sizeof(text); len += 4) {
        memset(text, 'O', len); /* "8" and more of it, without a colon */
        if (len >= 4) memcpy(text, "YTp4", 4);
        bool is_short = len / 4 * 3 <= 2 + CREDENTIALS_PART_MAX;
        assert_int_equal(credentials_basic((struct slice){ text, len }, &c), len >= 4 && is_short);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_rfc_7617_is_read),
        cmocka_unit_test(schemes_are_told_apart_without_case),
        cmocka_unit_test(a_password_may_be_empty_and_have_colons_and_a_name_may_not),
        cmocka_unit_test(what_is_no_base64_is_refused),
        cmocka_unit_test(control_characters_are_in_neither),
        cmocka_unit_test(what_is_too_long_is_refused_at_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
