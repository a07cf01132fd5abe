#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "profile/profile_history.h"

static const struct profile_type types[] = { { "samples", "count" }, { "cpu", "nanoseconds" } };

/* A profile of "main;work" and, if `other` is there, "main;<other>". */
static struct profile *make(uint64_t time_ns, int64_t work_ns, const char *other)
{
    struct profile *p = profile_new(types, 2);
    p->time_ns = time_ns;
    p->duration_ns = 10 * NS_PER_S;
    uint32_t main_id = profile_add_name(p, SLICE("main"));
    uint32_t stack[] = { profile_add_name(p, SLICE("work")), main_id };
    profile_add(p, stack, 2, NULL, 0, (int64_t[]){ 1, work_ns });
    if (other) {
        stack[0] = profile_add_name(p, slice_of(other));
        profile_add(p, stack, 2, NULL, 0, (int64_t[]){ 1, 7 });
    }
    return p;
}

static void keep(struct profile_history *h, uint64_t time_ns, int64_t work_ns, const char *other)
{
    struct profile *p = make(time_ns, work_ns, other);
    profile_history_add(h, p);
    profile_free(p);
}

static const char *text_of(const struct profile *p, uint32_t string)
{
    return p->text + p->strings[string].at;
}

/* The second value of the stack whose leaf has this name; the outermost must be main. */
static int64_t value_of(const struct profile *p, const char *leaf)
{
    for (uint32_t i = 0; i < p->sample_count; i++) {
        const struct profile_sample *s = &p->samples[i];
        const uint32_t *stack = p->frames + s->stack_at;
        if (strcmp(text_of(p, p->functions[p->locations[stack[0]].function].name), leaf) != 0) continue;
        assert_string_equal(text_of(p, p->functions[p->locations[stack[s->depth - 1]].function].name),
                            "main");
        return s->values[1];
    }
    return 0;
}

static void profiles_of_a_time_are_added_up(void **state)
{
    (void)state;
    struct profile_history *h = profile_history_new();
    struct profile *p = NULL;
    struct err err;
    keep(h, 1000 * NS_PER_S, 5, NULL);
    keep(h, 1010 * NS_PER_S, 20, "other");
    keep(h, 1020 * NS_PER_S, 100, NULL);
    assert_int_equal(profile_history_load(h, 1000 * NS_PER_S, 1020 * NS_PER_S, &p, &err), 0);
    assert_int_equal(value_of(p, "work"), 25);
    assert_int_equal(value_of(p, "other"), 7);
    assert_int_equal(p->time_ns, 1000 * NS_PER_S);
    assert_int_equal(p->duration_ns, 20 * NS_PER_S);
    profile_free(p);
    profile_history_free(h);
}

static void what_is_not_kept_is_said(void **state)
{
    (void)state;
    struct profile_history *h = profile_history_new();
    struct profile *p = NULL;
    struct err err;
    setenv("TZ", "UTC", 1);
    assert_int_equal(profile_history_load(h, 0, NS_PER_S, &p, &err), -1);
    assert_non_null(strstr(err.text, "no profile has been kept yet"));
    keep(h, 3600 * NS_PER_S, 5, NULL);
    keep(h, 3700 * NS_PER_S, 5, NULL);
    assert_int_equal(profile_history_load(h, 0, NS_PER_S, &p, &err), -1);
    assert_string_equal(err.text,
                        "there is no profile of that time; there are those of 01:00:00 to 01:01:40");
    assert_null(p);
    profile_history_free(h);
}

static void the_oldest_makes_room(void **state)
{
    (void)state;
    struct profile_history *h = profile_history_new();
    struct profile *p = NULL;
    struct err err;
    for (uint64_t i = 0; i <= PROFILE_HISTORY_COUNT; i++) keep(h, (100 + i * 10) * NS_PER_S, 1, NULL);
    assert_int_equal(profile_history_load(h, 0, 110 * NS_PER_S, &p, &err), -1);
    assert_int_equal(profile_history_load(h, 0, 120 * NS_PER_S, &p, &err), 0);
    assert_int_equal(value_of(p, "work"), 1);
    profile_free(p);
    assert_int_equal(profile_history_load(h, 0, UINT64_MAX, &p, &err), 0);
    assert_int_equal(value_of(p, "work"), PROFILE_HISTORY_COUNT);
    profile_free(p);
    profile_history_free(h);
}

/* Names without end, as a program that makes its code may have: 16 MiB hold however many profiles that is. */
static void bytes_are_bounded(void **state)
{
    (void)state;
    struct profile_history *h = profile_history_new();
    struct profile *p = NULL;
    struct err err;
    uint64_t seed = 1;
    for (uint64_t i = 0; i < 24; i++) {
        struct profile *large = make((100 + i * 10) * NS_PER_S, 1, NULL);
        uint32_t main_id = profile_add_name(large, SLICE("main"));
        char name[1024];
        for (uint32_t n = 0; n < 1000; n++) {
            for (uint32_t at = 0; at < sizeof(name) - 1; at++) {
                seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
                name[at] = (char)('0' + (seed >> 33) % 64);
                if (name[at] == ';') name[at] = '_';
            }
            name[sizeof(name) - 1] = 0;
            uint32_t stack[] = { profile_add_name(large, slice_of(name)), main_id };
            profile_add(large, stack, 2, NULL, 0, (int64_t[]){ 1, 1 });
        }
        profile_history_add(h, large);
        profile_free(large);
    }
    /* About 0.77 MiB each: the first must have gone, the last is there. */
    assert_int_equal(profile_history_load(h, 0, 105 * NS_PER_S, &p, &err), -1);
    assert_int_equal(profile_history_load(h, 330 * NS_PER_S, 335 * NS_PER_S, &p, &err), 0);
    assert_int_equal(p->sample_count, 1001);
    profile_free(p);
    profile_history_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(profiles_of_a_time_are_added_up),
        cmocka_unit_test(what_is_not_kept_is_said),
        cmocka_unit_test(the_oldest_makes_room),
        cmocka_unit_test(bytes_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
