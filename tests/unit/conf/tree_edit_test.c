#include "conf/tree_edit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "conf/edited_conf.h"
#include "conf/tree_pointer.h"

static void print(const struct conf_node *n, struct text *t)
{
    if (n->kind == CONF_NODE_NULL) TEXT_LITERAL(t, "null");
    if (n->kind == CONF_NODE_SCALAR) text_add_slice(t, n->text);
    if (n->kind == CONF_NODE_MAP) text_add_char(t, '{');
    if (n->kind == CONF_NODE_LIST) text_add_char(t, '[');
    for (const struct conf_node *c = n->first_child; c; c = c->next) {
        if (n->kind == CONF_NODE_MAP) text_printf(t, "%.*s:", SLICE_ARGS(c->key));
        print(c, t);
        if (c->next) text_add_char(t, ' ');
    }
    if (n->kind == CONF_NODE_MAP) text_add_char(t, '}');
    if (n->kind == CONF_NODE_LIST) text_add_char(t, ']');
}

static char memory[4096];
static struct conf_edit_result result;
static struct err err;

/* The tree that the edit makes of the source; what is refused: "fate: sentence". */
static const char *edited(const char *source, const char *edit)
{
    struct conf_tree tree;
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    assert_non_null(faults);
    assert_int_equal(conf_read_yaml(&tree, "weir.yaml", slice_of(source), faults), 0);
    struct text t = text_over(memory, sizeof(memory));
    if (conf_tree_edit(&tree, &root_type, edit, &result, &err) < 0)
        text_printf(&t, "%u: %s", result.fate, err.text);
    else
        print(tree.root, &t);
    conf_tree_free(&tree);
    free(faults);
    return text_cstr(&t);
}

static const char source[] = "pools: {web: {servers: [\"a:1\", {name: big, address: \"b:1\"}]}}";

#define EDIT(verb, path, value) "{\"verb\": \"" verb "\", \"path\": " path ", \"value\": " value "}"
#define REMOVE(path) "{\"verb\": \"remove\", \"path\": " path "}"

static void an_object_is_made_of_nothing_where_there_is_none(void **state)
{
    (void)state;
    assert_string_equal(edited("{}", EDIT("put", "[\"pools\", \"web\"]", "{\"servers\": [\"a:1\"]}")),
                        "{pools:{web:{servers:[a:1]}}}");
    assert_int_equal(result.fate, CONF_EDIT_CREATED);
    assert_string_equal(result.pointer, "/pools/web");
    assert_string_equal(
        edited("{}", EDIT("create", "[\"gate\", \"deny\", \"10.0.0.0/8\"]", "\"10.0.0.0/8\"")),
        "{gate:{deny:[10.0.0.0/8]}}");
    assert_string_equal(edited("{}", EDIT("put", "[\"gate\"]", "{\"deny\": []}")), "{gate:{deny:[]}}");
    assert_string_equal(result.pointer, "/gate");
}

static void an_element_keeps_its_name_and_place(void **state)
{
    (void)state;
    assert_string_equal(
        edited(source, EDIT("put", "[\"pools\", \"web\", \"servers\", \"a:1\"]", "{\"address\": \"c:1\"}")),
        "{pools:{web:{servers:[{name:a:1 address:c:1} {name:big address:b:1}]}}}");
    assert_int_equal(result.fate, CONF_EDIT_CHANGED);
    assert_string_equal(result.pointer, "/pools/web/servers/0");
    assert_string_equal(edited(source, EDIT("merge", "[\"pools\", \"web\", \"servers\", \"big\"]",
                                            "{\"w\": 2, \"x\": null}")),
                        "{pools:{web:{servers:[a:1 {name:big address:b:1 w:2}]}}}");
    assert_string_equal(edited(source, EDIT("create", "[\"pools\", \"web\", \"servers\", \"n\"]", "\"c:1\"")),
                        "{pools:{web:{servers:[a:1 {name:big address:b:1} {name:n address:c:1}]}}}");
    assert_string_equal(result.pointer, "/pools/web/servers/2");
    edited(source, EDIT("put", "[\"pools\", \"web\"]", "{\"name\": \"other\"}"));
    assert_int_equal(result.fate, CONF_EDIT_UNFIT);
    assert_non_null(strstr(err.text, "\"other\""));
    assert_string_equal(edited(source, EDIT("put", "[\"pools\", \"web\"]", "{\"name\": \"web\"}")),
                        "{pools:{web:{}}}");
}

static void an_element_without_a_name_goes_by_another_key(void **state)
{
    (void)state;
    static const char pairs[] = "pairs: [{cert: /a, key: /k}, {hosts: [x.org, y.org]}, {hosts: z.org}]";
    assert_string_equal(edited(pairs, EDIT("merge", "[\"pairs\", \"/a\"]", "{\"key\": \"/l\"}")),
                        "{pairs:[{cert:/a key:/l} {hosts:[x.org y.org]} {hosts:z.org}]}");
    assert_string_equal(edited(pairs, REMOVE("[\"pairs\", \"x.org\"]")),
                        "{pairs:[{cert:/a key:/k} {hosts:z.org}]}");
    assert_string_equal(edited(pairs, REMOVE("[\"pairs\", \"z.org\"]")),
                        "{pairs:[{cert:/a key:/k} {hosts:[x.org y.org]}]}");
    assert_string_equal(edited("{}", EDIT("create", "[\"pairs\", \"/b\"]", "{\"cert\": \"/b\"}")),
                        "{pairs:[{cert:/b}]}");
    edited(pairs, REMOVE("[\"pairs\", \"y.org\"]"));
    assert_int_equal(result.fate, CONF_EDIT_ABSENT);
    edited(pairs, EDIT("put", "[\"pairs\", \"/a\"]", "{\"cert\": \"/b\", \"key\": \"/k\"}"));
    assert_int_equal(result.fate, CONF_EDIT_UNFIT);
    assert_string_equal(err.text,
                        "The path says \"/a\", but what would be there is \"/b\" by its `cert`: add "
                        "the one and take the other out.");
    edited(pairs, EDIT("put", "[\"pairs\", \"/a\"]", "{\"key\": \"/k\"}"));
    assert_int_equal(result.fate, CONF_EDIT_UNFIT);
    assert_string_equal(err.text, "A pair needs its `cert`, by which the path goes.");
}

static void a_merge_is_that_of_rfc_7396(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        /* its appendix A, with keys for all of it */
        { "{a: b}", "{\"a\": \"c\"}", "{a:c}" },
        { "{a: b}", "{\"b\": \"c\"}", "{a:b b:c}" },
        { "{a: b}", "{\"a\": null}", "{}" },
        { "{a: b, b: c}", "{\"a\": null}", "{b:c}" },
        { "{a: [b]}", "{\"a\": \"c\"}", "{a:c}" },
        { "{a: c}", "{\"a\": [\"b\"]}", "{a:[b]}" },
        { "{a: {b: c}}", "{\"a\": {\"b\": \"d\", \"c\": null}}", "{a:{b:d}}" },
        { "{a: [{b: c}]}", "{\"a\": [1]}", "{a:[1]}" },
        { "{e: null}", "{\"a\": 1}", "{e:null a:1}" },
        { "{}", "{\"a\": {\"bb\": {\"ccc\": null}}}", "{a:{bb:{}}}" },
        /* and a key that begins like another */
        { "{a: b}", "{\"a\\u0000b\": null}", "{a:b}" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char from[256], edit[256], wanted[256];
        snprintf(from, sizeof(from), "pools: {web: %s}", cases[i][0]);
        snprintf(edit, sizeof(edit), EDIT("merge", "[\"pools\", \"web\"]", "%s"), cases[i][1]);
        snprintf(wanted, sizeof(wanted), "{pools:{web:%s}}", cases[i][2]);
        assert_string_equal(edited(from, edit), wanted);
    }
}

static void what_is_removed_is_gone(void **state)
{
    (void)state;
    assert_string_equal(edited(source, REMOVE("[\"pools\", \"web\", \"servers\", \"a:1\"]")),
                        "{pools:{web:{servers:[{name:big address:b:1}]}}}");
    assert_string_equal(edited(source, REMOVE("[\"pools\", \"web\"]")), "{pools:{}}");
    assert_string_equal(edited("gate: {deny: []}", REMOVE("[\"gate\"]")), "{}");
}

static void what_does_not_fit_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *edit;
        uint32_t fate;
    } cases[] = {
        { REMOVE("[\"pools\", \"none\"]"), CONF_EDIT_ABSENT },
        { REMOVE("[\"gate\"]"), CONF_EDIT_ABSENT },
        { EDIT("merge", "[\"pools\", \"none\"]", "{}"), CONF_EDIT_ABSENT },
        { EDIT("put", "[\"pools\", \"none\", \"servers\", \"a\"]", "{}"), CONF_EDIT_ABSENT },
        { EDIT("put", "[\"nothing\", \"none\"]", "{}"), CONF_EDIT_ABSENT },
        { EDIT("create", "[\"pools\", \"web\"]", "{}"), CONF_EDIT_TAKEN },
        { EDIT("merge", "[\"pools\", \"web\"]", "[]"), CONF_EDIT_UNFIT },
        { EDIT("put", "[\"pools\", \"web\"]", "null"), CONF_EDIT_UNFIT },
        { EDIT("put", "[]", "{}"), CONF_EDIT_UNFIT },
        { EDIT("put", "[\"\"]", "{}"), CONF_EDIT_UNFIT },
        { EDIT("put", "\"pools\"", "{}"), CONF_EDIT_UNFIT },
        { EDIT("wish", "[\"pools\", \"web\"]", "{}"), CONF_EDIT_UNFIT },
        { "{\"verb\": \"put\"}", CONF_EDIT_UNFIT },
        { "{", CONF_EDIT_UNFIT },
        { "{}", CONF_EDIT_UNFIT },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        *err.text = 0;
        edited(source, cases[i].edit);
        assert_int_equal(result.fate, cases[i].fate);
        assert_true(strlen(err.text) > 10);
    }
    edited(source, REMOVE("[\"gate\"]"));
    assert_string_equal(err.text, "There is no \"gate\" in the configuration.");
    edited(source, REMOVE("[\"pools\", \"none\"]"));
    assert_string_equal(err.text, "There is no \"none\" at /pools in the configuration.");
}

static void a_pointer_is_found_by_its_place(void **state)
{
    (void)state;
    struct conf_tree tree;
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    assert_non_null(faults);
    char pointer[64];
    assert_int_equal(conf_read_json(&tree, "x", SLICE("{\"a/b\": [1, {\"c~\": 2}]}"), faults), 0);
    const struct conf_node *list = conf_node_nth(tree.root, 0),
                           *last = conf_node_nth(conf_node_nth(list, 1), 0);
    assert_true(conf_pointer_find(tree.root, last->place, pointer, sizeof(pointer)));
    assert_string_equal(pointer, "/a~1b/1/c~0");
    assert_true(conf_pointer_find(tree.root, last->key_place, pointer, sizeof(pointer)));
    assert_string_equal(pointer, "/a~1b/1/c~0");
    assert_true(conf_pointer_find(tree.root, tree.root->place, pointer, sizeof(pointer)));
    assert_string_equal(pointer, "");
    assert_false(conf_pointer_find(tree.root, (struct conf_place){ 9, 9, 0 }, pointer, sizeof(pointer)));
    assert_false(conf_pointer_find(tree.root, last->place, pointer, 5));
    assert_string_equal(pointer, "");
    conf_tree_free(&tree);
    free(faults);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_is_made_of_nothing_where_there_is_none),
        cmocka_unit_test(an_element_keeps_its_name_and_place),
        cmocka_unit_test(an_element_without_a_name_goes_by_another_key),
        cmocka_unit_test(a_merge_is_that_of_rfc_7396),
        cmocka_unit_test(what_is_removed_is_gone),
        cmocka_unit_test(what_does_not_fit_is_said),
        cmocka_unit_test(a_pointer_is_found_by_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
