#include "self/growth.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rng.h"

#define SEEDS 1000u
#define POINTS 120u
#define POINTS_MAX 4096u

static struct growth_point points[POINTS_MAX];

static double uniform(struct rng *rng)
{
    return ((double)(rng_next(rng) >> 11) + 0.5) * 0x1p-53;
}

/* Box and Muller. */
static double normal(struct rng *rng)
{
    return sqrt(-2 * log(uniform(rng))) * cos(2 * M_PI * uniform(rng));
}

static struct growth judge(uint32_t count)
{
    struct growth g;
    growth_judge(points, count, &(struct growth_options){ .p_max = GROWTH_P_MAX }, &g);
    return g;
}

/* How many seeds give `verdict` for the series that `make` makes of a random source. */
static uint32_t count_verdicts(void (*make)(struct rng *rng), enum growth_verdict verdict)
{
    uint32_t found = 0;
    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        make(&rng);
        found += judge(POINTS).verdict == verdict;
    }
    return found;
}

/* Four times up and down in one series of a point a second. */
static double load_at(uint32_t i)
{
    return 1000 + 800 * sin(2 * M_PI * i / 30.0);
}

static void make_noise(struct rng *rng)
{
    for (uint32_t i = 0; i < POINTS; i++) points[i] = (struct growth_point){ i, 450 + normal(rng), 100 };
}

static void make_slow_noise(struct rng *rng)
{
    double drift = 0;
    for (uint32_t i = 0; i < POINTS; i++) {
        drift = 0.7 * drift + normal(rng);
        points[i] = (struct growth_point){ i, 450 + drift, 100 };
    }
}

static void make_load_that_comes_and_goes(struct rng *rng)
{
    for (uint32_t i = 0; i < POINTS; i++) {
        double load = load_at(i) + 20 * normal(rng);
        points[i] = (struct growth_point){ i, 450 + load / 10 + normal(rng), load };
    }
}

static void make_load_that_rises(struct rng *rng)
{
    for (uint32_t i = 0; i < POINTS; i++) {
        double load = 10.0 * i + 20 * normal(rng);
        points[i] = (struct growth_point){ i, 450 + load / 10 + normal(rng), load };
    }
}

static void make_leak(struct rng *rng)
{
    for (uint32_t i = 0; i < POINTS; i++)
        points[i] = (struct growth_point){ i, 450 + 0.05 * i + normal(rng), 100 };
}

static void make_leak_under_load(struct rng *rng)
{
    for (uint32_t i = 0; i < POINTS; i++) {
        double load = load_at(i) + 20 * normal(rng);
        points[i] = (struct growth_point){ i, 450 + load / 10 + 0.2 * i + normal(rng), load };
    }
}

static void make_leak_by_request(struct rng *rng)
{
    double leaked = 0;
    for (uint32_t i = 0; i < POINTS; i++) {
        double load = load_at(i) + 20 * normal(rng);
        leaked += load / 1000;
        points[i] = (struct growth_point){ i, 450 + leaked + normal(rng), load };
    }
}

static void make_leak_of_one_descriptor_now_and_then(struct rng *rng)
{
    double leaked = 0;
    for (uint32_t i = 0; i < POINTS; i++) {
        leaked += rng_below(rng, 10) == 0;
        points[i] = (struct growth_point){ i, 40 + leaked + rng_below(rng, 2), 100 };
    }
}

static void make_jump(struct rng *rng)
{
    uint32_t at = 20 + rng_below(rng, POINTS - 40);
    for (uint32_t i = 0; i < POINTS; i++)
        points[i] = (struct growth_point){ i, (i < at ? 450 : 500) + normal(rng), 100 };
}

static void make_warm_up(struct rng *rng)
{
    for (uint32_t i = 0; i < POINTS; i++)
        points[i] = (struct growth_point){ i, 450 - 200 * exp(-(double)i / 10) + normal(rng), 100 };
}

static void make_leak_that_begins_late(struct rng *rng)
{
    for (uint32_t i = 0; i < POINTS; i++)
        points[i] = (struct growth_point){ i, 450 + (i < 60 ? 0 : 0.5 * (i - 60)) + normal(rng), 100 };
}

static void make_saw(struct rng *rng)
{
    for (uint32_t i = 0; i < POINTS; i++)
        points[i] = (struct growth_point){ i, 450 + 5 * (i % 24) + normal(rng), 100 };
}

static void make_fall(struct rng *rng)
{
    for (uint32_t i = 0; i < POINTS; i++) points[i] = (struct growth_point){ i, 450 - i + normal(rng), 100 };
}

static void expect_seeds(void (*make)(struct rng *rng), enum growth_verdict verdict, uint32_t least)
{
    uint32_t found = count_verdicts(make, verdict);
    if (found < least)
        fail_msg("only %u of %u seeds are \"%s\"", found, SEEDS, growth_verdict_names[verdict]);
}

static void noise_is_steady_for_every_seed(void **state)
{
    (void)state;
    expect_seeds(make_noise, GROWTH_STEADY, SEEDS);
    expect_seeds(make_slow_noise, GROWTH_STEADY, SEEDS);
}

static void what_comes_and_goes_with_the_load_is_steady(void **state)
{
    (void)state;
    expect_seeds(make_load_that_comes_and_goes, GROWTH_STEADY, SEEDS);
}

static void what_rises_with_the_load_is_said_to(void **state)
{
    (void)state;
    expect_seeds(make_load_that_rises, GROWTH_WITH_LOAD, SEEDS);
}

static void a_saw_is_steady_and_so_is_what_falls(void **state)
{
    (void)state;
    expect_seeds(make_saw, GROWTH_STEADY, SEEDS);
    expect_seeds(make_fall, GROWTH_STEADY, SEEDS);
}

static void a_leak_of_a_twentieth_of_the_noise_a_second_is_found(void **state)
{
    (void)state;
    expect_seeds(make_leak, GROWTH_LEAK, SEEDS);
}

static void a_leak_is_found_under_a_load_that_comes_and_goes(void **state)
{
    (void)state;
    expect_seeds(make_leak_under_load, GROWTH_LEAK, SEEDS);
    expect_seeds(make_leak_by_request, GROWTH_LEAK, SEEDS);
}

static void a_leak_that_begins_in_the_middle_is_found(void **state)
{
    (void)state;
    expect_seeds(make_leak_that_begins_late, GROWTH_LEAK, SEEDS);
}

static void a_descriptor_now_and_then_is_found_for_most_seeds(void **state)
{
    (void)state;
    expect_seeds(make_leak_of_one_descriptor_now_and_then, GROWTH_LEAK, SEEDS * 9 / 10);
}

static void a_jump_and_a_warm_up_are_never_leaks(void **state)
{
    (void)state;
    assert_int_equal(count_verdicts(make_jump, GROWTH_LEAK), 0);
    assert_int_equal(count_verdicts(make_warm_up, GROWTH_LEAK), 0);
    expect_seeds(make_warm_up, GROWTH_STAYED, SEEDS * 9 / 10);
}

static void the_slope_is_the_one_at_the_same_load(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 7);
    make_leak_under_load(&rng);
    struct growth g = judge(POINTS);
    assert_true(fabs(g.slope_per_s - 0.2) < 0.03);
    assert_true(fabs(g.rise - g.slope_per_s * (POINTS - 1)) < 1e-9);
    assert_true(g.load_share > 0.5);
    assert_true(g.p < GROWTH_P_MAX);
}

static void a_constant_is_steady(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < POINTS; i++) points[i] = (struct growth_point){ i, 17, 100 };
    struct growth g = judge(POINTS);
    assert_int_equal(g.verdict, GROWTH_STEADY);
    assert_true(g.p == 1 && g.slope_per_s == 0);
}

static void a_straight_line_without_noise_is_a_leak(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < POINTS; i++) points[i] = (struct growth_point){ i, 17 + 2.0 * i, 100 };
    struct growth g = judge(POINTS);
    assert_int_equal(g.verdict, GROWTH_LEAK);
    assert_true(fabs(g.slope_per_s - 2) < 1e-9);
}

static void a_long_series_is_condensed(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 1);
    for (uint32_t i = 0; i < 3601; i++) points[i] = (struct growth_point){ i, 0.001 * i + normal(&rng), 100 };
    struct growth g = judge(3601);
    assert_int_equal(g.verdict, GROWTH_LEAK);
    assert_true(g.point_count <= GROWTH_POINTS_MAX && g.point_count > GROWTH_POINTS_MAX / 2);
    assert_true(fabs(g.slope_per_s - 0.001) < 0.0003);
}

static void a_rise_too_small_to_matter_is_no_leak(void **state)
{
    (void)state;
    struct growth g;
    for (uint32_t i = 0; i < POINTS; i++) points[i] = (struct growth_point){ i, i, 100 };
    growth_judge(points, POINTS, &(struct growth_options){ .p_max = GROWTH_P_MAX, .rise_min = 200 }, &g);
    assert_int_equal(g.verdict, GROWTH_STEADY);
    growth_judge(points, POINTS, &(struct growth_options){ .p_max = GROWTH_P_MAX, .rise_min = 100 }, &g);
    assert_int_equal(g.verdict, GROWTH_LEAK);
}

static void few_points_say_nothing(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < POINTS; i++) points[i] = (struct growth_point){ i, i, 100 };
    assert_int_equal(judge(0).verdict, GROWTH_UNKNOWN);
    assert_int_equal(judge(1).verdict, GROWTH_UNKNOWN);
    assert_int_equal(judge(GROWTH_POINTS_MIN - 1).verdict, GROWTH_UNKNOWN);
}

static void what_is_not_finite_is_left_out(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < POINTS; i++) points[i] = (struct growth_point){ i, 2.0 * i, 100 };
    points[3].value = NAN;
    points[50].load = INFINITY;
    struct growth g = judge(POINTS);
    assert_int_equal(g.verdict, GROWTH_LEAK);
    assert_int_equal(g.point_count, POINTS - 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_is_steady_for_every_seed),
        cmocka_unit_test(what_comes_and_goes_with_the_load_is_steady),
        cmocka_unit_test(what_rises_with_the_load_is_said_to),
        cmocka_unit_test(a_saw_is_steady_and_so_is_what_falls),
        cmocka_unit_test(a_leak_of_a_twentieth_of_the_noise_a_second_is_found),
        cmocka_unit_test(a_leak_is_found_under_a_load_that_comes_and_goes),
        cmocka_unit_test(a_leak_that_begins_in_the_middle_is_found),
        cmocka_unit_test(a_descriptor_now_and_then_is_found_for_most_seeds),
        cmocka_unit_test(a_jump_and_a_warm_up_are_never_leaks),
        cmocka_unit_test(the_slope_is_the_one_at_the_same_load),
        cmocka_unit_test(a_constant_is_steady),
        cmocka_unit_test(a_straight_line_without_noise_is_a_leak),
        cmocka_unit_test(a_long_series_is_condensed),
        cmocka_unit_test(a_rise_too_small_to_matter_is_no_leak),
        cmocka_unit_test(few_points_say_nothing),
        cmocka_unit_test(what_is_not_finite_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
