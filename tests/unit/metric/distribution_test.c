#include "metric/distribution.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void is_near(double got, double expected, double relative)
{
    if (!(fabs(got - expected) <= relative * fabs(expected) + 1e-15))
        fail_msg("%.17g, not %.17g", got, expected);
}

/* Of whole a and b: sums of binomial terms in exact fractions. */
static void the_beta_function_is_a_sum_of_binomial_terms(void **state)
{
    (void)state;
    static const struct {
        double x, a, b, value;
    } cases[] = {
        { 0.5, 3, 5, 0.7734375 },
        { 0.1, 2, 40, 0.926095585292827 },
        { 0.99, 97, 4, 0.9816259635553504 },
        { 1.0 / 3, 50, 100, 0.5076853868595473 },
        { 0.9, 3, 2, 0.9477 },
        { 0, 2, 3, 0 },
        { 1, 2, 3, 1 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        is_near(distribution_beta(cases[i].x, cases[i].a, cases[i].b), cases[i].value, 1e-11);
}

/* By integrating the density with Simpson's rule (400,000 steps, in u with t = root of degrees times tan u). */
static void the_tail_of_t_is_that_of_its_density(void **state)
{
    (void)state;
    static const struct {
        double t, degrees, tail;
    } cases[] = {
        { 12.7062047364, 1, 0.049999999999117056 },
        { -2, 3, 0.13932596855884355 },
        { 2, 7.5, 0.08289699529816293 },
        { 3.3, 199, 0.0011456617609505845 },
        { 1, 30, 0.325308615425975 },
        { 1.9599639845400545, INFINITY, 0.05 },
        { INFINITY, 5, 0 },
        { 0, 5, 1 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        is_near(distribution_t_tail(cases[i].t, cases[i].degrees), cases[i].tail, 1e-9);
    is_near(distribution_t_95(1), 12.706204736, 1e-9);
    is_near(distribution_t_95(1e6), DISTRIBUTION_Z_95, 1e-5);
    is_near(distribution_t_95(INFINITY), DISTRIBUTION_Z_95, 1e-15);
}

/* One degree above is the square of t; four above ten: I of 10/22 with 5 and 2, in exact fractions. */
static void the_tail_of_f_is_one_of_beta(void **state)
{
    (void)state;
    is_near(distribution_f_tail(4, 1, 7.5), 0.08289699529816293, 1e-9);
    is_near(distribution_f_tail(3, 4, 10), 0.07232322228814023, 1e-11);
    is_near(distribution_f_tail(3.841458820694124, 1, INFINITY), 0.05, 1e-5);
    assert_true(distribution_f_tail(INFINITY, 2, 3) == 0);
    assert_true(distribution_f_tail(0, 2, 3) == 1);
}

/* Whole numbers of values: the exact ranks, found in exact fractions. */
static void the_ranks_of_a_quantile_are_the_binomial_ones(void **state)
{
    (void)state;
    static const struct {
        double count, q;
        int low, high;
    } cases[] = {
        { 100, 0.5, 40, 61 }, { 100, 0.99, 97, 101 }, { 20, 0.95, 17, 21 },    { 1000, 0.95, 936, 964 },
        { 5, 0.5, 0, 6 },     { 6, 0.5, 1, 6 },       { 400, 0.99, 392, 400 }, { 368, 0.99, 360, 368 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct distribution_ranks r = distribution_quantile_ranks(cases[i].count, cases[i].q,
                                                                  DISTRIBUTION_Z_95);
        assert_int_equal((int)floor(r.low + 1e-6), cases[i].low);
        assert_int_equal((int)ceil(r.high - 1e-6), cases[i].high);
    }
    struct distribution_ranks exact = distribution_quantile_ranks(3999, 0.5, DISTRIBUTION_Z_95);
    struct distribution_ranks normal = distribution_quantile_ranks(4001, 0.5, DISTRIBUTION_Z_95);
    assert_true(fabs(exact.low - normal.low) < 2 && fabs(exact.high - normal.high) < 3);
}

/* In exact fractions. */
static void fishers_test_sums_what_is_less_likely(void **state)
{
    (void)state;
    static const struct {
        uint64_t counts[4];
        double p;
    } cases[] = {
        { { 9, 10, 3, 10 }, 0.010240533460347702 },
        { { 0, 1800, 1, 200 }, 0.05 },
        { { 2, 1800, 2, 200 }, 0.027891873864860358 },
        { { 1, 20, 3, 25 }, 0.463069230511091 },
        { { 199, 200, 1795, 1800 }, 0.29151035440647854 },
        { { 3, 1000000, 0, 10 }, 0.5000149997150044 },
        { { 0, 1000000000, 2500, 3000 }, 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const uint64_t *n = cases[i].counts;
        is_near(distribution_fisher_mid_p(n[0], n[1], n[2], n[3]), cases[i].p, 1e-9);
        is_near(distribution_fisher_mid_p(n[2], n[3], n[0], n[1]), cases[i].p, 1e-9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_beta_function_is_a_sum_of_binomial_terms),
        cmocka_unit_test(the_tail_of_t_is_that_of_its_density),
        cmocka_unit_test(the_tail_of_f_is_one_of_beta),
        cmocka_unit_test(the_ranks_of_a_quantile_are_the_binomial_ones),
        cmocka_unit_test(fishers_test_sums_what_is_less_likely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
