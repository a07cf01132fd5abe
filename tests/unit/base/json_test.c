#include "base/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(struct json *j, const char *text)
{
    char *written = json_take(j, NULL);
    assert_non_null(written);
    assert_string_equal(written, text);
    free(written);
}

static void commas_come_by_themselves(void **state)
{
    (void)state;
    struct json j;
    json_init(&j, 1000, false);
    json_object(&j);
    json_key(&j, "a");
    json_u64(&j, UINT64_MAX);
    json_key(&j, "b");
    json_array(&j);
    json_i64(&j, -1);
    json_bool(&j, true);
    json_object(&j);
    json_object_end(&j);
    json_null(&j);
    json_string(&j, NULL);
    json_printf(&j, "%d\"", 7);
    json_raw(&j, SLICE("[1]"));
    json_array_end(&j);
    json_key(&j, "c");
    json_bool(&j, false);
    json_object_end(&j);
    expect(&j, "{\"a\":18446744073709551615,\"b\":[-1,true,{},null,null,\"7\\\"\",[1]],\"c\":false}");
}

static void indented_text_is_for_people(void **state)
{
    (void)state;
    struct json j;
    json_init(&j, 1000, true);
    json_object(&j);
    json_key(&j, "a");
    json_array(&j);
    json_u64(&j, 1);
    json_u64(&j, 2);
    json_array_end(&j);
    json_key(&j, "b");
    json_object(&j);
    json_object_end(&j);
    json_object_end(&j);
    expect(&j, "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}");
}

static void strings_are_escaped_and_made_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *value, *text;
    } cases[] = {
        { "", "\"\"" },
        { "a\"b\\c\n\r\t\x01\x7f", "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u007f\"" },
        { "h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" },
        { "\xff"
          "a",
          "\"\xef\xbf\xbd"
          "a\"" },
        { "\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },                 /* overlong */
        { "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" }, /* a surrogate */
        { "\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },                 /* cut */
        { "\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct json j;
        json_init(&j, 1000, false);
        json_string(&j, cases[i].value);
        expect(&j, cases[i].text);
    }
}

static void doubles_read_back_as_the_same_number(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = { { 0, "0" },          { 0.1, "0.1" },
                  { 1e300, "1e+300" }, { 1.0 / 3, "0.3333333333333333" },
                  { NAN, "null" },     { INFINITY, "null" } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct json j;
        json_init(&j, 1000, false);
        json_double(&j, cases[i].value);
        expect(&j, cases[i].text);
    }
}

static void text_over_the_bound_is_no_text(void **state)
{
    (void)state;
    struct json j;
    json_init(&j, 10, false);
    json_array(&j);
    json_string(&j, "12345");
    assert_false(j.is_failed);
    json_string(&j, "6");
    assert_true(j.is_failed);
    json_array_end(&j);
    assert_null(json_take(&j, NULL));
}

static void text_grows_up_to_the_bound(void **state)
{
    (void)state;
    struct json j;
    size_t len;
    json_init(&j, 100002, false);
    json_array(&j);
    for (int i = 0; i < 50000; i++) json_u64(&j, 1);
    json_array_end(&j);
    char *text = json_take(&j, &len);
    assert_non_null(text);
    assert_int_equal(len, 100001);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_come_by_themselves),
        cmocka_unit_test(indented_text_is_for_people),
        cmocka_unit_test(strings_are_escaped_and_made_utf8),
        cmocka_unit_test(doubles_read_back_as_the_same_number),
        cmocka_unit_test(text_over_the_bound_is_no_text),
        cmocka_unit_test(text_grows_up_to_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
