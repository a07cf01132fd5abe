#include "control/config_difference.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

#define LISTENERS                                                                                            \
    "listeners:\n"                                                                                           \
    "  web: {bind: \"127.0.0.1:1\", routes: [{name: api, path_prefix: /v1/, pool: api}, {name: rest, pool: " \
    "web}]}\n"                                                                                               \
    "  old: {bind: \"127.0.0.1:2\", pool: web}\n"
#define POOLS                                                                                  \
    "pools:\n"                                                                                 \
    "  web: {servers: [\"10.0.0.1:80\", {name: big, address: \"10.0.0.2:80\", weight: 3}]}\n"  \
    "  api: {balance: {method: hash, key: path}, servers: [\"10.0.0.3:80\", \"10.0.0.4:80\", " \
    "\"10.0.0.5:80\"]}\n"
#define ADMIN "admin: {bind: \"127.0.0.1:3\", token: secret-number-one}\n"
#define BEFORE LISTENERS POOLS ADMIN

static struct config *parse(const char *text)
{
    struct config *c = NULL;
    char *faults = NULL;
    if (config_parse(&c, "test", slice_of(text), &faults) < 0) fail_msg("%s", faults);
    return c;
}

static void write_items(struct text *t, char sign, const struct shape_list *list)
{
    const struct reload_item *items = list->data;
    for (uint32_t i = 0; i < list->count; i++) {
        text_printf(t, "%c%s%s%s", sign, items[i].in ? items[i].in : "", items[i].in ? "/" : "",
                    items[i].name);
        const char *const *keys = items[i].keys.data;
        for (uint32_t k = 0; k < items[i].keys.count; k++) text_printf(t, "%s%s", k ? "," : ":", keys[k]);
        text_printf(t, " ");
    }
}

static void write_section(struct text *t, const char *name, const struct reload_section *s)
{
    if (!s->added.count && !s->removed.count && !s->changed.count) return;
    text_printf(t, "%s ", name);
    write_items(t, '+', &s->added);
    write_items(t, '-', &s->removed);
    write_items(t, '~', &s->changed);
}

static void write_names(struct text *t, const char *name, const struct shape_list *list)
{
    const char *const *names = list->data;
    for (uint32_t i = 0; i < list->count; i++) text_printf(t, "%s %s ", name, names[i]);
}

static void expect(const char *before, const char *after, const char *wanted)
{
    struct config *a = parse(before), *b = parse(after);
    struct config_difference d;
    char memory[4096];
    struct text t = text_over(memory, sizeof(memory));
    assert_int_equal(config_difference_find(&d, a, b, a, NULL), 0);
    const struct reload_outcome *o = &d.outcome;
    write_section(&t, "listeners", &o->listeners);
    write_section(&t, "routes", &o->routes);
    write_section(&t, "pools", &o->pools);
    write_section(&t, "servers", &o->servers);
    write_section(&t, "splits", &o->splits);
    write_section(&t, "sources", &o->sources);
    write_names(&t, "setting", &o->settings);
    write_names(&t, "restart", &o->needs_restart);
    assert_string_equal(text_cstr(&t), wanted);
    assert_int_equal(o->is_same, !*wanted);
    config_difference_fini(&d);
    config_free(a);
    config_free(b);
}

static void what_is_said_in_another_order_is_the_same(void **state)
{
    (void)state;
    expect(BEFORE, BEFORE, "");
    expect(BEFORE,
           ADMIN
           "pools:\n"
           "  api: {servers: [\"10.0.0.5:80\", \"10.0.0.3:80\", \"10.0.0.4:80\"], balance: {key: path, "
           "method: hash}}\n"
           "  web: {servers: [{weight: 3, address: \"10.0.0.2:80\", name: big}, \"10.0.0.1:80\"]}\n"
           "listeners:\n"
           "  old: {pool: web, bind: \"127.0.0.1:2\"}\n"
           "  web: {bind: \"127.0.0.1:1\", routes: [{name: api, path_prefix: /v1/, pool: api}, {name: rest, "
           "pool: web}]}\n",
           "");
}

static void what_comes_goes_and_changes_is_named(void **state)
{
    (void)state;
    expect(BEFORE,
           "listeners:\n"
           "  web: {bind: \"127.0.0.1:9\", routes: [{name: new, path: /x, pool: web}, {name: rest, pool: "
           "api}]}\n"
           "pools:\n"
           "  web: {servers: [\"10.0.0.7:80\", {name: big, address: \"10.0.0.2:80\", weight: 4, "
           "max_connections: "
           "9}], timeouts: {connect: 1s}}\n"
           "  api: {balance: {method: hash, key: path}, servers: [\"10.0.0.3:80\", \"10.0.0.4:80\", "
           "\"10.0.0.5:80\"]}\n"
           "timeouts: {drain: 1s}\n" ADMIN "workers: 2\n",
           "listeners -old ~web:bind routes +web/new -web/api ~web/rest:pool pools ~web:timeouts "
           "servers +web/10.0.0.7:80 -web/10.0.0.1:80 ~web/big:weight,max_connections "
           "setting timeouts setting workers restart workers ");
}

static void the_order_of_routes_has_a_meaning(void **state)
{
    (void)state;
    expect(BEFORE,
           "listeners:\n"
           "  web: {bind: \"127.0.0.1:1\", routes: [{name: rest, pool: web}, {name: api, path_prefix: /v1/, "
           "pool: "
           "api}]}\n"
           "  old: {bind: \"127.0.0.1:2\", pool: web}\n" POOLS ADMIN,
           "listeners ~web:routes ");
}

static void secrets_are_compared_though_nobody_sees_them(void **state)
{
    (void)state;
    expect(BEFORE, LISTENERS POOLS "admin: {bind: \"127.0.0.1:3\", token: secret-number-two}\n",
           "setting admin ");
}

static void who_may_use_the_api_needs_no_restart_and_where_it_is_does(void **state)
{
    (void)state;
    expect(BEFORE,
           LISTENERS POOLS "admin: {bind: \"127.0.0.1:3\", tokens: [{name: ops, role: view, token: "
                           "secret-number-three}]}\n",
           "setting admin ");
    expect(BEFORE, LISTENERS POOLS "admin: {bind: \"127.0.0.1:4\", token: secret-number-one}\n",
           "setting admin restart admin ");
    expect(BEFORE,
           LISTENERS POOLS "admin: {bind: \"127.0.0.1:3\", token: secret-number-one, history: 1MiB}\n",
           "setting admin restart admin ");
    expect(BEFORE, BEFORE "state: /var/lib/weir\n", "setting state restart state ");
    expect(BEFORE, LISTENERS POOLS, "setting admin restart admin ");
    expect(LISTENERS POOLS, BEFORE, "setting admin restart admin ");
}

#define LOGS "logs:\n  sources:\n    edge: /var/log/a.log\n    app: {path: /var/log/b.log, format: json}\n"

static void sources_of_logs_are_named_and_need_no_restart(void **state)
{
    (void)state;
    expect(BEFORE, BEFORE LOGS, "sources +edge +app ");
    expect(BEFORE LOGS, BEFORE, "sources -app -edge ");
    expect(BEFORE LOGS,
           BEFORE "logs: {sources: {app: {path: /var/log/b.log, format: json}, edge: /var/log/a.log}}\n", "");
    expect(BEFORE LOGS,
           BEFORE "logs: {sources: {app: {path: /var/log/c.log}, new: /x}, state: /var/lib/weir}\n",
           "sources +new -edge ~app:path,format setting logs ");
    expect(BEFORE LOGS, BEFORE LOGS "  rules: [{when: \"rate(status==401) by client > 30/m\"}]\n",
           "setting logs ");
}

static void a_setting_that_came_before_still_needs_a_restart(void **state)
{
    (void)state;
    struct config *started = parse(BEFORE), *now = parse(BEFORE "workers: 2\n");
    struct config_difference d;
    assert_int_equal(config_difference_find(&d, now, now, started, NULL), 0);
    assert_true(d.outcome.is_same);
    assert_int_equal(d.outcome.needs_restart.count, 1);
    config_difference_fini(&d);
    config_free(started);
    config_free(now);
}

static double moved(const char *before, const char *after)
{
    char text[512];
    struct config *configs[2];
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof(text), "listeners: {web: {bind: \"127.0.0.1:1\", pool: p}}\npools: {p: {%s}}\n",
                 i ? after : before);
        configs[i] = parse(text);
    }
    double share = config_difference_moved(configs[0]->proxy.pools.data, configs[1]->proxy.pools.data);
    config_free(configs[0]);
    config_free(configs[1]);
    return share;
}

#define RING "balance: {method: hash, key: path, table: rendezvous}, "
#define FOUR "\"10.0.0.1:80\", \"10.0.0.2:80\", \"10.0.0.3:80\", \"10.0.0.4:80\""

static void the_tables_say_which_part_of_the_keys_moves(void **state)
{
    (void)state;
    assert_true(moved(RING "servers: [" FOUR "]", RING "servers: [" FOUR "]") == 0);
    /* A fifth server takes a fifth of them. */
    double share = moved(RING "servers: [" FOUR "]", RING "servers: [" FOUR ", \"10.0.0.5:80\"]");
    assert_true(share > 0.18 && share < 0.22);
    assert_true(isnan(moved(RING "servers: [" FOUR "]", "servers: [" FOUR "]")));
    assert_true(isnan(moved(RING "servers: [" FOUR "]",
                            "balance: {method: hash, key: host, table: rendezvous}, servers: [" FOUR "]")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_said_in_another_order_is_the_same),
        cmocka_unit_test(what_comes_goes_and_changes_is_named),
        cmocka_unit_test(the_order_of_routes_has_a_meaning),
        cmocka_unit_test(secrets_are_compared_though_nobody_sees_them),
        cmocka_unit_test(who_may_use_the_api_needs_no_restart_and_where_it_is_does),
        cmocka_unit_test(sources_of_logs_are_named_and_need_no_restart),
        cmocka_unit_test(a_setting_that_came_before_still_needs_a_restart),
        cmocka_unit_test(the_tables_say_which_part_of_the_keys_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
