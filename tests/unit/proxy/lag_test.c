/* How much is refused because what comes waits too long, on a virtual clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <cmocka.h>

#include "proxy/lag.h"

#include "base/rng.h"

enum { HIGH, NORMAL, LOW };

static const struct overload_conf bounds = { .lag_ms = 200, .window_ms = 1000 };

static enum lag_news look(struct lag *l, uint64_t *now_ms, uint64_t waited_ms, uint64_t after_ms)
{
    *now_ms += after_ms;
    return lag_look(l, &bounds, waited_ms, *now_ms);
}

static void make_over(struct lag *l, uint64_t *now_ms)
{
    while (look(l, now_ms, 200, 200) != LAG_BEGUN) assert_true(*now_ms < 5000);
}

/* Of 64 that come, one of each share. */
static uint32_t refused_of(struct lag *l, uint32_t class)
{
    struct lag asked = *l;
    uint32_t refused = 0;
    for (uint32_t draw = 0; draw < LAG_WHOLE; draw++) refused += lag_refuses(&asked, class, draw);
    return refused;
}

static void nobody_is_refused_before_all_have_waited_for_a_window(void **state)
{
    (void)state;
    struct lag l = { 0 };
    uint64_t now_ms = 10000;
    for (int i = 0; i < 4; i++) assert_int_equal(look(&l, &now_ms, 200, 200), LAG_SAME);
    assert_int_equal(refused_of(&l, LOW), 0);
    assert_int_equal(look(&l, &now_ms, 200, 200), LAG_BEGUN);
    assert_true(refused_of(&l, LOW) > 0);
    assert_int_equal(refused_of(&l, NORMAL), 0);
    assert_int_equal(refused_of(&l, HIGH), 0);
}

/* A host that is short of processors has somebody wait for long now and then, and catches up in between. */
static void who_catches_up_now_and_then_refuses_nobody(void **state)
{
    (void)state;
    struct lag l = { 0 };
    uint64_t now_ms = 10000;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(look(&l, &now_ms, i % 5 ? 240 : 3, i % 5 ? 240 : 20), LAG_SAME);
    assert_false(l.is_over);
}

static void one_long_wait_refuses_nobody(void **state)
{
    (void)state;
    struct lag l = { 0 };
    uint64_t now_ms = 10000;
    assert_int_equal(look(&l, &now_ms, 60000, 60000), LAG_SAME);
    assert_int_equal(look(&l, &now_ms, 2000, 2000), LAG_SAME);
    assert_int_equal(look(&l, &now_ms, 0, 10), LAG_SAME);
    assert_int_equal(look(&l, &now_ms, 5000, 5000), LAG_SAME);
}

static void waits_that_are_far_apart_are_not_one(void **state)
{
    (void)state;
    struct lag l = { 0 };
    uint64_t now_ms = 10000;
    for (int i = 0; i < 100; i++) assert_int_equal(look(&l, &now_ms, 300, 1400), LAG_SAME);
}

static void where_it_is_off_nobody_is_refused(void **state)
{
    (void)state;
    struct lag l = { 0 };
    const struct overload_conf off = { .lag_ms = 0, .window_ms = 1000 };
    for (uint64_t now_ms = 1000; now_ms < 100000; now_ms += 900)
        assert_int_equal(lag_look(&l, &off, 900, now_ms), LAG_SAME);
}

static void turned_off_while_it_refuses_it_ends(void **state)
{
    (void)state;
    struct lag l = { 0 };
    const struct overload_conf off = { .lag_ms = 0, .window_ms = 1000 };
    uint64_t now_ms = 1000;
    make_over(&l, &now_ms);
    enum lag_news news = LAG_SAME;
    for (int i = 0; i < 10 && news == LAG_SAME; i++) news = lag_look(&l, &off, 900, now_ms += 900);
    assert_int_equal(news, LAG_ENDED);
}

/* A class goes before the next one is touched, whatever comes of it; of the higher ones some are always served. */
static void classes_are_refused_in_their_order(void **state)
{
    (void)state;
    struct lag l = { 0 };
    uint64_t now_ms = 1000;
    make_over(&l, &now_ms);
    for (int i = 0; i < 100; i++) {
        uint32_t low = refused_of(&l, LOW), normal = refused_of(&l, NORMAL), high = refused_of(&l, HIGH);
        assert_true(low == LAG_WHOLE || normal == 0);
        assert_true(normal == LAG_WHOLE * 15 / 16 || high == 0);
        assert_true(high <= LAG_WHOLE * 3 / 4);
        for (uint32_t class = 0; class < LAG_CLASSES; class ++) (void)lag_refuses(&l, class, 0);
        look(&l, &now_ms, 300, 300);
    }
    assert_int_equal(refused_of(&l, LOW), LAG_WHOLE);
    assert_int_equal(refused_of(&l, NORMAL), LAG_WHOLE * 15 / 16);
    assert_int_equal(refused_of(&l, HIGH), LAG_WHOLE * 3 / 4);
}

static void a_class_that_nobody_is_of_is_passed_over(void **state)
{
    (void)state;
    struct lag l = { 0 };
    uint64_t now_ms = 1000;
    make_over(&l, &now_ms);
    look(&l, &now_ms, 300, 300);
    assert_true(refused_of(&l, NORMAL) > 0);
}

static void it_ends_by_and_by(void **state)
{
    (void)state;
    struct lag l = { 0 };
    uint64_t now_ms = 1000;
    make_over(&l, &now_ms);
    for (int i = 0; i < 20; i++) {
        (void)lag_refuses(&l, LOW, 0);
        look(&l, &now_ms, 300, 300);
    }
    assert_true(l.pressure > LAG_WHOLE / 2);
    uint32_t before = l.pressure;
    uint64_t calm_since_ms = now_ms;
    while (look(&l, &now_ms, 1, 50) == LAG_SAME) {
        assert_true(l.pressure <= before);
        before = l.pressure;
    }
    assert_false(l.is_over);
    assert_true(now_ms - calm_since_ms >= 1000);
    assert_true(now_ms - calm_since_ms <= 10000);
    assert_int_equal(refused_of(&l, LOW), 0);
}

/* A worker that does one thing a millisecond, whoever waits in its order; to refuse takes a quarter of that. */
struct run {
    uint64_t served, refused, waited_us; /* the last's */
    uint32_t begun;
};

static struct run simulate(uint32_t percent, bool is_shedding, uint64_t seed)
{
    struct rng rng;
    struct lag l = { 0 };
    struct run run = { 0 };
    rng_seed(&rng, seed);
    uint64_t free_at_us = 0, looked_us = 0;
    const uint64_t end_us = 120000000;
    for (uint64_t now_us = 0; now_us < end_us; now_us += 1 + rng_below(&rng, 200000 / percent)) {
        uint64_t begins_us = free_at_us > now_us ? free_at_us : now_us;
        run.waited_us = begins_us - now_us;
        if (begins_us >= looked_us + run.waited_us + 10000) {
            looked_us = begins_us;
            run.begun += lag_look(&l, &bounds, run.waited_us / 1000, begins_us / 1000) == LAG_BEGUN;
        }
        bool is_refused = is_shedding && lag_refuses(&l, NORMAL, (uint32_t)(rng_next(&rng) >> 32));
        if (begins_us < end_us) {
            run.served += !is_refused;
            run.refused += is_refused;
        }
        free_at_us = begins_us + (is_refused ? 250 : 1000);
    }
    return run;
}

static void of_too_much_as_much_is_served_as_can_be_and_soon(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct run much = simulate(200, true, seed);
        /* Twice what it can: a third of it, with two thirds refused, is all that there is time for. */
        assert_in_range(much.served, 120000 * 2 / 3 * 85 / 100, 120000);
        assert_true(much.refused > 0);
        assert_true(much.waited_us < 2000000);
        struct run unchecked = simulate(200, false, seed);
        assert_true(unchecked.waited_us > 30000000);
    }
}

static void who_can_do_it_all_refuses_nobody(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct run r = simulate(90, true, seed);
        assert_int_equal(r.refused, 0);
        assert_int_equal(r.begun, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_refused_before_all_have_waited_for_a_window),
        cmocka_unit_test(who_catches_up_now_and_then_refuses_nobody),
        cmocka_unit_test(one_long_wait_refuses_nobody),
        cmocka_unit_test(waits_that_are_far_apart_are_not_one),
        cmocka_unit_test(where_it_is_off_nobody_is_refused),
        cmocka_unit_test(turned_off_while_it_refuses_it_ends),
        cmocka_unit_test(classes_are_refused_in_their_order),
        cmocka_unit_test(a_class_that_nobody_is_of_is_passed_over),
        cmocka_unit_test(it_ends_by_and_by),
        cmocka_unit_test(of_too_much_as_much_is_served_as_can_be_and_soon),
        cmocka_unit_test(who_can_do_it_all_refuses_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
