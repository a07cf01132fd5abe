#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/notify.h"

static void the_watchdog_is_half_of_what_systemd_says(void **state)
{
    (void)state;
    uint64_t ms = 7;
    assert_true(notify_watchdog("30000000", NULL, 12, &ms));
    assert_int_equal(ms, 15000);
    assert_true(notify_watchdog("30000000", "12", 12, &ms));
    assert_false(notify_watchdog("30000000", "13", 12, &ms));
    assert_int_equal(ms, 0);
    assert_false(notify_watchdog(NULL, NULL, 12, &ms));
    assert_false(notify_watchdog("", NULL, 12, &ms));
    assert_false(notify_watchdog("30s", NULL, 12, &ms));
    assert_false(notify_watchdog("0", NULL, 12, &ms));
}

static void a_thread_that_turns_lives(void **state)
{
    (void)state;
    struct liveness l = { 0 };
    for (uint64_t turn = 1; turn < 100; turn++) assert_true(liveness_look(&l, turn, turn * 1000, 1000));
}

static void one_that_was_asked_and_has_not_turned_is_stuck_after_the_limit(void **state)
{
    (void)state;
    struct liveness l = { 0 };
    assert_true(liveness_look(&l, 5, 1000, 1000));
    assert_true(liveness_look(&l, 5, 1999, 1000));
    assert_false(liveness_look(&l, 5, 2000, 1000));
    assert_false(liveness_look(&l, 5, 9000, 1000));
    assert_true(liveness_look(&l, 6, 9001, 1000));
    assert_true(liveness_look(&l, 6, 9002, 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_watchdog_is_half_of_what_systemd_says),
        cmocka_unit_test(a_thread_that_turns_lives),
        cmocka_unit_test(one_that_was_asked_and_has_not_turned_is_stuck_after_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
