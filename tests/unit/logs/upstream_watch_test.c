#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "logs/upstream_watch.h"

static struct upstream_watch watch;
static struct upstream_verdict verdicts[UPSTREAM_WATCH_MAX];

static int setup(void **state)
{
    (void)state;
    memset(&watch, 0, sizeof(watch));
    return 0;
}

static void add(const char *addresses, const char *statuses, const char *times, uint32_t status)
{
    struct log_entry e = { .status = status };
    e.values[LOG_UPSTREAM] = slice_of(addresses);
    e.values[LOG_UPSTREAM_STATUS] = slice_of(statuses);
    e.values[LOG_UPSTREAM_TIME] = slice_of(times);
    upstream_watch_count(&watch, &e);
}

static const struct upstream_verdict *verdict(const struct upstream_limits *limits, const char *address)
{
    uint32_t count = upstream_watch_judge(&watch, limits, verdicts);
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(verdicts[i].address, address) == 0) return &verdicts[i];
    return NULL;
}

static void each_attempt_is_its_own_servers(void **state)
{
    (void)state;
    static const struct upstream_limits limits = { 1, 50, 0 };
    add("10.0.0.1:80, 10.0.0.2:80 : [::1]:80", "502, 200 : 404", "0.100, 0.200 : 0.300", 404);
    const struct upstream_verdict *v = verdict(&limits, "10.0.0.1:80");
    assert_non_null(v);
    assert_true(v->is_bad);
    assert_int_equal(v->mean_us, 100000);
    assert_string_equal(verdicts[2].address, "[::1]:80");
    assert_false(verdicts[1].is_bad);
    assert_false(verdicts[2].is_bad);
    assert_int_equal(verdicts[2].mean_us, 300000);
}

static void an_attempt_without_a_status_is_an_error(void **state)
{
    (void)state;
    static const struct upstream_limits limits = { 1, 100, 0 };
    add("unix:/run/a.sock", "-", "-", 502);
    const struct upstream_verdict *v = verdict(&limits, "unix:/run/a.sock");
    assert_int_equal(v->errors, 1);
    assert_true(v->is_bad);
}

static void without_the_statuses_the_records_own_counts(void **state)
{
    (void)state;
    static const struct upstream_limits limits = { 1, 100, 0 };
    add("10.0.0.1:80", NULL, NULL, 502);
    assert_true(verdict(&limits, "10.0.0.1:80")->is_bad);
}

static void few_attempts_say_nothing(void **state)
{
    (void)state;
    static const struct upstream_limits limits = { 5, 1, 0 };
    for (unsigned i = 0; i < 4; i++) add("10.0.0.1:80", "500", "1", 500);
    assert_null(verdict(&limits, "10.0.0.1:80"));
}

static void a_long_mean_time_is_bad(void **state)
{
    (void)state;
    static const struct upstream_limits limits = { 1, 0, 200 };
    add("10.0.0.1:80, 10.0.0.2:80", "200, 200", "0.150, 0.201", 200);
    assert_false(verdict(&limits, "10.0.0.1:80")->is_bad);
    assert_true(verdicts[1].is_bad);
}

static void counting_begins_anew_after_a_verdict(void **state)
{
    (void)state;
    static const struct upstream_limits limits = { 1, 50, 0 };
    add("10.0.0.1:80", "500", "1", 500);
    assert_non_null(verdict(&limits, "10.0.0.1:80"));
    assert_null(verdict(&limits, "10.0.0.1:80"));
}

static void more_addresses_than_there_is_room_for_are_left_out(void **state)
{
    (void)state;
    static const struct upstream_limits limits = { 1, 50, 0 };
    char address[32];
    for (unsigned i = 0; i < UPSTREAM_WATCH_MAX + 10; i++) {
        snprintf(address, sizeof(address), "10.0.%u.%u:80", i / 256, i % 256);
        add(address, "200", "1", 200);
    }
    char longer[UPSTREAM_TEXT_MAX + 10];
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = 0;
    add(longer, "200", "1", 200);
    assert_int_equal(upstream_watch_judge(&watch, &limits, verdicts), UPSTREAM_WATCH_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_attempt_is_its_own_servers, setup),
        cmocka_unit_test_setup(an_attempt_without_a_status_is_an_error, setup),
        cmocka_unit_test_setup(without_the_statuses_the_records_own_counts, setup),
        cmocka_unit_test_setup(few_attempts_say_nothing, setup),
        cmocka_unit_test_setup(a_long_mean_time_is_bad, setup),
        cmocka_unit_test_setup(counting_begins_anew_after_a_verdict, setup),
        cmocka_unit_test_setup(more_addresses_than_there_is_room_for_are_left_out, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
