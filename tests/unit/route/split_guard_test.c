/* The guard of a split, with what it is shown made by hand, on a clock of the test's own. */
#include "route/split_guard.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STEP_MS 600000u

static const uint32_t steps[] = { 100, 500, 5000 };
static struct split_guard_conf conf;
static struct split_guard guard;
static uint64_t now_ms;

static int set_up(void **state)
{
    (void)state;
    now_ms = 1000;
    conf = (struct split_guard_conf){ .errors = 50,
                                      .quantile_ms = { UINT64_MAX, 5, UINT64_MAX },
                                      .ramp = { (void *)(uintptr_t)steps, 3 },
                                      .step_ms = STEP_MS,
                                      .step_requests = 1000,
                                      .index = 1 };
    split_guard_begin(&guard, &conf, 100, now_ms);
    return 0;
}

/* Errors and p95, each with how far its interval goes to either side. */
static struct split_contrast contrast(uint64_t requests, double errors, double errors_off, double p95_us,
                                      double p95_off)
{
    struct split_contrast c = { .requests = requests, .first_requests = 10 * requests };
    for (int i = 0; i < SPLIT_FIGURES; i++)
        c.figures[i].interval = (struct statistic_interval){ -INFINITY, INFINITY };
    c.figures[SPLIT_ERRORS] = (struct statistic_shift){ errors,
                                                        { errors - errors_off, errors + errors_off } };
    c.figures[SPLIT_OF_P95] = (struct statistic_shift){ p95_us, { p95_us - p95_off, p95_us + p95_off } };
    return c;
}

static enum split_guard_move look_at(uint64_t after_ms, const struct split_contrast *c)
{
    now_ms += after_ms;
    return split_guard_look(&guard, &conf, split_guard_wants(&guard, now_ms) ? c : NULL, now_ms);
}

static void a_step_takes_its_time_and_its_requests(void **state)
{
    (void)state;
    struct split_contrast few = contrast(999, 0, 0.01, 0, 4000), enough = contrast(1000, 0, 0.01, 0, 4000);
    assert_int_equal(look_at(STEP_MS - 1, &enough), SPLIT_GUARD_STAY);
    assert_int_equal(look_at(1, &few), SPLIT_GUARD_STAY);
    assert_int_equal(look_at(1, &enough), SPLIT_GUARD_STEP);
    assert_int_equal(guard.weight, 500);
    assert_int_equal(guard.state, SPLIT_GUARD_RAMPING);
}

static void what_was_dealt_before_a_step_is_not_counted_in_it(void **state)
{
    (void)state;
    struct split_contrast c = contrast(1000, 0, 0.01, 0, 4000);
    assert_int_equal(look_at(STEP_MS, &c), SPLIT_GUARD_STEP);
    assert_false(split_guard_wants(&guard, now_ms + SPLIT_GUARD_SETTLE_MS - 1));
    assert_int_equal(look_at(SPLIT_GUARD_SETTLE_MS - 1, &c), SPLIT_GUARD_STAY);
    assert_int_equal(look_at(1, &c), SPLIT_GUARD_COUNT);
    assert_int_equal(guard.since_ms, now_ms);
    assert_int_equal(look_at(STEP_MS - 1, &c), SPLIT_GUARD_STAY);
    assert_int_equal(look_at(1, &c), SPLIT_GUARD_STEP);
    assert_int_equal(guard.weight, 5000);
    assert_int_equal(guard.state, SPLIT_GUARD_WATCHING);
    assert_int_equal(look_at(SPLIT_GUARD_SETTLE_MS, &c), SPLIT_GUARD_COUNT);
    assert_int_equal(look_at(100 * STEP_MS, &c), SPLIT_GUARD_STAY); /* there is no further one */
    assert_int_equal(guard.weight, 5000);
}

static void what_is_certainly_worse_is_rolled_back_at_once_and_stays_back(void **state)
{
    (void)state;
    struct split_contrast c = contrast(200, 0.02, 0.0149, 0, 4000);
    assert_int_equal(look_at(1000, &c), SPLIT_GUARD_ROLLBACK);
    assert_int_equal(guard.weight, 0);
    assert_int_equal(guard.state, SPLIT_GUARD_BACK);
    assert_int_equal(guard.cause.figure, SPLIT_ERRORS);
    struct split_contrast good = contrast(100000, -0.01, 0.001, -1000, 100);
    for (int i = 0; i < 10; i++) assert_int_not_equal(look_at(STEP_MS, &good), SPLIT_GUARD_STEP);
    assert_int_equal(guard.weight, 0);
    split_guard_resume(&guard, &conf, 100, now_ms);
    assert_int_equal(guard.weight, 100);
    assert_int_equal(guard.state, SPLIT_GUARD_RAMPING);
    assert_int_equal(guard.cause.requests, 0);
    assert_int_equal(look_at(SPLIT_GUARD_SETTLE_MS, &good), SPLIT_GUARD_COUNT);
    assert_int_equal(look_at(STEP_MS, &good), SPLIT_GUARD_STEP);
}

static void what_is_allowed_is_no_reason(void **state)
{
    (void)state;
    struct split_contrast c = contrast(2000, 0.005, 0.0001, 5000, 10);
    assert_int_equal(look_at(STEP_MS, &c), SPLIT_GUARD_STEP);
    struct split_contrast fast = contrast(2000, -0.5, 0.01, -90000, 10);
    assert_int_equal(look_at(SPLIT_GUARD_SETTLE_MS, &fast), SPLIT_GUARD_COUNT);
    assert_int_equal(look_at(STEP_MS, &fast), SPLIT_GUARD_STEP);
}

static void what_looks_worse_stops_the_ramp_until_it_does_not(void **state)
{
    (void)state;
    struct split_contrast worse = contrast(2000, 0, 0.01, 9000, 6000),
                          fine = contrast(9000, 0, 0.01, 3000, 2000);
    assert_int_equal(look_at(STEP_MS - 1, &worse), SPLIT_GUARD_STAY);
    assert_int_equal(look_at(1, &worse), SPLIT_GUARD_HOLD);
    assert_int_equal(guard.state, SPLIT_GUARD_HOLDING);
    assert_int_equal(guard.cause.figure, SPLIT_OF_P95);
    assert_int_equal(look_at(STEP_MS, &worse), SPLIT_GUARD_STAY);
    assert_int_equal(guard.weight, 100);
    assert_int_equal(look_at(1000, &fine), SPLIT_GUARD_STEP);
}

static void shares_that_are_not_the_weights_stop_it_and_nothing_else(void **state)
{
    (void)state;
    struct split_contrast c = contrast(2000, 0, 0.01, 0, 4000);
    c.is_alarm = true;
    assert_int_equal(look_at(1000, &c), SPLIT_GUARD_HOLD);
    assert_int_equal(guard.cause.figure, SPLIT_FIGURES);
    assert_int_equal(look_at(STEP_MS, &c), SPLIT_GUARD_STAY);
    assert_int_equal(guard.weight, 100);
    c.is_alarm = false;
    c.requests = 10; /* not due */
    assert_int_equal(look_at(1000, &c), SPLIT_GUARD_RELEASE);
    assert_int_equal(guard.state, SPLIT_GUARD_RAMPING);
}

static void a_person_is_not_overruled(void **state)
{
    (void)state;
    struct split_contrast bad = contrast(2000, 0.2, 0.01, 0, 4000), good = contrast(2000, 0, 0.01, 0, 4000);
    split_guard_pause(&guard, 2000, now_ms);
    assert_int_equal(look_at(SPLIT_GUARD_SETTLE_MS, &bad), SPLIT_GUARD_COUNT); /* for the report */
    assert_false(split_guard_wants(&guard, now_ms + STEP_MS));
    assert_int_equal(look_at(STEP_MS, &bad), SPLIT_GUARD_STAY);
    assert_int_equal(guard.weight, 2000);
    split_guard_resume(&guard, &conf, 100, now_ms);
    assert_int_equal(guard.weight, 2000);
    assert_int_equal(look_at(SPLIT_GUARD_SETTLE_MS, &good), SPLIT_GUARD_COUNT);
    assert_int_equal(look_at(STEP_MS, &good), SPLIT_GUARD_STEP);
    assert_int_equal(guard.weight, 5000); /* what is behind it is not gone through again */
}

static void without_units_the_first_step_is_taken_at_once(void **state)
{
    (void)state;
    split_guard_begin(&guard, &conf, 0, now_ms);
    assert_false(split_guard_wants(&guard, now_ms + 1));
    assert_int_equal(look_at(1, NULL), SPLIT_GUARD_STEP);
    assert_int_equal(guard.weight, 100);
}

static void a_guard_without_a_ramp_only_watches(void **state)
{
    (void)state;
    conf.ramp.count = 0;
    split_guard_begin(&guard, &conf, 5000, now_ms);
    struct split_contrast c = contrast(90000, 0, 0.01, 0, 4000);
    assert_int_equal(guard.state, SPLIT_GUARD_WATCHING);
    assert_int_equal(look_at(100 * STEP_MS, &c), SPLIT_GUARD_STAY);
    c = contrast(90000, 0, 0.01, 20000, 4000);
    assert_int_equal(look_at(1000, &c), SPLIT_GUARD_ROLLBACK);
}

static void figures_share_what_may_be_wrong(void **state)
{
    (void)state;
    assert_int_equal(split_guard_figures(&conf), 1u << SPLIT_ERRORS | 1u << SPLIT_OF_P95);
    assert_true(fabs(split_guard_alpha(&conf) - 0.01 / 8) < 1e-12);
    conf.errors = SPLIT_ALLOWS_ANY;
    assert_int_equal(split_guard_figures(&conf), 1u << SPLIT_OF_P95);
}

static void the_cause_is_a_sentence(void **state)
{
    (void)state;
    char memory[256];
    const struct {
        struct split_guard_cause cause;
        const char *text;
    } cases[] = {
        { { SPLIT_ERRORS, { 0.009, { 0.004, 0.014 } }, 0.001, 5 },
          "the error share of b is 0.90 points larger than of a (0.40 to 1.40); allowed: 0.10 points" },
        { { SPLIT_OF_P95, { 12100, { 4200, INFINITY } }, 4000, 5 },
          "p95 of b is 12.10 ms longer than of a (4.20 to ?); allowed: 4.00 ms" },
        { { .figure = SPLIT_FIGURES, .requests = 1 },
          "the shares of b and the others are not those of the weights, so that they cannot be compared" },
        { { .requests = 0 }, "" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct text t = text_over(memory, sizeof(memory));
        split_guard_cause_print(&cases[i].cause, "b", "a", &t);
        assert_string_equal(text_cstr(&t), cases[i].text);
    }
}

static void states_have_names(void **state)
{
    (void)state;
    enum split_guard_state found;
    for (int i = 0; i < SPLIT_GUARD_STATES; i++) {
        const char *name = split_guard_state_name((enum split_guard_state)i);
        assert_true(split_guard_state_by_name(slice_of(name), &found));
        assert_int_equal(found, i);
    }
    assert_false(split_guard_state_by_name(SLICE("rolling"), &found));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_step_takes_its_time_and_its_requests, set_up),
        cmocka_unit_test_setup(what_was_dealt_before_a_step_is_not_counted_in_it, set_up),
        cmocka_unit_test_setup(what_is_certainly_worse_is_rolled_back_at_once_and_stays_back, set_up),
        cmocka_unit_test_setup(what_is_allowed_is_no_reason, set_up),
        cmocka_unit_test_setup(what_looks_worse_stops_the_ramp_until_it_does_not, set_up),
        cmocka_unit_test_setup(shares_that_are_not_the_weights_stop_it_and_nothing_else, set_up),
        cmocka_unit_test_setup(a_person_is_not_overruled, set_up),
        cmocka_unit_test_setup(without_units_the_first_step_is_taken_at_once, set_up),
        cmocka_unit_test_setup(a_guard_without_a_ramp_only_watches, set_up),
        cmocka_unit_test_setup(figures_share_what_may_be_wrong, set_up),
        cmocka_unit_test_setup(the_cause_is_a_sentence, set_up),
        cmocka_unit_test(states_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
