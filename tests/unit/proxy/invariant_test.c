#include "proxy/invariant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *say(enum invariant which, const struct invariant_sum *s)
{
    static char said[512];
    struct text t = text_over(said, sizeof(said));
    invariant_say(which, s, &t);
    return text_cstr(&t);
}

static void what_is_equal_holds(void **state)
{
    (void)state;
    struct invariant_sum s = { 0 };
    invariant_add(&s, 3, 3, 0, &INVARIANT_ANYWHERE);
    invariant_add(&s, 4, 4, INVARIANT_MOVED_UNKNOWN, &INVARIANT_ANYWHERE);
    assert_int_equal(s.objects, 2);
    assert_int_equal(s.counted, 7);
    assert_int_equal(s.found, 7);
    assert_int_equal(s.broken + s.unclear, 0);
}

static void what_differs_is_unclear_as_far_as_it_moved_and_broken_beyond(void **state)
{
    (void)state;
    struct invariant_sum s = { 0 };
    invariant_add(&s, 5, 3, 2, &INVARIANT_ANYWHERE);
    invariant_add(&s, 3, 5, 2, &INVARIANT_ANYWHERE);
    assert_int_equal(s.unclear, 2);
    assert_int_equal(s.broken, 0);
    invariant_add(&s, 5, 2, 2, &INVARIANT_ANYWHERE);
    invariant_add(&s, 2, 5, 2, &INVARIANT_ANYWHERE);
    assert_int_equal(s.broken, 2);
}

/* A slot that one worker takes and another gives back makes one of them less than none. */
static void parts_may_be_less_than_none(void **state)
{
    (void)state;
    struct invariant_sum s = { 0 };
    invariant_add(&s, -1, -1, 0, &INVARIANT_ANYWHERE);
    invariant_add(&s, -1, 1, 1, &INVARIANT_ANYWHERE);
    assert_int_equal(s.broken, 1);
    assert_int_equal(s.counted, -2);
}

static void the_first_that_is_broken_is_told(void **state)
{
    (void)state;
    struct invariant_sum one = { 0 }, all = { 0 };
    struct invariant_place at = {
        .pool = "app", .server = "10.0.0.1:80", .worker = 1, .generation = INVARIANT_NOWHERE
    };
    invariant_add(&one, 3, 2, 0, &at);
    invariant_merge(&all, &one);
    assert_string_equal(say(INVARIANT_SLOTS, &all), "Pool \"app\", server \"10.0.0.1:80\", worker 1: 3 of "
                                                    "the server's slots are held by the worker, but 2 "
                                                    "are with attempts, or handed over to who waits.");
    at.worker = 2;
    one = (struct invariant_sum){ 0 };
    invariant_add(&one, 1, 0, 0, &at);
    invariant_merge(&all, &one);
    assert_int_equal(all.broken, 2);
    assert_non_null(strstr(say(INVARIANT_SLOTS, &all), "worker 1: 3 "));
    assert_non_null(strstr(say(INVARIANT_SLOTS, &all), "; it is the first of several."));
}

static void a_place_has_what_applies_to_it(void **state)
{
    (void)state;
    struct invariant_sum s = { 0 };
    struct invariant_place at = INVARIANT_ANYWHERE;
    invariant_add(&s, 1, 0, 0, &at);
    assert_string_equal(
        say(INVARIANT_ALL_CONNECTIONS, &s),
        "1 connections of clients are counted in all, but 0 were opened by workers and not closed.");
    s = (struct invariant_sum){ 0 };
    at.worker = 0;
    invariant_add(&s, 1, 0, 0, &at);
    assert_non_null(
        strstr(say(INVARIANT_BLOCKS, &s), "Worker 0: 1 blocks are handed out, but 0 can be reached."));
    s = (struct invariant_sum){ 0 };
    at = INVARIANT_ANYWHERE;
    at.generation = 7;
    invariant_add(&s, 2, 1, 0, &at);
    assert_non_null(strstr(say(INVARIANT_SITE_REFERENCES, &s), "Generation 7: 2 references"));
}

static void each_has_a_name_of_its_own_and_says_both_sides(void **state)
{
    (void)state;
    for (unsigned i = 0; i < INVARIANT_COUNT; i++) {
        assert_true(*invariant_infos[i].name && *invariant_infos[i].counted && *invariant_infos[i].found);
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(invariant_infos[i].name, invariant_infos[k].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_equal_holds),
        cmocka_unit_test(what_differs_is_unclear_as_far_as_it_moved_and_broken_beyond),
        cmocka_unit_test(parts_may_be_less_than_none),
        cmocka_unit_test(the_first_that_is_broken_is_told),
        cmocka_unit_test(a_place_has_what_applies_to_it),
        cmocka_unit_test(each_has_a_name_of_its_own_and_says_both_sides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
