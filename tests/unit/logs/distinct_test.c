#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "logs/distinct.h"

static struct distinct *new_of(unsigned bits)
{
    struct distinct *d = calloc(1, distinct_size(bits));
    d->bits = (uint8_t)bits;
    return d;
}

static void the_error_stays_within_three_standard_errors_at_every_size(void **state)
{
    (void)state;
    static const unsigned bits[] = { 8, 12, 14, 16 };
    for (unsigned b = 0; b < 4; b++) {
        struct distinct *d = new_of(bits[b]);
        struct rng rng;
        rng_seed(&rng, 11 + b);
        uint64_t added = 0;
        for (double size = 10; size < 2e6; size *= 3) {
            for (; added < (uint64_t)size; added++) distinct_add(d, rng_next(&rng));
            assert_true(fabs(distinct_count(d) / (double)added - 1) <
                        3.5 * distinct_error(d) + 0.5 / (double)added);
        }
        free(d);
    }
}

static void few_are_counted_nearly_exactly(void **state)
{
    (void)state;
    struct distinct *d = new_of(14);
    struct rng rng;
    rng_seed(&rng, 5);
    assert_true(distinct_count(d) == 0);
    for (uint64_t i = 1; i <= 20; i++) {
        uint64_t hash = rng_next(&rng);
        for (int again = 0; again < 3; again++) distinct_add(d, hash);
        assert_int_equal((uint64_t)llround(distinct_count(d)), i);
    }
    free(d);
}

static void a_merge_counts_what_is_in_either(void **state)
{
    (void)state;
    struct distinct *a = new_of(14), *b = new_of(14), *both = new_of(14);
    struct rng rng;
    rng_seed(&rng, 6);
    for (int i = 0; i < 60000; i++) {
        uint64_t hash = rng_next(&rng);
        if (i < 40000) distinct_add(a, hash);
        if (i >= 20000) distinct_add(b, hash);
        distinct_add(both, hash);
    }
    distinct_merge(a, b);
    assert_true(distinct_count(a) == distinct_count(both));
    distinct_clear(a);
    assert_true(distinct_count(a) == 0);
    free(a);
    free(b);
    free(both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_error_stays_within_three_standard_errors_at_every_size),
        cmocka_unit_test(few_are_counted_nearly_exactly),
        cmocka_unit_test(a_merge_counts_what_is_in_either),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
