#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "base/rng.h"
#include "metric/history.h"

#define PLENTY ((size_t)64 << 20)

static const struct history_key web = { HISTORY_LISTENER, 0, 1 };
static const struct history_key first = { HISTORY_SERVER, 7, 2 };

static struct history *open_with(size_t memory)
{
    struct history *h = NULL;
    struct err err;
    assert_int_equal(history_new(&h, memory, &err), 0);
    return h;
}

static void observe(struct history_tally *t, uint64_t us, uint32_t count)
{
    t->groups[histogram_index(us) >> HISTORY_GROUP_BITS] += count;
    t->requests += count;
}

/* One round with `come` for one series; NULL: nothing came. */
static struct history_series *put(struct history *h, uint64_t second, const struct history_key *key,
                                  const struct history_tally *come)
{
    history_begin(h, second);
    struct history_series *s = history_open(h, key);
    assert_non_null(s);
    history_add(h, s, come);
    history_end(h);
    return s;
}

static void assert_near(uint64_t got, double wanted)
{
    if (fabs((double)got - wanted) <= 0.033 * wanted + 2) return;
    fail_msg("%llu is not near %f", (unsigned long long)got, wanted);
}

static void each_step_keeps_its_time_and_no_more(void **state)
{
    (void)state;
    struct history *h = open_with(PLENTY);
    struct history_tally *come = calloc(1, sizeof(*come));
    struct history_series *s = NULL;
    observe(come, 1000, 7);
    come->errors = 2;
    for (uint64_t second = 0; second < 100000; second++) s = put(h, second, &web, come);
    for (int step = 0; step < HISTORY_STEPS; step++) {
        uint32_t count = history_step_points((enum history_step)step);
        uint64_t length = history_step_seconds((enum history_step)step);
        int64_t latest = history_latest(h, (enum history_step)step);
        struct history_point *points = calloc(count, sizeof(*points));
        history_read(h, s, (enum history_step)step, latest - count + 1, count, points);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(points[i].requests, 7 * length);
            assert_int_equal(points[i].errors, 2 * length);
            assert_near(points[i].p99_us, 1000);
        }
        /* Whole chunks are dropped: older ones are gone for good. */
        history_read(h, s, (enum history_step)step, latest - 2 * (int64_t)count, 1, points);
        assert_int_equal(points[0].requests, 0);
        history_read(h, s, (enum history_step)step, latest + 1, 1, points);
        assert_int_equal(points[0].requests, 0);
        free(points);
    }
    assert_in_range(history_memory(h), 1, 48 << 10);
    assert_int_equal(history_given_up(h) + history_lost(h), 0);
    free(come);
    history_free(h);
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* The nearest rank. */
static double truth(const uint64_t *sorted, uint32_t count, double q)
{
    uint32_t rank = (uint32_t)ceil(q * count);
    return (double)sorted[rank ? rank - 1 : 0];
}

static void quantiles_of_each_step_are_those_of_all_that_came_in_it(void **state)
{
    (void)state;
    enum { SECONDS = 60, A_SECOND = 500, ALL = SECONDS * A_SECOND };
    struct history *h = open_with(PLENTY);
    struct history_tally *come = calloc(1, sizeof(*come));
    uint64_t *all = calloc(ALL, sizeof(*all));
    struct rng rng;
    struct history_series *s = NULL;
    rng_seed(&rng, 20260101);
    for (uint32_t second = 0; second < SECONDS; second++) {
        memset(come, 0, sizeof(*come));
        for (uint32_t i = 0; i < A_SECOND; i++) {
            /* From 200 us to some seconds, with a tail that grows over the minute. */
            double u = (double)(rng_next(&rng) >> 11) / 9007199254740992.0;
            uint64_t us = (uint64_t)(200 * exp(u * (4 + second / 15.0)));
            all[second * A_SECOND + i] = us;
            observe(come, us, 1);
        }
        s = put(h, second, &web, come);
    }
    struct history_point p;
    history_read(h, s, HISTORY_MINUTE, 0, 1, &p);
    uint64_t *ten = malloc(10 * A_SECOND * sizeof(*ten));
    memcpy(ten, all + 50 * A_SECOND, 10 * A_SECOND * sizeof(*ten));
    qsort(all, ALL, sizeof(*all), compare);
    assert_int_equal(p.requests, ALL);
    assert_near(p.p50_us, truth(all, ALL, 0.5));
    assert_near(p.p95_us, truth(all, ALL, 0.95));
    assert_near(p.p99_us, truth(all, ALL, 0.99));
    history_read(h, s, HISTORY_TEN, 5, 1, &p);
    qsort(ten, 10 * A_SECOND, sizeof(*ten), compare);
    assert_int_equal(p.requests, 10 * A_SECOND);
    assert_near(p.p50_us, truth(ten, 10 * A_SECOND, 0.5));
    assert_near(p.p95_us, truth(ten, 10 * A_SECOND, 0.95));
    assert_near(p.p99_us, truth(ten, 10 * A_SECOND, 0.99));
    free(ten);
    free(all);
    free(come);
    history_free(h);
}

static void counts_since_the_beginning_become_what_has_come(void **state)
{
    (void)state;
    struct history *h = open_with(PLENTY);
    struct history_tally *counted = calloc(1, sizeof(*counted)), *come = calloc(1, sizeof(*come));
    history_begin(h, 5);
    struct history_series *s = history_open(h, &first);
    observe(counted, 3000, 10);
    counted->errors = 1;
    assert_true(history_has_moved(s, 10, 1, 30000));
    assert_true(history_since(h, s, counted, come));
    assert_int_equal(come->requests, 10);
    assert_int_equal(come->errors, 1);
    assert_false(history_has_moved(s, 10, 1, 30000));
    observe(counted, 300, 4);
    assert_true(history_has_moved(s, 14, 1, 31200));
    assert_true(history_since(h, s, counted, come));
    assert_int_equal(come->requests, 4);
    assert_int_equal(come->errors, 0);
    assert_int_equal(come->groups[histogram_index(300) >> HISTORY_GROUP_BITS], 4);
    assert_int_equal(come->groups[histogram_index(3000) >> HISTORY_GROUP_BITS], 0);
    free(come);
    free(counted);
    history_free(h);
}

static void a_namesake_counts_from_0(void **state)
{
    (void)state;
    struct history *h = open_with(PLENTY);
    struct history_tally *counted = calloc(1, sizeof(*counted)), *come = calloc(1, sizeof(*come));
    history_begin(h, 5);
    struct history_series *s = history_open(h, &first);
    observe(counted, 3000, 1000);
    assert_true(history_has_moved(s, 1000, 0, 3000000));
    assert_true(history_since(h, s, counted, come));
    memset(counted, 0, sizeof(*counted));
    observe(counted, 3000, 3);
    assert_true(history_has_moved(s, 3, 0, 9000));
    assert_true(history_since(h, s, counted, come));
    assert_int_equal(come->requests, 3);
    assert_int_equal(come->groups[histogram_index(3000) >> HISTORY_GROUP_BITS], 3);
    free(come);
    free(counted);
    history_free(h);
}

static void latency_that_is_known_later_than_its_request_is_kept(void **state)
{
    (void)state;
    struct history *h = open_with(PLENTY);
    struct history_tally *come = calloc(1, sizeof(*come));
    struct history_point p;
    come->groups[histogram_index(5000) >> HISTORY_GROUP_BITS] = 1; /* its attempt was counted before */
    struct history_series *s = put(h, 30, &first, come);
    history_read(h, s, HISTORY_SECOND, 30, 1, &p);
    assert_int_equal(p.requests, 0);
    assert_near(p.p50_us, 5000);
    free(come);
    history_free(h);
}

static void times_without_traffic_cost_nothing(void **state)
{
    (void)state;
    struct history *h = open_with(PLENTY);
    put(h, 0, &web, NULL);
    size_t memory = history_memory(h);
    for (uint64_t second = 1; second < 4000; second++) put(h, second, &web, NULL);
    assert_int_equal(history_memory(h), memory);
    struct history_tally *come = calloc(1, sizeof(*come));
    observe(come, 100, 1);
    put(h, 4000, &web, come);
    assert_true(history_memory(h) > memory);
    /* A day and an hour later it has left all three steps. */
    for (uint64_t second = 4001; second < 4000 + 26 * 3600; second++) put(h, second, &web, NULL);
    assert_in_range(history_memory(h), memory, memory + 2048);
    free(come);
    history_free(h);
}

static void what_is_recent_covers_ten_seconds_of_counts_and_latency_at_once(void **state)
{
    (void)state;
    struct history *h = open_with(PLENTY);
    struct history_tally *come = calloc(1, sizeof(*come));
    struct history_series *s = NULL;
    observe(come, 2000, 5);
    for (uint64_t second = 0; second < 18; second++) s = put(h, second, &web, come);
    struct history_point p = history_recent(h, s);
    assert_int_equal(p.requests, 50);
    assert_near(p.p95_us, 2000);
    /* Right after a step of ten began, what was in the one before is still there. */
    for (uint64_t second = 18; second < 21; second++) s = put(h, second, &web, NULL);
    p = history_recent(h, s);
    assert_int_equal(p.requests, 35);
    assert_near(p.p95_us, 2000);
    for (uint64_t second = 21; second < 40; second++) s = put(h, second, &web, NULL);
    p = history_recent(h, s);
    assert_int_equal(p.requests, 0);
    assert_int_equal(p.p95_us, 0);
    free(come);
    history_free(h);
}

static void what_no_round_names_is_forgotten(void **state)
{
    (void)state;
    struct history *h = open_with(PLENTY);
    struct history_tally *come = calloc(1, sizeof(*come));
    observe(come, 2000, 5);
    put(h, 0, &first, come);
    put(h, 1, &web, NULL);
    put(h, 2, &web, NULL);
    assert_non_null(history_find(h, &first));
    put(h, 3, &web, NULL);
    assert_null(history_find(h, &first));
    assert_non_null(history_find(h, &web));
    free(come);
    history_free(h);
}

/* All of it busy in each second, for a while. */
static void run_fleet(struct history *h, uint32_t servers, uint64_t seconds, size_t bound)
{
    struct history_tally *come = calloc(1, sizeof(*come));
    observe(come, 900, 2);
    observe(come, 15000, 1);
    for (uint64_t second = 0; second < seconds; second++) {
        history_begin(h, second);
        struct history_series *s = history_open(h, &web);
        if (s) history_add(h, s, come);
        for (uint32_t i = 0; i < servers; i++) {
            const struct history_key key = { HISTORY_SERVER, 7, 10 + i };
            s = history_open(h, &key);
            if (s) history_add(h, s, come);
        }
        history_end(h);
        assert_in_range(history_memory(h), 0, bound);
    }
    free(come);
}

static void ten_thousand_busy_servers_stay_within_the_bound_and_lose_the_oldest(void **state)
{
    (void)state;
    size_t bound = (size_t)40 << 20;
    struct history *h = open_with(bound);
    run_fleet(h, 10000, 130, bound);
    assert_true(history_given_up(h) > 0);
    assert_int_equal(history_lost(h), 0);
    struct history_point points[130];
    const struct history_key last = { HISTORY_SERVER, 7, 10 + 9999 };
    history_read(h, history_find(h, &last), HISTORY_SECOND, 0, 130, points);
    assert_int_equal(points[129].requests, 3);
    assert_int_equal(points[0].requests, 0); /* given up */
    /* A listener's is kept whole. */
    history_read(h, history_find(h, &web), HISTORY_SECOND, 0, 130, points);
    for (int i = 0; i < 130; i++) assert_int_equal(points[i].requests, 3);
    history_free(h);
}

static void too_little_memory_for_anything_loses_and_counts(void **state)
{
    (void)state;
    struct history *h = open_with(100);
    run_fleet(h, 3, 20, 100);
    assert_true(history_lost(h) >= 20);
    history_free(h);
    h = open_with(3000); /* some objects, but never all of their points */
    run_fleet(h, 20, 100, 3000);
    assert_true(history_lost(h) > 0);
    history_free(h);
}

static void a_round_that_comes_late_leaves_a_gap_and_no_more(void **state)
{
    (void)state;
    struct history *h = open_with(PLENTY);
    struct history_tally *come = calloc(1, sizeof(*come));
    struct history_point points[3];
    observe(come, 2000, 5);
    put(h, 8, &web, come);
    struct history_series *s = put(h, 35, &web, come);
    history_read(h, s, HISTORY_TEN, 0, 3, points);
    assert_int_equal(points[0].requests, 5);
    assert_int_equal(points[1].requests, 0);
    assert_int_equal(points[2].requests, 0);
    assert_int_equal(history_latest(h, HISTORY_TEN), 2);
    assert_int_equal(history_latest(h, HISTORY_MINUTE), -1);
    struct history_point recent = history_recent(h, s);
    assert_int_equal(recent.requests, 5);
    free(come);
    history_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_step_keeps_its_time_and_no_more),
        cmocka_unit_test(quantiles_of_each_step_are_those_of_all_that_came_in_it),
        cmocka_unit_test(counts_since_the_beginning_become_what_has_come),
        cmocka_unit_test(a_namesake_counts_from_0),
        cmocka_unit_test(latency_that_is_known_later_than_its_request_is_kept),
        cmocka_unit_test(times_without_traffic_cost_nothing),
        cmocka_unit_test(what_is_recent_covers_ten_seconds_of_counts_and_latency_at_once),
        cmocka_unit_test(what_no_round_names_is_forgotten),
        cmocka_unit_test(ten_thousand_busy_servers_stay_within_the_bound_and_lose_the_oldest),
        cmocka_unit_test(too_little_memory_for_anything_loses_and_counts),
        cmocka_unit_test(a_round_that_comes_late_leaves_a_gap_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
