#include "pool/pool.h"
#include "pool/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"

#define CONF_MS 60000
#define EJECT_AFTER 3
#define EJECT_MIN_MS 1000
#define EJECT_MAX_MS 30000

/* Not on the stack: a sanitizer's stack does not align to a cache line. */
static struct server *fresh_server(void)
{
    static struct server server;
    static struct pool pool;
    pool = (struct pool){ .name = "web" };
    server = (struct server){ .name = "one",
                              .pool = &pool,
                              .ejection = { .is_enabled = true,
                                            .connect_failures = EJECT_AFTER,
                                            .min_ms = EJECT_MIN_MS,
                                            .max_ms = EJECT_MAX_MS } };
    return &server;
}

static void fail_times(struct server *s, int times, uint64_t now_ms)
{
    for (int i = 0; i < times; i++) (void)server_report(s, SERVER_CONNECT_FAILED, now_ms);
}

static void three_failures_on_end_eject_a_server(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    assert_true(server_is_usable(s));
    assert_false(server_report(s, SERVER_CONNECT_FAILED, 1000));
    assert_false(server_report(s, SERVER_CONNECT_FAILED, 1001));
    assert_true(server_is_usable(s));
    assert_true(server_report(s, SERVER_CONNECT_FAILED, 1002));
    assert_false(server_is_usable(s));
    assert_true(server_is_enabled(s));
    assert_string_equal(server_state_name(s), "ejected");
}

/* Each change has a reason and a time, and what is no change keeps both. */
static void health_says_why_it_is_so_and_since_when(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    s->warmup_ms = 10000;
    assert_string_equal(server_health_reason_name(s->state.reason), "start");
    fail_times(s, EJECT_AFTER, 500);
    assert_int_equal(s->health, SERVER_EJECTED);
    assert_string_equal(server_health_reason_name(s->state.reason), "connect_failures");
    assert_int_equal(s->state.since_ms, 500);
    fail_times(s, 5, 700);
    assert_int_equal(s->state.since_ms, 500);
    assert_true(server_readmit(s, 1500));
    assert_int_equal(s->health, SERVER_WARMING);
    assert_string_equal(server_health_reason_name(s->state.reason), "ejection_over");
    assert_true(server_report(s, SERVER_CONNECTED, 2000)); /* it warms up anew */
    assert_string_equal(server_health_reason_name(s->state.reason), "connected");
    assert_int_equal(s->state.since_ms, 2000);
    assert_true(server_warm_up(s, 12000));
    assert_string_equal(server_health_reason_name(s->state.reason), "warmed_up");
    assert_int_equal(s->state.since_ms, 12000);
    assert_false(server_report(s, SERVER_CONNECTED, 13000));
    assert_int_equal(s->state.since_ms, 12000);
    server_set_admin(s, SERVER_MAINTENANCE, 14000);
    server_set_admin(s, SERVER_ENABLED, 15000);
    assert_string_equal(server_health_reason_name(s->state.reason), "enabled");
    (void)server_report(s, SERVER_SEEN_FAILING, 16000);
    assert_string_equal(server_health_reason_name(s->state.reason), "seen_failing");
}

/* The impossible, survived: one that is up has not just been found unknown. */
static void health_that_cannot_follow_is_refused(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    static const struct {
        enum server_health from, to;
    } wrong[] = { { SERVER_UP, SERVER_UNKNOWN }, { SERVER_DOWN, SERVER_EJECTED } };
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        uint64_t before = bug_count(BUG_SERVER);
        atomic_store(&s->health, wrong[i].from);
        bug_be_fatal(false);
        server_set_health(s, wrong[i].to, SERVER_BY_CONNECTED, NULL, 7);
        bug_be_fatal(true);
        assert_int_equal(bug_count(BUG_SERVER), before + 1);
        assert_int_equal(s->health, wrong[i].from);
        assert_int_equal(s->state.since_ms, 0);
    }
}

static void a_success_between_failures_starts_the_count_anew(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    for (int i = 0; i < 5; i++) {
        fail_times(s, EJECT_AFTER - 1, 0);
        assert_false(server_report(s, SERVER_CONNECTED, 0));
    }
    assert_true(server_is_usable(s));
}

static void an_ejected_server_comes_back_when_its_time_is_over_and_not_before(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    assert_false(server_readmit(s, 0));
    fail_times(s, EJECT_AFTER, 5000);
    assert_false(server_readmit(s, 5000 + EJECT_MIN_MS - 1));
    assert_false(server_is_usable(s));
    assert_true(server_readmit(s, 5000 + EJECT_MIN_MS));
    assert_true(server_is_usable(s));
    assert_false(server_readmit(s, 5000 + EJECT_MIN_MS));
}

static void each_ejection_in_a_row_lasts_twice_as_long_up_to_a_bound(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    uint64_t now_ms = 100, expected_ms = EJECT_MIN_MS;
    fail_times(s, EJECT_AFTER - 1, now_ms);
    for (int i = 0; i < 10; i++) {
        /* One failure is enough from the second ejection on. */
        assert_true(server_report(s, SERVER_CONNECT_FAILED, now_ms));
        assert_int_equal(s->state.ejected_until_ms - now_ms, expected_ms);
        now_ms = s->state.ejected_until_ms;
        assert_true(server_readmit(s, now_ms));
        expected_ms = expected_ms * 2 < EJECT_MAX_MS ? expected_ms * 2 : EJECT_MAX_MS;
    }
}

static void failures_while_ejected_do_not_lengthen_it(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    fail_times(s, EJECT_AFTER, 0);
    assert_false(server_report(s, SERVER_CONNECT_FAILED, 500));
    assert_true(server_readmit(s, EJECT_MIN_MS));
}

static void a_success_ends_an_ejection_at_once_but_its_length_is_forgotten_only_with_time(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    fail_times(s, EJECT_AFTER, 0);
    assert_true(server_readmit(s, EJECT_MIN_MS));
    fail_times(s, 1, 2000);
    assert_false(server_is_usable(s));
    assert_true(server_report(s, SERVER_CONNECTED, 2001));
    assert_true(server_is_usable(s));
    assert_string_equal(server_state_name(s), "up");
    fail_times(s, EJECT_AFTER, 3000); /* up and down again: for longer each time */
    assert_int_equal(s->state.ejected_until_ms, 3000 + 4 * EJECT_MIN_MS);
    assert_true(server_report(s, SERVER_CONNECTED, 4000));
    fail_times(s, EJECT_AFTER, 4000 + EJECT_MAX_MS);
    assert_int_equal(s->state.ejected_until_ms, 4000 + EJECT_MAX_MS + EJECT_MIN_MS);
}

static void check(struct server *s, bool has_passed, uint64_t now_ms, bool changes)
{
    struct server_check_result r = { .has_passed = has_passed, .at_ms = now_ms };
    if (!has_passed) snprintf(r.words, sizeof(r.words), "no answer");
    assert_int_equal(server_check_ended(s, &r, 2, 3), changes);
}

static void checks_take_a_server_down_and_up_again_after_so_many_on_end(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    check(s, true, 1, false);
    assert_int_equal(s->health, SERVER_UP);
    assert_string_equal(server_health_reason_name(s->state.reason), "check_passed");
    check(s, false, 2, false);
    assert_true(server_is_changing(s, 2, 3));
    check(s, false, 3, false);
    check(s, true, 4, false); /* anew */
    assert_false(server_is_changing(s, 2, 3));
    check(s, false, 5, false);
    check(s, false, 6, false);
    check(s, false, 7, true);
    assert_int_equal(s->health, SERVER_DOWN);
    assert_false(server_is_usable(s));
    assert_int_equal(s->state.since_ms, 7);
    assert_string_equal(s->state.words, "no answer, and 3 checks on end failed");
    assert_false(server_is_changing(s, 2, 3));
    check(s, true, 8, false);
    assert_true(server_is_changing(s, 2, 3));
    check(s, false, 9, false);
    check(s, true, 10, false);
    check(s, true, 11, true);
    assert_int_equal(s->health, SERVER_UP);
    assert_int_equal(s->state.since_ms, 11);
    assert_string_equal(s->state.words, "");
    assert_int_equal(s->pool->health_changes[SERVER_BY_CHECK_FAILED], 1);
    assert_int_equal(s->pool->health_changes[SERVER_BY_CHECK_PASSED], 2);
}

static void of_a_server_of_which_nothing_is_known_the_first_check_says_enough(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    check(s, false, 5, true);
    assert_int_equal(s->health, SERVER_DOWN);
    assert_string_equal(s->state.words, "no answer");
}

/* It connects, and answers nothing but errors: that is what checks are for. */
static void a_connection_does_not_refute_checks(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    check(s, false, 5, true);
    assert_false(server_report(s, SERVER_CONNECTED, 6));
    assert_int_equal(s->health, SERVER_DOWN);
    fail_times(s, 10, 7);
    assert_int_equal(s->health, SERVER_DOWN);
    assert_false(server_readmit(s, 100000));
}

static void checks_and_ejection_go_together(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    /* Checks that pass end what connect failures began, sooner than its time. */
    check(s, true, 1, false);
    fail_times(s, EJECT_AFTER, 10);
    check(s, true, 11, false);
    assert_int_equal(s->health, SERVER_EJECTED);
    check(s, true, 12, true);
    assert_int_equal(s->health, SERVER_UP);
    /* But not what was seen in its answers. */
    assert_true(server_report(s, SERVER_SEEN_FAILING, 20));
    for (uint64_t ms = 21; ms < 30; ms++) check(s, true, ms, false);
    assert_false(server_report(s, SERVER_CONNECTED, 30));
    assert_int_equal(s->health, SERVER_EJECTED);
    /* Down is more than ejected: the time of that does not end it. */
    check(s, false, 31, false);
    check(s, false, 32, false);
    check(s, false, 33, false);
    assert_int_equal(s->health, SERVER_DOWN);
    assert_false(server_readmit(s, 1000000));
}

static void who_is_not_checked_any_more_is_not_down_any_more(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    assert_false(server_checks_stopped(s, 1));
    check(s, false, 5, true);
    assert_true(server_checks_stopped(s, 6));
    assert_int_equal(s->health, SERVER_UNKNOWN);
    assert_int_equal(s->state.check.at_ms, 0);
    assert_string_equal(server_health_reason_name(s->state.reason), "checks_ended");
}

static void who_passes_its_checks_again_warms_up(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    s->warmup_ms = 10000;
    check(s, false, 5, true);
    check(s, true, 6, false);
    check(s, true, 7, true);
    assert_int_equal(s->health, SERVER_WARMING);
    assert_int_equal(server_warm_parts(s), SERVER_WARM_START);
    assert_true(server_warm_up(s, 10007));
    assert_int_equal(s->health, SERVER_UP);
}

static void the_operators_word_goes_before_health(void **state)
{
    (void)state;
    static const struct {
        enum server_admin admin;
        enum server_health health;
        const char *name;
        bool is_enabled, is_usable;
    } rows[] = {
        { SERVER_ENABLED, SERVER_UNKNOWN, "up", true, true },
        { SERVER_ENABLED, SERVER_UP, "up", true, true },
        { SERVER_ENABLED, SERVER_WARMING, "warming", true, true },
        { SERVER_ENABLED, SERVER_EJECTED, "ejected", true, false },
        { SERVER_ENABLED, SERVER_DOWN, "down", true, false },
        { SERVER_DRAIN, SERVER_UP, "draining", false, false },
        { SERVER_DRAIN, SERVER_EJECTED, "draining", false, false },
        { SERVER_MAINTENANCE, SERVER_UP, "maintenance", false, false },
        { SERVER_MAINTENANCE, SERVER_DOWN, "maintenance", false, false },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct server *s = fresh_server();
        atomic_store(&s->admin, rows[i].admin);
        atomic_store(&s->health, rows[i].health);
        assert_string_equal(server_state_name(s), rows[i].name);
        assert_int_equal(server_is_enabled(s), rows[i].is_enabled);
        assert_int_equal(server_is_usable(s), rows[i].is_usable);
    }
}

static void a_server_that_is_let_back_warms_up_from_a_tenth(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    s->warmup_ms = 10000;
    assert_int_equal(server_warm_parts(s), SERVER_WARM_WHOLE); /* at the start of the process */
    fail_times(s, EJECT_AFTER, 0);
    assert_false(server_warm_up(s, 500));
    assert_true(server_readmit(s, 1000));
    assert_string_equal(server_state_name(s), "warming");
    assert_true(server_is_usable(s));
    assert_int_equal(server_warm_parts(s), SERVER_WARM_START);
    assert_true(server_warm_up(s, 6000));
    assert_int_equal(server_warm_parts(s), 5500);
    /* Its own warmth begins with the first connection. */
    assert_true(server_report(s, SERVER_CONNECTED, 7000));
    assert_int_equal(server_warm_parts(s), SERVER_WARM_START);
    assert_false(server_report(s, SERVER_CONNECTED, 8000));
    assert_true(server_warm_up(s, 16999));
    assert_true(server_warm_parts(s) < SERVER_WARM_WHOLE);
    assert_true(server_warm_up(s, 17000));
    assert_string_equal(server_health_name((enum server_health)s->health), "up");
    assert_int_equal(server_warm_parts(s), SERVER_WARM_WHOLE);
    assert_false(server_warm_up(s, 17001));
}

static void a_server_that_nobody_tries_is_whole_after_the_time_and_warms_when_somebody_does(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    s->warmup_ms = 10000;
    fail_times(s, EJECT_AFTER, 0);
    assert_true(server_readmit(s, 1000));
    assert_true(server_warm_up(s, 11000));
    assert_string_equal(server_health_name((enum server_health)s->health), "unknown");
    assert_true(server_report(s, SERVER_CONNECTED, 50000));
    assert_string_equal(server_state_name(s), "warming");
    assert_true(server_warm_up(s, 60000));
    assert_string_equal(server_health_name((enum server_health)s->health), "up");
}

static void a_failure_while_warming_after_an_ejection_ejects_again(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    s->warmup_ms = 10000;
    fail_times(s, EJECT_AFTER, 0);
    assert_true(server_readmit(s, EJECT_MIN_MS));
    assert_true(server_report(s, SERVER_CONNECT_FAILED, 1500));
    assert_string_equal(server_state_name(s), "ejected");
    assert_false(server_warm_up(s, 1600));
}

static void a_server_that_connects_while_ejected_warms_up_at_once(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    s->warmup_ms = 10000;
    fail_times(s, EJECT_AFTER, 0);
    assert_true(server_report(s, SERVER_CONNECTED, 10));
    assert_string_equal(server_state_name(s), "warming");
}

static void who_is_enabled_again_warms_up_unless_it_is_ejected(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    s->warmup_ms = 10000;
    server_set_admin(s, SERVER_ENABLED, 5); /* it was */
    assert_int_equal(server_warm_parts(s), SERVER_WARM_WHOLE);
    server_set_admin(s, SERVER_MAINTENANCE, 10);
    assert_int_equal(s->drain_since_ms, 0);
    server_set_admin(s, SERVER_DRAIN, 15);
    assert_int_equal(s->drain_since_ms, 15);
    assert_int_equal(server_warm_parts(s), SERVER_WARM_WHOLE);
    server_set_admin(s, SERVER_ENABLED, 20);
    assert_int_equal(s->drain_since_ms, 0);
    assert_int_equal(server_warm_parts(s), SERVER_WARM_START);
    fail_times(s, EJECT_AFTER, 30);
    server_set_admin(s, SERVER_MAINTENANCE, 40);
    server_set_admin(s, SERVER_ENABLED, 50);
    assert_string_equal(server_state_name(s), "ejected");
}

static void without_a_warm_up_nothing_warms(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    server_set_admin(s, SERVER_DRAIN, 10);
    server_set_admin(s, SERVER_ENABLED, 20);
    assert_string_equal(server_state_name(s), "up");
    fail_times(s, EJECT_AFTER, 30);
    assert_true(server_readmit(s, 30 + EJECT_MIN_MS));
    assert_false(server_report(s, SERVER_CONNECTED, 2000));
    assert_int_equal(server_warm_parts(s), SERVER_WARM_WHOLE);
}

static void while_nothing_is_known_the_configured_limit_holds(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    assert_int_equal(server_learned_idle_ms(s, 12345), 0);
    assert_int_equal(server_idle_limit_ms(s, CONF_MS, 12345), CONF_MS);
    /* What cannot be sent twice takes connections of a second at most, or less if so configured. */
    assert_int_equal(server_young_limit_ms(s, CONF_MS, 12345), 1000);
    assert_int_equal(server_young_limit_ms(s, 300, 12345), 300);
}

static void what_the_server_says_is_undercut(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    server_said_idle(s, 8);
    assert_int_equal(server_learned_idle_ms(s, 0), 8000);
    assert_int_equal(server_idle_limit_ms(s, CONF_MS, 0), 6000);
    assert_int_equal(server_young_limit_ms(s, CONF_MS, 0), 4000);
    /* Never more than configured. */
    assert_int_equal(server_idle_limit_ms(s, 5000, 0), 5000);
    assert_int_equal(server_young_limit_ms(s, 3000, 0), 3000);
    /* It may say otherwise later; an absurd number is bounded. */
    server_said_idle(s, 100);
    assert_int_equal(server_learned_idle_ms(s, 0), 100000);
    server_said_idle(s, UINT32_MAX);
    assert_int_equal(server_learned_idle_ms(s, 0), UINT32_MAX);
}

static void a_close_that_was_seen_counts_if_it_came_sooner_than_known(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    server_said_idle(s, 8);
    server_saw_idle_close(s, 9000, 100);
    assert_int_equal(server_learned_idle_ms(s, 100), 8000);
    server_saw_idle_close(s, 2000, 200);
    assert_int_equal(server_learned_idle_ms(s, 200), 2000);
    assert_int_equal(server_idle_limit_ms(s, CONF_MS, 200), 1500);
    assert_int_equal(server_young_limit_ms(s, CONF_MS, 200), 1000);
    server_saw_idle_close(s, 3000, 300);
    assert_int_equal(server_learned_idle_ms(s, 300), 2000);
}

static void what_was_seen_doubles_every_half_minute_until_it_is_forgotten(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    server_saw_idle_close(s, 1000, 7);
    assert_int_equal(server_learned_idle_ms(s, 7 + 29999), 1000);
    assert_int_equal(server_learned_idle_ms(s, 7 + 30000), 2000);
    assert_int_equal(server_learned_idle_ms(s, 7 + 90000), 8000);
    /* A close between what is believed now and what was seen then is news. */
    server_saw_idle_close(s, 5000, 7 + 90000);
    assert_int_equal(server_learned_idle_ms(s, 7 + 90000), 5000);
    assert_int_equal(server_learned_idle_ms(s, 7 + 90000 + 20 * 30000), 0);
    assert_int_equal(server_idle_limit_ms(s, CONF_MS, 7 + 90000 + 20 * 30000), CONF_MS);
}

static void what_was_said_bounds_what_was_seen_long_ago(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    server_said_idle(s, 5);
    server_saw_idle_close(s, 1000, 0);
    assert_int_equal(server_learned_idle_ms(s, 60000), 4000);
    assert_int_equal(server_learned_idle_ms(s, 90000), 5000);
}

static void what_a_worker_with_a_later_clock_saw_is_believed_at_once(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    server_saw_idle_close(s, 1000, 501);
    assert_int_equal(server_learned_idle_ms(s, 500), 1000);
}

/* A limit of the configuration's 60 s would be the opposite of what was learned. */
static void a_server_that_closes_at_once_is_never_trusted_with_an_idle_connection(void **state)
{
    (void)state;
    struct server *s = fresh_server();
    server_saw_idle_close(s, 0, 10);
    assert_int_equal(server_learned_idle_ms(s, 10), 1);
    assert_int_equal(server_idle_limit_ms(s, CONF_MS, 10), 0);
    assert_int_equal(server_young_limit_ms(s, CONF_MS, 10), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_failures_on_end_eject_a_server),
        cmocka_unit_test(health_says_why_it_is_so_and_since_when),
        cmocka_unit_test(health_that_cannot_follow_is_refused),
        cmocka_unit_test(a_success_between_failures_starts_the_count_anew),
        cmocka_unit_test(an_ejected_server_comes_back_when_its_time_is_over_and_not_before),
        cmocka_unit_test(each_ejection_in_a_row_lasts_twice_as_long_up_to_a_bound),
        cmocka_unit_test(failures_while_ejected_do_not_lengthen_it),
        cmocka_unit_test(a_success_ends_an_ejection_at_once_but_its_length_is_forgotten_only_with_time),
        cmocka_unit_test(checks_take_a_server_down_and_up_again_after_so_many_on_end),
        cmocka_unit_test(of_a_server_of_which_nothing_is_known_the_first_check_says_enough),
        cmocka_unit_test(a_connection_does_not_refute_checks),
        cmocka_unit_test(checks_and_ejection_go_together),
        cmocka_unit_test(who_is_not_checked_any_more_is_not_down_any_more),
        cmocka_unit_test(who_passes_its_checks_again_warms_up),
        cmocka_unit_test(the_operators_word_goes_before_health),
        cmocka_unit_test(a_server_that_is_let_back_warms_up_from_a_tenth),
        cmocka_unit_test(a_server_that_nobody_tries_is_whole_after_the_time_and_warms_when_somebody_does),
        cmocka_unit_test(a_failure_while_warming_after_an_ejection_ejects_again),
        cmocka_unit_test(a_server_that_connects_while_ejected_warms_up_at_once),
        cmocka_unit_test(who_is_enabled_again_warms_up_unless_it_is_ejected),
        cmocka_unit_test(without_a_warm_up_nothing_warms),
        cmocka_unit_test(while_nothing_is_known_the_configured_limit_holds),
        cmocka_unit_test(what_the_server_says_is_undercut),
        cmocka_unit_test(a_close_that_was_seen_counts_if_it_came_sooner_than_known),
        cmocka_unit_test(what_was_seen_doubles_every_half_minute_until_it_is_forgotten),
        cmocka_unit_test(what_was_said_bounds_what_was_seen_long_ago),
        cmocka_unit_test(what_a_worker_with_a_later_clock_saw_is_believed_at_once),
        cmocka_unit_test(a_server_that_closes_at_once_is_never_trusted_with_an_idle_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
