#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "logs/entry_value.h"
#include "logs/fault_record.h"
#include "logs/line_format.h"
#include "logs/scan.h"

#define COMBINED "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent"
#define UPSTREAM                                                                   \
    COMBINED " $request_length $request_time [$upstream_addr] [$upstream_status] " \
             "[$upstream_connect_time] [$upstream_header_time] [$upstream_response_time]"
#define FULL UPSTREAM " $request_completion; $limit_req_status $limit_conn_status $upstream_bytes_received;"

static struct line_format format;

static enum log_field field_of(const void *context, struct slice name)
{
    (void)context;
    return line_format_field(&format, name);
}

static void judge(const char *form, const char *line, bool has_error_log, struct fault_verdict *out)
{
    static char copy[4096 + SCAN_SLACK];
    struct err err;
    struct line_clock clock = { 0 };
    struct log_entry e = { 0 };
    struct fault_seats seats;
    struct fault_tries tries;
    const struct fault_asked asked = { .slow_us = 1000000, .has_error_log = has_error_log };
    size_t len = strlen(line);
    assert_int_equal(line_format_compile(&format, slice_of(form), LINE_ESCAPE_DEFAULT, &err), 0);
    memcpy(copy, line, len + 1);
    assert_true(line_format_read(&format, (struct slice){ copy, len }, &clock, &e));
    fault_seats_find(&seats, field_of, NULL);
    fault_read_tries(&e, &tries);
    fault_of_record(&e, &tries, &seats, &asked, out);
}

#define AT "192.0.2.7 - - [12/Mar/2026:10:00:01 +0000] "
#define GET AT "\"GET /a HTTP/1.1\" "

static void a_record_tells_what_it_can(void **state)
{
    static const struct {
        const char *format, *line, *kind, *server;
    } cases[] = {
        { COMBINED, GET "200 7", "none", "" },
        { COMBINED, GET "502 7", "unclear_502", "" },
        { COMBINED, GET "404 7", "none", "" },
        { COMBINED, GET "413 7", "body_too_large", "" },
        { COMBINED, GET "414 7", "target_too_long", "" },
        { COMBINED, GET "497 7", "plain_on_tls", "" },
        { COMBINED, GET "496 7", "client_certificate", "" },
        { COMBINED, AT "\"\\x16\\x03\\x01\\x02\" 400 7", "tls_on_plain", "" },
        { COMBINED, AT "\"\\x05\\x01\" 400 7", "bad_request", "" },
        { COMBINED, GET "400 7", "unclear_400", "" },
        { COMBINED, GET "503 7", "unclear_503", "" },
        { COMBINED, GET "499 0", "client_gone_waiting", "" },
        { COMBINED, AT "\"-\" 408 0", "header_timeout", "" },
        { COMBINED, AT "\"POST /a HTTP/1.1\" 408 0", "body_timeout", "" },
        { UPSTREAM, GET "502 7 80 0.001 [10.0.0.1:80] [502] [-] [-] [0.000]", "connect_failed",
          "10.0.0.1:80" },
        { UPSTREAM, GET "504 7 80 5.001 [10.0.0.1:80] [504] [-] [-] [5.000]", "connect_timeout",
          "10.0.0.1:80" },
        { UPSTREAM, GET "504 7 80 5.001 [10.0.0.1:80] [504] [0.001] [-] [5.000]", "first_byte_timeout",
          "10.0.0.1:80" },
        { UPSTREAM, GET "504 7 80 0.001 [10.0.0.1:80] [504] [0.001] [0.002] [0.002]", "upstream_5xx",
          "10.0.0.1:80" },
        { UPSTREAM, GET "500 7 80 0.001 [10.0.0.1:80] [500] [0.001] [0.002] [0.002]", "upstream_5xx",
          "10.0.0.1:80" },
        { UPSTREAM, GET "502 7 80 0.001 [10.0.0.1:80] [502] [0.000] [-] [0.002]", "unclear_502",
          "10.0.0.1:80" },
        { UPSTREAM, GET "502 7 80 0.001 [web] [502] [-] [-] [0.000]", "no_server", "web" },
        { UPSTREAM, GET "502 7 80 0.001 [-] [-] [-] [-] [-]", "name_unresolved", "" },
        { UPSTREAM, GET "500 7 80 0.001 [-] [-] [-] [-] [-]", "unclear_500", "" },
        { UPSTREAM, GET "404 7 80 0.001 [-] [-] [-] [-] [-]", "file_not_found", "" },
        { UPSTREAM, GET "404 7 80 0.001 [10.0.0.1:80] [404] [0.000] [0.001] [0.001]", "none", "" },
        { UPSTREAM, GET "400 7 9000 0.001 [-] [-] [-] [-] [-]", "head_too_large", "" },
        { UPSTREAM,
          GET "200 7 80 0.001 [10.0.0.1:80, 10.0.0.2:80] [502, 200] [-, 0.001] [-, 0.002] [0.000, 0.002]",
          "mended", "10.0.0.1:80" },
        { UPSTREAM,
          GET "200 7 80 0.001 [10.0.0.1:80 : 10.0.0.2:80] [200 : 200] [0.0 : 0.0] [0.0 : 0.0] [0.0 : 0.0]",
          "none", "" },
        { UPSTREAM, GET "200 7 80 3.001 [10.0.0.1:80] [200] [2.500] [2.600] [2.900]", "slow_connect",
          "10.0.0.1:80" },
        { UPSTREAM, GET "200 7 80 3.001 [10.0.0.1:80] [200] [0.000] [2.600] [2.900]", "slow_answer",
          "10.0.0.1:80" },
        { UPSTREAM, GET "200 7 80 3.001 [10.0.0.1:80] [200] [0.000] [0.010] [2.900]", "slow_body",
          "10.0.0.1:80" },
        { UPSTREAM, GET "200 7 80 3.001 [10.0.0.1:80] [200] [0.000] [0.010] [0.020]", "slow_client",
          "10.0.0.1:80" },
        { UPSTREAM, GET "200 7 80 3.001 [-] [-] [-] [-] [-]", "slow_client", "" },
        { COMBINED " $request_time", GET "200 7 3.000", "unclear_slow", "" },
        { UPSTREAM, GET "499 0 80 1.000 [10.0.0.1:80] [-] [0.000] [-] [1.000]", "client_gone_waiting",
          "10.0.0.1:80" },
        { UPSTREAM, GET "499 0 80 1.000 [10.0.0.1:80] [200] [0.000] [0.001] [1.000]", "client_gone_taking",
          "10.0.0.1:80" },
        { FULL, GET "200 7 80 0.1 [10.0.0.1:80] [200] [0.0] [0.0] [0.1] ; - - 70;", "unclear_cut",
          "10.0.0.1:80" },
        { FULL, GET "200 7 80 0.1 [10.0.0.1:80] [200] [0.0] [0.0] [0.1] OK; DELAYED - 70;", "rate_delayed",
          "10.0.0.1:80" },
        { FULL, GET "503 7 80 0.1 [-] [-] [-] [-] [-] OK; REJECTED - -;", "rate_limited", "" },
        { FULL, GET "429 7 80 0.1 [-] [-] [-] [-] [-] OK; PASSED REJECTED -;", "client_connections", "" },
        { FULL, GET "502 7 80 0.1 [10.0.0.1:80] [502] [0.0] [-] [0.0] OK; - - 0;", "server_closed",
          "10.0.0.1:80" },
        { FULL, GET "502 7 80 0.1 [10.0.0.1:80] [502] [0.0] [-] [0.0] OK; - - 9;", "bad_response",
          "10.0.0.1:80" },
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct fault_verdict v;
        judge(cases[i].format, cases[i].line, false, &v);
        if (strcmp(fault_info(v.kind)->name, cases[i].kind) != 0) print_error("%s\n", cases[i].line);
        assert_string_equal(fault_info(v.kind)->name, cases[i].kind);
        assert_int_equal(v.server.len, strlen(cases[i].server));
        assert_memory_equal(v.server.data ? v.server.data : "", cases[i].server, v.server.len);
        /* Whatever it cannot tell, it says what would. */
        assert_true(!fault_is_unclear(v.kind) || v.wants);
    }
}

static void what_a_log_has_is_not_asked_for(void **state)
{
    struct fault_verdict v;
    (void)state;
    judge(COMBINED, GET "502 7", true, &v);
    assert_true(v.wants & FAULT_BIT(HEADER_TIME));
    assert_false(v.wants & FAULT_BIT(ERROR_LOG));
    judge(UPSTREAM, GET "502 7 80 0.001 [10.0.0.1:80] [502] [0.000] [-] [0.002]", false, &v);
    assert_int_equal(v.wants, FAULT_BIT(UPSTREAM_BYTES) | FAULT_BIT(ERROR_LOG));
}

/* nginx says at level error that a server stopped: where it did not, it was the client. */
static void a_cut_answer_without_an_error_line_is_the_clients(void **state)
{
    struct fault_verdict v;
    (void)state;
    judge(FULL, GET "200 7 80 0.1 [10.0.0.1:80] [200] [0.0] [0.0] [0.1] ; - - 70;", true, &v);
    assert_int_equal(v.kind, FAULT_CLIENT_GONE_TAKING);
}

static void many_attempts_are_bounded(void **state)
{
    char line[4096];
    size_t len = (size_t)sprintf(line, GET "502 7 80 0.001 [");
    (void)state;
    for (unsigned i = 0; i < 60; i++) len += (size_t)sprintf(line + len, "10.0.0.%u:80, ", i);
    sprintf(line + len, "10.0.0.99:80] [502] [-] [-] [-]");
    struct fault_verdict v;
    judge(UPSTREAM, line, false, &v);
    assert_memory_equal(v.server.data, "10.0.0.99:80", v.server.len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_tells_what_it_can),
        cmocka_unit_test(what_a_log_has_is_not_asked_for),
        cmocka_unit_test(a_cut_answer_without_an_error_line_is_the_clients),
        cmocka_unit_test(many_attempts_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
