#include "metric/native_histogram.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <cmocka.h>

static double bound_of(int32_t bucket)
{
    return exp2((double)bucket / (1 << NATIVE_SCHEMA)) * 1e6;
}

static void the_middle_of_a_cell_lies_in_its_bucket(void **state)
{
    (void)state;
    for (uint32_t cell = 1; cell < HISTOGRAM_CELLS; cell++) {
        double middle = (double)histogram_cell_middle(cell);
        int32_t bucket = native_bucket_of(cell);
        if (middle > bound_of(bucket) * (1 + 1e-12) || middle <= bound_of(bucket - 1) * (1 - 1e-12))
            fail_msg("cell %u in bucket %d", cell, bucket);
    }
}

static void each_cell_has_a_bucket_of_its_own_above_that_of_zero(void **state)
{
    (void)state;
    assert_true(bound_of(native_bucket_of(1) - 1) >= NATIVE_ZERO_THRESHOLD * 1e6);
    for (uint32_t cell = 2; cell < HISTOGRAM_CELLS; cell++)
        assert_true(native_bucket_of(cell) > native_bucket_of(cell - 1));
}

/* Whatever was observed, and wherever in the bucket a reader puts it. */
static void a_reader_is_at_most_as_far_off_as_is_said(void **state)
{
    (void)state;
    double worst = 0;
    for (uint32_t cell = 1; cell < HISTOGRAM_CELLS; cell++) {
        const double values[] = { (double)histogram_cell_low(cell),
                                  (double)(histogram_cell_low(cell) + histogram_cell_width(cell) - 1) };
        int32_t bucket = native_bucket_of(cell);
        for (int i = 0; i < 2; i++) {
            worst = fmax(worst, fabs(bound_of(bucket) / values[i] - 1));
            worst = fmax(worst, fabs(bound_of(bucket - 1) / values[i] - 1));
        }
    }
    assert_true(worst <= 0.011);
    assert_true(worst > 0.008); /* else a coarser schema would do */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_middle_of_a_cell_lies_in_its_bucket),
        cmocka_unit_test(each_cell_has_a_bucket_of_its_own_above_that_of_zero),
        cmocka_unit_test(a_reader_is_at_most_as_far_off_as_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
