#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <math.h>
#include <stdlib.h>
#include <cmocka.h>

#include "self/leak_audit.h"

#define INTERVAL_S 10.0
#define MIB 1048576.0

static const struct leak_options options = { .descriptors_rise_min = 3, .heap_rise_min = 4 * MIB };

/* xorshift64 (Marsaglia, 2003), from a fixed seed. */
static double draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (double)(*seed >> 11) / 9007199254740992.0;
}

/* A day's load in an hour: up, down, with noise; everything live follows it, and nothing else. */
static struct leak_sample clean(uint32_t i, uint64_t *seed)
{
    double load = 500 * (1 + sin(i / 40.0)) + 100 * draw(seed);
    struct leak_sample s = { .time_s = 1000 + i * INTERVAL_S, .load = load, .is_walked = true };
    for (unsigned kind = 0; kind < LEAK_WALKED; kind++) s.live[kind] = floor(load / 20 + 5 * draw(seed));
    s.live[LEAK_DESCRIPTORS] = 20 + floor(3 * draw(seed));
    s.live[LEAK_HEAP] = (30 + 10 * (1 - exp(-(double)i / 20)) + load / 200 + draw(seed)) * MIB;
    return s;
}

static void assert_silent_but(const struct leak_audit *a, int leaking)
{
    struct leak_finding found[LEAK_KINDS];
    leak_audit_judge(a, &options, found);
    for (int kind = 0; kind < LEAK_KINDS; kind++)
        if (found[kind].is_leak != (kind == leaking))
            fail_msg("%s: leak %d, verdict %s, p %g, rise %g", leak_kind_names[kind], found[kind].is_leak,
                     growth_verdict_names[found[kind].growth.verdict], found[kind].growth.p,
                     found[kind].growth.rise);
}

/* At every moment of two hours, not at their end alone. */
static void clean_hours_stay_silent(void **state)
{
    (void)state;
    struct leak_audit *a = calloc(1, sizeof(*a));
    for (uint64_t run = 1; run <= 3; run++) {
        uint64_t seed = run * UINT64_C(0x9e3779b97f4a7c15);
        a->count = a->first = 0;
        for (uint32_t i = 0; i < 720; i++) {
            struct leak_sample s = clean(i, &seed);
            leak_audit_add(a, &s);
            if (i % 20 == 0) assert_silent_but(a, -1);
        }
    }
    free(a);
}

static void a_leak_of_each_kind_is_named_and_nothing_else(void **state)
{
    (void)state;
    struct leak_audit *a = calloc(1, sizeof(*a));
    for (int kind = 0; kind < LEAK_KINDS; kind++) {
        uint64_t seed = 7;
        a->count = a->first = 0;
        for (uint32_t i = 0; i < 360; i++) {
            struct leak_sample s = clean(i, &seed);
            if (kind < LEAK_WALKED && i > 200) s.lost[kind] = 1;
            if (kind == LEAK_DESCRIPTORS) s.live[kind] += floor(i / 20.0); /* one in 200 s */
            if (kind == LEAK_HEAP) s.live[kind] += i * 0.1 * MIB;
            leak_audit_add(a, &s);
        }
        assert_silent_but(a, kind);
    }
    free(a);
}

static void what_was_lost_once_only_is_no_leak(void **state)
{
    (void)state;
    struct leak_audit *a = calloc(1, sizeof(*a));
    uint64_t seed = 7;
    for (uint32_t i = 0; i < 60; i++) {
        struct leak_sample s = clean(i, &seed);
        if (i == 59) s.lost[LEAK_TIMERS] = 2;
        leak_audit_add(a, &s);
    }
    assert_silent_but(a, -1);
    struct leak_sample again = clean(60, &seed);
    again.is_walked = false; /* too much was going on for a walk: it says nothing */
    leak_audit_add(a, &again);
    assert_silent_but(a, -1);
    again.is_walked = true;
    again.lost[LEAK_TIMERS] = 2;
    leak_audit_add(a, &again);
    assert_silent_but(a, LEAK_TIMERS);
    free(a);
}

static void what_is_not_known_is_no_leak(void **state)
{
    (void)state;
    struct leak_audit *a = calloc(1, sizeof(*a));
    struct leak_finding found[LEAK_KINDS];
    uint64_t seed = 7;
    leak_audit_judge(a, &options, found);
    assert_true(isnan(found[LEAK_HEAP].live) && !found[LEAK_HEAP].is_leak);
    for (uint32_t i = 0; i < 100; i++) {
        struct leak_sample s = clean(i, &seed);
        s.live[LEAK_HEAP] = NAN;
        leak_audit_add(a, &s);
    }
    leak_audit_judge(a, &options, found);
    assert_int_equal(found[LEAK_HEAP].growth.verdict, GROWTH_UNKNOWN);
    assert_false(found[LEAK_HEAP].is_leak);
    free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clean_hours_stay_silent),
        cmocka_unit_test(a_leak_of_each_kind_is_named_and_nothing_else),
        cmocka_unit_test(what_was_lost_once_only_is_no_leak),
        cmocka_unit_test(what_is_not_known_is_no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
