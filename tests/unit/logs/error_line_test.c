#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "logs/fault_message.h"

#define HEAD "2026/03/12 10:00:01 [error] 812#812: *45 "
#define TAIL                                                                                             \
    ", client: 192.0.2.7, server: _, request: \"GET /a HTTP/1.1\", upstream: \"http://10.0.0.1:80/a\", " \
    "host: \"x\""

static void is(struct slice value, const char *wanted)
{
    assert_int_equal(value.len, strlen(wanted));
    assert_memory_equal(value.data, wanted, value.len);
}

static void read_line(const char *text, struct error_line *out)
{
    assert_true(error_line_read(slice_of(text), out));
}

static void a_line_is_taken_apart(void **state)
{
    struct error_line e;
    (void)state;
    read_line(HEAD "connect() failed (111: Connection refused) while connecting to upstream" TAIL
                   ", referrer: \"http://r/\"",
              &e);
    assert_int_equal(e.local_s, 1773309601);
    assert_int_equal(e.level, ERROR_ERROR);
    assert_int_equal(e.connection, 45);
    is(e.message, "connect() failed (111: Connection refused)");
    is(e.action, "connecting to upstream");
    assert_int_equal(e.code, 111);
    is(e.client, "192.0.2.7");
    is(e.server, "_");
    is(e.request, "GET /a HTTP/1.1");
    is(e.upstream, "http://10.0.0.1:80/a");
    is(error_line_server(e.upstream), "10.0.0.1:80");
    is(e.host, "x");
    is(e.referer, "http://r/");
    assert_false(e.is_cut);
}

static void what_stands_before_the_time_is_passed_over(void **state)
{
    struct error_line e;
    (void)state;
    read_line("<187>Mar 12 10:00:01 host nginx: 2026/03/12 10:00:01 [alert] 7#8: 512 worker_connections are "
              "not enough",
              &e);
    assert_int_equal(e.level, ERROR_ALERT);
    assert_int_equal(e.connection, 0);
    assert_null(e.client.data);
    is(e.message, "512 worker_connections are not enough");
}

static void a_path_that_looks_like_fields_stays_a_path(void **state)
{
    struct error_line e;
    (void)state;
    read_line(HEAD "open() \"/srv/a while b, client: me, (13: x\" failed (2: No such file or directory)" TAIL,
              &e);
    is(e.client, "192.0.2.7");
    is(e.action, "");
    assert_int_equal(e.code, 2);
    assert_int_equal(fault_of_message(&e), FAULT_FILE_NOT_FOUND);
}

static void quotes_of_a_client_do_not_end_a_value(void **state)
{
    struct error_line e;
    (void)state;
    read_line(HEAD "x, client: ::1, server: a, request: \"GET /\"b\" HTTP/1.1\", host: \"h\", referrer: "
                   "\"q\", host: \"z\"",
              &e);
    is(e.request, "GET /\"b\" HTTP/1.1");
    is(e.host, "h");
    is(e.referer, "q\", host: \"z");
}

static void a_line_that_was_cut_is_read_as_far_as_it_goes(void **state)
{
    static const char whole[] = HEAD "client sent too long URI while reading client request line" TAIL;
    struct error_line e;
    (void)state;
    read_line(HEAD
              "client sent too long URI while reading client request line, client: 192.0.2.7, server: _, "
              "request: \"GET /aaaa",
              &e);
    is(e.request, "GET /aaaa");
    assert_true(e.is_cut);
    for (size_t len = 0; len < sizeof(whole); len++) { /* at every byte */
        char *copy = malloc(len + 1);
        memcpy(copy, whole, len);
        if (error_line_read((struct slice){ copy, len }, &e)) fault_of_message(&e);
        free(copy);
    }
}

static void other_lines_are_refused(void **state)
{
    static const char *const lines[] = {
        "",
        "192.0.2.7 - - [12/Mar/2026:10:00:01 +0000] \"GET / HTTP/1.1\" 200 7",
        "2026/03/12 10:00:01 [error] 812#812 no colon",
        "2026/03/12 10:00:01 [loud] 812#812: x",
        "2026/13/12 10:00:01 [error] 812#812: x",
        "2026/03/12 10:00:01 error 812#812: x",
        "2026/03/12",
    };
    struct error_line e;
    (void)state;
    for (unsigned i = 0; i < sizeof(lines) / sizeof(*lines); i++)
        assert_false(error_line_read(slice_of(lines[i]), &e));
}

static void an_upstream_s_address_is_found_in_its_url(void **state)
{
    static const struct {
        const char *url, *address;
    } cases[] = {
        { "http://10.0.0.1:80/a?b", "10.0.0.1:80" },
        { "https://[::1]:443/", "[::1]:443" },
        { "http://unix:/run/a.sock:/x", "unix:/run/a.sock" },
        { "fastcgi://127.0.0.1:9000", "127.0.0.1:9000" },
        { "10.0.0.1:5432", "10.0.0.1:5432" },
        { "http://web/a", "web" },
        { "", "" },
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        is(error_line_server(slice_of(cases[i].url)), cases[i].address);
}

static void messages_have_their_kinds(void **state)
{
    static const struct {
        const char *level, *message, *kind;
    } cases[] = {
        { "error",
          "connect() to unix:/run/a.sock failed (2: No such file or directory) while connecting to upstream",
          "connect_failed" },
        { "error", "connect() failed (113: No route to host) while connecting to upstream",
          "connect_failed" },
        { "error", "upstream timed out (110: Connection timed out) while connecting to upstream",
          "connect_timeout" },
        { "error", "upstream timed out (110: Connection timed out) while sending request to upstream",
          "send_timeout" },
        { "error",
          "upstream timed out (110: Connection timed out) while reading response header from upstream",
          "first_byte_timeout" },
        { "error", "upstream timed out (110: Connection timed out) while reading upstream",
          "response_timeout" },
        { "error", "upstream timed out (110: Connection timed out) while SSL handshaking to upstream",
          "server_tls_timeout" },
        { "error", "upstream prematurely closed connection while reading response header from upstream",
          "server_closed" },
        { "error", "upstream prematurely closed connection while reading upstream", "response_cut" },
        { "error",
          "recv() failed (104: Connection reset by peer) while reading response header from upstream",
          "server_reset" },
        { "error", "readv() failed (104: Connection reset by peer) while reading upstream", "response_cut" },
        { "error", "writev() failed (32: Broken pipe) while sending request to upstream", "send_failed" },
        { "error", "no live upstreams while connecting to upstream", "no_server" },
        { "error", "app.example could not be resolved (3: Host not found)", "name_unresolved" },
        { "error", "no resolver defined to resolve app.example", "name_unresolved" },
        { "error", "upstream sent too big header while reading response header from upstream",
          "response_head_too_large" },
        { "error", "upstream sent invalid header while reading response header from upstream",
          "bad_response" },
        { "error", "upstream sent no valid HTTP/1.0 header while reading response header from upstream",
          "bad_response" },
        { "error", "upstream sent invalid chunked response while reading upstream", "bad_response_body" },
        { "error",
          "SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number) while SSL "
          "handshaking to upstream",
          "server_not_tls" },
        { "error",
          "peer closed connection in SSL handshake (104: Connection reset by peer) while SSL handshaking to "
          "upstream",
          "server_tls_failed" },
        { "error",
          "upstream SSL certificate verify error: (18:self-signed certificate) while SSL handshaking to "
          "upstream",
          "server_certificate" },
        { "error", "upstream SSL certificate does not match \"a\" while SSL handshaking to upstream",
          "server_certificate" },
        { "info",
          "epoll_wait() reported that client prematurely closed connection, so upstream connection is closed "
          "too while sending request to upstream",
          "client_gone_waiting" },
        { "info",
          "epoll_wait() reported that client prematurely closed connection, so upstream connection is closed "
          "too while reading upstream",
          "client_gone_taking" },
        { "info", "client prematurely closed connection", "client_gone_sending" },
        { "info", "writev() failed (104: Connection reset by peer) while sending to client",
          "client_gone_taking" },
        { "info", "client timed out (110: Connection timed out) while reading client request headers",
          "header_timeout" },
        { "info", "client timed out (110: Connection timed out)", "body_timeout" },
        { "info", "client timed out (110: Connection timed out) while sending to client", "write_timeout" },
        { "info", "client timed out (110: Connection timed out) while waiting for request", "none" },
        { "error", "client intended to send too large body: 2000 bytes", "body_too_large" },
        { "info", "client sent too long header line: \"X: a...\" while reading client request headers",
          "head_too_large" },
        { "info", "client sent too long URI while reading client request line", "target_too_long" },
        { "info", "client sent invalid method while reading client request line", "bad_request" },
        { "info", "client sent plain HTTP request to HTTPS port while reading client request headers",
          "plain_on_tls" },
        { "info",
          "client SSL certificate verify error: (18:self-signed certificate) while reading client request "
          "headers",
          "client_certificate" },
        { "info",
          "SSL_do_handshake() failed (SSL: error:0A000416:SSL routines::sslv3 alert certificate unknown) "
          "while SSL handshaking",
          "tls_failed" },
        { "error", "access forbidden by rule", "gate_denied" },
        { "info", "no user/password was provided for basic authentication", "auth_required" },
        { "error", "user \"eve\": password mismatch", "auth_failed" },
        { "error", "limiting requests, excess: 0.990 by zone \"one\"", "rate_limited" },
        { "error", "limiting requests, dry run, excess: 0.990 by zone \"one\"", "none" },
        { "warn", "delaying request, excess: 0.990, by zone \"one\"", "rate_delayed" },
        { "error", "limiting connections by zone \"one\"", "client_connections" },
        { "alert", "768 worker_connections are not enough", "connection_limit" },
        { "crit", "accept4() failed (24: Too many open files)", "no_descriptors" },
        { "crit", "pwrite() \"/var/x\" failed (28: No space left on device) while reading upstream",
          "disk_full" },
        { "crit", "open() \"/var/x\" failed (13: Permission denied) while reading upstream",
          "permission_denied" },
        { "error", "open() \"/srv/x\" failed (13: Permission denied)", "permission_denied" },
        { "error", "\"/srv/x/index.html\" is not found (2: No such file or directory)", "file_not_found" },
        { "error", "\"/srv/x/index.html\" is forbidden (13: Permission denied)", "permission_denied" },
        { "error", "directory index of \"/srv/\" is forbidden", "directory_forbidden" },
        { "error", "rewrite or internal redirection cycle while processing \"/a\"", "redirect_loop" },
        { "alert", "worker process 17 exited on signal 11", "worker_died" },
        { "emerg", "bind() to 0.0.0.0:80 failed (13: Permission denied)", "config_fault" },
        { "emerg", "open() \"/etc/nginx/nginx.conf\" failed (2: No such file or directory)", "config_fault" },
        { "error", "something new", "other" },
        { "notice", "signal process started", "none" },
        { "warn", "an upstream response is buffered to a temporary file /var/x while reading upstream",
          "none" },
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[512];
        struct error_line e;
        snprintf(text, sizeof(text), "2026/03/12 10:00:01 [%s] 812#812: *45 %s" TAIL, cases[i].level,
                 cases[i].message);
        read_line(text, &e);
        const char *kind = fault_info(fault_of_message(&e))->name;
        if (strcmp(kind, cases[i].kind) != 0) print_error("%s\n", cases[i].message);
        assert_string_equal(kind, cases[i].kind);
    }
}

/* A kind that is one of weir's reasons has its name and sentence; finer ones have their own. */
static void names_are_those_of_weir(void **state)
{
    uint32_t shared = 0;
    (void)state;
    for (unsigned i = FAULT_NONE + 1; i < FAULT_KIND_COUNT; i++) {
        const struct fault_info *info = fault_info((enum fault_kind)i);
        assert_int_equal(fault_by_name(slice_of(info->name)), i);
        assert_true(strlen(fault_what((enum fault_kind)i)) > 8);
        assert_true(info->remedy[0] || fault_is_unclear((enum fault_kind)i));
        if (info->own) continue;
        assert_string_equal(info->name, end_reason_info(info->reason)->name);
        shared++;
    }
    assert_true(shared > 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_taken_apart),
        cmocka_unit_test(what_stands_before_the_time_is_passed_over),
        cmocka_unit_test(a_path_that_looks_like_fields_stays_a_path),
        cmocka_unit_test(quotes_of_a_client_do_not_end_a_value),
        cmocka_unit_test(a_line_that_was_cut_is_read_as_far_as_it_goes),
        cmocka_unit_test(other_lines_are_refused),
        cmocka_unit_test(an_upstream_s_address_is_found_in_its_url),
        cmocka_unit_test(messages_have_their_kinds),
        cmocka_unit_test(names_are_those_of_weir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
