#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "logs/rule.h"

#define NOW_S 1800000000u

static struct rule *compile(const char *when)
{
    struct rule *r = NULL;
    struct err err;
    if (rule_compile(&r, slice_of(when), &err) < 0) fail_msg("%s: %s", when, err.text);
    return r;
}

static struct log_entry entry(const char *client, uint32_t status, uint64_t time_s)
{
    struct log_entry e = {
        .status = status, .time_s = time_s, .request_us = UINT64_MAX, .upstream_us = UINT64_MAX
    };
    assert_true(ip_parse(slice_of(client), &e.client));
    return e;
}

static bool count(struct rule *r, const char *client, uint64_t time_s, struct rule_hit *hit)
{
    struct log_entry e = entry(client, 401, time_s);
    return rule_count(r, &e, time_s, 600, hit);
}

static void a_client_over_the_rate_is_named_once(void **state)
{
    (void)state;
    struct rule *r = compile("rate(status==401) by client > 3/m");
    struct rule_hit hit;
    for (unsigned i = 0; i < 3; i++) assert_false(count(r, "192.0.2.1", NOW_S + i, &hit));
    assert_true(count(r, "192.0.2.1", NOW_S + 3, &hit));
    assert_int_equal(hit.count, 4);
    assert_int_equal(hit.bits, 128);
    for (unsigned i = 4; i < 50; i++) assert_false(count(r, "192.0.2.1", NOW_S + i, &hit));
    assert_true(count(r, "192.0.2.1", NOW_S + 603, &hit) == false);
    rule_free(r);
}

static void after_the_quiet_time_it_is_named_again(void **state)
{
    (void)state;
    struct rule *r = compile("rate(status==401) by client >= 2/m");
    struct rule_hit hit;
    assert_false(count(r, "192.0.2.1", NOW_S, &hit));
    assert_true(count(r, "192.0.2.1", NOW_S, &hit));
    assert_false(count(r, "192.0.2.1", NOW_S + 599, &hit));
    assert_true(count(r, "192.0.2.1", NOW_S + 600, &hit));
    rule_free(r);
}

static void records_that_the_filter_does_not_take_do_not_count(void **state)
{
    (void)state;
    struct rule *r = compile("rate(status==401) by client >= 1/m");
    struct rule_hit hit;
    struct log_entry e = entry("192.0.2.1", 200, NOW_S);
    assert_false(rule_count(r, &e, NOW_S, 600, &hit));
    rule_free(r);
}

/* Never more than came within the time; never less than came within seven eighths of it. */
static void counts_slide_within_their_bound(void **state)
{
    (void)state;
    struct rule *r = compile("rate() by client > 999999/80s");
    struct rng rng;
    uint64_t times[2000], now_s = NOW_S;
    rng_seed(&rng, 11);
    struct rule *probe = NULL;
    for (unsigned i = 0; i < 2000; i++) {
        now_s += rng_below(&rng, 4);
        times[i] = now_s;
    }
    rule_free(r);
    for (unsigned end = 100; end < 2000; end += 97) {
        unsigned within = 0, surely = 0;
        for (unsigned i = 0; i <= end; i++) {
            within += times[i] + 80 > times[end];
            surely += times[i] + 70 > times[end];
        }
        char when[64];
        struct rule_hit hit;
        bool is_hit = false;
        snprintf(when, sizeof(when), "rate() by client >= %u/80s", within + 1);
        probe = compile(when);
        for (unsigned i = 0; i <= end; i++) is_hit = count(probe, "192.0.2.1", times[i], &hit) && i == end;
        assert_false(is_hit);
        rule_free(probe);
        snprintf(when, sizeof(when), "rate() by client >= %u/80s", surely);
        probe = compile(when);
        for (unsigned i = 0; i < end; i++) {
            struct log_entry e = entry("192.0.2.1", 401, times[i]);
            rule_count(probe, &e, times[i], 0, &hit);
        }
        struct log_entry e = entry("192.0.2.1", 401, times[end]);
        assert_true(rule_count(probe, &e, times[end], 0, &hit));
        rule_free(probe);
    }
}

static void networks_count_together(void **state)
{
    (void)state;
    struct rule *r = compile("rate(status==401) by network >= 3/m");
    struct rule_hit hit;
    assert_false(count(r, "198.51.100.1", NOW_S, &hit));
    assert_false(count(r, "198.51.100.2", NOW_S, &hit));
    assert_false(count(r, "198.51.101.1", NOW_S, &hit));
    assert_true(count(r, "198.51.100.3", NOW_S, &hit));
    assert_int_equal(hit.bits, 120);
    assert_int_equal(hit.ip.bytes[15], 0);
    assert_false(count(r, "2001:db8::1", NOW_S, &hit));
    assert_false(count(r, "2001:db8::2:1", NOW_S, &hit));
    assert_true(count(r, "2001:db8::3:1", NOW_S, &hit));
    assert_int_equal(hit.bits, 64);
    rule_free(r);
}

static void old_records_and_nameless_ones_do_not_count(void **state)
{
    (void)state;
    struct rule *r = compile("rate(status==401) by client >= 1/m");
    struct rule_hit hit;
    struct log_entry e = entry("192.0.2.1", 401, NOW_S - 60);
    assert_false(rule_count(r, &e, NOW_S, 600, &hit));
    memset(&e.client, 0, sizeof(e.client));
    e.time_s = NOW_S;
    assert_false(rule_count(r, &e, NOW_S, 600, &hit));
    rule_free(r);
}

/* A crowd of others does not hide a client that goes on. */
static void a_flood_of_other_clients_does_not_hide_one(void **state)
{
    (void)state;
    struct rule *r = compile("rate() by client > 50/m");
    struct rule_hit hit;
    bool is_hit = false;
    char client[32];
    for (unsigned i = 0; i < 60 * 3000; i++) {
        snprintf(client, sizeof(client), "10.%u.%u.%u", i >> 16, (i >> 8) & 255, i & 255);
        assert_false(count(r, client, NOW_S + i / 9000, &hit));
        if (i % 1000 == 0) is_hit |= count(r, "192.0.2.1", NOW_S + i / 9000, &hit);
    }
    assert_true(is_hit);
    rule_free(r);
}

static void what_is_no_rule_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *when, *words;
    } rows[] = {
        { "", "rate(status==401) by client > 30/m" },
        { "status==401", "rate(status==401)" },
        { "rate(status==401", "no condition" },
        { "rate(status==401) > 3/m", "by client" },
        { "rate(status==401) by path > 3/m", "by client or by network" },
        { "rate(status==401) by client 3/m", "> or >=" },
        { "rate(status==401) by client > /m", "no rate" },
        { "rate(status==401) by client > 3", "no rate" },
        { "rate(status==401) by client > 3/2d", "no rate" },
        { "rate(status==401) by client > 3/10ms", "no rate" },
        { "rate(status==401) by client > 99999999/m", "no rate" },
        { "rate(status==401) by client >= 0/m", "at least 1" },
        { "rate(statu==) by client > 1/m", "column" },
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct err err = { "" };
        assert_int_equal(rule_check(slice_of(rows[i].when), &err), -1);
        if (!strstr(err.text, rows[i].words)) fail_msg("%s: %s", rows[i].when, err.text);
    }
}

static void brackets_and_quotes_within_a_filter_are_its_own(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(
        rule_check(SLICE("rate((status==401||path==\"/a\\\")(\") && !(bytes>1KiB)) by network >= 5/10s"),
                   &err),
        0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_over_the_rate_is_named_once),
        cmocka_unit_test(after_the_quiet_time_it_is_named_again),
        cmocka_unit_test(records_that_the_filter_does_not_take_do_not_count),
        cmocka_unit_test(counts_slide_within_their_bound),
        cmocka_unit_test(networks_count_together),
        cmocka_unit_test(old_records_and_nameless_ones_do_not_count),
        cmocka_unit_test(a_flood_of_other_clients_does_not_hide_one),
        cmocka_unit_test(what_is_no_rule_is_told),
        cmocka_unit_test(brackets_and_quotes_within_a_filter_are_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
