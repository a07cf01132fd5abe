#include "metric/cluster.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void is_near(double got, double expected)
{
    if (!(fabs(got - expected) <= 1e-12 * fabs(expected))) fail_msg("%.17g, not %.17g", got, expected);
}

static struct cluster_effect effect_of_counts(const uint64_t *counts, uint32_t buckets)
{
    struct cluster_sums sums = cluster_of_counts(counts, buckets);
    return cluster_effect(&sums);
}

/* 0, 10, 0, 10: the mean is 5, the variance 100/3. Deviations all alike have the least kurtosis, 1: as good as normal. */
static void requests_have_the_effect_of_variance_over_mean(void **state)
{
    (void)state;
    static const uint64_t counts[] = { 0, 10, 0, 10 };
    struct cluster_effect e = effect_of_counts(counts, 4);
    is_near(e.effect, 100.0 / 3 / 5);
    is_near(e.degrees, 4 * e.effect * e.effect / ((e.effect - 1) * (e.effect - 1)));
}

/* Two groups, each about its own mean: (100 + 36) of (15 + 9). */
static void groups_deviate_each_from_its_own_mean(void **state)
{
    (void)state;
    static const uint64_t many[] = { 0, 10, 0, 10 }, few[] = { 0, 6, 6, 0 };
    struct cluster_sums sums = cluster_of_counts(many, 4), others = cluster_of_counts(few, 4);
    cluster_merge(&sums, &others);
    is_near(cluster_effect(&sums).effect, 136.0 / 24);
}

static void buckets_that_are_alike_are_independent_requests(void **state)
{
    (void)state;
    static const uint64_t counts[] = { 7, 7, 8, 7 }, none[] = { 0, 0, 0, 0 };
    assert_true(effect_of_counts(counts, 4).effect == 1);
    assert_true(isinf(effect_of_counts(counts, 4).degrees));
    assert_true(effect_of_counts(none, 4).effect == 1);
}

/* One of 200 buckets has it all: nothing is known of the variance, a degree or two. */
static void one_user_is_no_sample(void **state)
{
    (void)state;
    static uint64_t counts[200];
    counts[17] = 100000;
    struct cluster_effect e = effect_of_counts(counts, 200);
    is_near(e.effect, 100000);
    assert_true(e.degrees > 1.9 && e.degrees < 2.2);
}

/* Two buckets fail wholly and two not at all, of 10 requests each: deviations of 5, sum of squares 100, where
 * 40/4 · 3/4 = 7.5 is expected of independent ones. */
static void a_share_has_the_effect_of_its_ratio(void **state)
{
    (void)state;
    static const uint64_t counts[] = { 10, 10, 10, 10 }, hits[] = { 10, 0, 10, 0 };
    struct cluster_sums sums = cluster_of_share(hits, counts, 4);
    is_near(cluster_effect(&sums).effect, 100 / 7.5);
}

/* Where all or none fail nothing shows how alike users are. */
static void without_hits_nothing_can_be_told(void **state)
{
    (void)state;
    static const uint64_t counts[] = { 10, 10 }, none[] = { 0, 0 };
    assert_int_equal(cluster_of_share(none, counts, 2).buckets, 0);
    assert_int_equal(cluster_of_share(counts, counts, 2).buckets, 0);
    assert_int_equal(cluster_of_share(none, none, 2).buckets, 0);
    assert_int_equal(cluster_of_counts(none, 2).buckets, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_have_the_effect_of_variance_over_mean),
        cmocka_unit_test(groups_deviate_each_from_its_own_mean),
        cmocka_unit_test(buckets_that_are_alike_are_independent_requests),
        cmocka_unit_test(one_user_is_no_sample),
        cmocka_unit_test(a_share_has_the_effect_of_its_ratio),
        cmocka_unit_test(without_hits_nothing_can_be_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
