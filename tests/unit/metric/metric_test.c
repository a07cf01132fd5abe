#include "metric/metric.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metric/exposition.h"

static struct metric_registry *make(uint32_t shards, uint32_t series_max)
{
    struct metric_registry *reg;
    struct err err;
    if (metric_registry_new(&reg, shards, series_max, &err) < 0) fail_msg("%s", err.text);
    return reg;
}

static bool shows(struct metric_registry *reg, const char *text)
{
    size_t len;
    char *all = exposition_print(reg, EXPOSITION_TEXT, &len);
    bool found = strstr(all, text) != NULL;
    free(all);
    return found;
}

static void same_labels_give_the_same_series(void **state)
{
    (void)state;
    struct metric_registry *reg = make(1, 100);
    const struct metric_label ab[] = { { "a", "1" }, { "b", "2" } }, ba[] = { { "b", "2" }, { "a", "1" } };
    const struct metric_label other[] = { { "a", "1" }, { "b", "3" } };
    uint32_t id = metric_counter(reg, "weir_x_total", "X.", ab, 2);
    assert_int_not_equal(id, METRIC_NONE);
    assert_int_equal(metric_counter(reg, "weir_x_total", "X.", ba, 2), id);
    assert_int_not_equal(metric_counter(reg, "weir_x_total", "X.", other, 2), id);
    assert_int_not_equal(metric_counter(reg, "weir_y_total", "Y.", ab, 2), id);
    assert_int_equal(metric_series_count(reg), 3);
    metric_registry_free(reg);
}

static void sums_go_over_all_shards(void **state)
{
    (void)state;
    struct metric_registry *reg = make(3, 100);
    uint32_t id = metric_counter(reg, "weir_x_total", "X.", NULL, 0);
    for (uint32_t i = 0; i < 3; i++) metric_add(metric_shard_of(reg, i), id, i + 1);
    assert_int_equal(metric_sum(reg, id), 6);
    assert_null(metric_shard_of(reg, 3));
    metric_registry_free(reg);
}

static void histograms_give_quantiles_over_all_shards(void **state)
{
    (void)state;
    struct metric_registry *reg = make(2, 100);
    uint32_t id = metric_histogram(reg, "weir_x_seconds", "X.", NULL, 0);
    for (uint64_t us = 1; us <= 100; us++) metric_observe(metric_shard_of(reg, us % 2), id, us);
    assert_int_equal(metric_count(reg, id), 100);
    assert_int_equal(metric_sum(reg, id), 5050);
    assert_int_equal(metric_quantile(reg, id, 0.9), 90);
    uint64_t cells[HISTOGRAM_CELLS] = { 0 };
    metric_merge(reg, id, cells);
    metric_merge(reg, id, cells);
    assert_int_equal(histogram_count(cells), 200);
    metric_registry_free(reg);
}

static void what_is_refused_is_counted_and_harmless(void **state)
{
    (void)state;
    struct metric_registry *reg = make(1, 2);
    const struct metric_label bad_name[] = { { "a-b", "1" } }, bound[] = { { "le", "1" } };
    const struct metric_label twice[] = { { "a", "1" }, { "a", "2" } };
    struct metric_label many[METRIC_LABELS_MAX + 1];
    for (size_t i = 0; i < METRIC_LABELS_MAX + 1; i++)
        many[i] = (struct metric_label){ (const char *[]){ "a", "b", "c", "d", "e", "f", "g" }[i], "" };
    assert_int_equal(metric_counter(reg, "weir_x", "No _total.", NULL, 0), METRIC_NONE);
    assert_int_equal(metric_counter(reg, "1_total", "A digit.", NULL, 0), METRIC_NONE);
    assert_int_equal(metric_histogram(reg, "weir_x_ms", "No _seconds.", NULL, 0), METRIC_NONE);
    assert_int_equal(metric_counter(reg, "weir_x_total", "X.", bad_name, 1), METRIC_NONE);
    assert_int_equal(metric_counter(reg, "weir_x_total", "X.", bound, 1), METRIC_NONE);
    assert_int_equal(metric_counter(reg, "weir_x_total", "X.", twice, 2), METRIC_NONE);
    assert_int_equal(metric_counter(reg, "weir_x_total", "X.", many, METRIC_LABELS_MAX + 1), METRIC_NONE);
    assert_int_not_equal(metric_counter(reg, "weir_x_total", "X.", many, METRIC_LABELS_MAX), METRIC_NONE);
    assert_int_not_equal(metric_counter(reg, "weir_x_total", "X.", NULL, 0), METRIC_NONE);
    uint32_t over = metric_counter(reg, "weir_z_total", "One too many.", NULL, 0);
    assert_int_equal(over, METRIC_NONE);
    assert_int_equal(metric_refused(reg), 8);
    metric_add(metric_shard_of(reg, 0), over, 1);
    metric_observe(metric_shard_of(reg, 0), over, UINT64_MAX);
    assert_false(shows(reg, "weir_z_total"));
    metric_registry_free(reg);
}

static void a_series_stays_as_long_as_anybody_who_registered_it(void **state)
{
    (void)state;
    struct metric_registry *reg = make(1, 3);
    const struct metric_label a[] = { { "server", "a" } };
    uint32_t first = metric_counter(reg, "weir_x_total", "X.", a, 1);
    uint32_t second = metric_counter(reg, "weir_x_total", "X.", a, 1);
    assert_int_equal(first, second);
    metric_add(metric_shard_of(reg, 0), first, 7);
    metric_retire(reg, first);
    assert_true(shows(reg, "server=\"a\"} 7"));
    metric_retire(reg, second);
    assert_int_equal(metric_series_count(reg), 0);
    metric_registry_free(reg);
}

static void retired_series_vanish_and_their_cells_start_at_zero(void **state)
{
    (void)state;
    struct metric_registry *reg = make(2, 3);
    const struct metric_label a[] = { { "server", "a" } }, b[] = { { "server", "b" } };
    for (int round = 0; round < 5; round++) {
        uint32_t id_a = metric_counter(reg, "weir_x_total", "X.", a, 1);
        uint32_t id_b = metric_counter(reg, "weir_x_total", "X.", b, 1);
        uint32_t id_h = metric_histogram(reg, "weir_x_seconds", "X.", a, 1);
        assert_int_not_equal(id_h, METRIC_NONE);
        assert_int_equal(metric_sum(reg, id_a), 0);
        assert_int_equal(metric_count(reg, id_h), 0);
        metric_add(metric_shard_of(reg, 1), id_a, 7);
        metric_observe(metric_shard_of(reg, 0), id_h, 7);
        metric_retire(reg, id_a);
        assert_false(shows(reg, "server=\"a\"} 7"));
        assert_true(shows(reg, "server=\"b\"} 0"));
        metric_retire(reg, id_b);
        metric_retire(reg, id_h);
        metric_retire(reg, METRIC_NONE);
        assert_false(shows(reg, "weir_x"));
        assert_int_equal(metric_series_count(reg), 0);
    }
    metric_registry_free(reg);
}

static void each_of_many_series_is_found_again(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    struct metric_registry *reg = make(1, MANY);
    uint32_t ids[MANY];
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < MANY; i++) {
            char name[16];
            snprintf(name, sizeof(name), "%u", i);
            const struct metric_label label[] = { { "n", name } };
            uint32_t id = metric_counter(reg, "weir_x_total", "X.", label, 1);
            if (round == 0) ids[i] = id;
            assert_int_equal(id, ids[i]);
        }
        assert_int_equal(metric_series_count(reg), MANY);
    }
    for (uint32_t i = 0; i < MANY; i += 2) metric_retire(reg, ids[i]), metric_retire(reg, ids[i]);
    assert_int_equal(metric_series_count(reg), MANY / 2);
    assert_false(shows(reg, "{n=\"500\"}"));
    assert_true(shows(reg, "{n=\"501\"}"));
    metric_registry_free(reg);
}

#define THREADS 3
#define ROUNDS 20000
#define LATE_SERIES 400

struct counting {
    struct metric_shard *shard;
    uint32_t counter, histogram;
    _Atomic uint32_t *late; /* ids that the control side adds meanwhile; 0: not yet */
};

static void *count(void *arg)
{
    struct counting *c = arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        metric_add(c->shard, c->counter, 1);
        metric_observe(c->shard, c->histogram, i);
    }
    for (uint32_t i = 0; i < LATE_SERIES; i++) {
        uint32_t id;
        while ((id = atomic_load_explicit(&c->late[i], memory_order_acquire)) == 0) {}
        metric_observe(c->shard, id, 5);
    }
    return NULL;
}

static void series_are_added_and_read_while_workers_count(void **state)
{
    (void)state;
    struct metric_registry *reg = make(THREADS, 2 + LATE_SERIES);
    static _Atomic uint32_t late[LATE_SERIES];
    uint32_t counter = metric_counter(reg, "weir_x_total", "X.", NULL, 0);
    uint32_t histogram = metric_histogram(reg, "weir_x_seconds", "X.", NULL, 0);
    pthread_t threads[THREADS];
    struct counting work[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        work[i] = (struct counting){ metric_shard_of(reg, i), counter, histogram, late };
        assert_int_equal(pthread_create(&threads[i], NULL, count, &work[i]), 0);
    }
    uint32_t ids[LATE_SERIES];
    for (uint32_t i = 0; i < LATE_SERIES; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%u", i);
        const struct metric_label label[] = { { "n", name } };
        ids[i] = metric_histogram(reg, "weir_late_seconds", "Late.", label, 1);
        assert_int_not_equal(ids[i], METRIC_NONE);
        atomic_store_explicit(&late[i], ids[i], memory_order_release);
        if (i % 100 == 0) assert_true(shows(reg, "weir_late_seconds"));
    }
    for (uint32_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(metric_sum(reg, counter), THREADS * ROUNDS);
    assert_int_equal(metric_count(reg, histogram), THREADS * ROUNDS);
    for (uint32_t i = 0; i < LATE_SERIES; i++) assert_int_equal(metric_count(reg, ids[i]), THREADS);
    metric_registry_free(reg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_labels_give_the_same_series),
        cmocka_unit_test(sums_go_over_all_shards),
        cmocka_unit_test(histograms_give_quantiles_over_all_shards),
        cmocka_unit_test(what_is_refused_is_counted_and_harmless),
        cmocka_unit_test(a_series_stays_as_long_as_anybody_who_registered_it),
        cmocka_unit_test(retired_series_vanish_and_their_cells_start_at_zero),
        cmocka_unit_test(each_of_many_series_is_found_again),
        cmocka_unit_test(series_are_added_and_read_while_workers_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
