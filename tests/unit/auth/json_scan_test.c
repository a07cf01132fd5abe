#include "auth/json_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* "key=kind:text;" for each member, and "!" where it breaks. */
static const char *tell(const char *json)
{
    static char memory[1024];
    static const char *const kinds[] = { "string", "number", "word", "array", "object" };
    struct text t = text_over(memory, sizeof(memory));
    struct json_scan s;
    struct json_scan_value value;
    struct slice key;
    json_scan_object(&s, slice_of(json));
    while (json_scan_next(&s, &key, &value)) {
        text_add_slice(&t, key);
        text_printf(&t, "=%s:", kinds[value.kind]);
        text_add_slice(&t, value.text);
        text_add_char(&t, ';');
    }
    if (s.is_broken) text_add_char(&t, '!');
    assert_false(json_scan_next(&s, &key, &value));
    return text_cstr(&t);
}

static void members_are_told_one_after_the_other(void **state)
{
    (void)state;
    assert_string_equal(tell("{}"), "");
    assert_string_equal(tell(" { } "), "");
    assert_string_equal(tell("{\"a\":1}"), "a=number:1;");
    assert_string_equal(tell("{ \"a\" : \"b\" ,\n\"c\":[1, {\"d\":[]}] , \"e\": {\"f\":null}, \"g\":true}"),
                        "a=string:b;c=array:[1, {\"d\":[]}];e=object:{\"f\":null};g=word:true;");
    assert_string_equal(tell("{\"a\":-0.5e+3,\"b\":0,\"c\":\"\"}"), "a=number:-0.5e+3;b=number:0;c=string:;");
}

static void what_is_no_json_breaks(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "[]",
                                       "{",
                                       "{\"a\"}",
                                       "{\"a\":}",
                                       "{a:1}",
                                       "{} {}",
                                       "{}x",
                                       "{\"a\":01}",
                                       "{\"a\":.5}",
                                       "{\"a\":+1}",
                                       "{\"a\":tru}",
                                       "{\"a\":\"\n\"}",
                                       "{\"a\":\"\\x\"}",
                                       "{\"a\":\"\\u12\"}",
                                       "{\"a\":\"\\ud800\"}",
                                       "{\"a\":\"\\udc00\"}",
                                       "{\"a\":\"\\ud800\\u0041\"}",
                                       "{\"a\":\"\xff\"}",
                                       "{\"a\":\"b}",
                                       "{\"a\":[1,]}",
                                       "{\"a\":[1 2]}",
                                       "{\"a\":[}",
                                       "{\"a\":{\"b\":1]}",
                                       "{,\"a\":1}",
                                       "{\"a\" 1}" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (strcmp(tell(bad[i]), "!") != 0) fail_msg("%s: %s", bad[i], tell(bad[i]));
    assert_string_equal(tell("{\"a\":1,}"), "a=number:1;!");
    assert_string_equal(tell("{\"a\":1 \"b\":2}"), "a=number:1;!");
    assert_string_equal(tell("{\"a\":1]"), "a=number:1;!");
    assert_string_equal(tell("{\"a\":1"), "a=number:1;!");
}

static void depth_is_bounded(void **state)
{
    (void)state;
    char text[128];
    for (unsigned depth = 1; depth <= 20; depth++) {
        memcpy(text, "{\"a\":", 5);
        memset(text + 5, '[', depth);
        memset(text + 5 + depth, ']', depth);
        strcpy(text + 5 + 2 * depth, "}");
        size_t len = strlen(tell(text));
        assert_int_equal(tell(text)[len - 1] == '!', depth > JSON_SCAN_DEPTH_MAX);
    }
}

static void strings_are_compared_and_copied_by_what_they_say(void **state)
{
    (void)state;
    char memory[64];
    struct text t = text_over(memory, sizeof(memory));
    struct slice written = SLICE("a\\u0041\\n\\u00e9\\ud83d\\ude00\xc3\xa9\\/");
    json_scan_put(written, &t);
    assert_string_equal(text_cstr(&t), "aA\n\xc3\xa9\xf0\x9f\x98\x80\xc3\xa9/");
    assert_true(json_scan_is(written, SLICE("aA\n\xc3\xa9\xf0\x9f\x98\x80\xc3\xa9/")));
    assert_false(json_scan_is(written, SLICE("aA\n\xc3\xa9\xf0\x9f\x98\x80\xc3\xa9")));
    assert_false(json_scan_is(SLICE("a"), SLICE("ab")));
    assert_false(json_scan_is(SLICE("ab"), SLICE("a")));
    assert_true(json_scan_is(SLICE(""), SLICE("")));
    assert_true(json_scan_is(SLICE("\\u0000"), SLICE("\0")));
}

static void arrays_are_told_likewise(void **state)
{
    (void)state;
    struct json_scan s;
    struct json_scan_value value;
    struct slice key;
    json_scan_array(&s, SLICE("[\"a\", [1,2], {\"b\":3}]"));
    assert_true(json_scan_next(&s, &key, &value));
    assert_true(slice_equal(value.text, SLICE("a")));
    assert_true(json_scan_next(&s, &key, &value));
    assert_true(slice_equal(value.text, SLICE("[1,2]")));
    assert_true(json_scan_next(&s, &key, &value));
    assert_int_equal(value.kind, JSON_SCAN_OBJECT);
    assert_false(json_scan_next(&s, &key, &value));
    assert_false(s.is_broken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_told_one_after_the_other),
        cmocka_unit_test(what_is_no_json_breaks),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(strings_are_compared_and_copied_by_what_they_say),
        cmocka_unit_test(arrays_are_told_likewise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
