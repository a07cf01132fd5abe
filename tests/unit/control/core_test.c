#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* after the above */
#include <cmocka.h>

#include "conf/decode.h"
#include "control/core.h"

static void a_pattern_says_where_cores_go(void **state)
{
    (void)state;
    assert_int_equal(core_target_of("core"), CORE_TO_DIR);
    assert_int_equal(core_target_of("cores/core.%p"), CORE_TO_DIR);
    assert_int_equal(core_target_of("/var/crash/%e.%p"), CORE_TO_PATH);
    assert_int_equal(core_target_of("|/usr/lib/systemd/systemd-coredump %P"), CORE_TO_PROGRAM);
    assert_int_equal(core_target_of(""), CORE_TO_NOTHING);
}

static struct conf_arena *arena;

/* The sentence of the first fault, or "" and `out`. */
static const char *decode(const char *text, struct core_conf *out)
{
    static struct conf_faults faults;
    struct conf_tree tree;
    faults = (struct conf_faults){ 0 };
    conf_arena_free(arena);
    arena = conf_arena_new(); /* what was decoded lives until the next call */
    if (conf_read_yaml(&tree, "core", slice_of(text), &faults) == 0 &&
        conf_decode(&tree, &core_conf_type, out, arena, &faults) < 0)
        assert_true(faults.count > 0);
    conf_tree_free(&tree);
    return faults.count ? faults.items[0].message : "";
}

static void cores_are_lean_unless_told_otherwise(void **state)
{
    (void)state;
    struct core_conf c = { 0 };
    assert_string_equal(decode("{}", &c), "");
    assert_true(c.enabled);
    assert_null(c.dir);
    assert_int_equal(c.contents, CORE_LEAN);
    assert_string_equal(decode("{enabled: false, dir: /a/b, contents: full}", &c), "");
    assert_false(c.enabled);
    assert_string_equal(c.dir, "/a/b");
    assert_int_equal(c.contents, CORE_FULL);
}

static void a_relative_directory_is_refused(void **state)
{
    (void)state;
    struct core_conf c = { 0 };
    assert_string_equal(decode("{dir: cores}", &c), "the directory \"cores\" is not absolute");
    assert_string_equal(decode("{contents: most}", &c), "\"most\" is not a value of \"contents\"");
}

static int free_arena(void **state)
{
    (void)state;
    conf_arena_free(arena);
    arena = NULL;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pattern_says_where_cores_go),
        cmocka_unit_test(cores_are_lean_unless_told_otherwise),
        cmocka_unit_test(a_relative_directory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, free_arena);
}
