#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/decode.h"
#include "conf/edited_conf.h"
#include "conf/tree_change.h"

static const char source[] =
    "pools:\n"
    "  web: {servers: [\"10.0.0.1:80\", {name: big, address: \"10.0.0.2:80\", weight: 3}]}\n"
    "  a.b: {servers: [\"10.0.0.3:80\"]}\n";

/* After the change: balance of web, workers, and its servers as "address weight". */
static char *changed(const char *change, struct err *err)
{
    static char memory[512];
    struct text t = text_over(memory, sizeof(memory));
    struct conf_tree tree;
    struct conf_faults faults = { 0 };
    struct conf_arena *arena = conf_arena_new();
    struct root root;
    assert_int_equal(conf_read_yaml(&tree, "test", slice_of(source), &faults), 0);
    int result = conf_tree_change(&tree, &root_type, change, err);
    if (result == 0) {
        if (conf_decode(&tree, &root_type, &root, arena, &faults) < 0)
            fail_msg("%s", faults.items[0].message);
        text_printf(&t, "%u", root.workers);
        const struct pool *pools = root.pools.data;
        for (uint32_t p = 0; p < root.pools.count; p++) {
            text_printf(&t, " %s:%s", pools[p].name, pools[p].balance);
            const struct thing *things = pools[p].servers.data;
            for (uint32_t i = 0; i < pools[p].servers.count; i++)
                text_printf(&t, " %s*%u", things[i].address, things[i].weight);
        }
        text_cstr(&t);
    }
    conf_tree_free(&tree);
    conf_arena_free(arena);
    return result == 0 ? memory : NULL;
}

static void a_change_is_as_if_the_file_had_it(void **state)
{
    (void)state;
    static const struct {
        const char *change, *result;
    } cases[] = {
        { "workers=2", "2 web:random 10.0.0.1:80*1 10.0.0.2:80*3 a.b:random 10.0.0.3:80*1" },
        { "pools.web.balance=hash", "0 web:hash 10.0.0.1:80*1 10.0.0.2:80*3 a.b:random 10.0.0.3:80*1" },
        { "pools.web.servers[0].weight=0",
          "0 web:random 10.0.0.1:80*0 10.0.0.2:80*3 a.b:random 10.0.0.3:80*1" },
        { "pools.web.servers[big].weight=9",
          "0 web:random 10.0.0.1:80*1 10.0.0.2:80*9 a.b:random 10.0.0.3:80*1" },
        { "pools.web.servers[10.0.0.2:80].weight=8",
          "0 web:random 10.0.0.1:80*1 10.0.0.2:80*8 a.b:random 10.0.0.3:80*1" },
        { "pools[a.b].servers[0]=\"10.9.9.9:1\"",
          "0 web:random 10.0.0.1:80*1 10.0.0.2:80*3 a.b:random 10.9.9.9:1*1" },
        { "pools.web.servers=[{address: x, weight: 7}, y]", "0 web:random x*7 y*1 a.b:random 10.0.0.3:80*1" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct err err = { "" };
        const char *result = changed(cases[i].change, &err);
        if (!result) fail_msg("%s: %s", cases[i].change, err.text);
        assert_string_equal(result, cases[i].result);
    }
}

static void a_wrong_path_says_what_there_is(void **state)
{
    (void)state;
    static const struct {
        const char *change, *says;
    } cases[] = {
        { "pools.wbe.balance=x", "pools: there is no \"wbe\" here; there is web, a.b" },
        { "pools.web.servers[7].weight=1", "there is no \"7\" here; there is [0], [1]" },
        { "workers.x=1", "workers is no map" },
        { "workers", "is no change" },
        { "=1", "is no change" },
        { "pools..x=1", "a key is missing" },
        { "pools[web=1", "is no change" },
        { "workers=[1", "the value is no YAML" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct err err = { "" };
        if (changed(cases[i].change, &err)) fail_msg("%s is taken", cases[i].change);
        if (!strstr(err.text, cases[i].says)) fail_msg("%s: %s", cases[i].change, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_is_as_if_the_file_had_it),
        cmocka_unit_test(a_wrong_path_says_what_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
