#include "self/descriptors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define MORE 5

static void each_that_is_open_counts_and_looking_does_not(void **state)
{
    (void)state;
    int opened[MORE];
    double before = descriptors_open();
    assert_true(before >= 3); /* standard input and both outputs */
    for (int i = 0; i < MORE; i++) {
        opened[i] = dup(STDOUT_FILENO);
        assert_true(opened[i] >= 0);
        assert_true(descriptors_open() == before + i + 1);
    }
    for (int i = 0; i < MORE; i++) close(opened[i]);
    assert_true(descriptors_open() == before);
}

/* A kernel that has to be asked by a descriptor more cannot be: then that is said, and no other number. */
static void where_there_is_none_left_nothing_wrong_is_said(void **state)
{
    (void)state;
    struct rlimit limit, none = { 0 };
    double before = descriptors_open();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none.rlim_max = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    double now = descriptors_open();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(isnan(now) || now == before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_that_is_open_counts_and_looking_does_not),
        cmocka_unit_test(where_there_is_none_left_nothing_wrong_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
