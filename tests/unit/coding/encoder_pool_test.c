/* A worker's encoders: bounded, drawn on the budget, and used again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "coding/encoder_pool.h"

struct scene {
    struct budget budget;
    struct block_pool blocks;
    struct encoder_pool pool;
};

static const struct encoder_shape gzip = { CODING_GZIP, 5, ENCODER_LARGE },
                                  zstd = { CODING_ZSTD, 5, ENCODER_LARGE },
                                  br = { CODING_BR, 5, ENCODER_LARGE };

static void open_scene(struct scene *s, uint64_t memory, uint32_t share)
{
    memset(s, 0, sizeof(*s));
    s->budget.limit = memory;
    block_pool_init(&s->blocks, &s->budget);
    encoder_pool_init(&s->pool, &s->blocks, share);
}

static void close_scene(struct scene *s)
{
    encoder_pool_fini(&s->pool);
    block_pool_fini(&s->blocks);
    assert_int_equal(s->budget.used, 0);
}

static void an_eighth_of_the_memory_and_no_more(void **state)
{
    (void)state;
    struct scene s;
    struct encoder *all[64];
    uint32_t bytes = encoder_bytes(&gzip), count = 0;
    open_scene(&s, 64u << 20, 2); /* 4 MiB for this worker */
    while ((all[count] = encoder_pool_get(&s.pool, gzip))) count++;
    assert_int_equal(count, (4u << 20) / bytes);
    assert_int_equal(s.budget.used, count * bytes);
    encoder_pool_put(&s.pool, all[--count]);
    all[count] = encoder_pool_get(&s.pool, gzip);
    assert_non_null(all[count++]);
    assert_null(encoder_pool_get(&s.pool, gzip));
    while (count) encoder_pool_put(&s.pool, all[--count]);
    close_scene(&s);
}

static void one_that_was_given_back_is_used_again(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, 256u << 20, 1);
    struct encoder *e = encoder_pool_get(&s.pool, zstd), *other = encoder_pool_get(&s.pool, gzip);
    encoder_pool_put(&s.pool, e);
    encoder_pool_put(&s.pool, other);
    assert_ptr_equal(encoder_pool_get(&s.pool, zstd), e);
    encoder_pool_put(&s.pool, e);
    struct encoder_shape harder = zstd;
    harder.level++;
    other = encoder_pool_get(&s.pool, harder);
    assert_ptr_not_equal(other, e);
    encoder_pool_put(&s.pool, other);
    encoder_pool_trim(&s.pool);
    assert_int_equal(s.budget.used, 0);
    close_scene(&s);
}

static void little_is_kept(void **state)
{
    (void)state;
    struct scene s;
    struct encoder *all[40];
    open_scene(&s, 1u << 30, 1);
    for (unsigned i = 0; i < 40; i++)
        assert_non_null(all[i] = encoder_pool_get(&s.pool, i % 2 ? gzip : zstd));
    for (unsigned i = 0; i < 40; i++) encoder_pool_put(&s.pool, all[i]);
    assert_true(s.budget.used <= 4u << 20);
    assert_true(s.budget.used > 0);
    close_scene(&s);
}

/* Which has no way to begin anew. */
static void one_of_br_is_not_kept(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, 256u << 20, 1);
    struct encoder *e = encoder_pool_get(&s.pool, br);
    assert_int_equal(s.budget.used, encoder_bytes(&br));
    encoder_pool_put(&s.pool, e);
    assert_int_equal(s.budget.used, 0);
    close_scene(&s);
}

static void none_is_made_while_memory_is_short(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, 64u << 20, 1);
    struct encoder *e = encoder_pool_get(&s.pool, gzip);
    assert_true(budget_take(&s.budget, 60u << 20));
    assert_null(encoder_pool_get(&s.pool, gzip));
    encoder_pool_put(&s.pool, e); /* nor is it kept then */
    budget_give(&s.budget, 60u << 20);
    assert_int_equal(s.budget.used, 0);
    e = encoder_pool_get(&s.pool, gzip);
    assert_non_null(e);
    encoder_pool_put(&s.pool, e);
    close_scene(&s);
}

/* What is kept of one kind does not stand in the way of another. */
static void what_is_kept_makes_way(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, 8u * encoder_bytes(&br), 1); /* room for one of br, and no more */
    struct encoder *e = encoder_pool_get(&s.pool, gzip);
    encoder_pool_put(&s.pool, e);
    assert_int_equal(s.budget.used, encoder_bytes(&gzip));
    e = encoder_pool_get(&s.pool, br);
    assert_non_null(e);
    assert_int_equal(s.budget.used, encoder_bytes(&br));
    encoder_pool_put(&s.pool, e);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_eighth_of_the_memory_and_no_more),
        cmocka_unit_test(one_that_was_given_back_is_used_again),
        cmocka_unit_test(little_is_kept),
        cmocka_unit_test(one_of_br_is_not_kept),
        cmocka_unit_test(none_is_made_while_memory_is_short),
        cmocka_unit_test(what_is_kept_makes_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
