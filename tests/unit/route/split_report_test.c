#include "route/split_report.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static uint64_t cells_of_first[HISTOGRAM_CELLS], cells_of_second[HISTOGRAM_CELLS];

/* `count` durations of 1, 2, … us from `base` on. */
static void observe(uint64_t *cells, uint64_t base, uint64_t count)
{
    memset(cells, 0, HISTOGRAM_CELLS * sizeof(*cells));
    for (uint64_t i = 1; i <= count; i++) cells[histogram_index(base + i)]++;
}

static void is_near(double got, double expected)
{
    if (!(fabs(got - expected) <= 1e-9 * fabs(expected) + 1e-12)) fail_msg("%.17g, not %.17g", got, expected);
}

/* The figures of errors are those of statistic_test.c. */
static void a_report_says_how_each_variant_does(void **state)
{
    (void)state;
    struct split_report r;
    observe(cells_of_first, 0, 100);
    observe(cells_of_second, 20, 100);
    const struct split_tally counts[] = {
        { .name = "a", .weight = 5000, .requests = 10000, .errors = 200, .cells = cells_of_first },
        { .name = "b", .weight = 5000, .requests = 10000, .errors = 260, .cells = cells_of_second },
    };
    split_report_fill(&r, counts, 2);
    const struct split_report_variant *a = &r.variants[0], *b = &r.variants[1];
    assert_int_equal(r.count, 2);
    assert_int_equal(r.requests, 20000);
    assert_string_equal(b->name, "b");
    is_near(b->expected_share, 0.5);
    is_near(b->share, 0.5);
    is_near(b->error_share, 0.026);
    assert_true(b->error_interval.low < 0.026 && b->error_interval.high > 0.026);
    assert_int_equal(a->p50.value, 50);
    assert_int_equal(b->p50.value, 70);
    assert_true(b->p50.interval.low == 61 && b->p50.interval.high == 81);
    assert_int_equal(a->p95.value, 95);
    assert_int_equal(a->p99.value, 99);
    is_near(b->error_difference.difference, 0.006);
    is_near(b->error_difference.interval.low, 0.0018453113259964769);
    is_near(b->error_difference.interval.high, 0.010184311185787094);
    is_near(b->error_difference.z, 2.8302516527932515);
    assert_true(a->error_difference.difference == 0 && a->error_difference.p == 1);
    assert_false(r.is_alarm);
}

/* 50,500 of 100,000 where half is expected: (500² + 500²) / 50,000 is 10, of which p is 0.00157; 50,600: 14.4 and
 * 0.00015 (the square of a normal variable beyond 3.16 and 3.79 standard deviations). */
static void shares_off_the_weights_raise_the_alarm(void **state)
{
    (void)state;
    struct split_report r;
    observe(cells_of_first, 0, 10);
    struct split_tally counts[] = {
        { .name = "a", .weight = 5000, .requests = 50500, .cells = cells_of_first },
        { .name = "b", .weight = 5000, .requests = 49500, .cells = cells_of_first },
    };
    split_report_fill(&r, counts, 2);
    is_near(r.sample_ratio.chi_square, 10);
    assert_true(r.sample_ratio.p > 0.00156 && r.sample_ratio.p < 0.00158);
    assert_false(r.is_alarm);
    counts[0].requests += 100;
    counts[1].requests -= 100;
    split_report_fill(&r, counts, 2);
    is_near(r.sample_ratio.chi_square, 14.4);
    assert_true(r.sample_ratio.p > 0.000147 && r.sample_ratio.p < 0.000149);
    assert_true(r.is_alarm);
}

static void requests_of_a_variant_without_weight_raise_the_alarm(void **state)
{
    (void)state;
    struct split_report r;
    observe(cells_of_first, 0, 10);
    const struct split_tally counts[] = {
        { .name = "a", .weight = 10000, .requests = 1000, .cells = cells_of_first },
        { .name = "b", .weight = 0, .requests = 1, .cells = cells_of_first },
    };
    split_report_fill(&r, counts, 2);
    assert_true(r.is_alarm);
}

static void nothing_counted_says_nothing(void **state)
{
    (void)state;
    struct split_report r;
    struct split_tally counts[SPLIT_VARIANTS_MAX];
    observe(cells_of_first, 0, 0);
    for (uint32_t i = 0; i < SPLIT_VARIANTS_MAX; i++)
        counts[i] =
            (struct split_tally){ .name = "v", .weight = i ? 0 : SPLIT_PLACES, .cells = cells_of_first };
    split_report_fill(&r, counts, SPLIT_VARIANTS_MAX);
    assert_int_equal(r.requests, 0);
    assert_false(r.is_alarm);
    for (uint32_t i = 0; i < SPLIT_VARIANTS_MAX; i++) {
        const struct split_report_variant *v = &r.variants[i];
        assert_true(v->share == 0 && v->error_share == 0 && v->error_difference.p == 1);
        assert_true(v->error_interval.low == 0 && v->error_interval.high == 1);
        assert_true(v->p99.value == 0 && isinf(v->p99.interval.high));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_says_how_each_variant_does),
        cmocka_unit_test(shares_off_the_weights_raise_the_alarm),
        cmocka_unit_test(requests_of_a_variant_without_weight_raise_the_alarm),
        cmocka_unit_test(nothing_counted_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
