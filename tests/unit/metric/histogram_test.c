#include "metric/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

static void cells_lie_side_by_side(void **state)
{
    (void)state;
    uint64_t next = 0;
    for (uint32_t cell = 0; cell < HISTOGRAM_CELLS; cell++) {
        assert_int_equal(histogram_cell_low(cell), next);
        assert_int_equal(histogram_index(next), cell);
        next += histogram_cell_width(cell);
        assert_int_equal(histogram_index(next - 1), cell);
    }
    assert_int_equal(next, UINT64_C(1) << 32);
}

static void middle_is_within_eleven_thousandths(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 1);
    for (int i = 0; i < 200000; i++) {
        uint64_t value = rng_next(&rng) >> (32 + rng_below(&rng, 32));
        uint64_t middle = histogram_cell_middle(histogram_index(value));
        uint64_t error = middle > value ? middle - value : value - middle;
        assert_true(error * 1000 <= value * 11);
    }
}

static void an_hour_fits_and_more_saturates(void **state)
{
    (void)state;
    uint64_t hour_us = UINT64_C(3600) * 1000 * 1000;
    assert_true(histogram_index(hour_us) < HISTOGRAM_CELLS - 1);
    assert_int_equal(histogram_index(UINT64_C(1) << 32), HISTOGRAM_CELLS - 1);
    assert_int_equal(histogram_index(UINT64_MAX), HISTOGRAM_CELLS - 1);
}

static void quantiles_are_nearest_ranks(void **state)
{
    (void)state;
    uint64_t cells[HISTOGRAM_CELLS] = { 0 };
    assert_int_equal(histogram_quantile(cells, 0.5), 0);
    for (uint64_t v = 1; v <= 100; v++) cells[histogram_index(v)]++;
    assert_int_equal(histogram_count(cells), 100);
    assert_int_equal(histogram_quantile(cells, 0), 1);
    assert_int_equal(histogram_quantile(cells, 0.5), 50);
    assert_int_equal(histogram_quantile(cells, 0.99), 99);
    assert_int_equal(histogram_quantile(cells, 1), 100);
    assert_int_equal(histogram_quantile(cells, 7), 100);
    assert_int_equal(histogram_quantile(cells, -1), 1);
}

static void merging_adds_cell_by_cell(void **state)
{
    (void)state;
    uint64_t a[HISTOGRAM_CELLS] = { 0 }, b[HISTOGRAM_CELLS] = { 0 };
    a[histogram_index(10)] = 1;
    b[histogram_index(10)] = 2;
    b[histogram_index(1000000)] = 3;
    histogram_merge(a, b);
    assert_int_equal(a[histogram_index(10)], 3);
    assert_int_equal(histogram_count(a), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_lie_side_by_side),
        cmocka_unit_test(middle_is_within_eleven_thousandths),
        cmocka_unit_test(an_hour_fits_and_more_saturates),
        cmocka_unit_test(quantiles_are_nearest_ranks),
        cmocka_unit_test(merging_adds_cell_by_cell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
