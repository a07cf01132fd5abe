#include "route/rate_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/decoded.h"

/* `text` as a rate limit; the faults, for free(), or NULL. */
static char *decode(const char *text, struct rate_conf *out)
{
    struct conf_arena *arena = conf_arena_new();
    char *faults = decode_yaml(text, &rate_conf_type, out, arena);
    conf_arena_free(arena);
    return faults;
}

static void a_rate_is_what_was_written(void **state)
{
    (void)state;
    static const struct {
        const char *text, *printed;
        uint32_t count, period_s;
        uint64_t interval_ns;
    } cases[] = {
        { "requests: 100/s", "100/s", 100, 1, 10000000 },
        { "requests: 10/m", "10/m", 10, 60, 6000000000 },
        { "requests: 5/10s", "5/10s", 5, 10, 2000000000 },
        { "requests: 3/s", "3/s", 3, 1, 333333334 },
        { "requests: 1/d", "1/d", 1, 86400, 86400000000000 },
        { "requests: 1000000/s", "1000000/s", 1000000, 1, 1000 },
        { "requests: 60/120s", "60/2m", 60, 120, 2000000000 },
        { "requests: 7 / 24h", "7/d", 7, 86400, 12342857142858 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct rate_conf c;
        char *faults = decode(cases[i].text, &c), printed[64];
        if (faults) fail_msg("%s: %s", cases[i].text, faults);
        assert_int_equal(c.requests.count, cases[i].count);
        assert_int_equal(c.requests.period_s, cases[i].period_s);
        assert_true(rate_interval_ns(&c) == cases[i].interval_ns);
        assert_int_equal(c.burst, cases[i].count); /* as many as it counts, unless it is said */
        struct text t = text_over(printed, sizeof(printed));
        rate_amount_print(&c.requests, &t);
        assert_string_equal(text_cstr(&t), cases[i].printed);
    }
}

static void everything_has_its_place(void **state)
{
    (void)state;
    struct rate_conf c;
    char *faults = decode(
        "{requests: 5/s, burst: 20, key: \"header:X-User\", delay: 2s, keys: 1000, tells: all, dry: true}",
        &c);
    if (faults) fail_msg("%s", faults);
    assert_int_equal(c.burst, 20);
    assert_int_equal(c.key.count, 1);
    assert_int_equal(c.key.parts[0].source, HTTP_SOURCE_HEADER);
    assert_int_equal(c.delay_ms, 2000);
    assert_int_equal(c.keys, 1000);
    assert_int_equal(c.tells, RATE_TELLS_ALL);
    assert_true(c.is_dry);
    faults = decode("{requests: 5/s, key: all}", &c);
    if (faults) fail_msg("%s", faults);
    assert_int_equal(c.key.count, 0);
    assert_false(c.is_dry);
    assert_int_equal(c.delay_ms, 0);
}

static void what_cannot_be_meant_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *text, *said;
    } cases[] = {
        { "{}", "requests" },
        { "requests: 100", "\"100\" is no rate; write it like 100/s" },
        { "requests: x/s", "\"x\" is no number of requests" },
        { "requests: -1/s", "\"-1\" is no number of requests" },
        { "requests: 5/w", "\"w\" is no time of a rate" },
        { "requests: 5/", "is no time of a rate" },
        { "requests: 5/0s", "a second to a day" },
        { "requests: 5/2d", "a second to a day" },
        { "requests: 0/s", "would refuse everybody" },
        { "requests: 1000001/s", "1000000/s at most" },
        { "{requests: 1/d, burst: 1000000000}", "would take centuries" },
        { "{requests: 1/s, key: clent}", "did you mean \"client\"" },
        { "{requests: 1/s, delay: 2m}", "delay" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct rate_conf c;
        char *faults = decode(cases[i].text, &c);
        if (!faults || !strstr(faults, cases[i].said))
            fail_msg("%s: %s", cases[i].text, faults ? faults : "taken");
        free(faults);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rate_is_what_was_written),
        cmocka_unit_test(everything_has_its_place),
        cmocka_unit_test(what_cannot_be_meant_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
