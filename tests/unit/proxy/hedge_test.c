#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <cmocka.h>

#include "proxy/hedge.h"

static struct hedge_conf hedge = { .percentile = 95, .at_least_ms = 10 };
static uint32_t on[] = { 429 };
static struct retry_conf conf = { .attempts = 3, .on = { on, 1 }, .hedge = &hedge, .total_ms = 1000 };
static const struct hedge_facts good = {
    .latency_us = 20000, .servers = 2, .attempts = 1, .is_repeatable = true, .is_whole = true
};

static void whatever_may_not_be_sent_twice_is_not_sent_to_another(void **state)
{
    (void)state;
    struct hedge_facts rows[11];
    for (int i = 0; i < 11; i++) rows[i] = good;
    rows[0].is_repeatable = false;
    rows[1].is_named = true;
    rows[2].is_upgrade = true;
    rows[3].expects_continue = true;
    rows[4].servers = 1;
    rows[5].latency_us = 0;
    rows[6].attempts = 3;
    rows[7].since_start_ms = 1000;
    rows[8].was_hedged = true;
    rows[9].is_whole = false;
    rows[10].is_begun = true;
    static const enum hedge_bar bars[] = { HEDGE_BAR_METHOD,   HEDGE_BAR_NAMED,    HEDGE_BAR_UPGRADE,
                                           HEDGE_BAR_EXPECTS,  HEDGE_BAR_ALONE,    HEDGE_BAR_UNKNOWN,
                                           HEDGE_BAR_ATTEMPTS, HEDGE_BAR_ATTEMPTS, HEDGE_BAR_ONCE,
                                           HEDGE_BAR_BODY,     HEDGE_BAR_BEGUN };
    for (int i = 0; i < 11; i++) assert_int_equal(hedge_bar(&conf, &rows[i]), bars[i]);
    assert_int_equal(hedge_bar(&conf, &good), HEDGE_BAR_NONE);
    assert_int_equal(hedge_bar(&(struct retry_conf){ .attempts = 3 }, &good), HEDGE_BAR_OFF);
}

static void it_is_waited_as_long_as_most_take_and_at_least_so_long(void **state)
{
    (void)state;
    assert_int_equal(hedge_after_ms(&hedge, 20001), 21);
    assert_int_equal(hedge_after_ms(&hedge, 20000), 20);
    assert_int_equal(hedge_after_ms(&hedge, 400), 10);
}

static void an_answer_is_good_that_says_no_failure_and_is_not_named(void **state)
{
    (void)state;
    assert_true(hedge_is_good(&conf, 200));
    assert_true(hedge_is_good(&conf, 404));
    assert_false(hedge_is_good(&conf, 429));
    assert_false(hedge_is_good(&conf, 500));
    assert_false(hedge_is_good(&conf, 503));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_may_not_be_sent_twice_is_not_sent_to_another),
        cmocka_unit_test(it_is_waited_as_long_as_most_take_and_at_least_so_long),
        cmocka_unit_test(an_answer_is_good_that_says_no_failure_and_is_not_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
