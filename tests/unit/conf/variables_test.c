#include "conf/variables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/arena.h"
#include "conf/decode.h"
#include "conf/sample_conf.h"

static struct conf_tree tree;
static struct conf_faults faults;

static int set_up(void **state)
{
    (void)state;
    tree = (struct conf_tree){ 0 };
    faults = (struct conf_faults){ 0 };
    setenv("WEIR_TEST_WORD", "word", 1);
    setenv("WEIR_TEST_PORT", "8080", 1);
    setenv("WEIR_TEST_EMPTY", "", 1);
    setenv("WEIR_TEST_DOLLARS", "${WEIR_TEST_WORD}", 1);
    setenv("WEIR_TEST_BYTES", "\xff\xfe", 1);
    unsetenv("WEIR_TEST_NONE");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    conf_tree_free(&tree);
    return 0;
}

static int fill(const char *value)
{
    char source[512];
    snprintf(source, sizeof(source), "key: '%s'\n", value);
    if (conf_read_yaml(&tree, "weir.yaml", slice_of(source), &faults) < 0)
        fail_msg("%s", faults.items[0].message);
    return conf_variables_fill(&tree, &faults);
}

static void variables_are_filled_in(void **state)
{
    static const struct {
        const char *written, *filled;
    } cases[] = {
        { "${WEIR_TEST_WORD}", "word" },
        { "a-${WEIR_TEST_WORD}-${WEIR_TEST_PORT}.", "a-word-8080." },
        { "${WEIR_TEST_NONE:-5s}", "5s" },
        { "${WEIR_TEST_EMPTY:-5s}", "5s" },
        { "${WEIR_TEST_WORD:-5s}", "word" },
        { "<${WEIR_TEST_EMPTY}>", "<>" },
        { "<${WEIR_TEST_NONE:-}>", "<>" },
        { "${WEIR_TEST_NONE:-a:-b}", "a:-b" },
        { "$${WEIR_TEST_WORD}", "${WEIR_TEST_WORD}" },
        { "$$${WEIR_TEST_WORD}", "$${WEIR_TEST_WORD}" },
        { "${WEIR_TEST_DOLLARS}", "${WEIR_TEST_WORD}" }, /* values are not looked into */
        /* what rows have of their own */
        { "${status} $status ${1} $1 $$ $${1} $${status}", "${status} $status ${1} $1 $$ $${1} $${status}" },
        { "${Status}", "${Status}" },
        { "^/x$", "^/x$" },
        { "$", "$" },
        { "${", "${" },
        { "${}", "${}" },
        { "$WEIR_TEST_WORD", "$WEIR_TEST_WORD" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(fill(cases[i].written), 0);
        struct slice text = tree.root->first_child->text, written = tree.root->first_child->written;
        if (!slice_equal(text, slice_of(cases[i].filled)))
            fail_msg("%s: %.*s", cases[i].written, SLICE_ARGS(text));
        bool is_other = strcmp(cases[i].written, cases[i].filled) != 0;
        assert_true(slice_equal(written, is_other ? slice_of(cases[i].written) : SLICE_NONE));
        conf_tree_free(&tree);
    }
    (void)state;
}

static void what_cannot_be_filled_in_is_a_fault_with_its_place(void **state)
{
    static const struct {
        const char *written, *message;
    } cases[] = {
        { "x ${WEIR_TEST_NONE}", "the environment has no variable WEIR_TEST_NONE" },
        { "${WEIR_TEST_BYTES}", "what the environment has as WEIR_TEST_BYTES is no UTF-8 text" },
        { "${WEIR_TEST_WORD", "${WEIR_TEST_WORD is not closed by a brace" },
        { "${WEIR_TEST_WORD-5s}", "${WEIR_TEST_WORD goes on with neither } nor :-" },
        { "${WEIR_TEST_WORD:?none}", "${WEIR_TEST_WORD goes on with neither } nor :-" },
        { "${WEIR_TEST_WORD x}", "${WEIR_TEST_WORD goes on with neither } nor :-" },
        { "${WEIR_TEST_NONE:-${WEIR_TEST_WORD}}",
          "the default of ${WEIR_TEST_NONE has a variable of its own" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        faults = (struct conf_faults){ 0 };
        assert_int_equal(fill(cases[i].written), -1);
        assert_int_equal(faults.count, 1);
        assert_string_equal(faults.items[0].message, cases[i].message);
        assert_int_equal(faults.items[0].place.line, 1);
        assert_int_equal(faults.items[0].place.column, 6);
        assert_non_null(strstr(faults.items[0].remedy, i == 1 ? "" : "${"));
        conf_tree_free(&tree);
    }
    (void)state;
}

static void values_are_bounded_in_all(void **state)
{
    (void)state;
    char *large = malloc((1u << 20) + 1), text[256] = "";
    assert_non_null(large);
    memset(large, 'x', 1u << 20);
    large[1u << 20] = 0;
    setenv("WEIR_TEST_LARGE", large, 1);
    free(large);
    for (int i = 0; i < 5; i++) strcat(text, "${WEIR_TEST_LARGE}");
    assert_int_equal(fill(text), -1);
    assert_non_null(strstr(faults.items[0].message, "more than the 4 MiB"));
    unsetenv("WEIR_TEST_LARGE");
}

/* JSON has quotes around every variable, YAML in braces as well. */
static void a_value_is_of_the_kind_that_its_row_asks_for(void **state)
{
    (void)state;
    struct sample_conf conf;
    struct conf_arena *arena = conf_arena_new();
    const char *source =
        "{\"listeners\": [{\"bind\": \":${WEIR_TEST_PORT}\", \"pool\": \"${WEIR_TEST_WORD}\", "
        "\"quiet\": \"${WEIR_TEST_YES}\"}], \"pools\": {\"word\": {\"servers\": [{\"address\": "
        "\"10.0.0.1:80\", \"weight\": \"${WEIR_TEST_FIVE}\"}], \"secret\": \"${WEIR_TEST_YES}\"}}}";
    setenv("WEIR_TEST_YES", "true", 1);
    setenv("WEIR_TEST_FIVE", "5", 1);
    assert_int_equal(conf_read_json(&tree, "weir.json", slice_of(source), &faults), 0);
    assert_int_equal(conf_variables_fill(&tree, &faults), 0);
    if (conf_decode(&tree, &sample_type, &conf, arena, &faults) < 0) fail_msg("%s", faults.items[0].message);
    conf_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(variables_are_filled_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_filled_in_is_a_fault_with_its_place, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(values_are_bounded_in_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_value_is_of_the_kind_that_its_row_asks_for, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
