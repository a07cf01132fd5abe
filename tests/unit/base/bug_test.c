#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the above */
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/bug.h"

static void what_does_not_hold_is_no_bug(void **state)
{
    (void)state;
    uint64_t before = bug_count(BUG_SLAB);
    assert_false(bug_if(SLAB, 1 > 2));
    assert_int_equal(bug_count(BUG_SLAB), before);
}

static void each_is_counted_at_its_place_and_survived(void **state)
{
    (void)state;
    uint64_t slab = bug_count(BUG_SLAB), loop = bug_count(BUG_LOOP);
    bug_be_fatal(false);
    for (int i = 0; i < 5; i++) assert_true(bug_if(SLAB, i >= 0));
    assert_int_equal(bug_count(BUG_SLAB), slab + 5);
    assert_int_equal(bug_count(BUG_LOOP), loop);
    bug_be_fatal(true);
}

static void places_have_names_of_their_own(void **state)
{
    (void)state;
    for (int i = 0; i < BUG_PLACE_COUNT; i++) {
        assert_non_null(bug_place_name((enum bug_place)i));
        for (int j = 0; j < i; j++)
            assert_string_not_equal(bug_place_name((enum bug_place)i), bug_place_name((enum bug_place)j));
    }
}

static void a_fatal_one_ends_the_process(void **state)
{
    (void)state;
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bug_be_fatal(true);
        (void)bug_if(LOOP, child == 0);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    /* A sanitizer may take the signal, and ends the process with a status of its own. */
    if (WIFSIGNALED(status))
        assert_int_equal(WTERMSIG(status), 6);
    else
        assert_int_not_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_does_not_hold_is_no_bug),
        cmocka_unit_test(each_is_counted_at_its_place_and_survived),
        cmocka_unit_test(places_have_names_of_their_own),
        cmocka_unit_test(a_fatal_one_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
