#include "route/split_report.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct split_counts first, second;

static void observe_one(struct split_counts *c, uint32_t bucket, uint64_t us)
{
    uint32_t cell = histogram_index(us);
    c->cells[cell]++;
    c->rows[cell / SPLIT_ROW_CELLS][bucket]++;
}

/* `count` durations of base + 1, base + 2, … us, again from there after each hundred, each of another user: as many in each
 * bucket, and as many of the errors. */
static void observe(struct split_counts *c, uint64_t base, uint64_t count, uint64_t errors)
{
    memset(c, 0, sizeof(*c));
    for (uint64_t i = 0; i < count; i++)
        observe_one(c, (uint32_t)(i / 100 % SPLIT_BUCKETS), base + i % 100 + 1);
    for (uint64_t i = 0; i < errors; i++) c->errors[i % SPLIT_BUCKETS]++;
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
    observe(&first, 0, 20000, 400);
    observe(&second, 20, 20000, 600);
    const struct split_tally tallies[] = { { "a", 5000, &first }, { "b", 5000, &second } };
    split_report_fill(&r, tallies, 2);
    const struct split_report_variant *a = &r.variants[0], *b = &r.variants[1];
    assert_int_equal(r.count, 2);
    assert_int_equal(r.requests, 40000);
    assert_string_equal(b->name, "b");
    is_near(b->expected_share, 0.5);
    is_near(b->share, 0.5);
    is_near(b->error_share, 0.03);
    assert_true(b->error_interval.low < 0.03 && b->error_interval.high > 0.03);
    is_near(a->effect.effect, 1);
    is_near(b->error_effect.effect, 1);
    assert_int_equal(a->quantiles[SPLIT_P50].value, 50);
    assert_int_equal(b->quantiles[SPLIT_P50].value, 70);
    assert_true(b->quantiles[SPLIT_P50].interval.low == 70 && b->quantiles[SPLIT_P50].interval.high == 72);
    assert_int_equal(a->quantiles[SPLIT_P95].value, 95);
    assert_int_equal(a->quantiles[SPLIT_P99].value, 99);
    is_near(b->shifts[SPLIT_P50].difference, 20);
    assert_true(b->shifts[SPLIT_P50].interval.low > 17 && b->shifts[SPLIT_P50].interval.high < 23);
    is_near(b->error_difference.difference, 0.01);
    assert_true(b->error_difference.interval.low > 0.006 && b->error_difference.interval.high < 0.014);
    assert_true(b->error_difference.always.low < b->error_difference.interval.low);
    assert_true(b->error_difference.always.high > b->error_difference.interval.high);
    assert_true(a->error_difference.difference == 0 && a->error_difference.p == 1);
    assert_false(r.is_alarm || r.is_alarm_always);
}

/* 50,500 of 100,000 where half is expected: (500² + 500²) / 50,000 is 10, of which p is 0.00157; 50,600: 14.4 and
 * 0.00015 (the square of a normal variable beyond 3.16 and 3.79 standard deviations). */
static void shares_off_the_weights_raise_the_alarm(void **state)
{
    (void)state;
    struct split_report r;
    const struct split_tally tallies[] = { { "a", 5000, &first }, { "b", 5000, &second } };
    observe(&first, 0, 50500, 0);
    observe(&second, 0, 49500, 0);
    split_report_fill(&r, tallies, 2);
    double effect = r.effect.effect; /* hundreds are not dealt quite evenly */
    is_near(r.sample_ratio.chi_square * effect, 10);
    assert_false(r.is_alarm);
    observe(&first, 0, 60000, 0);
    observe(&second, 0, 40000, 0);
    split_report_fill(&r, tallies, 2);
    is_near(r.effect.effect, 1);
    is_near(r.sample_ratio.chi_square, 4000);
    assert_true(r.is_alarm && r.is_alarm_always);
}

/* One user, a robot, has made a third of all requests. */
static void one_busy_unit_is_no_alarm(void **state)
{
    (void)state;
    struct split_report r;
    const struct split_tally tallies[] = { { "a", 5000, &first }, { "b", 5000, &second } };
    observe(&first, 0, 20000, 0);
    observe(&second, 0, 20000, 0);
    for (uint32_t i = 0; i < 20000; i++) observe_one(&second, 7, 50);
    split_report_fill(&r, tallies, 2);
    assert_true(r.effect.effect > 1000);
    assert_false(r.is_alarm || r.is_alarm_always);
}

static void requests_of_a_variant_without_weight_raise_the_alarm(void **state)
{
    (void)state;
    struct split_report r;
    const struct split_tally tallies[] = { { "a", 10000, &first }, { "b", 0, &second } };
    observe(&first, 0, 1000, 0);
    observe(&second, 0, 1, 0);
    split_report_fill(&r, tallies, 2);
    assert_true(r.is_alarm && r.is_alarm_always);
}

/* 20 users of 1,000 requests each: the intervals are those of so many users, not of requests. */
static void requests_of_few_users_say_little(void **state)
{
    (void)state;
    struct split_report r;
    const struct split_tally tallies[] = { { "a", 5000, &first }, { "b", 5000, &second } };
    memset(&first, 0, sizeof(first));
    memset(&second, 0, sizeof(second));
    for (uint32_t user = 0; user < 20; user++) {
        struct split_counts *c = user % 2 ? &first : &second;
        for (uint32_t i = 0; i < 1000; i++) observe_one(c, user * 7, 1000 * (user + 1));
        c->errors[user * 7] = user < 4 ? 1000 : 0;
    }
    split_report_fill(&r, tallies, 2);
    const struct split_report_variant *a = &r.variants[0];
    assert_true(a->effect.effect > 900 && a->error_effect.effect > 500);
    is_near(a->error_share, 0.2);
    assert_true(a->error_interval.low < 0.06 && a->error_interval.high > 0.5);
    assert_true(a->quantiles[SPLIT_P50].interval.low < 6000 && a->quantiles[SPLIT_P50].interval.high > 16000);
}

/* While all grow a reader may see an error before its request. */
static void more_errors_than_requests_are_all(void **state)
{
    (void)state;
    struct split_report r;
    const struct split_tally tallies[] = { { "a", 10000, &first } };
    observe(&first, 0, 1000, 0);
    for (uint32_t b = 0; b < SPLIT_BUCKETS; b++) first.errors[b] = 1000;
    split_report_fill(&r, tallies, 1);
    assert_true(r.variants[0].error_share == 1);
}

static void nothing_counted_says_nothing(void **state)
{
    (void)state;
    struct split_report r;
    struct split_tally tallies[SPLIT_VARIANTS_MAX];
    memset(&first, 0, sizeof(first));
    for (uint32_t i = 0; i < SPLIT_VARIANTS_MAX; i++)
        tallies[i] = (struct split_tally){ "v", i ? 0 : SPLIT_PLACES, &first };
    split_report_fill(&r, tallies, SPLIT_VARIANTS_MAX);
    assert_int_equal(r.requests, 0);
    assert_false(r.is_alarm || r.is_alarm_always);
    for (uint32_t i = 0; i < SPLIT_VARIANTS_MAX; i++) {
        const struct split_report_variant *v = &r.variants[i];
        assert_true(v->share == 0 && v->error_share == 0 && v->error_difference.p == 1);
        assert_true(v->error_interval.low == 0 && v->error_interval.high == 1);
        const struct statistic_quantile *p99 = &v->quantiles[SPLIT_P99];
        assert_true(p99->value == 0 && isinf(p99->interval.high));
        assert_true(v->effect.effect == 1 && v->error_effect.effect == 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_says_how_each_variant_does),
        cmocka_unit_test(shares_off_the_weights_raise_the_alarm),
        cmocka_unit_test(one_busy_unit_is_no_alarm),
        cmocka_unit_test(requests_of_few_users_say_little),
        cmocka_unit_test(more_errors_than_requests_are_all),
        cmocka_unit_test(requests_of_a_variant_without_weight_raise_the_alarm),
        cmocka_unit_test(nothing_counted_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
