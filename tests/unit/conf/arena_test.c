#include "conf/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void memory_is_zeroed_aligned_and_stays_where_it_is(void **state)
{
    (void)state;
    struct conf_arena *arena = conf_arena_new();
    unsigned char *first = conf_arena_alloc(arena, 0);
    assert_non_null(first);
    unsigned char *kept[200];
    for (size_t i = 0; i < 200; i++) {
        kept[i] = conf_arena_alloc(arena, i * 37);
        assert_int_equal((uintptr_t)kept[i] % _Alignof(max_align_t), 0);
        for (size_t at = 0; at < i * 37; at++) assert_int_equal(kept[i][at], 0);
        memset(kept[i], (int)i, i * 37);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t at = 0; at < i * 37; at++) assert_int_equal(kept[i][at], i);
    conf_arena_free(arena);
    conf_arena_free(NULL);
}

static void texts_are_copied_and_terminated(void **state)
{
    (void)state;
    struct conf_arena *arena = conf_arena_new();
    const char *copy = conf_arena_copy(arena, (struct slice){ "abcdef", 3 });
    assert_string_equal(copy, "abc");
    assert_string_equal(conf_arena_copy(arena, SLICE_NONE), "");
    conf_arena_free(arena);
}

static unsigned dropped;

static void drop(void *object)
{
    assert_ptr_equal(object, &dropped);
    dropped++;
}

static void what_it_owns_ends_with_the_last_reference(void **state)
{
    (void)state;
    struct conf_arena *arena = conf_arena_new();
    dropped = 0;
    assert_true(conf_arena_own(arena, &dropped, drop));
    assert_true(conf_arena_own(arena, &dropped, drop));
    conf_arena_free(conf_arena_get(arena));
    assert_int_equal(dropped, 0);
    conf_arena_free(arena);
    assert_int_equal(dropped, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_stays_where_it_is),
        cmocka_unit_test(texts_are_copied_and_terminated),
        cmocka_unit_test(what_it_owns_ends_with_the_last_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
