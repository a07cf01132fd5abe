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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_watchdog_is_half_of_what_systemd_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
