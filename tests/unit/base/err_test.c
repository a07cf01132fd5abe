#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_sentence_is_set_and_errno_kept(void **state)
{
    (void)state;
    struct err err;
    errno = ENOENT;
    assert_int_equal(err_set(&err, "%s: %d", "x", 7), -1);
    assert_string_equal(err.text, "x: 7");
    assert_int_equal(errno, ENOENT);
}

static void nobody_has_to_listen(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, "x"), -1);
    assert_int_equal(err_prefix(NULL, "x"), -1);
}

static void a_prefix_goes_before_what_is_there(void **state)
{
    (void)state;
    struct err err;
    err_set(&err, "no such file");
    assert_int_equal(err_prefix(&err, "listener %s", "web"), -1);
    assert_string_equal(err.text, "listener web: no such file");
}

static void long_sentences_are_cut_at_the_end(void **state)
{
    (void)state;
    struct err err;
    char many[2 * ERR_TEXT_MAX];
    memset(many, 'x', sizeof(many) - 1);
    many[sizeof(many) - 1] = 0;
    err_set(&err, "%s", many);
    assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
    err_prefix(&err, "prefix");
    assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
    assert_memory_equal(err.text, "prefix: xxx", 11);
    err_prefix(&err, "%s", many);
    assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sentence_is_set_and_errno_kept),
        cmocka_unit_test(nobody_has_to_listen),
        cmocka_unit_test(a_prefix_goes_before_what_is_there),
        cmocka_unit_test(long_sentences_are_cut_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
