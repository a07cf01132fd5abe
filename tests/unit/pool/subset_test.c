#include "pool/subset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "pool/pool_conf.h"

#define SERVERS_MAX 1000

static uint64_t hashes[SERVERS_MAX];

static int draw_hashes(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 7);
    for (uint32_t i = 0; i < SERVERS_MAX; i++) hashes[i] = rng_next(&rng);
    return 0;
}

static void choose(uint32_t size, uint32_t instance, uint32_t count, bool *chosen)
{
    struct pool_subset_conf conf = { .size = size, .instance = instance, .instances = instance + 1 };
    struct err err;
    memset(chosen, 1, count * sizeof(*chosen));
    assert_int_equal(subset_choose(&conf, hashes, count, chosen, &err), 0);
}

static uint32_t count_chosen(const bool *chosen, uint32_t count)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < count; i++) sum += chosen[i];
    return sum;
}

static void each_instance_uses_as_many_as_it_is_to_and_all_are_used_evenly(void **state)
{
    (void)state;
    static const struct {
        uint32_t count, size, instances;
    } rows[] = { { 100, 20, 10 }, { 100, 20, 7 }, { 12, 5, 10 },    { 7, 5, 20 },    { 1, 1, 3 },
                 { 10, 3, 4 },    { 10, 9, 11 },  { 1000, 7, 300 }, { 997, 20, 50 }, { 3, 3, 5 } };
    for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
        uint32_t uses[SERVERS_MAX] = { 0 };
        for (uint32_t k = 0; k < rows[r].instances; k++) {
            bool chosen[SERVERS_MAX];
            choose(rows[r].size, k, rows[r].count, chosen);
            assert_int_equal(count_chosen(chosen, rows[r].count), rows[r].size);
            for (uint32_t i = 0; i < rows[r].count; i++) uses[i] += chosen[i];
        }
        uint32_t floor = rows[r].size * rows[r].instances / rows[r].count;
        for (uint32_t i = 0; i < rows[r].count; i++)
            if (uses[i] != floor && uses[i] != floor + 1)
                fail_msg("row %zu: server %u is used %u times, not %u or one more", r, i, uses[i], floor);
    }
}

static void the_order_of_servers_does_not_matter(void **state)
{
    (void)state;
    bool chosen[100], turned[100];
    choose(20, 3, 100, chosen);
    for (uint32_t i = 0; i < 50; i++) {
        uint64_t kept = hashes[i];
        hashes[i] = hashes[99 - i];
        hashes[99 - i] = kept;
    }
    choose(20, 3, 100, turned);
    for (uint32_t i = 0; i < 100; i++) assert_int_equal(chosen[i], turned[99 - i]);
}

static void a_subset_larger_than_the_pool_is_the_pool(void **state)
{
    (void)state;
    bool chosen[5];
    choose(20, 9, 5, chosen);
    assert_int_equal(count_chosen(chosen, 5), 5);
}

static void neighbours_in_the_deck_differ_from_round_to_round(void **state)
{
    (void)state;
    /* Five instances share one deck: nobody is in two of their hands. The next five have other hands. */
    bool chosen[10][100];
    for (uint32_t k = 0; k < 10; k++) choose(20, k, 100, chosen[k]);
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t sum = 0;
        for (uint32_t k = 0; k < 5; k++) sum += chosen[k][i];
        assert_int_equal(sum, 1);
    }
    for (uint32_t j = 0; j < 5; j++)
        for (uint32_t k = 5; k < 10; k++) assert_memory_not_equal(chosen[j], chosen[k], sizeof(chosen[k]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_instance_uses_as_many_as_it_is_to_and_all_are_used_evenly),
        cmocka_unit_test(the_order_of_servers_does_not_matter),
        cmocka_unit_test(a_subset_larger_than_the_pool_is_the_pool),
        cmocka_unit_test(neighbours_in_the_deck_differ_from_round_to_round),
    };
    return cmocka_run_group_tests(tests, draw_hashes, NULL);
}
