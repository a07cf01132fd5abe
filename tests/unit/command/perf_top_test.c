#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "command/perf_top.h"

static const struct profile_type types[] = { { "contentions", "count" }, { "delay", "nanoseconds" } };

static uint32_t location(struct profile *p, const char *name, bool is_kernel)
{
    struct profile_mapping mapping = { .start = is_kernel ? 1000 : 1,
                                       .limit = is_kernel ? 2000 : 1000,
                                       .file = profile_add_string(p, is_kernel ? SLICE("[kernel.kallsyms]")
                                                                               : SLICE("/usr/bin/weir")),
                                       .has_functions = true };
    struct profile_function f = { .name = profile_add_string(p, slice_of(name)) };
    struct profile_location l = { .mapping = profile_add_mapping(p, &mapping),
                                  .function = profile_add_function(p, &f) };
    l.address = f.name;
    return profile_add_location(p, &l);
}

static void add(struct profile *p, const char *leaf, const char *caller, int64_t ns)
{
    const uint32_t stack[] = { location(p, "schedule", true), location(p, leaf, false),
                               location(p, caller, false), location(p, "run", false),
                               location(p, "main", false) };
    profile_add(p, stack, 5, NULL, 0, (int64_t[]){ 1, ns });
}

static void places_are_added_up_and_sorted(void **state)
{
    (void)state;
    struct profile *p = profile_new(types, 2);
    struct perf_top top;
    add(p, "read", "drive", 10);
    add(p, "epoll_wait", "loop_turn", 60);
    add(p, "read", "drive", 20);
    add(p, "read", "on_wake", 10);
    perf_top_make(&top, p, PERF_TOP_CALL);
    assert_int_equal(top.count, 3);
    assert_string_equal(top.items[0].name, "epoll_wait < loop_turn < run");
    assert_true(top.items[0].share == 0.6 && top.items[0].value == 60);
    assert_string_equal(top.items[1].name, "read < drive < run");
    assert_int_equal(top.items[1].value, 30);
    assert_string_equal(top.items[2].name, "read < on_wake < run");
    perf_top_make(&top, p, PERF_TOP_FUNCTION);
    assert_int_equal(top.count, 1);
    assert_string_equal(top.items[0].name, "schedule");
    assert_true(top.items[0].share == 1);
    profile_free(p);
}

static void only_the_heaviest_are_kept(void **state)
{
    (void)state;
    struct profile *p = profile_new(types, 2);
    struct perf_top top;
    char name[16];
    for (int i = 1; i <= 40; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        add(p, name, "g", i);
    }
    perf_top_make(&top, p, PERF_TOP_CALL);
    assert_int_equal(top.count, PERF_TOP_MAX);
    assert_string_equal(top.items[0].name, "f40 < g < run");
    assert_string_equal(top.items[PERF_TOP_MAX - 1].name, "f26 < g < run");
    profile_free(p);
}

static void of_nothing_there_is_no_top(void **state)
{
    (void)state;
    struct profile *p = profile_new(types, 2);
    struct perf_top top = { .count = 7 };
    perf_top_make(&top, p, PERF_TOP_CALL);
    assert_int_equal(top.count, 0);
    /* A stack of the kernel's alone is still somewhere. */
    const uint32_t stack[] = { location(p, "kthread", true) };
    profile_add(p, stack, 1, NULL, 0, (int64_t[]){ 1, 5 });
    perf_top_make(&top, p, PERF_TOP_CALL);
    assert_int_equal(top.count, 1);
    assert_string_equal(top.items[0].name, "kthread");
    profile_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_added_up_and_sorted),
        cmocka_unit_test(only_the_heaviest_are_kept),
        cmocka_unit_test(of_nothing_there_is_no_top),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
