#include "metric/exemplars.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include "metric/exposition.h"
#include <cmocka.h>

static struct exemplars *make(uint32_t shards)
{
    struct exemplars *e;
    struct err err;
    if (exemplars_new(&e, shards, &err) < 0) fail_msg("%s", err.text);
    return e;
}

static void put(struct exemplars *e, uint32_t shard, uint32_t series, uint64_t us, uint64_t wall_ms)
{
    struct exemplar x = { .us = us, .wall_ms = wall_ms };
    memset(x.trace_id, (int)(us & 0xff), sizeof(x.trace_id));
    exemplars_put(e, shard, series, &x);
}

/* 0: there is none. */
static uint64_t found_us(struct exemplars *e, uint32_t series, uint32_t bucket)
{
    exemplars_hold(e);
    const struct exemplar *x = exemplars_find(e, series, bucket);
    uint64_t us = x ? x->us : 0;
    exemplars_let_go(e);
    return us;
}

static void an_observation_is_in_the_bucket_whose_bounds_hold_it(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < BUCKET_BOUNDS; i++) {
        assert_int_equal(bucket_of(bucket_bounds[i].us), i);
        assert_int_equal(bucket_of(bucket_bounds[i].us + 1), i + 1);
    }
    assert_int_equal(bucket_of(0), 0);
    assert_int_equal(bucket_of(UINT64_MAX), BUCKET_BOUNDS);
}

static void the_latest_of_all_workers_is_found(void **state)
{
    (void)state;
    struct exemplars *e = make(2);
    assert_int_equal(found_us(e, 7, 0), 0);
    put(e, 0, 7, 10, 1000);
    put(e, 1, 7, 20, 2000);
    put(e, 1, 8, 30, 3000);
    assert_int_equal(found_us(e, 7, 0), 20);
    put(e, 0, 7, 40, 2001);
    assert_int_equal(found_us(e, 7, 0), 40);
    assert_int_equal(found_us(e, 7, 1), 0);
    assert_int_equal(found_us(e, 8, 0), 30);
    exemplars_free(e);
}

static void while_they_are_read_a_worker_leaves_one_out_and_does_not_wait(void **state)
{
    (void)state;
    struct exemplars *e = make(1);
    put(e, 0, 7, 10, 1000);
    exemplars_hold(e);
    put(e, 0, 7, 20, 2000);
    exemplars_let_go(e);
    assert_int_equal(found_us(e, 7, 0), 10);
    exemplars_free(e);
}

static void what_is_forgotten_is_not_the_next_ones(void **state)
{
    (void)state;
    struct exemplars *e = make(2);
    for (uint32_t i = 0; i < BUCKET_BOUNDS; i++) put(e, i % 2, 7, bucket_bounds[i].us, 1000);
    put(e, 0, 8, 10, 1000);
    exemplars_forget(e, 7);
    for (uint32_t i = 0; i < BUCKET_COUNT; i++) assert_int_equal(found_us(e, 7, i), 0);
    assert_int_equal(found_us(e, 8, 0), 10);
    exemplars_free(e);
}

static void the_table_is_bounded_and_has_the_latest(void **state)
{
    (void)state;
    struct exemplars *e = make(1);
    for (uint32_t series = 0; series < 4 * EXEMPLARS_MAX; series++) put(e, 0, series, 10, 1000 + series);
    assert_int_equal(found_us(e, 4 * EXEMPLARS_MAX - 1, 0), 10);
    uint32_t kept = 0;
    for (uint32_t series = 0; series < 4 * EXEMPLARS_MAX; series++) kept += found_us(e, series, 0) != 0;
    assert_true(kept <= EXEMPLARS_MAX);
    exemplars_free(e);
}

static char *print(const struct metric_registry *reg, enum exposition_format format)
{
    size_t len;
    char *text = exposition_print(reg, format, &len);
    assert_non_null(text);
    return text;
}

static void openmetrics_has_them_behind_their_buckets(void **state)
{
    (void)state;
    struct metric_registry *reg;
    struct err err;
    if (metric_registry_new(&reg, 1, 100, &err) < 0) fail_msg("%s", err.text);
    assert_null(metric_exemplars(reg));
    if (metric_keep_exemplars(reg, &err) < 0) fail_msg("%s", err.text);
    uint32_t id = metric_histogram(reg, "a_seconds", "How long.", NULL, 0);
    metric_observe(metric_shard_of(reg, 0), id, 54321);
    put(metric_exemplars(reg), 0, id, 54321, 1520879607789);
    put(metric_exemplars(reg), 0, id, 9000000000, 1520879607001);
    char *text = print(reg, EXPOSITION_OPENMETRICS);
    assert_non_null(strstr(text, "a_seconds_bucket{le=\"0.05\"} 0\n"));
    assert_non_null(strstr(text,
                           "a_seconds_bucket{le=\"0.1\"} 1 # {trace_id=\"31313131313131313131313131313131\"} "
                           "0.054321 1520879607.789\n"));
    assert_non_null(strstr(text, "a_seconds_bucket{le=\"+Inf\"} 1 # {trace_id=\""));
    assert_non_null(strstr(text, "\"} 9000.000000 1520879607.001\n"));
    free(text);
    exemplars_hold(metric_exemplars(reg)); /* which the other form does without */
    text = print(reg, EXPOSITION_TEXT);
    exemplars_let_go(metric_exemplars(reg));
    assert_null(strstr(text, " # "));
    free(text);
    metric_retire(reg, id);
    assert_int_equal(metric_histogram(reg, "b_seconds", "How long.", NULL, 0), id);
    text = print(reg, EXPOSITION_OPENMETRICS);
    assert_null(strstr(text, " # "));
    free(text);
    metric_registry_free(reg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_observation_is_in_the_bucket_whose_bounds_hold_it),
        cmocka_unit_test(the_latest_of_all_workers_is_found),
        cmocka_unit_test(while_they_are_read_a_worker_leaves_one_out_and_does_not_wait),
        cmocka_unit_test(what_is_forgotten_is_not_the_next_ones),
        cmocka_unit_test(the_table_is_bounded_and_has_the_latest),
        cmocka_unit_test(openmetrics_has_them_behind_their_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
