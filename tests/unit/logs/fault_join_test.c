#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "logs/entry_value.h"
#include "logs/fault_message.h"
#include "logs/fault_verdict.h"

#define T0 1773309600u

static struct fault_join *join;
static uint32_t left;
static struct fault_waiting taken[FAULT_JOIN_TAKEN_MAX];

static void on_left(void *context, const struct fault_waiting *w, struct slice text)
{
    (void)context;
    (void)w;
    (void)text;
    left++;
}

static int setup(void **state)
{
    struct err err;
    (void)state;
    left = 0;
    return fault_join_new(&join, 256, on_left, NULL, &err);
}

static int teardown(void **state)
{
    (void)state;
    fault_join_free(join);
    return 0;
}

#define REFUSED "connect() failed (111: Connection refused) while connecting to upstream"
#define LATE "upstream timed out (110: Connection timed out) while reading response header from upstream"

/* At T0 + `s`, on nginx's connection `connection`. */
static void add(unsigned s, unsigned connection, const char *message, const char *request,
                const char *upstream)
{
    struct error_line e;
    char text[4096];
    snprintf(text, sizeof(text),
             "2026/03/12 10:%02u:%02u [error] 1#1: *%u %s, client: 192.0.2.7, server: _, request: \"%s\", "
             "upstream: \"http://%s/\"",
             s / 60, s % 60, connection, message, request, upstream);
    assert_true(error_line_read(slice_of(text), &e));
    fault_join_add(join, &e, fault_of_message(&e), true, slice_of(text));
}

static uint32_t take(unsigned s, uint64_t took_s, const char *request, uint32_t tries)
{
    struct log_entry e = { 0 };
    const struct fault_record_time when = { .local_s = T0 + s, .took_s = took_s };
    e.values[LOG_CLIENT] = SLICE("192.0.2.7");
    e.values[LOG_REQUEST] = slice_of(request);
    entry_derive(&e);
    return fault_join_take(join, &e, &when, tries, taken);
}

static void lines_of_a_request_are_found(void **state)
{
    (void)state;
    add(1, 45, REFUSED, "GET /a HTTP/1.1", "10.0.0.1:80");
    add(1, 45, REFUSED, "GET /a HTTP/1.1", "10.0.0.2:80");
    add(1, 46, REFUSED, "GET /b HTTP/1.1", "10.0.0.1:80");
    assert_int_equal(take(1, 0, "GET /c HTTP/1.1", 1), 0);
    assert_int_equal(take(1, 0, "GET /a HTTP/1.1", 2), 2);
    assert_int_equal(take(1, 0, "GET /a HTTP/1.1", 2), 0);
    assert_memory_equal(fault_join_text(join, &taken[0]).data, "2026/03/12 10:00:01", 19);
    fault_join_end(join);
    assert_int_equal(left, 1);
}

static void the_same_request_again_has_its_own_lines(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        add(1, 45, REFUSED, "GET /a HTTP/1.1", "10.0.0.1:80");
        add(1, 45, REFUSED, "GET /a HTTP/1.1", "10.0.0.2:80");
    }
    /* With and without what the record says of attempts. */
    assert_int_equal(take(1, 0, "GET /a HTTP/1.1", 2), 2);
    assert_int_equal(take(1, 0, "GET /a HTTP/1.1", 0), 2);
    assert_int_equal(take(1, UINT64_MAX, "GET /a HTTP/1.1", 0), 2);
    add(2, 45, "access forbidden by rule", "GET /d HTTP/1.1", "");
    add(2, 45, "access forbidden by rule", "GET /d HTTP/1.1", "");
    assert_int_equal(take(2, 0, "GET /d HTTP/1.1", 0), 1);
    assert_int_equal(take(2, 0, "GET /d HTTP/1.1", 0), 1);
}

static void time_parts_requests(void **state)
{
    (void)state;
    add(1, 45, LATE, "GET /a HTTP/1.1", "10.0.0.1:80");
    assert_int_equal(take(500, 10, "GET /a HTTP/1.1", 1), 0);
    assert_int_equal(take(500, UINT64_MAX, "GET /a HTTP/1.1", 1), 0);
    assert_int_equal(take(61, 60, "GET /a HTTP/1.1", 1), 1);
    add(70, 45, LATE, "GET /a HTTP/1.1", "10.0.0.1:80"); /* a line may be late, too */
    assert_int_equal(take(69, 0, "GET /a HTTP/1.1", 1), 1);
}

static void escapes_of_the_access_log_are_undone(void **state)
{
    (void)state;
    add(1, 45, REFUSED, "GET /\"\\\xc3\xa4 HTTP/1.1", "10.0.0.1:80");
    add(1, 45, REFUSED, "GET /\"j HTTP/1.1", "10.0.0.1:80");
    assert_int_equal(take(1, 0, "GET /\\x22\\x5C\\xC3\\xA4 HTTP/1.1", 1), 1);
    assert_int_equal(take(1, 0, "GET /\\\"j HTTP/1.1", 1), 1);
    add(1, 45, "client sent invalid method", "\x16\x03", "");
    assert_int_equal(take(1, 0, "\\x16\\x03", 0), 1);
    add(1, 45, "client sent invalid method", "", "");
    assert_int_equal(take(1, 0, "-", 0), 1);
}

static void too_many_give_way_and_are_told(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++) add(i % 60, i, REFUSED, "GET /a HTTP/1.1", "10.0.0.1:80");
    assert_int_equal(left, 1000 - 256);
    assert_int_equal(fault_join_displaced(join), 1000 - 256);
    fault_join_end(join);
    assert_int_equal(left, 1000);
    assert_int_equal(fault_join_count(join), 0);
}

static void the_verdict_is_of_both(void **state)
{
    static const struct {
        enum fault_kind record;
        uint32_t status;
        enum fault_kind lines[2], wanted;
        bool is_only;
    } cases[] = {
        { FAULT_UNCLEAR_502, 502, { FAULT_CONNECT_REFUSED, FAULT_SERVER_CLOSED }, FAULT_SERVER_CLOSED },
        { FAULT_UNCLEAR_502, 502, { FAULT_CONNECT_REFUSED, FAULT_NO_SERVER }, FAULT_NO_SERVER },
        { FAULT_MENDED, 200, { FAULT_CONNECT_REFUSED, FAULT_NONE }, FAULT_MENDED },
        { FAULT_NONE, 200, { FAULT_CONNECT_REFUSED, FAULT_NONE }, FAULT_MENDED },
        { FAULT_NONE, 200, { FAULT_BAD_RESPONSE, FAULT_NONE }, FAULT_BAD_RESPONSE, true },
        { FAULT_NONE, 200, { FAULT_RESPONSE_CUT, FAULT_NONE }, FAULT_RESPONSE_CUT },
        { FAULT_NONE, 200, { FAULT_FILE_NOT_FOUND, FAULT_NONE }, FAULT_NONE },
        { FAULT_NONE, 404, { FAULT_FILE_NOT_FOUND, FAULT_NONE }, FAULT_FILE_NOT_FOUND },
        { FAULT_NONE, 200, { FAULT_DISK_FULL, FAULT_NONE }, FAULT_DISK_FULL },
        { FAULT_UPSTREAM_5XX, 500, { FAULT_CONNECT_REFUSED, FAULT_NONE }, FAULT_UPSTREAM_5XX },
        { FAULT_SLOW_ANSWER, 200, { FAULT_RATE_DELAYED, FAULT_NONE }, FAULT_SLOW_ANSWER },
        { FAULT_SLOW_CLIENT, 200, { FAULT_RATE_DELAYED, FAULT_NONE }, FAULT_RATE_DELAYED },
        { FAULT_UNCLEAR_400, 400, { FAULT_TLS_ON_PLAIN, FAULT_CLIENT_GONE_SENDING }, FAULT_TLS_ON_PLAIN },
        { FAULT_NONE, 200, { FAULT_RATE_DELAYED, FAULT_NONE }, FAULT_RATE_DELAYED },
        { FAULT_CLIENT_GONE_WAITING,
          499,
          { FAULT_CONNECT_TIMEOUT, FAULT_CLIENT_GONE_WAITING },
          FAULT_CLIENT_GONE_WAITING },
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct fault_waiting lines[2] = { { .kind = cases[i].lines[0] }, { .kind = cases[i].lines[1] } };
        struct fault_verdict v = { .kind = cases[i].record };
        fault_verdict_join(&v, (struct fault_answer){ cases[i].status, cases[i].is_only }, lines,
                           cases[i].lines[1] ? 2 : 1);
        assert_string_equal(fault_info(v.kind)->name, fault_info(cases[i].wanted)->name);
    }
}

static void lines_leave_by_their_age(void **state)
{
    (void)state;
    add(1, 1, REFUSED, "GET /a HTTP/1.1", "10.0.0.1:80");
    add(2, 2, REFUSED, "GET /b HTTP/1.1", "10.0.0.1:80");
    add(3, 3, REFUSED, "GET /c HTTP/1.1", "10.0.0.1:80");
    assert_int_equal(take(2, 1, "GET /b HTTP/1.1", 1), 1);
    fault_join_leave_before(join, T0 + 1);
    assert_int_equal(left, 0);
    fault_join_leave_before(join, T0 + 3);
    assert_int_equal(left, 1);
    assert_int_equal(fault_join_count(join), 1);
    fault_join_leave_before(join, T0 + 4);
    assert_int_equal(left, 2);
}

/* Also where the ring has gone round, and lines were taken out of its middle. */
static void none_is_passed_over_when_they_leave(void **state)
{
    (void)state;
    char request[64];
    for (unsigned i = 0; i < 700; i++) {
        snprintf(request, sizeof(request), "GET /%u HTTP/1.1", i);
        add(i, i + 1, REFUSED, request, "10.0.0.1:80");
        if (i % 3 == 0) assert_int_equal(take(i, 1, request, 1), 1);
        if (i % 100 == 99) fault_join_leave_before(join, T0 + i - 50);
    }
    uint32_t waiting = fault_join_count(join);
    assert_true(waiting >= 30 && waiting <= 60);
    uint32_t before = left;
    fault_join_leave_before(join, T0 + 700);
    assert_int_equal(left - before, waiting);
    assert_int_equal(fault_join_count(join), 0);
    fault_join_end(join);
    assert_int_equal(left - before, waiting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_of_a_request_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_request_again_has_its_own_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(time_parts_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(escapes_of_the_access_log_are_undone, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_give_way_and_are_told, setup, teardown),
        cmocka_unit_test(the_verdict_is_of_both),
        cmocka_unit_test_setup_teardown(lines_leave_by_their_age, setup, teardown),
        cmocka_unit_test_setup_teardown(none_is_passed_over_when_they_leave, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
