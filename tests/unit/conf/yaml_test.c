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

/* The tree in one line: plain, 'quoted', null as ~, places as @line:column where `with_places`. */
static void show(const struct conf_node *node, bool with_places, FILE *out)
{
    if (with_places) fprintf(out, "@%u:%u ", node->place.line, node->place.column);
    if (node->kind == CONF_NODE_NULL) fputc('~', out);
    if (node->kind == CONF_NODE_SCALAR)
        fprintf(out, node->is_quoted ? "'%.*s'" : "%.*s", SLICE_ARGS(node->text));
    if (node->kind != CONF_NODE_LIST && node->kind != CONF_NODE_MAP) return;
    fputc(node->kind == CONF_NODE_LIST ? '[' : '{', out);
    for (const struct conf_node *n = node->first_child; n; n = n->next) {
        if (n != node->first_child) fputs(", ", out);
        if (n->key_place.line) fprintf(out, "%.*s: ", SLICE_ARGS(n->key));
        show(n, with_places, out);
    }
    fputc(node->kind == CONF_NODE_LIST ? ']' : '}', out);
}

static void expect_tree(const char *source, bool with_places, const char *expected)
{
    struct conf_tree tree;
    char *text = NULL;
    size_t len;
    if (conf_read_yaml(&tree, "t.yaml", slice_of(source), &faults) < 0) {
        text = conf_faults_print(&faults, &tree, false);
        fail_msg("%s", text);
    }
    FILE *out = open_memstream(&text, &len);
    show(tree.root, with_places, out);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
    conf_tree_free(&tree);
}

static void refuse(const char *source, const char *expected)
{
    struct conf_tree tree;
    assert_int_equal(conf_read_yaml(&tree, "t.yaml", slice_of(source), &faults), -1);
    expect_faults(&tree, true, expected);
    conf_tree_free(&tree);
}

static void yaml_becomes_a_tree(void **state)
{
    (void)state;
    expect_tree("", false, "~");
    expect_tree("# nothing\n", false, "~");
    expect_tree("a", false, "a");
    expect_tree("a: 1\nb: [x, 'y', \"z\\n\"]\nc: {d: ~, e: null, f: 'null', g: }\n", false,
                "{a: 1, b: [x, 'y', 'z\n'], c: {d: ~, e: ~, f: 'null', g: ~}}");
    expect_tree("- |\n  one\n  two\n- >\n  a\n  b\n- - 1\n  - 2\n", false, "['one\ntwo\n', 'a b\n', [1, 2]]");
    expect_tree("\"a\\u00e9\": \"\\U0001F600\"", false, "{a\xc3\xa9: '\xf0\x9f\x98\x80'}");
    expect_tree("---\na: b\n...\n", false, "{a: b}");
}

static void places_are_counted_in_characters(void **state)
{
    (void)state;
    expect_tree("h\xc3\xa9: [a, \xe2\x82\xac, b]\r\nc:\r\n  - d\r\n", true,
                "@1:1 {h\xc3\xa9: @1:5 [@1:6 a, @1:9 \xe2\x82\xac, @1:12 b], c: @3:3 [@3:5 d]}");
    expect_tree("\xef\xbb\xbf"
                "a: b",
                true, "@1:1 {a: @1:4 b}");
    expect_tree("a: \"x\xc2\x85y\xe2\x80\xa8z\"\nb: c", true, "@1:1 {a: @1:4 'x y\xe2\x80\xa8z', b: @2:4 c}");
}

static void what_yaml_has_too_much_of_is_refused(void **state)
{
    (void)state;
    refuse("a: &x 1\nb: *x\n",
           "t.yaml:1:4: anchors are not supported; write the value out where it is needed\n"
           "t.yaml:2:4: aliases are not supported; write the value out, or put text that begins "
           "with * in quotes\n");
    refuse("a: !!str 1\n",
           "t.yaml:1:4: tags like tag:yaml.org,2002:str are not supported; remove it; text that looks "
           "like a number goes in quotes\n");
    refuse("%TAG !a! b\n---\na: 1\n", "t.yaml:1:1: tags are not supported; remove it\n");
    refuse("<<: {a: 1}\n", "t.yaml:1:1: merge keys are not supported; write the keys out\n");
    refuse("a: 1\n---\nb: 1\n", "t.yaml:2:1: a second document begins here; keep one document\n");
    refuse("[a]: 1\n",
           "t.yaml:1:1: a key must be text, not a list; put text that begins with a bracket in quotes\n");
}

static void keys_given_twice_are_refused_all_at_once(void **state)
{
    (void)state;
    refuse("a: 1\nb: {x: 1, y: 2, x: 3}\na: 2\na: 3\n",
           "t.yaml:2:17: key \"x\" was given before, at line 2; keep one of them\n"
           "t.yaml:3:1: key \"a\" was given before, at line 1; keep one of them\n"
           "t.yaml:4:1: key \"a\" was given before, at line 3; keep one of them\n");
}

static void broken_yaml_says_where(void **state)
{
    (void)state;
    struct conf_tree tree;
    refuse("a: [1, 2\nb: 3\n",
           "t.yaml:2:2: not correct YAML: did not find expected ',' or ']' while parsing a flow "
           "sequence that begins at line 1; check indentation, colons, quotes and brackets\n");
    refuse("a: \xff\n",
           "t.yaml:1:4: not UTF-8 text: invalid leading UTF-8 octet; save the file as UTF-8 text\n");
    refuse("a: @x\n",
           "t.yaml:1:4: not correct YAML: found character that cannot start any token while scanning for "
           "the next token; put the text in quotes\n");
    assert_int_equal(conf_read_yaml(&tree, "t.yaml", slice_of("a:\n\tb: 1\n"), &faults), -1);
    expect_faults(
        &tree, false,
        "t.yaml:2:1: not correct YAML: found character that cannot start any token while scanning for the "
        "next token; indent with spaces instead of tabs\n  \tb: 1\n  ^\n");
    conf_tree_free(&tree);
}

static char *repeat(const char *text, size_t count)
{
    size_t len = strlen(text);
    char *all = malloc(len * count + 1);
    assert_non_null(all);
    for (size_t i = 0; i < count; i++) memcpy(all + i * len, text, len);
    all[len * count] = 0;
    return all;
}

static void size_depth_and_number_are_bounded(void **state)
{
    (void)state;
    char *deep = repeat("[", 40), *many = repeat("- a\n", 100001), *large = repeat("#234567\n", 524289);
    refuse(deep, "t.yaml:1:33: lists and maps are nested more than 32 deep\n");
    refuse(many, "t.yaml:100000:3: there are more than 100000 values; split it up\n");
    refuse(large, "t.yaml:1:1: 4194312 bytes are more than the 4 MiB that are read\n");
    free(deep);
    free(many);
    free(large);
}

static void many_keys_and_many_doubles_take_no_time(void **state)
{
    (void)state;
    struct conf_tree tree;
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    for (int i = 0; i < 90000; i++) fprintf(out, "k%d: 1\n", i % 45000);
    fclose(out);
    assert_int_equal(conf_read_yaml(&tree, "t.yaml", (struct slice){ text, len }, &faults), -1);
    assert_int_equal(faults.count, 64);
    assert_int_equal(faults.dropped, 45000 - 64);
    assert_int_equal(faults.items[0].place.line, 45001);
    faults = (struct conf_faults){ 0 };
    conf_tree_free(&tree);
    free(text);
}

static void a_long_line_is_shown_around_the_fault(void **state)
{
    (void)state;
    struct conf_tree tree;
    char *spaces = repeat("1234567, ", 40), *text = NULL;
    if (asprintf(&text, "[%s\t*x, %s]", spaces, spaces) < 0) fail();
    assert_int_equal(conf_read_yaml(&tree, "t.yaml", slice_of(text), &faults), -1);
    char *shown = conf_faults_print(&faults, &tree, false);
    const char *line = strchr(shown, '\n') + 1, *caret = strchr(line, '\n') + 1;
    assert_int_equal(strcspn(line, "\n"), 2 + 100);
    assert_int_equal(line[strcspn(caret, "^")], '*');
    faults = (struct conf_faults){ 0 };
    conf_tree_free(&tree);
    free(shown);
    free(text);
    free(spaces);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_becomes_a_tree),
        cmocka_unit_test(places_are_counted_in_characters),
        cmocka_unit_test(what_yaml_has_too_much_of_is_refused),
        cmocka_unit_test(keys_given_twice_are_refused_all_at_once),
        cmocka_unit_test(broken_yaml_says_where),
        cmocka_unit_test(size_depth_and_number_are_bounded),
        cmocka_unit_test(many_keys_and_many_doubles_take_no_time),
        cmocka_unit_test(a_long_line_is_shown_around_the_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
