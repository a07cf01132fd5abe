#include "conf/node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Faults of one read or decoding, printed. */
static struct conf_faults faults;

static void expect_faults(const struct conf_tree *tree, bool is_brief, const char *expected)
{
    char *text = conf_faults_print(&faults, tree, is_brief);
    faults = (struct conf_faults){ 0 };
    assert_string_equal(text, expected);
    free(text);
}

#define C(literal)                   \
    {                                \
        literal, sizeof(literal) - 1 \
    } /* with zero bytes */

static int read_json(struct slice source, struct conf_tree *tree)
{
    int result = conf_read_json(tree, "body", source, &faults);
    assert_int_equal(result, faults.count ? -1 : 0);
    return result;
}

/* Both tables agree with Python's json.loads(), where that is told to refuse NaN, keys given twice and
 * halves of surrogate pairs. */
static void correct_json_is_read(void **state)
{
    (void)state;
    static const struct slice cases[] = {
        C("null"),
        C("true"),
        C("false"),
        C("0"),
        C("-0"),
        C("1.0"),
        C("1e5"),
        C("1E+5"),
        C("1e-5"),
        C("123456789012345678901234567890"),
        C("1e999"),
        C("\"\""),
        C("\"\\\\\""),
        C("\"\\u0041\""),
        C("\"\\u00e9\""),
        C("\"\\u0000\""),
        C("\"\\ud83d\\ude00\""),
        C("\"\\uD83D\\uDE00\""),
        C("\"\\/\""),
        C("\"\\b\\f\\n\\r\\t\""),
        C("\"\x7f\""),
        C("\"\xc3\xa9\""),
        C("\"\xf4\x8f\xbf\xbf\""),
        C("\"\xe2\x80\xa8\""),
        C("[]"),
        C("[ ]"),
        C("[1]"),
        C("[[]]"),
        C("[[],[]]"),
        C("{}"),
        C("{ }"),
        C("{\"a\":1}"),
        C("{\"a\":1,\"b\":2}"),
        C("{\"\":1}"),
        C("{\"a\":{\"b\":[{}]}}"),
        C(" 1 "),
        C("\x09\x0d\x0a 1"),
        C("\xef\xbb\xbf"
          "1"),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct conf_tree tree;
        if (read_json(cases[i], &tree) < 0) fail_msg("%s: %s", cases[i].data, faults.items[0].message);
        conf_tree_free(&tree);
    }
}

static void what_is_not_json_is_refused(void **state)
{
    (void)state;
    static const struct slice cases[] = {
        C("tru"),
        C("nul"),
        C("True"),
        C("-"),
        C("+1"),
        C("01"),
        C("-01"),
        C("1."),
        C(".1"),
        C("1e"),
        C("1e+"),
        C("1.e1"),
        C("0x10"),
        C("1_000"),
        C("NaN"),
        C("Infinity"),
        C("-Infinity"),
        C("\""),
        C("\"a"),
        C("\"\\\""),
        C("\"\\"),
        C("\"\\u\""),
        C("\"\\u12\""),
        C("\"\\u12g4\""),
        C("\"\\ud83d\""),
        C("\"\\ude00\""),
        C("\"\\ud83d\\ud83d\""),
        C("\"\\ud83dx\""),
        C("\"\\ud83d\\n\""),
        C("\"\\x41\""),
        C("\"\\a\""),
        C("'a'"),
        C("\"a\x0a"
          "b\""),
        C("\"a\x09"
          "b\""),
        C("\"\x00\""),
        C("\"\x1f\""),
        C("\"\xff\""),
        C("\"\xc0\xaf\""),
        C("\"\xed\xa0\x80\""),
        C("\"\xf4\x90\x80\x80\""),
        C("\"\xe2\x82\""),
        C("["),
        C("]"),
        C("[1,]"),
        C("[,1]"),
        C("[,]"),
        C("[1 2]"),
        C("[1,2"),
        C("[1}"),
        C("[[],]"),
        C("[1,,2]"),
        C("[\"a\"\"b\"]"),
        C("{"),
        C("}"),
        C("{\"a\":1,}"),
        C("{,\"a\":1}"),
        C("{\"a\"}"),
        C("{\"a\":}"),
        C("{\"a\" 1}"),
        C("{a:1}"),
        C("{'a':1}"),
        C("{1:1}"),
        C("{\"a\":1 \"b\":2}"),
        C("{\"a\":1,\"a\":2}"),
        C("{\"a\":1]"),
        C("{\"a\":1}}"),
        C("{\"a\"::1}"),
        C("{\"a\":1;\"b\":2}"),
        C("{\"\\u0061\":1,\"a\":2}"),
        C(""),
        C(" "),
        C("\x0a"),
        C("\x0b"
          "1"),
        C("\x0c"
          "1"),
        C("\xc2\xa0"
          "1"),
        C("1 2"),
        C("1,"),
        C("[] []"),
        C("// x\x0a"
          "1"),
        C("/* x */1"),
        C("#1"),
        C("1\x00"),
        C("\x00"),
        C("true1"),
        C("truefalse"),
        C("nulll"),
        C("\"a\" \"b\""),
        C("\xef\xbb\xbf"),
        C("1 \xef\xbb\xbf"),
        C("[1\xff]"),
        C("\xff"),
        C("-a"),
        C("--1"),
        C("1-"),
        C("1+1"),
        C("[-]"),
        C("[1.]"),
        C("[1e]"),
        C("[0,00]"),
        C("{\"a\":tru}"),
        C("{\"a\":\"b}"),
        C("[*]"),
        C("undefined"),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct conf_tree tree;
        if (read_json(cases[i], &tree) == 0) fail_msg("%s was read", cases[i].data);
        faults = (struct conf_faults){ 0 };
        conf_tree_free(&tree);
    }
}

static const struct conf_node *first_of(struct conf_tree *tree, const char *source)
{
    if (read_json(slice_of(source), tree) < 0) fail_msg("%s: %s", source, faults.items[0].message);
    return tree->root->first_child;
}

static void numbers_stay_text_and_strings_are_quoted(void **state)
{
    (void)state;
    struct conf_tree tree;
    const struct conf_node *n = first_of(&tree, "[1e999, \"1\", true, null]");
    assert_string_equal(n->text.data, "1e999");
    assert_false(n->is_quoted);
    n = n->next;
    assert_string_equal(n->text.data, "1");
    assert_true(n->is_quoted);
    n = n->next;
    assert_string_equal(n->text.data, "true");
    assert_false(n->is_quoted);
    assert_int_equal(n->next->kind, CONF_NODE_NULL);
    assert_null(n->next->next);
    conf_tree_free(&tree);
}

static void escapes_are_joined(void **state)
{
    (void)state;
    struct conf_tree tree;
    const struct conf_node *n = first_of(
        &tree, "[\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\\/\\b\\f\\n\\r\\t\\\"\\\\\", \"a\\u0000b\"]");
    assert_string_equal(n->text.data, "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80/\b\f\n\r\t\"\\");
    assert_int_equal(n->next->text.len, 3);
    assert_memory_equal(n->next->text.data, "a\0b", 3);
    conf_tree_free(&tree);
}

static void places_are_counted_in_characters(void **state)
{
    (void)state;
    struct conf_tree tree;
    const struct conf_node *n = first_of(&tree, "{\"h\xc3\xa9\": 1,\r\n  \"b\": [2]}");
    assert_int_equal(n->key_place.column, 2);
    assert_int_equal(n->place.column, 8);
    n = n->next;
    assert_int_equal(n->key_place.line, 2);
    assert_int_equal(n->key_place.column, 3);
    assert_int_equal(n->first_child->place.column, 9);
    conf_tree_free(&tree);
}

static void faults_say_what_was_expected_and_found(void **state)
{
    (void)state;
    static const struct {
        const char *source, *printed;
    } cases[] = {
        { "{\"a\": 1\n \"b\": 2}",
          "body:2:2: not correct JSON: expected a comma or }, found \"\n   \"b\": 2}\n   ^\n" },
        { "[1, ]", "body:1:5: not correct JSON: expected a value, found ]\n  [1, ]\n      ^\n" },
        { "[1", "body:1:3: not correct JSON: expected a comma or ], but the text ends here\n  [1\n    ^\n" },
        { "[1] x", "body:1:5: not correct JSON: expected nothing more, found x\n  [1] x\n      ^\n" },
        { "[\"\\ud800\"]",
          "body:1:3: not correct JSON: half of a surrogate pair is not a character; write both "
          "halves, or the character\n  [\"\\ud800\"]\n    ^\n" },
        { "\"\xff\"", "body:1:2: the byte 0xff here is not UTF-8; send UTF-8\n  \"?\"\n   ^\n" },
        { "[\"a", "body:1:2: not correct JSON: the string that begins here has no end\n  [\"a\n   ^\n" },
        { "[01]", "body:1:2: not correct JSON: not a number\n  [01]\n   ^\n" },
        { "{\"a\": 1, \"\\u0061\": 2}", "body:1:10: key \"a\" was given before, at line 1; keep one of them\n"
                                        "  {\"a\": 1, \"\\u0061\": 2}\n           ^\n" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct conf_tree tree;
        assert_int_equal(read_json(slice_of(cases[i].source), &tree), -1);
        expect_faults(&tree, false, cases[i].printed);
        conf_tree_free(&tree);
    }
}

static void depth_is_bounded(void **state)
{
    (void)state;
    struct conf_tree tree;
    char source[100];
    memset(source, '[', 32);
    memset(source + 32, ']', 32);
    assert_int_equal(read_json((struct slice){ source, 64 }, &tree), 0);
    conf_tree_free(&tree);
    memset(source, '[', 33);
    assert_int_equal(read_json((struct slice){ source, 33 }, &tree), -1);
    expect_faults(&tree, true, "body:1:33: lists and maps are nested more than 32 deep\n");
    conf_tree_free(&tree);
}

static void the_number_of_values_is_bounded(void **state)
{
    (void)state;
    static char source[2 * 100001];
    struct conf_tree tree;
    for (size_t i = 0; i < sizeof(source); i += 2) memcpy(source + i, "1,", 2);
    source[0] = '[';
    source[1] = ' ';
    assert_int_equal(read_json((struct slice){ source, sizeof(source) }, &tree), -1);
    expect_faults(&tree, true, "body:1:200001: there are more than 100000 values; split it up\n");
    conf_tree_free(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(correct_json_is_read),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(numbers_stay_text_and_strings_are_quoted),
        cmocka_unit_test(escapes_are_joined),
        cmocka_unit_test(places_are_counted_in_characters),
        cmocka_unit_test(faults_say_what_was_expected_and_found),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(the_number_of_values_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
