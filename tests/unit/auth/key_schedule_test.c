#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* after the above */
#include <cmocka.h>

#include "auth/key_schedule.h"

static void what_is_said_holds_within_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *says;
        uint64_t ms;
    } cases[] = {
        { "", KEY_FRESH_PRESET_MS },
        { "public", KEY_FRESH_PRESET_MS },
        { "max-age=600", 600000 },
        { "public, Max-Age=\"3600\" , must-revalidate", 3600000 },
        { "max-age=61", 61000 },
        { "max-age=60", KEY_FRESH_MIN_MS },
        { "max-age=0", KEY_FRESH_MIN_MS },
        { "max-age=86400", KEY_FRESH_MAX_MS },
        { "max-age=86401", KEY_FRESH_MAX_MS },
        { "max-age=99999999999999999999999999", KEY_FRESH_MAX_MS },
        { "max-age=18446744073709551617", KEY_FRESH_MAX_MS },
        { "max-age=", KEY_FRESH_MIN_MS },
        { "max-age=-1", KEY_FRESH_MIN_MS },
        { "max-age=3600x", KEY_FRESH_MIN_MS },
        { "max-age=\"", KEY_FRESH_MIN_MS },
        { "max-age=\"\"", KEY_FRESH_MIN_MS },
        { "x-max-age=3600", KEY_FRESH_PRESET_MS },
        { "max-age=3600, max-age=600", 600000 },
        { "max-age=3600, no-store", KEY_FRESH_MIN_MS },
        { "NO-CACHE", KEY_FRESH_MIN_MS },
        { ",,,=,max-age", KEY_FRESH_PRESET_MS },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        uint64_t ms = key_fresh_ms(slice_of(cases[i].says));
        if (ms != cases[i].ms) fail_msg("%s: %ju", cases[i].says, (uintmax_t)ms);
    }
    assert_int_equal(key_fresh_ms(SLICE_NONE), KEY_FRESH_PRESET_MS);
}

static void who_fails_is_asked_ever_more_rarely(void **state)
{
    (void)state;
    assert_int_equal(key_retry_ms(1), 5000);
    assert_int_equal(key_retry_ms(2), 10000);
    assert_int_equal(key_retry_ms(7), 320000);
    assert_int_equal(key_retry_ms(8), KEY_RETRY_MAX_MS);
    assert_int_equal(key_retry_ms(UINT32_MAX), KEY_RETRY_MAX_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_said_holds_within_bounds),
        cmocka_unit_test(who_fails_is_asked_ever_more_rarely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
