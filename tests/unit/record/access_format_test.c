#include "record/access_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

/* 2026-03-09 08:05:07.042 UTC */
#define NOW (UINT64_C(1773043507042) * NS_PER_MS)

struct fixture {
    struct http_field request_fields[4], response_fields[1];
    struct http_head request, response;
    struct flight_record record;
    struct access_entry entry;
};

static struct http_field field(const char *name, const char *value)
{
    struct slice n = slice_of(name);
    return (struct http_field){ .name = name,
                                .value = value,
                                .name_len = (uint16_t)n.len,
                                .value_len = (uint32_t)strlen(value),
                                .id = (uint8_t)http_field_id_of(n) };
}

static void set_up(struct fixture *f)
{
    *f = (struct fixture){ .request_fields = { field("Host", "WWW.Example.com:8080"),
                                               field("User-Agent", "a \"b\" \\c\x01\xc3\xa9\xff"),
                                               field("X-Odd_Name", "odd"), field("X-Empty", "") },
                           .response_fields = { field("Content-Type", "text/plain") } };
    f->request = (struct http_head){ .version = HTTP_VERSION_1_1,
                                     .method_text = SLICE("GET"),
                                     .target = SLICE("/a%20b?c=d&e"),
                                     .fields = f->request_fields,
                                     .field_count = 4 };
    f->response = (struct http_head){ .fields = f->response_fields, .field_count = 1 };
    flight_init(&f->record);
    struct flight_record *r = &f->record;
    r->id = 0xabc;
    r->client = (struct ip){ { [10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 17 } };
    r->client_port = 40000;
    r->status = 200;
    r->end = END_OK;
    r->total_us = 1234567;
    r->picked_us = 234567;
    r->bytes_in = 321;
    r->bytes_out = 4321;
    flight_set_request_id(r, SLICE("req-7"));
    struct flight_attempt *a = flight_begin_attempt(r, 1, BALANCE_LEAST, false);
    a->end = END_CONNECT_TIMEOUT;
    a->first_byte_us = 200000;
    a = flight_begin_attempt(r, 2, BALANCE_FALLBACK, false);
    a->end = END_OK;
    a->connect_us = 1999;
    a->first_byte_us = 30000;
    a->status = 200;
    f->entry = (struct access_entry){ .record = r,
                                      .request = &f->request,
                                      .response = &f->response,
                                      .now_wall_ns = NOW,
                                      .listener = SLICE("web"),
                                      .route = SLICE("rest"),
                                      .pool = SLICE("api"),
                                      .servers = { SLICE("10.0.0.1:80"), SLICE("10.0.0.2:80") },
                                      .server = SLICE("big"),
                                      .split = SLICE("checkout"),
                                      .variant = SLICE("b"),
                                      .body_bytes = 4000,
                                      .compression = SLICE("br"),
                                      .plain_bytes = 13000,
                                      .encoded_bytes = 4000,
                                      .connection_id = 77,
                                      .connection_requests = 3 };
}

static void compile(const char *source, struct access_format *format)
{
    struct err err;
    if (access_format_compile(slice_of(source), format, &err) < 0) fail_msg("%s: %s", source, err.text);
}

static const char *format_entry(const char *source, const struct access_entry *entry)
{
    static char line[65536];
    static struct access_format format;
    struct access_clock clock;
    struct text out = text_over(line, sizeof(line));
    compile(source, &format);
    access_clock_init(&clock);
    access_clock_set(&clock, entry->now_wall_ns, -(3 * 3600 + 1800));
    access_format_line(&format, &clock, entry, &out);
    return text_cstr(&out);
}

static void variables_are_as_in_nginx(void **state)
{
    (void)state;
    const struct {
        const char *source, *line;
    } cases[] = {
        { "$remote_addr:$remote_port", "192.0.2.17:40000" },
        { "[$time_local] $time_iso8601 $msec",
          "[09/Mar/2026:04:35:07 -0330] 2026-03-09T04:35:07-03:30 1773043507.042" },
        { "$request", "GET /a%20b?c=d&e HTTP/1.1" },
        { "$request_method $request_uri $uri $args $query_string", "GET /a%20b?c=d&e /a%20b c=d&e c=d&e" },
        { "$server_protocol $scheme $host", "HTTP/1.1 http www.example.com" },
        { "$status $body_bytes_sent $bytes_sent $request_length", "200 4000 4321 321" },
        { "$weir_compression $gzip_ratio", "br 3.25" },
        { "$weir_grpc_status", "-" },
        { "$request_time", "1.234" },
        { "$upstream_addr|$upstream_status", "10.0.0.1:80, 10.0.0.2:80|504, 200" },
        { "$upstream_connect_time|$upstream_header_time", "-, 0.001|-, 0.030" },
        { "$upstream_response_time", "0.200, 1.000" },
        { "$http_user_agent", "a \\x22b\\x22 \\x5Cc\\x01\\xC3\\xA9\\xFF" },
        { "$http_x_odd_name,$http_x_empty,$http_x_none", "-,,-" }, /* a header with "_" has no variable */
        { "$sent_http_content_type,$sent_http_etag", "text/plain,-" },
        { "$connection $connection_requests $request_id $remote_user", "77 3 req-7 -" },
        { "$weir_id $weir_listener $weir_route $weir_pool", "0000000000000abc web rest api" },
        { "$weir_server $weir_reason $weir_end $weir_origin", "big fallback ok none" },
        { "$weir_split=$weir_variant", "checkout=b" },
        { "$weir_time", "2026-03-09T08:05:07.042Z" },
        { "a${status}b$STATUS.", "a200b200." },
        { "escape=json $http_user_agent", "a \\\"b\\\" \\\\c\\u0001\xc3\xa9\\ufffd" },
        { "escape=json <$http_x_none>", "<>" },
    };
    struct fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_string_equal(format_entry(cases[i].source, &f.entry), cases[i].line);
}

static void combined_is_nginx_combined(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    f.request_fields[1] = field("User-Agent", "curl/7.88.1");
    f.request_fields[2] = field("Referer", "http://example.com/");
    assert_string_equal(format_entry("combined", &f.entry),
                        "192.0.2.17 - - [09/Mar/2026:04:35:07 -0330] \"GET /a%20b?c=d&e HTTP/1.1\" 200 4000 "
                        "\"http://example.com/\" \"curl/7.88.1\"");
}

static void json_has_everything(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    assert_string_equal(
        format_entry("json", &f.entry),
        "{\"time\":\"2026-03-09T08:05:07.042Z\",\"id\":\"0000000000000abc\",\"request_id\":\"req-7\","
        "\"client\":\"192.0.2.17\",\"user\":\"\",\"client_port\":40000,\"listener\":\"web\",\"scheme\":"
        "\"http\","
        "\"host\":\"www.example.com\",\"method\":\"GET\",\"target\":\"/a%20b?c=d&e\",\"protocol\":\"HTTP/"
        "1.1\","
        "\"status\":200,\"grpc_status\":\"\",\"end\":\"ok\",\"origin\":\"none\",\"request_time\":1.234,"
        "\"bytes_in\":321,\"bytes_"
        "out\":4321,"
        "\"body_bytes\":4000,\"route\":\"rest\",\"split\":\"checkout\",\"variant\":\"b\",\"pool\":\"api\","
        "\"server\":\"big\",\"reason\":"
        "\"fallback\","
        "\"upstream_addr\":\"10.0.0.1:80, 10.0.0.2:80\",\"upstream_status\":\"504, 200\","
        "\"upstream_connect_time\":\"-, 0.001\",\"upstream_header_time\":\"-, 0.030\","
        "\"upstream_response_time\":\"0.200, 1.000\",\"tls\":\"\",\"cipher\":\"\",\"server_name\":\"\","
        "\"client_subject\":\"\",\"referer\":\"\","
        "\"user_agent\":\"a \\\"b\\\" \\\\c\\u0001\xc3\xa9\\ufffd\"}");
}

static void who_it_is_stands_where_nginx_has_it(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    f.entry.user = SLICE("b\"ob");
    assert_string_equal(format_entry("$remote_user", &f.entry), "b\\x22ob");
    f.entry.user = SLICE("");
    assert_string_equal(format_entry("$remote_user", &f.entry), "-");
}

static void what_never_came_is_a_dash(void **state)
{
    (void)state;
    struct flight_record r;
    flight_init(&r);
    r.flags = FLIGHT_TCP;
    struct access_entry entry = { .record = &r, .now_wall_ns = NOW };
    assert_string_equal(
        format_entry("$request|$request_method|$uri|$args|$host|$scheme|$server_protocol", &entry),
        "-|-|-|-|-|-|-");
    assert_string_equal(
        format_entry("$status|$upstream_addr|$upstream_response_time|$weir_server|$weir_reason", &entry),
        "000|-|-|-|-");
    assert_string_equal(
        format_entry("$remote_addr|$http_host|$sent_http_date|$request_id|$weir_pool", &entry), "::|-|-|-|-");
    assert_non_null(strstr(format_entry("json", &entry), "\"status\":0,"));
}

static void without_a_head_the_record_stands_in(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    f.entry.request = NULL;
    f.record.method = HTTP_PUT;
    f.record.version = HTTP_VERSION_1_0;
    flight_set_target(&f.record, SLICE("/x?y"));
    assert_string_equal(format_entry("$request|$uri|$args|$host", &f.entry), "PUT /x?y HTTP/1.0|/x|y|-");
}

static void absolute_targets_and_ipv6_hosts(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    f.request.scheme = SLICE("http");
    f.request.authority = SLICE("[::1]:8080");
    assert_string_equal(format_entry("$request $host", &f.entry),
                        "GET http://[::1]:8080/a%20b?c=d&e HTTP/1.1 [::1]");
    f.request.authority = SLICE("[::1]");
    assert_string_equal(format_entry("$host", &f.entry), "[::1]");
}

static void long_values_are_cut(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    char target[ACCESS_VALUE_MAX + 2];
    memset(target, 'x', sizeof(target));
    f.request.target = (struct slice){ target, ACCESS_VALUE_MAX };
    assert_int_equal(strlen(format_entry("$request_uri", &f.entry)), ACCESS_VALUE_MAX);
    f.request.target.len++;
    const char *line = format_entry("$request_uri", &f.entry);
    assert_int_equal(strlen(line), ACCESS_VALUE_MAX + 3);
    assert_string_equal(line + ACCESS_VALUE_MAX - 1, "x...");
}

static void escapes_are_found_at_every_place(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    for (int c = 1; c < 256; c++) {
        for (size_t at = 0; at < 20; at++) {
            char value[32], expected[64];
            memset(value, 'x', sizeof(value));
            value[at] = (char)c;
            value[20] = 0;
            bool is_plain = c >= ' ' && c < 0x7f && c != '"' && c != '\\';
            snprintf(expected, sizeof(expected), is_plain ? "%.*s%c%s" : "%.*s\\x%02X%s", (int)at, value, c,
                     value + at + 1);
            f.request_fields[3] = field("X-Value", value);
            assert_string_equal(format_entry("$http_x_value", &f.entry), expected);
        }
    }
}

static void json_lets_only_utf8_pass(void **state)
{
    (void)state;
    const struct {
        const char *value, *line;
    } cases[] = {
        { "\xe2\x82\xac\xf0\x9f\x98\x80", "\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "\xc0\xaf", "\\ufffd\\ufffd" }, /* longer than needed */
        { "\xe0\x80\xaf", "\\ufffd\\ufffd\\ufffd" },
        { "\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd" }, /* a surrogate */
        { "\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd" },
        { "a\xe2\x82", "a\\ufffd\\ufffd" }, /* cut short */
        { "\x7f\t", "\x7f\\u0009" },
    };
    struct fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        f.request_fields[3] = field("X-Value", cases[i].value);
        assert_string_equal(format_entry("escape=json $http_x_value", &f.entry), cases[i].line);
    }
}

static void dates_are_right_from_the_epoch_on(void **state)
{
    (void)state;
    const struct {
        uint64_t second;
        const char *utc;
    } cases[] = {
        { 0, "1970-01-01T00:00:00.000Z" },          { 951782399, "2000-02-28T23:59:59.000Z" },
        { 951782400, "2000-02-29T00:00:00.000Z" },  { 1709251199, "2024-02-29T23:59:59.000Z" },
        { 1735689599, "2024-12-31T23:59:59.000Z" }, { 4107542400, "2100-03-01T00:00:00.000Z" },
    };
    struct fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        f.entry.now_wall_ns = cases[i].second * NS_PER_S;
        assert_string_equal(format_entry("$weir_time", &f.entry), cases[i].utc);
    }
    f.entry.now_wall_ns = 0;
    assert_string_equal(format_entry("$time_iso8601", &f.entry), "1969-12-31T20:30:00-03:30");
}

static void bad_formats_are_named(void **state)
{
    (void)state;
    char many[ACCESS_FORMAT_TEXT_MAX];
    memset(many, 'x', sizeof(many));
    many[0] = '$';
    many[sizeof(many) - 1] = 0;
    const struct {
        const char *source, *part;
    } cases[] = {
        { "$remote_adr", "unknown variable \"$remote_adr\"; did you mean \"$remote_addr\"?" },
        { "$http_", "$http_NAME" },
        { "a $ b", "must be followed" },
        { "$", "must be followed" },
        { "${status", "closing brace" },
        { "${}", "must be followed" },
        { "jso", "did you mean \"json\"?" },
        { "", "it is combined, json, or a template" },
        { "$status\n", "one line" },
        { many, "too long" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct access_format format;
        struct err err;
        assert_int_equal(access_format_compile(slice_of(cases[i].source), &format, &err), -1);
        if (!strstr(err.text, cases[i].part)) fail_msg("%s: %s", cases[i].source, err.text);
    }
}

static void too_many_variables_are_refused(void **state)
{
    (void)state;
    char source[ACCESS_FORMAT_TEXT_MAX / 2];
    size_t len = 0;
    for (unsigned i = 0; i < ACCESS_FORMAT_OPS_MAX + 1; i++) len += (size_t)snprintf(source + len, 8, "$pid");
    struct access_format format;
    struct err err;
    assert_int_equal(access_format_compile((struct slice){ source, len }, &format, &err), -1);
    assert_int_equal(access_format_compile((struct slice){ source, len - 4 }, &format, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_are_as_in_nginx),
        cmocka_unit_test(combined_is_nginx_combined),
        cmocka_unit_test(json_has_everything),
        cmocka_unit_test(who_it_is_stands_where_nginx_has_it),
        cmocka_unit_test(what_never_came_is_a_dash),
        cmocka_unit_test(without_a_head_the_record_stands_in),
        cmocka_unit_test(absolute_targets_and_ipv6_hosts),
        cmocka_unit_test(long_values_are_cut),
        cmocka_unit_test(escapes_are_found_at_every_place),
        cmocka_unit_test(json_lets_only_utf8_pass),
        cmocka_unit_test(dates_are_right_from_the_epoch_on),
        cmocka_unit_test(bad_formats_are_named),
        cmocka_unit_test(too_many_variables_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
