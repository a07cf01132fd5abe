#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "logs/entry_value.h"
#include "logs/line_format.h"

static bool read_line(const char *format, const char *line, struct log_entry *e)
{
    static struct line_format f;
    static char memory[4096];
    struct line_clock clock = { 0 };
    struct err err = { "" };
    size_t len = strlen(line);
    assert_int_equal(line_format_compile(&f, slice_of(format), LINE_ESCAPE_DEFAULT, &err), 0);
    memset(memory, 0, sizeof(memory));
    memcpy(memory, line, len);
    memset(e, 0, sizeof(*e));
    return line_format_read(&f, (struct slice){ memory, len }, &clock, e);
}

static void combined_lines_give_their_values(void **state)
{
    (void)state;
    struct log_entry e;
    assert_true(read_line(line_format_combined,
                          "192.0.2.7 - bob [12/Mar/2026:10:00:01 +0100] \"GET /a/b?c=d HTTP/1.1\" 404 153 "
                          "\"https://x.org/\" \"Mozilla/5.0 (X11) [x]\"",
                          &e));
    assert_int_equal(e.status, 404);
    assert_int_equal(e.bytes, 153);
    assert_int_equal(e.time_s, 1773306001);
    assert_true(slice_equal(e.method, SLICE("GET")));
    assert_true(slice_equal(e.path, SLICE("/a/b")));
    assert_true(slice_equal(e.values[LOG_TARGET], SLICE("/a/b?c=d")));
    assert_true(slice_equal(e.values[LOG_USER], SLICE("bob")));
    assert_true(slice_equal(e.values[LOG_AGENT], SLICE("Mozilla/5.0 (X11) [x]")));
    assert_true(ip_is_v4(&e.client));
    assert_int_equal(e.request_us, UINT64_MAX);
}

static void what_is_no_http_is_binary(void **state)
{
    (void)state;
    struct log_entry e;
    assert_true(read_line(line_format_combined,
                          "::1 - - [12/Mar/2026:10:00:01 +0000] \"\\x16\\x03\\x01\" 400 0 \"-\" \"-\"", &e));
    assert_true(e.is_binary);
    assert_int_equal(e.path.len, 0);
    assert_true(
        read_line(line_format_combined, "::1 - - [12/Mar/2026:10:00:01 +0000] \"-\" 400 0 \"-\" \"-\"", &e));
    assert_false(e.is_binary);
}

/* The reader's entry is used again and again: nothing of the record before may be seen in the next. */
static void a_record_has_nothing_of_the_one_before(void **state)
{
    (void)state;
    static const char *const lines[] = { "1.2.3.4 \"GET /a HTTP/1.1\" 200", "1.2.3.4 \"\\x16\" 400" };
    char memory[128] = { 0 };
    struct line_format f;
    struct line_clock clock = { 0 };
    struct log_entry e = { 0 };
    struct err err;
    assert_int_equal(
        line_format_compile(&f, SLICE("$remote_addr \"$request\" $status"), LINE_ESCAPE_DEFAULT, &err), 0);
    for (unsigned i = 0; i < 2; i++) {
        memcpy(memory, lines[i], strlen(lines[i]));
        assert_true(line_format_read(&f, (struct slice){ memory, strlen(lines[i]) }, &clock, &e));
        if (!i) memset(memory, 0, sizeof(memory)); /* the buffer goes on to something else */
    }
    assert_true(e.is_binary);
    assert_int_equal(e.method.len + e.path.len + e.values[LOG_TARGET].len + e.values[LOG_PROTOCOL].len, 0);
}

static void lists_of_attempts_add_up(void **state)
{
    (void)state;
    struct log_entry e;
    assert_true(read_line("$request_time $upstream_addr [$upstream_response_time] $upstream_status|$status",
                          "0.350 10.0.0.1:80, 10.0.0.2:80 : - [0.100, 0.200 : -] 502, 200 : -|200", &e));
    assert_int_equal(e.request_us, 350000);
    assert_int_equal(e.upstream_us, 300000);
    assert_int_equal(entry_last_status(e.values[LOG_UPSTREAM_STATUS]), 200);
}

static void further_variables_get_seats_by_name(void **state)
{
    (void)state;
    static struct line_format f;
    static char line[64] = "x=1 y=2";
    struct line_clock clock = { 0 };
    struct log_entry e = { 0 };
    struct err err;
    assert_int_equal(line_format_compile(&f, SLICE("x=$geo y=${zone}"), LINE_ESCAPE_DEFAULT, &err), 0);
    assert_true(line_format_read(&f, (struct slice){ line, 7 }, &clock, &e));
    assert_true(slice_equal(e.values[line_format_field(&f, SLICE("zone"))], SLICE("2")));
    assert_int_equal(line_format_field(&f, SLICE("none")), LOG_FIELD_MAX);
}

static void other_lines_are_not_read(void **state)
{
    (void)state;
    static const char *const lines[] = { "", "x",
                                         "192.0.2.7 - - [12/Mar/2026:10:00:01 +0100] \"GET / HTTP/1.1\" 200",
                                         "192.0.2.7 - - [x] \"GET / HTTP/1.1\" 200 1 \"-\" \"x\" more" };
    struct log_entry e;
    for (unsigned i = 0; i < sizeof(lines) / sizeof(*lines); i++)
        assert_false(read_line(line_format_combined, lines[i], &e));
}

static void formats_that_cannot_be_read_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *format, *part;
    } cases[] = { { "$a$b", "without text between" },
                  { "no variable", "has no variable" },
                  { "$", "is no variable" },
                  { "${open", "is no variable" } };
    static struct line_format f;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct err err = { "" };
        assert_int_equal(line_format_compile(&f, slice_of(cases[i].format), LINE_ESCAPE_DEFAULT, &err), -1);
        assert_non_null(strstr(err.text, cases[i].part));
    }
}

static void times_are_those_of_the_calendar(void **state)
{
    (void)state;
    assert_int_equal(entry_time_local_s(SLICE("29/Feb/2024:23:59:59 -0130")), 1709256599);
    assert_int_equal(entry_time_iso_s(SLICE("2024-02-29T23:59:59-01:30")), 1709256599);
    assert_int_equal(entry_time_iso_s(SLICE("2024-02-29T23:59:59.123456Z")), 1709251199);
    static const char *const wrong[] = { "",
                                         "29/Fex/2024:23:59:59 +0000",
                                         "2024-02-29 23:59:59",
                                         "2024-13-29T00:00:00Z",
                                         "29/Feb/2024:23:59:59 +00",
                                         "2024-02-29T23:59:59" };
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        assert_int_equal(entry_time_local_s(slice_of(wrong[i])), 0);
        assert_int_equal(entry_time_iso_s(slice_of(wrong[i])), 0);
    }
}

static void addresses_are_read_as_inet_pton_does(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0.0.0.0", "255.255.255.255", "1.2.3.4", "256.1.1.1", "1.2.3",    "1.2.3.4.5",     "1..2.3",
        "::1",     "2001:db8::1",     "",        "-",         "1.2.3.4 ", "::ffff:1.2.3.4"
    };
    for (unsigned i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct ip a, b;
        bool ok = entry_ip(slice_of(texts[i]), &a);
        assert_int_equal(ok, ip_parse(slice_of(texts[i]), &b));
        if (ok) assert_memory_equal(&a, &b, sizeof(a));
    }
}

static void a_quote_behind_a_backslash_is_of_the_value(void **state)
{
    (void)state;
    struct log_entry e;
    const char *line =
        "::1 - - [12/Mar/2026:10:00:01 +0000] \"GET / HTTP/1.1\" 200 7 \"a\\\\\" \"my \\\"odd\\\" \\\" x\"";
    assert_true(read_line(line_format_combined, line, &e));
    assert_true(slice_equal(e.values[LOG_REFERER], SLICE("a\\\\")));
    assert_true(slice_equal(e.values[LOG_AGENT], SLICE("my \\\"odd\\\" \\\" x")));
}

static void lists_of_attempts_have_blanks_of_their_own(void **state)
{
    (void)state;
    struct log_entry e;
    const char *format =
        "$upstream_addr $upstream_response_length $upstream_response_time $upstream_status $request_id";
    assert_true(read_line(format, "10.0.0.1:80, 10.0.0.2:80 0, 5 0.500, 0.010 502, 200 abc", &e));
    assert_true(slice_equal(e.values[LOG_UPSTREAM], SLICE("10.0.0.1:80, 10.0.0.2:80")));
    assert_true(slice_equal(e.values[LOG_UPSTREAM_STATUS], SLICE("502, 200")));
    assert_true(slice_equal(e.values[LOG_REQUEST_ID], SLICE("abc")));
    assert_int_equal(e.upstream_us, 510000);
    assert_true(
        read_line(format, "unix:/a : [::1]:80, 10.0.0.2:80 - : 1, 5 - : 0.500, 0.010 504 : 502, 200 -", &e));
    assert_true(slice_equal(e.values[LOG_UPSTREAM], SLICE("unix:/a : [::1]:80, 10.0.0.2:80")));
    assert_true(slice_equal(e.values[LOG_UPSTREAM_STATUS], SLICE("504 : 502, 200")));
    assert_true(read_line(format, "- - - - abc", &e));
    assert_true(slice_equal(e.values[LOG_REQUEST_ID], SLICE("abc")));
}

static void methods_may_have_dashes(void **state)
{
    (void)state;
    struct log_entry e;
    assert_true(read_line("$request|", "M-SEARCH * HTTP/1.1|", &e));
    assert_true(slice_equal(e.method, SLICE("M-SEARCH")));
    assert_true(read_line("$request|", "VERSION_CONTROL /x HTTP/1.1|", &e));
    assert_true(slice_equal(e.path, SLICE("/x")) && !e.is_binary);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(combined_lines_give_their_values),
        cmocka_unit_test(what_is_no_http_is_binary),
        cmocka_unit_test(a_record_has_nothing_of_the_one_before),
        cmocka_unit_test(lists_of_attempts_add_up),
        cmocka_unit_test(further_variables_get_seats_by_name),
        cmocka_unit_test(other_lines_are_not_read),
        cmocka_unit_test(formats_that_cannot_be_read_are_refused),
        cmocka_unit_test(times_are_those_of_the_calendar),
        cmocka_unit_test(addresses_are_read_as_inet_pton_does),
        cmocka_unit_test(a_quote_behind_a_backslash_is_of_the_value),
        cmocka_unit_test(lists_of_attempts_have_blanks_of_their_own),
        cmocka_unit_test(methods_may_have_dashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
