#include "record/flight.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

#define S UINT64_C(1000000000)

static struct flight_record record_with(uint64_t id, uint64_t end_s)
{
    struct flight_record r;
    flight_init(&r);
    r.id = id;
    r.start_wall_ns = (end_s - 1) * S;
    r.total_us = 1000000;
    return r;
}

static void the_first_three_attempts_and_the_last_are_kept(void **state)
{
    (void)state;
    struct flight_record r;
    flight_init(&r);
    assert_null(flight_last_attempt(&r));
    for (uint32_t i = 1; i <= 300; i++) {
        struct flight_attempt *a = flight_begin_attempt(&r, i, BALANCE_FALLBACK, i % 2 == 0);
        assert_ptr_equal(a, flight_last_attempt(&r));
        assert_int_equal(a->server, i);
        assert_int_equal(a->reason, BALANCE_FALLBACK);
        assert_int_equal(a->is_reused, i % 2 == 0);
        assert_int_equal(a->connect_us, i % 2 == 0 ? 0 : FLIGHT_NEVER);
    }
    assert_int_equal(r.attempt_count, 255);
    assert_int_equal(flight_kept_attempts(&r), 4);
    assert_int_equal(r.attempts[0].server, 1);
    assert_int_equal(r.attempts[2].server, 3);
    assert_int_equal(r.attempts[3].server, 300);
}

static void an_attempt_is_found_by_its_number_as_long_as_it_is_kept(void **state)
{
    (void)state;
    struct flight_record r;
    flight_init(&r);
    assert_null(flight_attempt_of(&r, 0));
    assert_null(flight_attempt_of(&r, 1));
    for (uint32_t i = 1; i <= 6; i++) {
        flight_begin_attempt(&r, 10 + i, BALANCE_LEAST, false);
        assert_int_equal(flight_attempt_of(&r, i)->server, 10 + i);
        assert_int_equal(r.told, i < FLIGHT_ATTEMPTS ? i - 1 : FLIGHT_ATTEMPTS - 1);
    }
    assert_int_equal(flight_attempt_of(&r, 3)->server, 13);
    assert_null(flight_attempt_of(&r, 4));
    assert_null(flight_attempt_of(&r, 5));
    assert_null(flight_attempt_of(&r, 7));
    flight_tell_of(&r, 2);
    assert_int_equal(r.told, 1);
    flight_tell_of(&r, 5);
    assert_int_equal(r.told, 1);
}

static void long_targets_and_request_ids_are_cut(void **state)
{
    (void)state;
    char text[100];
    memset(text, 'x', sizeof(text));
    struct flight_record r;
    flight_init(&r);
    flight_set_target(&r, (struct slice){ text, FLIGHT_TARGET_MAX });
    assert_int_equal(r.flags, 0);
    flight_set_target(&r, (struct slice){ text, FLIGHT_TARGET_MAX + 1 });
    assert_int_equal(r.flags, FLIGHT_TARGET_CUT);
    assert_int_equal(r.target_len, FLIGHT_TARGET_MAX);
    flight_set_request_id(&r, (struct slice){ text, 100 });
    assert_int_equal(r.request_id_len, FLIGHT_REQUEST_ID_MAX);
}

static void times_that_do_not_fit_are_not_never(void **state)
{
    (void)state;
    assert_int_equal(flight_us(5000, 12999), 7);
    assert_int_equal(flight_us(5000, 4000), 0);
    assert_int_equal(flight_us(0, UINT64_MAX), FLIGHT_NEVER - 1);
}

static void filters_take_what_they_say(void **state)
{
    (void)state;
    struct flight_record r = record_with(1, 100);
    r.status = 502;
    r.end = END_CONNECT_REFUSED;
    r.pool = 3;
    r.listener = 4;
    r.route = 5;
    r.client.bytes[15] = 9;
    flight_set_request_id(&r, SLICE("abc"));
    for (uint32_t server = 10; server < 16; server++) flight_begin_attempt(&r, server, BALANCE_LEAST, false);
    struct ip other = { { 8 } };
    const struct {
        struct flight_filter filter;
        bool matches;
    } cases[] = {
        { { 0 }, true },
        { { .status = 502 }, true },
        { { .status = 503 }, false },
        { { .status_class = 5 }, true },
        { { .status_class = 4 }, false },
        { { .end = END_CONNECT_REFUSED }, true },
        { { .end = END_OK }, false },
        { { .pool = 3 }, true },
        { { .pool = 4 }, false },
        { { .listener = 4 }, true },
        { { .listener = 3 }, false },
        { { .route = 5 }, true },
        { { .route = 6 }, false },
        { { .server = 11 }, true },
        { { .server = 14 }, false }, /* the fifth of six attempts: not kept */
        { { .server = 15 }, true },
        { { .has_client = true, .client = r.client }, true },
        { { .has_client = true, .client = other }, false },
        { { .request_id = SLICE("abc") }, true },
        { { .request_id = SLICE("ab") }, false },
        { { .min_total_us = 1000000 }, true },
        { { .min_total_us = 1000001 }, false },
        { { .since_wall_ns = 100 * S }, true },
        { { .since_wall_ns = 100 * S + 1 }, false },
        { { .status = 502, .pool = 4 }, false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (flight_matches(&cases[i].filter, &r) != cases[i].matches) fail_msg("case %zu", i);
}

static const char *name_of(void *ctx, uint32_t id)
{
    (void)ctx;
    static const char *const names[] = { NULL, "web", "api-route", "api", "10.0.0.1:80" };
    return id < sizeof(names) / sizeof(*names) ? names[id] : NULL;
}

static void assert_has(const struct json *j, const char *part)
{
    char *text = strndup(j->data, j->len);
    if (!strstr(text, part)) fail_msg("no %s in\n%s", part, text);
    free(text);
}

static void json_says_who_where_and_why(void **state)
{
    (void)state;
    struct flight_record r = record_with(0x1234, 1700000001);
    r.listener = 1;
    r.route = 2;
    r.pool = 3;
    r.status = 502;
    r.version = HTTP_VERSION_1_1;
    r.method = HTTP_POST;
    r.end = END_SERVER_CLOSED;
    r.head_us = 12;
    r.client.bytes[10] = r.client.bytes[11] = 0xff;
    r.client.bytes[12] = 192;
    flight_set_target(&r, SLICE("/x?y=1"));
    flight_set_request_id(&r, SLICE("req-1"));
    struct flight_attempt *a = flight_begin_attempt(&r, 4, BALANCE_LEAST, true);
    a->end = END_SERVER_CLOSED;
    a->first_byte_us = 1500;
    a = flight_begin_attempt(&r, 99, BALANCE_FALLBACK, false);
    a->end = END_OK;
    a->connect_us = 250;
    a->first_byte_us = 3000;
    a->status = 502;
    struct json j;
    json_init(&j, 1 << 16, false);
    flight_print_json(&r, &(struct flight_names){ .name_of = name_of }, &j);
    assert_has(
        &j, "\"id\":\"0000000000001234\",\"request_id\":\"req-1\",\"start\":\"2023-11-14T22:13:20.000000Z\"");
    assert_has(&j, "\"client\":\"192.0.0.0\"");
    assert_has(&j, "\"listener\":\"web\",\"route\":\"api-route\",\"variant\":null,\"pool\":\"api\","
                   "\"protocol\":\"HTTP/1.1\","
                   "\"method\":\"POST\",\"target\":\"/x?y=1\",\"is_target_cut\":false,\"status\":502");
    assert_has(
        &j,
        "\"end\":\"server_closed\",\"means\":\"the server closed before it answered\",\"origin\":\"server\"");
    assert_has(&j, "\"total_ms\":1000");
    assert_has(&j, "\"head_ms\":0.012,\"picked_ms\":null");
    assert_has(&j,
               "\"number\":1,\"server\":\"10.0.0.1:80\",\"reason\":\"least\",\"is_hedge\":false,\"is_"
               "reused\":true,\"connect_ms\":0,"
               "\"first_byte_ms\":null,\"failed_after_ms\":1.5,\"status\":null,\"end\":\"server_closed\"");
    assert_has(&j, "\"number\":2,\"server\":\"#99\",\"reason\":\"fallback\",\"is_hedge\":false,\"is_reused\":"
                   "false,\"connect_ms\":0.25,"
                   "\"first_byte_ms\":3,\"failed_after_ms\":null,\"status\":502,\"end\":\"ok\"");
    json_fini(&j);
}

static void json_of_a_tcp_tunnel_has_no_request(void **state)
{
    (void)state;
    struct flight_record r = record_with(1, 100);
    r.flags = FLIGHT_TCP | FLIGHT_TUNNEL;
    r.end = END_OK;
    struct json j;
    json_init(&j, 1 << 16, false);
    flight_print_json(&r, NULL, &j);
    assert_has(&j, "\"listener\":null");
    assert_has(&j, "\"protocol\":\"tcp\",\"is_tunnel\":true");
    assert_has(&j, "\"attempts\":[]");
    json_fini(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_three_attempts_and_the_last_are_kept),
        cmocka_unit_test(an_attempt_is_found_by_its_number_as_long_as_it_is_kept),
        cmocka_unit_test(long_targets_and_request_ids_are_cut),
        cmocka_unit_test(times_that_do_not_fit_are_not_never),
        cmocka_unit_test(filters_take_what_they_say),
        cmocka_unit_test(json_says_who_where_and_why),
        cmocka_unit_test(json_of_a_tcp_tunnel_has_no_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
