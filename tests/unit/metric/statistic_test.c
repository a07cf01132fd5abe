#include "metric/statistic.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

static const struct cluster_effect independent = { 1, INFINITY };

/* Of independent requests. */
static struct statistic_share share_of(uint64_t hits, uint64_t count)
{
    return (struct statistic_share){ hits, count, independent };
}

static struct statistic_interval proportion(uint64_t hits, uint64_t count)
{
    struct statistic_share share = share_of(hits, count);
    return statistic_proportion(&share);
}

static struct statistic_difference difference(uint64_t h1, uint64_t n1, uint64_t h2, uint64_t n2)
{
    struct statistic_share first = share_of(h1, n1), second = share_of(h2, n2);
    return statistic_difference(&first, &second);
}

static void is_near(double got, double expected, double relative)
{
    if (!(fabs(got - expected) <= relative * fabs(expected) + 1e-15))
        fail_msg("%.17g, not %.17g", got, expected);
}

/* The tails were found by integrating the density with Simpson's rule (400,000 steps, in t with x = t²). */
static void the_chi_square_tail_is_that_of_its_density(void **state)
{
    (void)state;
    static const struct {
        double sum, tail;
        uint32_t degrees;
    } cases[] = {
        { 3.841458820694124, 0.05, 1 },      { 0.1, 0.751829634045849, 1 },
        { 10.83, 0.000998686379180259, 1 },  { 5, 0.08208499862389877, 2 },
        { 0.35, 0.9503661173684762, 3 },     { 7.5, 0.057558451972636406, 3 },
        { 20, 0.02925268807696108, 10 },     { 61.1, 0.0009995343175044488, 31 },
        { 31, 0.46621250621751104, 31 },     { 2.5, 0.9999999999981077, 31 },
        { 150, 1.5244783813393214e-17, 31 }, { 1000, 0.4851314892749778, 999 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        is_near(statistic_chi_square_tail(cases[i].sum, cases[i].degrees), cases[i].tail, 1e-10);
}

static void the_tail_ends_at_one_and_nothing(void **state)
{
    (void)state;
    assert_true(statistic_chi_square_tail(0, 5) == 1);
    assert_true(statistic_chi_square_tail(5, 0) == 1);
    assert_true(statistic_chi_square_tail(INFINITY, 3) == 0);
    assert_true(statistic_chi_square_tail(1e6, 3) == 0);
}

static void counts_that_have_their_shares_fit(void **state)
{
    (void)state;
    static const double shares[] = { 0.5, 0.3, 0.2, 0 };
    static const uint64_t exact[] = { 500, 300, 200, 0 }, off[] = { 530, 280, 190, 0 },
                          other[] = { 5, 3, 2, 1 };
    struct statistic_fit fit = statistic_fit(exact, shares, 4, &independent);
    assert_true(fit.chi_square == 0 && fit.p == 1);
    fit = statistic_fit(off, shares, 4,
                        &independent); /* 900/500 + 400/300 + 100/200, and e^-x/2 for two degrees */
    is_near(fit.chi_square, 3.6333333333333333, 1e-12);
    is_near(fit.p, exp(-3.6333333333333333 / 2), 1e-12);
    fit = statistic_fit(other, shares, 4, &independent);
    assert_true(isinf(fit.chi_square) && fit.p == 0);
}

static void nothing_counted_fits_anything(void **state)
{
    (void)state;
    static const double shares[] = { 0.5, 0.5 }, alone[] = { 1, 0 };
    static const uint64_t none[] = { 0, 0 }, one[] = { 7, 0 };
    assert_true(statistic_fit(none, shares, 2, &independent).p == 1);
    assert_true(statistic_fit(one, alone, 2, &independent).p == 1);
}

/* Where (p - hits/count)² = z² p(1 - p)/count, by bisection. 15/148 and 81/263 are examples of Newcombe's (Statistics in
 * Medicine 17, 1998, 857-872: 0.0624 to 0.1605, 0.2553 to 0.3662). */
static void a_proportion_has_wilsons_interval(void **state)
{
    (void)state;
    static const struct {
        uint64_t hits, count;
        double low, high;
    } cases[] = {
        { 0, 10, 0, 0.27753279986288915 },
        { 10, 10, 0.7224672001371109, 1 },
        { 1, 20, 0.008881448800795394, 0.236131193446742 },
        { 15, 148, 0.06238639953073629, 0.16048724172330803 },
        { 81, 263, 0.2552885198782742, 0.3662095769828001 },
        { 5000, 10000, 0.49020206181540477, 0.5097979381845953 },
        { 3, 1000000, 1.0202712409681227e-06, 8.821149774312435e-06 },
        { 0, 0, 0, 1 },
        { 11, 10, 0.7224672001371109, 1 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct statistic_interval got = proportion(cases[i].hits, cases[i].count);
        is_near(got.low, cases[i].low, 1e-9);
        is_near(got.high, cases[i].high, 1e-9);
    }
}

/* From exact fractions and the intervals above; the first two are Newcombe's examples (ibid., 873-890: 0.0524 to 0.3339,
 * 0.1705 to 0.8090). p is from the normal distribution of Python's statistics module. */
static void a_difference_has_its_interval_and_test(void **state)
{
    (void)state;
    static const struct {
        uint64_t counts[4];
        double difference, low, high, z, p;
    } cases[] = {
        { { 48, 80, 56, 70 },
          0.2,
          0.0524314724023649,
          0.333872654036906,
          2.6501719512585327,
          0.008045081368196705 },
        { { 9, 10, 3, 10 },
          -0.6,
          -0.8090179735354881,
          -0.17052272393450302,
          -2.7386127875258306,
          0.010240533460347702 }, /* Fisher's: four misses are expected of each */
        { { 200, 10000, 260, 10000 },
          0.006,
          0.0018453113259964769,
          0.010184311185787094,
          2.8302516527932515,
          0.0046511404509606 },
        { { 0, 10, 0, 20 }, 0, -0.27753279986288915, 0.16112515805281932, 0, 1 },
        { { 0, 0, 5, 10 }, 0.5, -1, 1, 0, 1 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const uint64_t *n = cases[i].counts;
        struct statistic_difference got = difference(n[0], n[1], n[2], n[3]);
        is_near(got.difference, cases[i].difference, 1e-12);
        is_near(got.interval.low, cases[i].low, 1e-9);
        is_near(got.interval.high, cases[i].high, 1e-9);
        is_near(got.z, cases[i].z, 1e-12);
        is_near(got.p, cases[i].p, 1e-9);
    }
}

/* 100 values of 1 to 100 us: those of the median are at the ranks 40 and 61. */
static void a_quantile_lies_between_two_ranks(void **state)
{
    (void)state;
    static uint64_t cells[HISTOGRAM_CELLS];
    memset(cells, 0, sizeof(cells));
    for (uint64_t us = 1; us <= 100; us++) cells[histogram_index(us)]++;
    struct statistic_quantile got = statistic_quantile(cells, 0.5, &independent);
    assert_int_equal(got.value, 50);
    assert_true(got.interval.low == 40 && got.interval.high == 62); /* the cell of 61 ends at 62 */
    got = statistic_quantile(cells, 0.99, &independent);
    assert_true(got.interval.low == 97 && isinf(got.interval.high));
    got = statistic_quantile(cells, 0.01, &independent);
    assert_true(got.interval.low == 0 && got.interval.high == 5);
}

static void too_few_values_bound_nothing(void **state)
{
    (void)state;
    static uint64_t cells[HISTOGRAM_CELLS];
    memset(cells, 0, sizeof(cells));
    struct statistic_quantile got = statistic_quantile(cells, 0.5, &independent);
    assert_true(got.value == 0 && got.interval.low == 0 && isinf(got.interval.high));
    cells[HISTOGRAM_CELLS - 1] = 1000; /* 71 minutes or any longer */
    got = statistic_quantile(cells, 0.5, &independent);
    assert_true(got.interval.low > 4e9 && isinf(got.interval.high));
}

/* 2,000 samples of 1,000 values uniform over 0 to 2^20 us: at least 95 % less four standard deviations; for the median,
 * where a cell is narrow beside the interval, hardly more either. */
static void nineteen_of_twenty_intervals_hold_the_quantile(void **state)
{
    (void)state;
    static const double quantiles[] = { 0.5, 0.95, 0.99 };
    static uint64_t cells[HISTOGRAM_CELLS];
    uint32_t held[3] = { 0 };
    struct rng rng;
    rng_seed(&rng, 7);
    for (int sample = 0; sample < 2000; sample++) {
        memset(cells, 0, sizeof(cells));
        for (int i = 0; i < 1000; i++) cells[histogram_index(rng_below(&rng, 1u << 20))]++;
        for (int i = 0; i < 3; i++) {
            struct statistic_interval got = statistic_quantile(cells, quantiles[i], &independent).interval;
            double truth = quantiles[i] * (1 << 20);
            held[i] += got.low <= truth && truth <= got.high;
        }
    }
    for (int i = 0; i < 3; i++)
        if (held[i] < 1861) fail_msg("%u of 2000 for %g", held[i], quantiles[i]);
    assert_in_range(held[0], 1861, 1980);
}

/* 300 experiments of two equal shares of 2 %, looked at 400 times each while they grow from 50 requests a side to 20,000:
 * what is right once is soon wrong somewhere, what holds always is wrong in hardly any. */
static void a_confidence_sequence_holds_at_every_look(void **state)
{
    (void)state;
    static const double shares[] = { 0.5, 0.5 };
    uint32_t once = 0, always = 0, alarms = 0;
    struct rng rng;
    rng_seed(&rng, 21);
    for (int run = 0; run < 300; run++) {
        uint64_t counts[2] = { 0 }, hits[2] = { 0 };
        bool is_once = false, is_always = false, is_alarm = false;
        for (int look = 0; look < 400; look++) {
            for (int i = 0; i < 100; i++) {
                uint32_t side = rng_below(&rng, 2);
                counts[side]++;
                hits[side] += rng_below(&rng, 50) == 0;
            }
            struct statistic_difference d = difference(hits[0], counts[0], hits[1], counts[1]);
            is_once |= d.interval.low > 0 || d.interval.high < 0;
            is_always |= d.always.low > 0 || d.always.high < 0;
            is_alarm |= statistic_fit(counts, shares, 2, &independent).always_p < 0.001;
        }
        once += is_once;
        always += is_always;
        alarms += is_alarm;
    }
    assert_true(once > 75);
    assert_true(always <= 15);
    assert_true(alarms <= 3);
}

/* A design effect of 4 makes 4,000 requests as good as 1,000; few degrees of freedom make them worse yet. */
static void clustered_counts_say_as_much_as_fewer(void **state)
{
    (void)state;
    struct statistic_share plain = share_of(50, 1000), clustered = { 200, 4000, { 4, INFINITY } };
    struct statistic_share uncertain = { 200, 4000, { 4, 5 } };
    struct statistic_interval a = statistic_proportion(&plain), b = statistic_proportion(&clustered);
    struct statistic_interval c = statistic_proportion(&uncertain);
    is_near(a.low, b.low, 1e-12);
    is_near(a.high, b.high, 1e-12);
    assert_true(c.low < b.low && c.high > b.high);
    static const double shares[] = { 0.5, 0.5 };
    static const uint64_t counts[] = { 5200, 4800 };
    struct cluster_effect effect = { 4, INFINITY };
    struct statistic_fit fit = statistic_fit(counts, shares, 2, &effect);
    is_near(fit.chi_square, 4, 1e-12);
    is_near(fit.p, statistic_chi_square_tail(4, 1), 1e-12);
    effect.degrees = 5;
    assert_true(statistic_fit(counts, shares, 2, &effect).p > 0.1);
}

/* 100 ± 10 and 150 ± 20: 50 and the root of the sum of squares. */
static void quantiles_differ_with_an_interval(void **state)
{
    (void)state;
    const struct statistic_quantile a = { 100, { 90, 110 } }, b = { 150, { 130, 170 } },
                                    open = { 150, { 130, INFINITY } };
    struct statistic_shift shift = statistic_shift(&a, &b);
    assert_true(shift.difference == 50);
    is_near(shift.interval.low, 50 - sqrt(500), 1e-12);
    is_near(shift.interval.high, 50 + sqrt(500), 1e-12);
    shift = statistic_shift(&a, &open);
    is_near(shift.interval.low, 50 - sqrt(500), 1e-12);
    assert_true(isinf(shift.interval.high));
    shift = statistic_shift(&open, &a);
    assert_true(isinf(shift.interval.low) && shift.interval.low < 0 && isfinite(shift.interval.high));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_chi_square_tail_is_that_of_its_density),
        cmocka_unit_test(the_tail_ends_at_one_and_nothing),
        cmocka_unit_test(counts_that_have_their_shares_fit),
        cmocka_unit_test(nothing_counted_fits_anything),
        cmocka_unit_test(a_proportion_has_wilsons_interval),
        cmocka_unit_test(a_difference_has_its_interval_and_test),
        cmocka_unit_test(a_quantile_lies_between_two_ranks),
        cmocka_unit_test(too_few_values_bound_nothing),
        cmocka_unit_test(nineteen_of_twenty_intervals_hold_the_quantile),
        cmocka_unit_test(a_confidence_sequence_holds_at_every_look),
        cmocka_unit_test(clustered_counts_say_as_much_as_fewer),
        cmocka_unit_test(quantiles_differ_with_an_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
