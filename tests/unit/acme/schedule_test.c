#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <cmocka.h>

#include "acme/schedule.h"

#define DAY INT64_C(86400)
#define NOW INT64_C(1800000000)

static void a_certificate_is_renewed_at_two_thirds_of_its_life(void **state)
{
    (void)state;
    assert_int_equal(acme_renewal_at(NOW, NOW + 90 * DAY, 0), NOW + 60 * DAY);
    for (uint64_t own = 0; own < 100000000; own = own * 3 + 1) {
        int64_t at = acme_renewal_at(NOW, NOW + 90 * DAY, own);
        assert_true(at >= NOW + 60 * DAY && at <= NOW + 63 * DAY);
    }
}

static void of_short_lives_too(void **state)
{
    (void)state;
    assert_int_equal(acme_renewal_at(NOW, NOW + 30, 0), NOW + 20);
    assert_int_equal(acme_renewal_at(NOW, NOW + 30, 1), NOW + 21);
    assert_int_equal(acme_renewal_at(NOW, NOW, 77), NOW);
    assert_int_equal(acme_renewal_at(NOW, NOW - 5, 77), NOW);
}

static void many_of_one_day_are_spread_over_the_time(void **state)
{
    (void)state;
    assert_int_not_equal(acme_renewal_at(NOW, NOW + 90 * DAY, 12345),
                         acme_renewal_at(NOW, NOW + 90 * DAY, 987654321));
}

static void each_wait_is_twice_the_one_before_up_to_a_day(void **state)
{
    (void)state;
    struct acme_attempts a = { 0 };
    const int64_t waits[] = { 300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 76800, DAY, DAY, DAY };
    for (unsigned i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
        acme_attempt_begins(&a, NOW, 300, 0);
        assert_int_equal(a.next_s, NOW + waits[i]);
    }
    a.failures = UINT32_MAX;
    acme_attempt_begins(&a, NOW, 300, 0);
    assert_int_equal(a.next_s, NOW + DAY);
}

static void chance_makes_a_wait_longer_never_shorter(void **state)
{
    (void)state;
    for (uint64_t chance = 1; chance < UINT64_MAX / 8; chance *= 7) {
        struct acme_attempts a = { 0 };
        acme_attempt_begins(&a, NOW, 300, chance);
        assert_true(a.next_s >= NOW + 300 && a.next_s <= NOW + 360);
    }
}

static void what_the_ca_asks_for_is_waited_for_if_it_is_more(void **state)
{
    (void)state;
    struct acme_attempts a = { 0 };
    acme_attempt_begins(&a, NOW, 300, 0);
    acme_attempt_failed(&a, NOW + 10, 60);
    assert_int_equal(a.next_s, NOW + 300);
    acme_attempt_failed(&a, NOW + 10, 3600);
    assert_int_equal(a.next_s, NOW + 10 + 3600);
    acme_attempt_failed(&a, NOW + 10, UINT64_MAX);
    assert_int_equal(a.next_s, NOW + 10 + DAY);
}

static void a_ca_that_is_not_heard_of_counts_nothing(void **state)
{
    (void)state;
    struct acme_attempts a = { 0 };
    for (int i = 0; i < 20; i++) {
        acme_attempt_begins(&a, NOW, 300, 0);
        acme_attempt_unheard(&a, NOW + 5, 300);
        assert_int_equal(a.next_s, NOW + 305);
    }
    assert_int_equal(a.failures, 0);
    acme_attempt_unheard(&a, NOW, 300);
    assert_int_equal(a.failures, 0);
}

static void success_forgets_it(void **state)
{
    (void)state;
    struct acme_attempts a = { 0 };
    acme_attempt_begins(&a, NOW, 300, 0);
    acme_attempt_succeeded(&a);
    assert_int_equal(a.failures, 0);
    assert_int_equal(a.next_s, 0);
}

static void an_hour_has_room_for_so_many_orders_and_no_more(void **state)
{
    (void)state;
    struct acme_pace p = { 0 };
    for (unsigned i = 0; i < ACME_ORDERS_AN_HOUR; i++) {
        assert_int_equal(acme_pace_opens_at(&p, NOW + i), 0);
        acme_pace_note(&p, NOW + i);
    }
    assert_int_equal(acme_pace_opens_at(&p, NOW + 100), NOW + 3600);
    assert_int_equal(acme_pace_opens_at(&p, NOW + 3600), 0);
    acme_pace_note(&p, NOW + 3600);
    assert_int_equal(acme_pace_opens_at(&p, NOW + 3600), NOW + 3601);
}

static void a_clock_that_is_put_back_closes_nothing(void **state)
{
    (void)state;
    struct acme_pace p = { 0 };
    for (unsigned i = 0; i < ACME_ORDERS_AN_HOUR; i++) acme_pace_note(&p, NOW + 10 * DAY);
    assert_int_equal(acme_pace_opens_at(&p, NOW), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_is_renewed_at_two_thirds_of_its_life),
        cmocka_unit_test(of_short_lives_too),
        cmocka_unit_test(many_of_one_day_are_spread_over_the_time),
        cmocka_unit_test(each_wait_is_twice_the_one_before_up_to_a_day),
        cmocka_unit_test(chance_makes_a_wait_longer_never_shorter),
        cmocka_unit_test(what_the_ca_asks_for_is_waited_for_if_it_is_more),
        cmocka_unit_test(a_ca_that_is_not_heard_of_counts_nothing),
        cmocka_unit_test(success_forgets_it),
        cmocka_unit_test(an_hour_has_room_for_so_many_orders_and_no_more),
        cmocka_unit_test(a_clock_that_is_put_back_closes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
