#include "conf/tree_merge.h"

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

static struct conf_faults faults;

static void read_tree(struct conf_tree *tree, const char *name, const char *source, struct conf_faults *found)
{
    if (conf_read_yaml(tree, name, slice_of(source), found) < 0 && !found->count) fail_msg("%s", name);
}

/* Merges `second` into `first` and decodes that: the faults, brief. */
static char *merge(const char *first, const char *second, struct sample_conf *conf, struct conf_arena *arena)
{
    struct conf_tree tree, other;
    struct conf_faults found = { 0 };
    faults = (struct conf_faults){ 0 };
    read_tree(&tree, "weir.yaml", first, &faults);
    read_tree(&other, "conf.d/a.yaml", second, &found);
    conf_tree_merge(&tree, &other, &sample_type, &faults, &found);
    assert_null(other.memory);
    if (!faults.count && conf_decode(&tree, &sample_type, conf, arena, &faults) == 0)
        assert_int_equal(faults.count, 0);
    char *text = conf_faults_print(&faults, &tree, true);
    conf_tree_free(&tree);
    return text;
}

#define LISTENER "listeners: {web: {bind: ':1', pool: web}}\n"
#define POOL(name) "pools:\n  " name ": {servers: ['10.0.0.1:80']}\n"

static void names_come_together(void **state)
{
    (void)state;
    struct sample_conf conf;
    struct conf_arena *arena = conf_arena_new();
    char *text = merge(LISTENER POOL("web"), "listeners: {api: {bind: ':2', pool: api}}\n" POOL("api"), &conf,
                       arena);
    assert_string_equal(text, "");
    free(text);
    text = merge(POOL("web"), LISTENER, &conf, arena);
    assert_string_equal(text, "");
    free(text);
    text = merge(LISTENER POOL("web"), "# nothing\n", &conf, arena);
    assert_string_equal(text, "");
    free(text);
    text = merge("listeners: [{name: web, bind: ':1', pool: web}]\n" POOL("web"),
                 "listeners: [{name: other, bind: ':2', pool: web}]\n", &conf, arena);
    assert_string_equal(text, "");
    free(text);
    conf_arena_free(arena);
}

static void what_does_not_fit_together_names_both_places(void **state)
{
    static const struct {
        const char *first, *second, *faults;
    } cases[] = {
        { LISTENER POOL("web"), POOL("web"),
          "conf.d/a.yaml:2:3: \"web\" is given twice: here and at weir.yaml:3; keep one of them, or rename "
          "one\n" },
        { LISTENER POOL("web"), LISTENER,
          "conf.d/a.yaml:1:13: \"web\" is given twice: here and at weir.yaml:1; keep one of them, or rename "
          "one\n" },
        { LISTENER POOL("web"), "listeners: [{name: api, bind: ':2', pool: web}]\n",
          "conf.d/a.yaml:1:1: \"listeners\" is a list here, and a map at weir.yaml:1; write both in the same "
          "way\n" },
        { "listeners: [{name: a, bind: ':1', pool: web}]\n" POOL("web"),
          "\nlisteners: [{name: a, bind: ':2', pool: web}]\n",
          "conf.d/a.yaml:2:13: another listener is named \"a\" too, at weir.yaml:1; rename one of them\n" },
        { LISTENER POOL("web"), "[a]\n",
          "conf.d/a.yaml:1:1: a file of the configuration is a map; write it as the file that includes "
          "it\n" },
        { LISTENER POOL("web"), "pools:\n  x: {servers: ['10.0.0.1:80'], nonsense: 1}\n",
          "conf.d/a.yaml:2:33: unknown key \"nonsense\" in pool; known here: " },
        { LISTENER "pools: {web: {servers: ['10.0.0.1:80'], no: 1}}\n",
          "pools: {x: {servers: ['10.0.0.1:80'], no: 2}}\n",
          "weir.yaml:2:41: unknown key \"no\" in pool; known here: name, balance, servers, timeouts, retry, "
          "secret\n"
          "conf.d/a.yaml:1:39: unknown key \"no\" in pool; known here: " },
        { LISTENER POOL("web"), "a: 1\na: 2\n", "conf.d/a.yaml:2:1: key \"a\" was given before, at line 1" },
        { LISTENER POOL("web"), "pools: {\n", "conf.d/a.yaml:2:1: not correct YAML" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct sample_conf conf;
        struct conf_arena *arena = conf_arena_new();
        char *text = merge(cases[i].first, cases[i].second, &conf, arena);
        size_t len = strlen(cases[i].faults);
        if (strncmp(text, cases[i].faults, len) != 0) fail_msg("%zu: %s", i, text);
        free(text);
        conf_arena_free(arena);
    }
    (void)state;
}

/* The line shown is the one of the file that is meant. */
static void faults_are_shown_with_their_own_files_lines(void **state)
{
    (void)state;
    struct conf_tree tree, other;
    struct conf_faults found = { 0 };
    faults = (struct conf_faults){ 0 };
    read_tree(&tree, "weir.yaml", "one: 1\n", &faults);
    read_tree(&other, "b.yaml", "# comment\none: two\n", &found);
    conf_tree_merge(&tree, &other, &sample_type, &faults, &found);
    conf_fault_add(&faults, (struct conf_place){ 1, 1, 0 }, "", "first");
    char *text = conf_faults_print(&faults, &tree, false);
    assert_string_equal(
        text, "weir.yaml:1:1: first\n  one: 1\n  ^\n"
              "b.yaml:2:1: \"one\" is given twice: here and at weir.yaml:1; keep all of it in one file\n"
              "  one: two\n  ^\n");
    free(text);
    conf_tree_free(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_come_together),
        cmocka_unit_test(what_does_not_fit_together_names_both_places),
        cmocka_unit_test(faults_are_shown_with_their_own_files_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
