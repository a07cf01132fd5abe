#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* after the above */
#include <cmocka.h>

#include "base/arena.h"
#include "base/bug.h"

static void a_block_has_the_room_that_was_asked_for(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0, 1, 4000, 4096, 5000, 32768, 65536, 100000 };
    struct budget budget = { .limit = 1 << 20 };
    struct block_pool pool;
    block_pool_init(&pool, &budget);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct block *b = block_get(&pool, sizes[i]);
        assert_non_null(b);
        assert_true(b->cap >= sizes[i]);
        memset(b->data, 1, b->cap);
        block_put(&pool, b);
    }
    assert_null(block_get(&pool, BLOCK_MAX + 1));
    assert_int_equal(pool.live, 0);
    block_pool_fini(&pool);
    assert_int_equal(budget.used, 0);
}

static void a_block_grows_with_what_is_in_it(void **state)
{
    (void)state;
    static const struct {
        uint32_t begin, len;
        size_t more;
        bool is_moved; /* to a larger one */
    } cases[] = {
        { 0, 0, 10, false },         { 0, 4000, 50, false }, /* fits as it is */
        { 3000, 1000, 2000, false },                         /* fits once it is at the front */
        { 0, 4000, 4096, true },     { 3000, 1000, 4000, true }, { 1, 4000, 100000, true },
    };
    struct budget budget = { .limit = 1 << 20 };
    struct block_pool pool;
    block_pool_init(&pool, &budget);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct block *b = block_get(&pool, 4000), *was = b;
        assert_non_null(b);
        memset(b->data, 'x', b->cap);
        for (uint32_t k = 0; k < cases[i].len; k++) b->data[cases[i].begin + k] = (char)(k % 101);
        assert_true(block_grow(&pool, &b, cases[i].begin, cases[i].len, cases[i].more));
        assert_int_equal(b != was, cases[i].is_moved);
        assert_true(b->cap - cases[i].len >= cases[i].more);
        for (uint32_t k = 0; k < cases[i].len; k++) assert_int_equal(b->data[k], k % 101);
        memset(b->data + cases[i].len, 'y', cases[i].more);
        assert_int_equal(pool.live, 1); /* the old one has gone back */
        block_put(&pool, b);
    }
    block_pool_fini(&pool);
    assert_int_equal(budget.used, 0);
}

static void a_block_grows_from_none_and_stays_as_it_is_where_there_is_no_room(void **state)
{
    (void)state;
    struct budget budget = { .limit = 3 * BLOCK_MIN };
    struct block_pool pool;
    struct block *b = NULL;
    block_pool_init(&pool, &budget);
    assert_true(block_grow(&pool, &b, 0, 0, 100));
    assert_non_null(b);
    memcpy(b->data + 7, "abc", 3);
    static const size_t too_much[] = { 20000, BLOCK_MAX, BLOCK_MAX + 1, SIZE_MAX };
    struct block *was = b;
    for (size_t i = 0; i < sizeof(too_much) / sizeof(*too_much); i++) {
        assert_false(block_grow(&pool, &b, 7, 3, too_much[i]));
        assert_ptr_equal(b, was);
        assert_memory_equal(b->data + 7, "abc", 3);
    }
    block_put(&pool, b);
    block_pool_fini(&pool);
    assert_int_equal(budget.used, 0);
}

static void a_block_that_holds_less_than_is_said_does_not_grow(void **state)
{
    (void)state;
    struct budget budget = { .limit = 1 << 20 };
    struct block_pool pool;
    block_pool_init(&pool, &budget);
    struct block *b = NULL;
    bug_be_fatal(false);
    assert_false(block_grow(&pool, &b, 0, 1, 10));
    b = block_get(&pool, 100);
    assert_false(block_grow(&pool, &b, b->cap, 1, 10));
    assert_false(block_grow(&pool, &b, UINT32_MAX, 2, 10));
    bug_be_fatal(true);
    assert_int_equal(bug_count(BUG_BLOCK), 3);
    block_put(&pool, b);
    block_pool_fini(&pool);
}

static void blocks_stop_at_the_budget_and_come_back_when_it_has_room(void **state)
{
    (void)state;
    struct budget budget = { .limit = 3 * BLOCK_MIN };
    struct block_pool pool;
    struct block *got[3];
    block_pool_init(&pool, &budget);
    for (int i = 0; i < 3; i++) assert_non_null(got[i] = block_get(&pool, 100));
    assert_null(block_get(&pool, 100));
    assert_true(budget_is_tight(&budget));
    block_put(&pool, got[0]);
    assert_non_null(got[0] = block_get(&pool, 100));
    for (int i = 0; i < 3; i++) block_put(&pool, got[i]);
    block_pool_fini(&pool);
}

static void blocks_that_were_given_back_are_used_again(void **state)
{
    (void)state;
    enum { COUNT = 700 }; /* more than a chunk holds, and more than a pool keeps */
    struct budget budget = { .limit = 1 << 30 };
    struct block_pool pool;
    static struct block *got[COUNT];
    block_pool_init(&pool, &budget);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            got[i] = block_get(&pool, 1000);
            assert_non_null(got[i]);
            memset(got[i]->data, i & 127, got[i]->cap);
        }
        for (int i = 0; i < COUNT; i++) {
            assert_int_equal(got[i]->data[0], i & 127);
            assert_int_equal(got[i]->data[got[i]->cap - 1], i & 127);
        }
        for (int i = 0; i < COUNT; i++) block_put(&pool, got[i * 3 % COUNT]);
        assert_int_equal(budget.used, COUNT * BLOCK_MIN); /* as it seems, so many are in use now and then */
        if (round == 1) block_pool_settle(&pool);
    }
    block_pool_fini(&pool);
    assert_int_equal(budget.used, 0);
}

static void what_two_periods_had_no_use_for_goes_back(void **state)
{
    (void)state;
    enum { COUNT = 1500 };
    struct budget budget = { .limit = 1 << 30 };
    struct block_pool pool;
    static struct block *got[COUNT];
    block_pool_init(&pool, &budget);
    for (int i = 0; i < COUNT; i++) assert_non_null(got[i] = block_get(&pool, 1000));
    assert_false(pool.has_excess); /* all are in use */
    for (int i = 100; i < COUNT; i++) block_put(&pool, got[i]);
    assert_true(pool.has_excess);
    assert_int_equal(budget.used, COUNT * BLOCK_MIN);
    block_pool_settle(&pool); /* the period in which they were in use */
    assert_int_equal(budget.used, COUNT * BLOCK_MIN);
    int rounds = 0;
    for (; pool.has_excess && rounds < 10; rounds++) block_pool_settle(&pool);
    assert_int_equal(rounds, 3); /* a few hundred at a time */
    assert_int_equal(budget.used, (1 << 20) + 100 * BLOCK_MIN);
    for (int i = 0; i < 100; i++) block_put(&pool, got[i]);
    assert_in_range(budget.used, 1 << 20, (1 << 20) + (128 << 10)); /* there is enough already */
    assert_true(pool.has_excess);
    block_pool_settle(&pool);
    assert_int_equal(budget.used, 1 << 20);
    assert_false(pool.has_excess);
    block_pool_fini(&pool);
    assert_int_equal(budget.used, 0);
}

static void large_ones_are_kept_as_small_ones_are_but_not_where_memory_is_short(void **state)
{
    (void)state;
    enum { COUNT = 100, LARGE = BLOCK_MIN << 3 };
    struct budget budget = { .limit = 1 << 30 };
    struct block_pool pool;
    struct block *got[COUNT];
    block_pool_init(&pool, &budget);
    for (int i = 0; i < COUNT; i++) assert_non_null(got[i] = block_get(&pool, 20000));
    for (int i = 0; i < COUNT; i++) block_put(&pool, got[i]);
    assert_int_equal(budget.used, COUNT * LARGE);
    for (int i = 0; i < COUNT; i++) assert_non_null(got[i] = block_get(&pool, 20000));
    budget.limit = budget.used;
    for (int i = 0; i < COUNT; i++) block_put(&pool, got[i]);
    assert_true(budget.used <= budget.limit / 10 * 9);
    budget.limit = 1 << 30;
    block_pool_fini(&pool);
    assert_int_equal(budget.used, 0);
}

/* What /proc/self/smaps says of the mapping that has `address`: is there a "dd" among its VmFlags? */
static bool is_left_out_of_cores(const void *address)
{
    char line[512];
    bool is_here = false, is_left_out = false;
    FILE *f = fopen("/proc/self/smaps", "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            is_here = (uintptr_t)address >= from && (uintptr_t)address < to;
        if (is_here && strncmp(line, "VmFlags:", 8) == 0) is_left_out = strstr(line, " dd") != NULL;
    }
    fclose(f);
    return is_left_out;
}

static void cores_are_without_blocks_unless_the_budget_says_so(void **state)
{
    (void)state;
    for (int is_dumped = 0; is_dumped < 2; is_dumped++) {
        struct budget budget = { .limit = 1 << 20, .is_dumped = is_dumped };
        struct block_pool pool;
        block_pool_init(&pool, &budget);
        struct block *small = block_get(&pool, 100), *large = block_get(&pool, BLOCK_MAX / 2);
        assert_int_equal(is_left_out_of_cores(small), !is_dumped);
        assert_int_equal(is_left_out_of_cores(large), !is_dumped);
        block_put(&pool, small);
        block_put(&pool, large);
        block_pool_fini(&pool);
    }
}

static void an_arena_gives_everything_back(void **state)
{
    (void)state;
    struct budget budget = { .limit = 1 << 20 };
    struct block_pool pool;
    struct arena arena;
    block_pool_init(&pool, &budget);
    arena_init(&arena, &pool);
    for (int i = 0; i < 100; i++) {
        char *p = arena_alloc(&arena, 777);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 8, 0);
        memset(p, i, 777);
    }
    struct slice copy = arena_copy(&arena, SLICE("abc"));
    assert_memory_equal(copy.data, "abc", 3);
    assert_true(pool.live > 10);
    arena_fini(&arena);
    assert_int_equal(pool.live, 0);
    block_pool_fini(&pool);
}

static void what_is_kept_goes_before_anybody_is_refused(void **state)
{
    (void)state;
    struct budget budget = { .limit = 64 * BLOCK_MIN };
    struct block_pool pool;
    struct block *small[64];
    block_pool_init(&pool, &budget);
    budget.limit <<= 10; /* while there is plenty, all are kept */
    for (int i = 0; i < 64; i++) assert_non_null(small[i] = block_get(&pool, 100));
    for (int i = 0; i < 64; i++) block_put(&pool, small[i]);
    budget.limit >>= 10;
    assert_int_equal(budget.used, budget.limit);
    assert_int_equal(pool.idle_bytes, budget.limit);
    struct block *large = block_get(&pool, BLOCK_MAX / 2);
    assert_non_null(large);
    assert_int_equal(pool.idle_bytes, 0);
    block_put(&pool, large);
    block_pool_fini(&pool);
    assert_int_equal(budget.used, 0);
}

static void a_small_budget_keeps_little(void **state)
{
    (void)state;
    struct budget budget = { .limit = 2 << 20 };
    struct block_pool pool;
    struct block *got[300];
    block_pool_init(&pool, &budget);
    for (int i = 0; i < 300; i++) assert_non_null(got[i] = block_get(&pool, 100));
    for (int i = 0; i < 300; i++) block_put(&pool, got[i]);
    assert_true(budget.used <= budget.limit / 64 / 4 * 5);
    block_pool_settle(&pool);
    assert_true(budget.used <= budget.limit / 64);
    block_pool_fini(&pool);
}

/* Every third is in use, so that there are stretches of two, and the ends of chunks. */
static void what_goes_back_is_the_systems_and_what_is_in_use_is_not(void **state)
{
    (void)state;
    enum { COUNT = 700 };
    struct budget budget = { .limit = 1 << 20 };
    struct block_pool pool;
    static struct block *got[COUNT];
    block_pool_init(&pool, &budget);
    budget.limit <<= 10;
    for (int i = 0; i < COUNT; i++) {
        assert_non_null(got[i] = block_get(&pool, 1000));
        memset(got[i]->data, 'x', got[i]->cap);
    }
    budget.limit >>= 10;
    for (int i = 0; i < COUNT; i++)
        if (i % 3) block_put(&pool, got[i]);
    block_pool_trim(&pool);
    budget.limit <<= 10;
    assert_int_equal(budget.used, (COUNT + 2) / 3 * BLOCK_MIN);
    for (int i = 0; i < COUNT; i++) {
        if (i % 3) assert_non_null(got[i] = block_get(&pool, 1000));
        assert_int_equal(got[i]->data[0], i % 3 ? 0 : 'x');
        assert_int_equal(got[i]->data[got[i]->cap - 1], i % 3 ? 0 : 'x');
    }
    for (int i = 0; i < COUNT; i++) block_put(&pool, got[i]);
    block_pool_fini(&pool);
    assert_int_equal(budget.used, 0);
}

static void one_is_short_of_what_is_used_not_of_what_is_kept(void **state)
{
    (void)state;
    struct budget budget = { .limit = 1 << 30 };
    struct block_pool mine, other;
    struct block *got[100];
    block_pool_init(&mine, &budget);
    block_pool_init(&other, &budget);
    for (int i = 0; i < 100; i++) assert_non_null(got[i] = block_get(&mine, 100));
    for (int i = 0; i < 100; i++) block_put(&mine, got[i]);
    budget.limit = budget.used;
    assert_true(budget_is_tight(&budget));
    assert_false(block_pool_is_short(&mine));
    assert_true(block_pool_is_short(&other)); /* that can have none of it, until it is given back */
    block_pool_trim(&mine);
    assert_false(block_pool_is_short(&other));
    block_pool_fini(&mine);
    block_pool_fini(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_has_the_room_that_was_asked_for),
        cmocka_unit_test(a_block_grows_with_what_is_in_it),
        cmocka_unit_test(a_block_grows_from_none_and_stays_as_it_is_where_there_is_no_room),
        cmocka_unit_test(a_block_that_holds_less_than_is_said_does_not_grow),
        cmocka_unit_test(blocks_stop_at_the_budget_and_come_back_when_it_has_room),
        cmocka_unit_test(blocks_that_were_given_back_are_used_again),
        cmocka_unit_test(what_two_periods_had_no_use_for_goes_back),
        cmocka_unit_test(large_ones_are_kept_as_small_ones_are_but_not_where_memory_is_short),
        cmocka_unit_test(cores_are_without_blocks_unless_the_budget_says_so),
        cmocka_unit_test(an_arena_gives_everything_back),
        cmocka_unit_test(what_is_kept_goes_before_anybody_is_refused),
        cmocka_unit_test(a_small_budget_keeps_little),
        cmocka_unit_test(what_goes_back_is_the_systems_and_what_is_in_use_is_not),
        cmocka_unit_test(one_is_short_of_what_is_used_not_of_what_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
