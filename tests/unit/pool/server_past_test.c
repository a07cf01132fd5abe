/* What one process leaves to the next of a server's health. */
#include "pool/server_past.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pool/pool.h"
#include "pool/server.h"

#define NOW 1000000u
#define LATER 5000000u /* the next process's clock is another */

/* Not on the stack: a sanitizer's stack does not align to a cache line. */
static struct server *fresh(unsigned i)
{
    static struct server servers[2];
    static struct pool pool;
    pool = (struct pool){ .name = "web" };
    servers[i] = (struct server){
        .name = "one",
        .pool = &pool,
        .ejection = { .is_enabled = true, .connect_failures = 3, .min_ms = 1000, .max_ms = 30000 }
    };
    return &servers[i];
}

static struct server *pass_on(const struct server *from, uint64_t now_ms, bool is_checked)
{
    struct server_past past;
    struct server *to = fresh(1);
    assert_true(server_past_of(from, now_ms, &past));
    assert_true(server_past_resume(to, &past, is_checked, LATER));
    return to;
}

static void eject(struct server *s)
{
    for (int i = 0; i < 3; i++) (void)server_report(s, SERVER_CONNECT_FAILED, NOW);
    assert_string_equal(server_state_name(s), "ejected");
}

static void of_one_that_nothing_is_known_of_nothing_is_told(void **state)
{
    (void)state;
    struct server_past past;
    assert_false(server_past_of(fresh(0), NOW, &past));
}

static void an_ejected_one_stays_out_for_what_is_left_of_it(void **state)
{
    (void)state;
    struct server *old = fresh(0);
    eject(old);
    struct server *s = pass_on(old, NOW + 400, false);
    assert_string_equal(server_state_name(s), "ejected");
    assert_int_equal(s->state.reason, SERVER_BY_CONNECT_FAILURES);
    assert_string_equal(s->state.words, old->state.words);
    assert_int_equal(s->state.since_ms, LATER - 400);
    assert_false(server_readmit(s, LATER + 599));
    assert_true(server_readmit(s, LATER + 600));
}

/* Flapping does not begin anew with another process. */
static void the_next_ejection_is_longer_as_it_would_have_been(void **state)
{
    (void)state;
    struct server *old = fresh(0);
    eject(old);
    assert_true(server_readmit(old, NOW + 1000));
    struct server *s = pass_on(old, NOW + 1100, false);
    assert_true(server_is_usable(s) && s->state.is_on_trial);
    assert_true(server_report(s, SERVER_CONNECT_FAILED, LATER + 10));
    assert_int_equal(s->state.ejected_until_ms, LATER + 10 + 2000);
}

static void one_that_is_down_is_so_as_long_as_it_is_checked(void **state)
{
    (void)state;
    struct server *old = fresh(0);
    struct server_check_result r = { .at_ms = NOW, .words = "it does not answer" };
    (void)server_check_ended(old, &r, 2, 3);
    assert_string_equal(server_state_name(old), "down");
    assert_string_equal(server_state_name(pass_on(old, NOW, true)), "down");
    struct server *s = pass_on(old, NOW, false);
    assert_string_equal(server_state_name(s), "up");
    assert_int_equal(atomic_load(&s->health), SERVER_UNKNOWN);
}

static void one_that_is_well_is_not_taken_for_down_by_its_first_check(void **state)
{
    (void)state;
    struct server *old = fresh(0);
    struct server_check_result r = { .has_passed = true, .at_ms = NOW };
    (void)server_check_ended(old, &r, 2, 3);
    struct server *s = pass_on(old, NOW, true);
    r = (struct server_check_result){ .at_ms = LATER, .words = "it does not answer" };
    (void)server_check_ended(s, &r, 2, 3);
    assert_string_equal(server_state_name(s), "up");
}

static void one_that_warms_up_goes_on_with_it(void **state)
{
    (void)state;
    struct server *old = fresh(0), *s = fresh(1);
    struct server_past past;
    old->warmup_ms = 10000;
    eject(old);
    assert_true(server_readmit(old, NOW + 1000));
    assert_true(server_past_of(old, NOW + 6000, &past));
    s->warmup_ms = 10000;
    assert_true(server_past_resume(s, &past, false, LATER));
    assert_string_equal(server_state_name(s), "warming");
    assert_int_equal(server_warm_parts(s), SERVER_WARM_START + (SERVER_WARM_WHOLE - SERVER_WARM_START) / 2);
    s = fresh(1); /* whose configuration knows of no warm-up any more */
    assert_true(server_past_resume(s, &past, false, LATER));
    assert_string_equal(server_state_name(s), "up");
}

static void its_latency_is_as_old_as_it_was(void **state)
{
    (void)state;
    struct server *old = fresh(0);
    atomic_store(&old->peer.latency_us, 700);
    atomic_store(&old->peer.latency_at_ns, (NOW - 300) * UINT64_C(1000000));
    struct server *s = pass_on(old, NOW, false);
    assert_int_equal(atomic_load(&s->peer.latency_us), 700);
    assert_int_equal(atomic_load(&s->peer.latency_at_ns), (LATER - 300) * UINT64_C(1000000));
}

static void ejection_that_is_off_by_now_keeps_nobody_out(void **state)
{
    (void)state;
    struct server *old = fresh(0), *s = fresh(1);
    struct server_past past;
    eject(old);
    assert_true(server_past_of(old, NOW, &past));
    s->ejection.is_enabled = false;
    assert_true(server_past_resume(s, &past, false, LATER));
    assert_true(server_is_usable(s));
}

static void what_is_known_already_stays(void **state)
{
    (void)state;
    struct server *old = fresh(0), *s = fresh(1);
    struct server_past past;
    eject(old);
    assert_true(server_past_of(old, NOW, &past));
    (void)server_report(s, SERVER_CONNECTED, LATER);
    assert_false(server_past_resume(s, &past, false, LATER));
    assert_string_equal(server_state_name(s), "up");
}

static void numbers_that_cannot_be_pass_no_bound(void **state)
{
    (void)state;
    struct server_past past = { .health = SERVER_EJECTED, .reason = SERVER_BY_LATENCY };
#define X(member) past.member = UINT64_MAX;
    SERVER_PAST_NUMBERS(X)
#undef X
    struct server *s = fresh(1);
    assert_true(server_past_resume(s, &past, true, LATER));
    assert_int_equal(s->state.ejected_until_ms, LATER + 30000);
    assert_int_equal(s->state.eject_ms, 30000);
    assert_int_equal(s->state.failures, 2);
    assert_true(server_readmit(s, LATER + 30000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_one_that_nothing_is_known_of_nothing_is_told),
        cmocka_unit_test(an_ejected_one_stays_out_for_what_is_left_of_it),
        cmocka_unit_test(the_next_ejection_is_longer_as_it_would_have_been),
        cmocka_unit_test(one_that_is_down_is_so_as_long_as_it_is_checked),
        cmocka_unit_test(one_that_is_well_is_not_taken_for_down_by_its_first_check),
        cmocka_unit_test(one_that_warms_up_goes_on_with_it),
        cmocka_unit_test(its_latency_is_as_old_as_it_was),
        cmocka_unit_test(ejection_that_is_off_by_now_keeps_nobody_out),
        cmocka_unit_test(what_is_known_already_stays),
        cmocka_unit_test(numbers_that_cannot_be_pass_no_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
