#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "logs/entry_value.h"
#include "logs/filter.h"

static enum log_field no_field(const void *context, struct slice name)
{
    (void)context;
    return slice_equal(name, SLICE("zone")) ? LOG_FURTHER : LOG_FIELD_MAX;
}

/* 10.1.2.3 "POST /login?x HTTP/1.1" 502, 1500 bytes, 0.750 s, upstream 0.7 */
static struct log_entry entry(void)
{
    struct log_entry e = { 0 };
    e.values[LOG_CLIENT] = SLICE("10.1.2.3");
    e.values[LOG_REQUEST] = SLICE("POST /login?x HTTP/1.1");
    e.values[LOG_STATUS] = SLICE("502");
    e.values[LOG_BODY_BYTES] = SLICE("1500");
    e.values[LOG_REQUEST_TIME] = SLICE("0.750");
    e.values[LOG_AGENT] = SLICE("curl/7.88.1");
    e.values[LOG_HOST] = SLICE("example.com");
    e.values[LOG_FURTHER] = SLICE("eu \"1\"");
    entry_derive(&e);
    e.time_s = 1773309601;
    return e;
}

static bool takes(const char *text)
{
    struct filter *f = NULL;
    struct err err = { "" };
    struct log_entry e = entry();
    assert_int_equal(filter_compile(&f, slice_of(text), &err), 0);
    filter_bind(f, no_field, NULL);
    bool result = filter_takes(f, &e);
    filter_free(f);
    return result;
}

static void records_are_taken_as_the_text_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool takes;
    } cases[] = {
        { "", true },
        { "status==502", true },
        { "status=502", true },
        { "status != 502", false },
        { "status>=500 && path~\"^/login\"", true },
        { "status>=500&&path~\"^/x\"||method==POST", true },
        { "status>=500 && (path~\"^/x\" || method==GET)", false },
        { "!(status<500)", true },
        { "!status<500", true },
        { "request_time>500ms", true },
        { "request_time>0.75", false },
        { "request_time>=0.75", true },
        { "bytes>1KiB", true },
        { "bytes<1KB", false },
        { "client in 10.0.0.0/8", true },
        { "client in (192.0.2.0/24, 10.1.2.3)", true },
        { "client==10.1.2.4", false },
        { "client!=10.1.2.4", true },
        { "method in (GET, POST)", true },
        { "status in (500, 503)", false },
        { "path==/login", true },
        { "target==\"/login?x\"", true },
        { "host!~\"com$\"", false },
        { "agent~\"^curl/\\d\"", true },
        { "zone==\"eu \\\"1\\\"\"", true },
        { "other==x", false },
        { "!other==x", true },
        { "upstream_time>0", false },
        { "upstream_time<=0", false },
        { "time>=2026-03-12T10:00:01Z && time<2026-03-12T11:00:00+00:00", true },
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        if (takes(cases[i].text) != cases[i].takes) fail_msg("%s", cases[i].text);
    }
}

static void mistakes_are_told_with_their_column(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        { "target==/login?x", "column 15: \"?x\" is too much" },
        { "status", "column 7: an operator is missing" },
        { "status>=", "column 9: a value is missing" },
        { "status>=x", "column 9: \"x\" is no status" },
        { "&& status==1", "column 1: a name is missing" },
        { "(status==1", "column 11: a bracket is not closed" },
        { "status==1 path==2", "column 11: \"path==2\" is too much" },
        { "path~\"(\"", "column 6: \"(\" is no regular expression" },
        { "status~5", "column 7: status is no text" },
        { "path<5", "column 5: path is no number" },
        { "client in 10.0.0.1/8", "10.0.0.0/8" },
        { "path==\"x", "column 7: the text that begins here has no closing quote" },
        { "request_time>fast", "is no duration" },
        { "method in (GET", "a list ends with" },
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct filter *f = NULL;
        struct err err = { "" };
        assert_int_equal(filter_compile(&f, slice_of(cases[i].text), &err), -1);
        if (!strstr(err.text, cases[i].says)) fail_msg("%s: %s", cases[i].text, err.text);
    }
}

static void what_is_too_large_is_refused(void **state)
{
    (void)state;
    struct filter *f = NULL;
    struct err err;
    static char text[FILTER_TEXT_MAX + 2];
    memset(text, '!', sizeof(text));
    assert_int_equal(filter_compile(&f, (struct slice){ text, 100 }, &err), -1);
    assert_non_null(strstr(err.text, "nested deeper"));
    memset(text, '(', sizeof(text));
    assert_int_equal(filter_compile(&f, (struct slice){ text, 100 }, &err), -1);
    assert_int_equal(filter_compile(&f, (struct slice){ text, sizeof(text) }, &err), -1);
    size_t len = 0;
    while (len + 20 < FILTER_TEXT_MAX) {
        memcpy(text + len, len ? "&&status==1 " : "  status==1 ", 12);
        len += 12;
    }
    assert_int_equal(filter_compile(&f, (struct slice){ text, len }, &err), -1);
    assert_non_null(strstr(err.text, "more than 128 parts"));
}

static void a_pattern_that_would_take_for_ever_gives_up(void **state)
{
    (void)state;
    struct filter *f = NULL;
    struct err err;
    struct log_entry e = { .path = SLICE(
                               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!") };
    assert_int_equal(filter_compile(&f, SLICE("path~\"^(a+)+$\""), &err), 0);
    assert_false(filter_takes(f, &e));
    filter_free(f);
}

static void bounds_of_time_are_found_in_what_must_hold(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t from_s, to_s;
    } cases[] = { { "status==200", 0, UINT64_MAX },
                  { "time>=100 && time<200 && status==1", 100, 199 },
                  { "time==5", 5, 5 },
                  { "time>100 || status==1", 0, UINT64_MAX },
                  { "!time>100", 0, UINT64_MAX } };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct filter *f = NULL;
        struct err err;
        uint64_t from_s, to_s;
        assert_int_equal(filter_compile(&f, slice_of(cases[i].text), &err), 0);
        filter_time_bounds(f, &from_s, &to_s);
        assert_int_equal(from_s, cases[i].from_s);
        assert_int_equal(to_s, cases[i].to_s);
        filter_free(f);
    }
}

static uint64_t gave_up;

static bool takes_path(const char *text, struct slice path)
{
    struct filter *f = NULL;
    struct err err = { "" };
    struct log_entry e = entry();
    e.path = path;
    assert_int_equal(filter_compile(&f, slice_of(text), &err), 0);
    bool result = filter_takes(f, &e);
    gave_up = filter_gave_up(f);
    filter_free(f);
    return result;
}

static void a_long_path_is_matched_as_a_short_one(void **state)
{
    (void)state;
    size_t len = 60000;
    char *path = malloc(len);
    for (size_t i = 0; i < len; i++) path[i] = i ? 'a' : '/';
    assert_true(takes_path("path~\"^/([^?%]|%..)*$\"", (struct slice){ path, 1400 }));
    assert_false(takes_path("path!~\"^/([^?%]|%..)*$\"", (struct slice){ path, 1400 }));
    assert_int_equal(gave_up, 0);
    free(path);
}

static void what_a_pattern_cannot_tell_is_neither_true_nor_false(void **state)
{
    (void)state;
    static const struct slice path = SLICE(
        "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!");
    static const struct {
        const char *text;
        bool takes;
    } cases[] = {
        { "path~\"^/(a+)+[^!]$\"", false },
        { "path!~\"^/(a+)+[^!]$\"", false },
        { "!(path~\"^/(a+)+[^!]$\")", false },
        { "!(path!~\"^/(a+)+[^!]$\")", false },
        { "status==502 && !(path~\"^/(a+)+[^!]$\")", false },
        { "status==502 || path~\"^/(a+)+[^!]$\"", true },
        { "!(status==200 && path~\"^/(a+)+[^!]$\")", true },
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (takes_path(cases[i].text, path) != cases[i].takes) fail_msg("%s", cases[i].text);
    assert_false(takes_path(cases[2].text, path));
    assert_int_equal(gave_up, 1);
}

static void names_that_a_format_never_says_are_told(void **state)
{
    (void)state;
    struct line_format format;
    struct filter *f = NULL;
    struct err err;
    assert_int_equal(line_format_compile(&format, slice_of(line_format_combined), LINE_ESCAPE_DEFAULT, &err),
                     0);
    static const struct {
        const char *text, *unsaid;
    } cases[] = { { "status>=500 && path~x && method==GET && bytes>1 && time>5 && client in 10.0.0.0/8", "" },
                  { "agent~curl || target==\"/\"", "" },
                  { "status>=500 || request_time>500", "request_time" },
                  { "$zone==eu", "zone" } };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(filter_compile(&f, slice_of(cases[i].text), &err), 0);
        assert_true(slice_equal(filter_unsaid(f, &format), slice_of(cases[i].unsaid)));
        filter_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_taken_as_the_text_says),
        cmocka_unit_test(mistakes_are_told_with_their_column),
        cmocka_unit_test(what_is_too_large_is_refused),
        cmocka_unit_test(a_pattern_that_would_take_for_ever_gives_up),
        cmocka_unit_test(bounds_of_time_are_found_in_what_must_hold),
        cmocka_unit_test(a_long_path_is_matched_as_a_short_one),
        cmocka_unit_test(what_a_pattern_cannot_tell_is_neither_true_nor_false),
        cmocka_unit_test(names_that_a_format_never_says_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
