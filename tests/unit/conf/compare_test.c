#include "conf/compare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/sample_conf.h"

static struct conf_arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = conf_arena_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    conf_arena_free(arena);
    return 0;
}

static struct sample_conf *decode(const char *source)
{
    struct conf_tree tree;
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    struct sample_conf *conf = conf_arena_alloc(arena, sizeof(*conf));
    assert_non_null(faults);
    int result = conf_read_yaml(&tree, "weir.yaml", slice_of(source), faults);
    if (result == 0) result = conf_decode(&tree, &sample_type, conf, arena, faults);
    if (result < 0) fail_msg("%s", faults->items[0].message);
    conf_tree_free(&tree);
    free(faults);
    return conf;
}

#define LISTENERS "listeners: [{bind: \":1\", pool: web, trust: [10.0.0.0/8]}]\n"
#define WEB \
    "web: {servers: [\"10.0.0.1:80\", \"10.0.0.2:80\"], secret: abc, balance: {method: hash, key: path}}"
#define API "api: {servers: [\"10.0.0.3:80\"]}"
#define BEFORE LISTENERS "pools: {" WEB ", " API "}\n"

/* Which row of the root differs; NULL: none. */
static const char *differing(const char *a, const char *b)
{
    uint64_t rows = conf_differing(&sample_type, decode(a), decode(b));
    assert_int_equal(rows, conf_differing(&sample_type, decode(b), decode(a)));
    assert_true((rows & (rows - 1)) == 0);
    return rows ? sample_type.fields[__builtin_ctzll(rows)].name : NULL;
}

static void what_says_the_same_does_not_differ(void **state)
{
    (void)state;
    assert_null(differing(BEFORE, BEFORE));
    assert_null(differing(BEFORE, "pools: {" API ", " WEB "}\nworkers: 0\n" LISTENERS));
}

static void whatever_is_written_otherwise_differs(void **state)
{
    (void)state;
    static const struct {
        const char *after, *row;
    } cases[] = {
        { BEFORE "workers: 1\n", "workers" },
        { BEFORE "levels: [low]\n", "levels" },
        { BEFORE "retry: 4\n", "retry" },
        { "listeners: [{bind: \":1\", pool: web, trust: [10.0.0.0/9]}]\npools: {" WEB ", " API "}\n",
          "listeners" },
        { "listeners: [{bind: \":1\", pool: api, trust: [10.0.0.0/8]}]\npools: {" WEB ", " API "}\n",
          "listeners" },
        { LISTENERS "pools: {" WEB "}\n", "pools" },
        { LISTENERS "pools: {" WEB ", api: {servers: [\"10.0.0.3:81\"]}}\n", "pools" },
        { LISTENERS "pools: {" WEB ", api: {servers: [\"10.0.0.3:80\"], retry: 3}}\n", "pools" },
        { LISTENERS "pools: {" WEB ", api: {servers: [\"10.0.0.3:80\"], timeouts: {connect: 9s}}}\n",
          "pools" },
        { LISTENERS
          "pools: {web: {servers: [\"10.0.0.1:80\", \"10.0.0.2:80\"], secret: abd, balance: {method: "
          "hash, key: path}}, " API "}\n",
          "pools" },
        { LISTENERS
          "pools: {web: {servers: [\"10.0.0.1:80\", \"10.0.0.2:80\"], secret: abc, balance: {method: "
          "hash, key: host}}, " API "}\n",
          "pools" },
        { LISTENERS "pools: {web: {servers: [\"10.0.0.1:80\", \"10.0.0.2:80\"], secret: abc}, " API "}\n",
          "pools" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *row = differing(BEFORE, cases[i].after);
        assert_non_null(row);
        assert_string_equal(row, cases[i].row);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_says_the_same_does_not_differ, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whatever_is_written_otherwise_differs, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
