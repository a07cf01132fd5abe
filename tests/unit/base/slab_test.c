#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "base/poison.h"
#include "base/slab.h"

#define PAGE 16384u
#define COUNT 1000

struct scene {
    struct budget budget;
    struct block_pool pool;
    struct slab slab;
    unsigned char *objects[COUNT];
};

static void open_scene(struct scene *s, uint64_t limit, size_t object_size)
{
    memset(s, 0, sizeof(*s));
    s->budget.limit = limit;
    block_pool_init(&s->pool, &s->budget);
    slab_init(&s->slab, &s->pool, object_size);
}

static void close_scene(struct scene *s)
{
    slab_fini(&s->slab);
    block_pool_fini(&s->pool);
    assert_int_equal(s->budget.used, 0);
    assert_int_equal(s->pool.idle_bytes, 0);
}

static void get_all(struct scene *s, int count)
{
    for (int i = 0; i < count; i++) assert_non_null(s->objects[i] = slab_get(&s->slab));
}

static void objects_are_zeroed_apart_from_each_other_and_counted(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, 1 << 20, 100);
    for (int round = 0; round < 2; round++) {
        get_all(&s, COUNT);
        for (int i = 0; i < COUNT; i++) {
            for (int j = 0; j < 100; j++) assert_int_equal(s.objects[i][j], 0);
            memset(s.objects[i], i & 255, 100);
        }
        for (int i = 0; i < COUNT; i++)
            for (int j = 0; j < 100; j++) assert_int_equal(s.objects[i][j], i & 255);
        assert_int_equal(s.slab.live, COUNT);
        for (int i = 0; i < COUNT; i++) slab_put(&s.slab, s.objects[i * 7 % COUNT]);
    }
    assert_int_equal(s.slab.live, 0);
    close_scene(&s);
}

static void a_slab_stops_at_the_budget(void **state)
{
    (void)state;
    struct scene s;
    int count = 0;
    open_scene(&s, 20000, 1000);
    while (count < 64 && (s.objects[count] = slab_get(&s.slab))) count++;
    assert_int_equal(count, 16);
    while (count) slab_put(&s.slab, s.objects[--count]);
    close_scene(&s);
}

/* The peak of a small budget: all that it took comes back, but for what is kept for the next. */
static void after_a_peak_the_pages_go_back(void **state)
{
    (void)state;
    struct scene s;
    int count = 0;
    open_scene(&s, 64 * PAGE, 2000);
    while (count < COUNT && (s.objects[count] = slab_get(&s.slab))) count++;
    assert_int_equal(count, 64 * 8);
    while (count) slab_put(&s.slab, s.objects[--count]);
    assert_int_equal(s.budget.used, PAGE);
    assert_int_equal(s.slab.page_count, 1);
    slab_trim(&s.slab);
    assert_int_equal(s.budget.used, 0);
    close_scene(&s);
}

/* One is left in every page: nothing can go back, and all the free places are used before the budget is asked. */
static void free_places_count_as_such_and_are_used_first(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, 1 << 24, 1600);
    get_all(&s, COUNT);
    uint64_t used = s.budget.used;
    uint32_t per_page = s.slab.per_page;
    int left = 0, dropped = 0;
    for (int i = 0; i < COUNT; i++) {
        if (i % (int)per_page == 0) {
            s.objects[left++] = s.objects[i];
        } else {
            slab_put(&s.slab, s.objects[i]);
            dropped++;
        }
    }
    assert_int_equal(s.budget.used, used);
    assert_int_equal(s.pool.idle_bytes,
                     (uint64_t)s.slab.page_count * per_page * 1600 - (uint64_t)left * 1600);
    for (int i = 0; i < dropped; i++) assert_non_null(s.objects[left++] = slab_get(&s.slab));
    assert_int_equal(s.budget.used, used);
    while (left) slab_put(&s.slab, s.objects[--left]);
    close_scene(&s);
}

/* However short memory is: what comes and goes at the edge of a page does not call the system. */
static void the_steady_path_does_not_give_and_take_pages(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, 2 * PAGE, 2000);
    get_all(&s, 8);
    uint64_t used = 0;
    for (int i = 0; i < 100; i++) {
        void *one = slab_get(&s.slab);
        assert_non_null(one);
        if (i) assert_int_equal(s.budget.used, used);
        used = s.budget.used;
        slab_put(&s.slab, one);
        assert_int_equal(s.budget.used, used);
    }
    for (int i = 0; i < 8; i++) slab_put(&s.slab, s.objects[i]);
    close_scene(&s);
}

/* Blocks need what a slab keeps, and the other way round. */
static void kept_pages_and_kept_blocks_make_room_for_each_other(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, 1 << 30, 2000);
    get_all(&s, 64);
    for (int i = 0; i < 64; i++) slab_put(&s.slab, s.objects[i]);
    assert_true(s.budget.used >= 8 * PAGE);
    s.budget.limit = s.budget.used;
    struct block *b = block_get(&s.pool, BLOCK_MAX / 2);
    assert_non_null(b);
    assert_int_equal(s.slab.page_count, 0);
    s.budget.limit = 1 << 30;
    block_put(&s.pool, b);
    s.budget.limit = s.budget.used;
    get_all(&s, 1);
    assert_int_equal(s.pool.idle_count[4], 0);
    slab_put(&s.slab, s.objects[0]);
    close_scene(&s);
}

static void what_was_put_back_may_not_be_touched(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, 1 << 20, 1000);
    get_all(&s, 2);
    assert_false(is_poisoned(s.objects[0]));
    slab_put(&s.slab, s.objects[0]);
    assert_int_equal(is_poisoned(s.objects[0]), IS_ADDRESS_SANITIZED);
    assert_int_equal(is_poisoned(s.objects[0] + 999), IS_ADDRESS_SANITIZED);
    assert_false(is_poisoned(s.objects[1]));
    slab_put(&s.slab, s.objects[1]);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_zeroed_apart_from_each_other_and_counted),
        cmocka_unit_test(a_slab_stops_at_the_budget),
        cmocka_unit_test(after_a_peak_the_pages_go_back),
        cmocka_unit_test(free_places_count_as_such_and_are_used_first),
        cmocka_unit_test(the_steady_path_does_not_give_and_take_pages),
        cmocka_unit_test(kept_pages_and_kept_blocks_make_room_for_each_other),
        cmocka_unit_test(what_was_put_back_may_not_be_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
