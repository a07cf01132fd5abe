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
        acme_attempt_begins(&a, 1, NOW, 300, 0);
        assert_int_equal(a.next_s, NOW + waits[i]);
    }
    a.failures = UINT32_MAX;
    acme_attempt_begins(&a, 1, NOW, 300, 0);
    assert_int_equal(a.next_s, NOW + DAY);
}

static void chance_makes_a_wait_longer_never_shorter(void **state)
{
    (void)state;
    for (uint64_t chance = 1; chance < UINT64_MAX / 8; chance *= 7) {
        struct acme_attempts a = { 0 };
        acme_attempt_begins(&a, 1, NOW, 300, chance);
        assert_true(a.next_s >= NOW + 300 && a.next_s <= NOW + 360);
    }
}

static void what_the_ca_asks_for_is_waited_for_if_it_is_more(void **state)
{
    (void)state;
    struct acme_attempts a = { 0 };
    acme_attempt_begins(&a, 1, NOW, 300, 0);
    acme_attempt_failed(&a, NOW + 10, 60);
    assert_int_equal(a.next_s, NOW + 300);
    acme_attempt_failed(&a, NOW + 10, 3600);
    assert_int_equal(a.next_s, NOW + 10 + 3600);
    acme_attempt_failed(&a, NOW + 10, UINT64_MAX);
    assert_int_equal(a.next_s, NOW + 10 + DAY);
}

static void what_the_ca_does_not_count_is_tried_again_as_before(void **state)
{
    (void)state;
    struct acme_attempts a = { 0 };
    for (int i = 0; i < 20; i++) {
        acme_attempt_begins(&a, 1, NOW, 300, 0);
        acme_attempt_uncounted(&a, NOW + 5, 300, 0);
        assert_int_equal(a.next_s, NOW + 305);
    }
    assert_int_equal(a.failures, 0);
    acme_attempt_uncounted(&a, NOW, 300, 0);
    assert_int_equal(a.failures, 0);
}

static void a_ca_out_of_order_may_ask_for_more_time(void **state)
{
    (void)state;
    struct acme_attempts a = { 0 };
    acme_attempt_begins(&a, 1, NOW, 300, 0);
    acme_attempt_uncounted(&a, NOW + 5, 300, 7200);
    assert_int_equal(a.next_s, NOW + 7205);
    acme_attempt_uncounted(&a, NOW + 5, 300, 30);
    assert_int_equal(a.next_s, NOW + 305);
}

static void success_leaves_the_first_wait_alone(void **state)
{
    (void)state;
    struct acme_attempts a = { 0 };
    acme_attempt_begins(&a, 7, NOW, 300, 0);
    acme_attempt_succeeded(&a, NOW + 20, 300);
    assert_int_equal(a.failures, 0);
    assert_int_equal(a.next_s, NOW + 320);
    assert_int_equal(a.asked, 7);
    assert_int_equal(a.issued, 7);
}

/* whose order the last one was */

#define OTHER 1u
#define OWN 2u
#define DUE (NOW + 60 * DAY)
#define WAIT (NOW + 3600)

static const struct {
    uint64_t asked, issued;
    bool is_changed;
    int64_t next_s;
} last[] = {
    { OWN, OWN, false, DUE },     { OWN, OWN, true, DUE },
    { 0, 0, false, DUE },         { 0, 0, true, DUE },        /* it is not known: as it was before */
    { OTHER, OTHER, true, 0 },                                /* the configuration came after it */
    { OTHER, OTHER, false, DUE },                             /* another node has another, and came later */
    { OWN, OTHER, false, WAIT },  { OWN, OTHER, true, WAIT }, /* tried, and it failed */
    { OTHER, OWN, true, DUE },    { OTHER, OWN, false, DUE },
    { OWN, 0, false, DUE },       { OTHER, 0, true, DUE },
};

static void another_configuration_waits_for_nothing_of_the_one_before(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(last) / sizeof(*last); i++) {
        const struct acme_attempts a = { 3, WAIT, last[i].asked, last[i].issued };
        assert_int_equal(acme_next_at(&a, OWN, last[i].is_changed, DUE, NOW), last[i].next_s);
    }
}

static void names_that_are_missing_wait_for_the_last_order_alone(void **state)
{
    (void)state;
    const struct acme_attempts of_other = { 0, WAIT, OTHER, OTHER };
    assert_int_equal(acme_next_at(&of_other, OWN, false, 0, NOW), WAIT);
    assert_int_equal(acme_next_at(&of_other, OWN, true, 0, NOW), 0);
}

static void two_who_take_it_from_each_other_come_to_rest(void **state)
{
    (void)state;
    struct acme_attempts a = { 0, 0, OTHER, OTHER };
    int64_t now_s = NOW;
    for (unsigned i = 0; i < 20; i++) {
        uint64_t wanted = i % 2 ? OTHER : OWN;
        assert_true(acme_is_contested(&a, wanted, false));
        assert_false(acme_is_contested(&a, wanted, true));
        acme_attempt_begins(&a, wanted, now_s, 300, 0);
        acme_attempt_contested(&a);
        assert_int_equal(a.issued, wanted);
        now_s = acme_next_at(&a, i % 2 ? OWN : OTHER, false, 0, now_s);
    }
    assert_true(now_s > NOW + 9 * DAY);
    const struct acme_attempts own = { 0, 0, OWN, OWN }, unknown = { 0 };
    assert_false(acme_is_contested(&own, OWN, false));
    assert_false(acme_is_contested(&unknown, OWN, false));
}

static void a_wait_of_a_clock_far_ahead_is_none(void **state)
{
    (void)state;
    struct acme_attempts a = { 3, NOW + DAY + DAY / 5, OWN, OWN };
    assert_int_equal(acme_next_at(&a, OWN, false, 0, NOW), a.next_s);
    a.next_s++;
    assert_int_equal(acme_next_at(&a, OWN, false, 0, NOW), 0);
    assert_int_equal(acme_next_at(&a, OWN, false, DUE, NOW), DUE);
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
        cmocka_unit_test(what_the_ca_does_not_count_is_tried_again_as_before),
        cmocka_unit_test(a_ca_out_of_order_may_ask_for_more_time),
        cmocka_unit_test(success_leaves_the_first_wait_alone),
        cmocka_unit_test(another_configuration_waits_for_nothing_of_the_one_before),
        cmocka_unit_test(names_that_are_missing_wait_for_the_last_order_alone),
        cmocka_unit_test(two_who_take_it_from_each_other_come_to_rest),
        cmocka_unit_test(a_wait_of_a_clock_far_ahead_is_none),
        cmocka_unit_test(an_hour_has_room_for_so_many_orders_and_no_more),
        cmocka_unit_test(a_clock_that_is_put_back_closes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
