#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <string.h>
#include <cmocka.h>

#include "proxy/retry.h"

static uint32_t usual[] = { RETRY_ON_CONNECT, RETRY_ON_RESET };
static const struct retry_conf usual_conf = { .attempts = 3, .on = { usual, 2 } };
static const struct retry_conf none_conf = { .attempts = 3 };

/* An attempt that may be followed by another. */
static struct retry_facts facts(enum end_reason reason)
{
    return (struct retry_facts){ .reason = reason, .attempts = 1, .is_repeatable = true, .is_whole = true };
}

static void each_failure_has_its_reason(void **state)
{
    (void)state;
    static const struct {
        enum end_reason reason;
        bool is_kept, was_replaced, has_received;
        enum pool_retry why;
    } rows[] = {
        { END_CONNECT_REFUSED, false, false, false, POOL_RETRY_UNREACHED },
        { END_SERVER_TLS_FAILED, false, false, false, POOL_RETRY_UNREACHED },
        { END_SERVER_CLOSED, true, false, false, POOL_RETRY_STALE },
        { END_SERVER_RESET, true, true, false, POOL_RETRY_RESET },
        { END_SERVER_RESET, false, false, false, POOL_RETRY_RESET },
        { END_SERVER_RESET, true, false, true, POOL_RETRY_NONE },
        { END_LEFT_BEHIND, false, false, false, POOL_RETRY_STALE },
        { END_ANSWER_GIVEN_UP, false, false, true, POOL_RETRY_STATUS },
        { END_TRY_TIMEOUT, true, false, false, POOL_RETRY_SLOW },
        { END_FIRST_BYTE_TIMEOUT, false, false, false, POOL_RETRY_NONE },
        { END_BAD_RESPONSE, false, false, true, POOL_RETRY_NONE },
        { END_TOTAL_TIMEOUT, false, false, false, POOL_RETRY_NONE },
        { END_GRPC_TIMEOUT, false, false, false, POOL_RETRY_NONE },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct retry_facts f = facts(rows[i].reason);
        f.is_kept = rows[i].is_kept;
        f.was_replaced = rows[i].was_replaced;
        f.has_received = rows[i].has_received;
        assert_int_equal(retry_decide(&usual_conf, &f), rows[i].why);
    }
}

/* Whatever else is known: over all combinations. */
static void what_may_have_been_acted_on_goes_once(void **state)
{
    (void)state;
    for (int reason = 0; reason < END_REASON_COUNT; reason++)
        for (unsigned bits = 0; bits < 16; bits++) {
            struct retry_facts f = facts((enum end_reason)reason);
            f.is_repeatable = false;
            f.is_kept = bits & 1;
            f.was_replaced = bits & 2;
            f.has_received = bits & 4;
            f.is_unprocessed = bits & 8;
            enum pool_retry why = retry_decide(&usual_conf, &f);
            if (why == POOL_RETRY_NONE) continue;
            assert_int_equal(why, POOL_RETRY_UNREACHED);
            assert_true(f.is_unprocessed || end_reason_info(f.reason)->is_connect);
        }
}

static void what_has_begun_or_is_not_all_here_goes_once(void **state)
{
    (void)state;
    for (int reason = 0; reason < END_REASON_COUNT; reason++) {
        struct retry_facts f = facts((enum end_reason)reason);
        f.is_begun = true;
        assert_int_equal(retry_decide(&usual_conf, &f), POOL_RETRY_NONE);
        f.is_begun = false;
        f.is_whole = false;
        assert_int_equal(retry_decide(&usual_conf, &f), POOL_RETRY_NONE);
    }
}

static void what_is_not_configured_is_not_done(void **state)
{
    (void)state;
    struct retry_facts f = facts(END_CONNECT_REFUSED);
    assert_int_equal(retry_decide(&none_conf, &f), POOL_RETRY_NONE);
    f.reason = END_SERVER_RESET;
    assert_int_equal(retry_decide(&none_conf, &f), POOL_RETRY_NONE);
    /* A dead kept connection is replaced, whatever is configured. */
    f.is_kept = true;
    f.attempts = 3;
    assert_int_equal(retry_decide(&none_conf, &f), POOL_RETRY_STALE);
    f.was_replaced = true;
    assert_int_equal(retry_decide(&usual_conf, &f), POOL_RETRY_NONE);
}

static void attempts_and_time_are_bounded(void **state)
{
    (void)state;
    struct retry_conf conf = usual_conf;
    struct retry_facts f = facts(END_CONNECT_REFUSED);
    conf.total_ms = 100;
    f.attempts = 2;
    f.since_start_ms = 99;
    assert_int_equal(retry_decide(&conf, &f), POOL_RETRY_UNREACHED);
    f.since_start_ms = 100;
    assert_int_equal(retry_decide(&conf, &f), POOL_RETRY_NONE);
    f.since_start_ms = 0;
    f.attempts = 3;
    assert_int_equal(retry_decide(&conf, &f), POOL_RETRY_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_failure_has_its_reason),
        cmocka_unit_test(what_may_have_been_acted_on_goes_once),
        cmocka_unit_test(what_has_begun_or_is_not_all_here_goes_once),
        cmocka_unit_test(what_is_not_configured_is_not_done),
        cmocka_unit_test(attempts_and_time_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
