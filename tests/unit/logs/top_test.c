#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "logs/top.h"

#define KEYS 5000u

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static void add(struct top *t, uint64_t *exact, uint64_t key)
{
    if (exact) exact[key]++;
    top_add(t, mix(key + 1), (struct slice){ (const char *)&key, sizeof(key) }, 1);
}

/* Key k with a chance that falls with 1/k: what clients and paths are like. */
static uint64_t draw(struct rng *rng)
{
    uint64_t k = UINT64_C(1) << (rng_below(rng, 12));
    return k - 1 + rng_below(rng, (uint32_t)k);
}

static uint64_t key_of(const struct top_entry *e)
{
    uint64_t key = 0;
    for (unsigned i = 0; i < 8; i++) key |= (uint64_t)(unsigned char)e->key.data[i] << (8 * i);
    return key;
}

static void counts_are_exact_while_there_is_room(void **state)
{
    (void)state;
    struct top *t = top_new(KEYS, 8);
    struct rng rng;
    static uint64_t exact[KEYS];
    static struct top_entry list[KEYS];
    rng_seed(&rng, 1);
    for (int i = 0; i < 200000; i++) add(t, exact, draw(&rng));
    uint32_t count = top_list(t, list, KEYS);
    assert_int_equal(top_floor(t), 0);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(list[i].count, exact[key_of(&list[i])]);
        assert_int_equal(list[i].error, 0);
        if (i) assert_true(list[i].count <= list[i - 1].count);
    }
    top_free(t);
}

/* Hashes that somebody chose: equal but for their upper bits. */
static void chosen_hashes_are_kept_apart(void **state)
{
    (void)state;
    struct top *t = top_new(1024, 8);
    static struct top_entry list[1024];
    for (uint64_t round = 0; round < 3; round++)
        for (uint64_t key = 0; key < 1024; key++)
            for (uint64_t n = 0; n <= key; n++)
                top_add(t, (key + 1) << 40 | 7, (struct slice){ (const char *)&key, sizeof(key) }, 1);
    assert_int_equal(top_list(t, list, 1024), 1024);
    for (uint32_t i = 0; i < 1024; i++) {
        assert_int_equal(key_of(&list[i]), 1023 - i);
        assert_int_equal(list[i].count, 3 * (1024 - i));
    }
    top_free(t);
}

static void a_count_is_too_high_by_at_most_its_error(void **state)
{
    (void)state;
    struct top *t = top_new(200, 8);
    struct rng rng;
    static uint64_t exact[KEYS];
    static struct top_entry list[200];
    uint64_t in_list = 0;
    rng_seed(&rng, 2);
    for (int i = 0; i < 400000; i++) add(t, exact, draw(&rng));
    uint32_t count = top_list(t, list, 200);
    assert_int_equal(count, 200);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t truth = exact[key_of(&list[i])];
        assert_true(list[i].count >= truth && list[i].count - list[i].error <= truth);
        in_list += list[i].count;
    }
    assert_true(in_list <= 400000); /* what the filter kept out is counted in its cells */
    uint64_t missing_max = 0;
    for (uint32_t k = 0; k < KEYS; k++) {
        bool is_there = false;
        for (uint32_t i = 0; i < count; i++) is_there |= key_of(&list[i]) == k;
        if (!is_there && exact[k] > missing_max) missing_max = exact[k];
    }
    assert_true(missing_max <= top_floor(t));
    top_free(t);
}

static void merging_adds_up_counts_and_errors(void **state)
{
    (void)state;
    struct top *sum = top_new(400, 8), *part = top_new(100, 8);
    struct rng rng;
    static uint64_t exact[KEYS];
    struct top_entry list[10];
    rng_seed(&rng, 3);
    for (int p = 0; p < 20; p++) {
        top_clear(part);
        for (int i = 0; i < 10000; i++) add(part, exact, draw(&rng));
        top_merge(sum, part);
    }
    assert_int_equal(top_list(sum, list, 10), 10);
    for (uint32_t i = 0; i < 10; i++) {
        uint64_t truth = exact[key_of(&list[i])];
        assert_true(list[i].count - list[i].error <= truth);
        /* Where it was not in a part it came at most that part's floor: 10000 / 100. */
        assert_true(list[i].count + 20 * 100 >= truth);
    }
    top_free(sum);
    top_free(part);
}

static void a_thousand_times_more_keys_than_room_keep_the_structure_whole(void **state)
{
    (void)state;
    struct top *t = top_new(64, 4);
    static struct top_entry list[64];
    for (uint64_t i = 0; i < 64000; i++) add(t, NULL, i);
    assert_int_equal(top_count(t), 64);
    assert_int_equal(top_list(t, list, 64), 64);
    for (uint32_t i = 0; i < 64; i++) {
        /* Without the filter each of the 64 would have come to 1000, all of it error: it has eight cells a key. */
        assert_true(list[i].count <= 1000 / 4 && list[i].count - list[i].error <= 1);
        assert_int_equal(list[i].key.len, 4);
    }
    top_clear(t);
    assert_int_equal(top_list(t, list, 64), 0);
    top_free(t);
}

/* As after a restart: what was left out before may come again, and its bound holds still. */
static void what_was_saved_keeps_its_bounds(void **state)
{
    (void)state;
    struct top *t = top_new(200, 8), *loaded = top_new(200, 8);
    struct rng rng;
    static uint64_t exact[KEYS];
    static struct top_entry list[200];
    rng_seed(&rng, 5);
    for (int i = 0; i < 100000; i++) add(t, exact, draw(&rng));
    uint32_t count = top_list(t, list, 200);
    for (uint32_t i = 0; i < count; i++)
        top_put(loaded, list[i].hash, list[i].key, list[i].count, list[i].error);
    assert_int_equal(top_floor(loaded), top_floor(t));
    for (int i = 0; i < 100000; i++) add(loaded, exact, draw(&rng));
    count = top_list(loaded, list, 200);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t truth = exact[key_of(&list[i])];
        assert_true(list[i].count >= truth && list[i].count - list[i].error <= truth);
    }
    top_free(t);
    top_free(loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_exact_while_there_is_room),
        cmocka_unit_test(chosen_hashes_are_kept_apart),
        cmocka_unit_test(a_count_is_too_high_by_at_most_its_error),
        cmocka_unit_test(merging_adds_up_counts_and_errors),
        cmocka_unit_test(what_was_saved_keeps_its_bounds),
        cmocka_unit_test(a_thousand_times_more_keys_than_room_keep_the_structure_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
