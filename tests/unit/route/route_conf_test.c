#include "linear.h"
#include "route/route_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/decoded.h"

/* What routes stand in: pools by name, and the routes. */
struct pool {
    const char *name;
};

struct config {
    struct conf_items pools, routes;
};

static const struct conf_field pool_fields[] = { { 0 } };
static const struct conf_type pool_type = { .name = "pool",
                                            .size = sizeof(struct pool),
                                            .fields = pool_fields };
static const struct conf_field config_fields[] = {
    { "pools", CONF_MAP(struct config, pools, &pool_type), .help = "Pools." },
    { "routes", CONF_NAMED(struct config, routes, &route_conf_type), .help = "Routes." },
    { 0 },
};
static const struct conf_type config_type = { .name = "config",
                                              .size = sizeof(struct config),
                                              .fields = config_fields };

struct decoded {
    struct config config;
    struct conf_arena *arena;
    char *faults; /* NULL if there are none */
};

static struct decoded decode(const char *yaml)
{
    struct decoded d = { .arena = conf_arena_new() };
    d.faults = decode_yaml(yaml, &config_type, &d.config, d.arena);
    return d;
}

static void drop(struct decoded *d)
{
    conf_arena_free(d->arena);
    free(d->faults);
}

static void a_route_is_what_was_written(void **state)
{
    (void)state;
    struct decoded d = decode(
        "pools: {web: {}, api: {}}\n"
        "routes:\n"
        "  - {name: v1, host: [api.example.com, '*.example.net'], path_prefix: /v1/, pool: api, idempotent: "
        "true,\n"
        "     upgrade: [], gate: {allow: [10.0.0.0/8], deny: [10.9.0.0/16, 10.8.0.1]}}\n"
        "  - {pool: web}\n");
    if (d.faults) fail_msg("%s", d.faults);
    const struct route_conf *routes = d.config.routes.data;
    assert_int_equal(d.config.routes.count, 2);
    assert_string_equal(routes[0].name, "v1");
    assert_string_equal(routes[0].pool, "api");
    assert_true(routes[0].idempotent);
    assert_int_equal(routes[0].upgrade.count, 0);
    assert_int_equal(routes[0].gate->allow.count, 1);
    assert_int_equal(routes[0].gate->deny.count, 2);
    assert_string_equal(routes[1].name, "web");
    assert_int_equal(routes[1].upgrade.count, 1);
    assert_string_equal(((const char *const *)routes[1].upgrade.data)[0], "websocket");
    assert_false(routes[1].idempotent);
    assert_null(routes[1].gate);

    struct route_row rows[] = { route_conf_row(&routes[0], 0, 0, NULL),
                                route_conf_row(&routes[0], 1, 0, NULL),
                                route_conf_row(&routes[1], 0, 1, NULL) };
    struct err err;
    struct route_choice choice;
    struct route_table *t = route_table_new(rows, 3, &err);
    assert_non_null(t);
    assert_int_equal(match_plain(t, SLICE("api.example.com"), SLICE("/v1/x"), &choice), 0);
    assert_int_equal(match_plain(t, SLICE("a.example.net"), SLICE("/v1/x"), &choice), 0);
    assert_int_equal(match_plain(t, SLICE("api.example.com"), SLICE("/v2"), &choice), 1);
    route_table_free(t);
    drop(&d);
}

static void mistakes_are_said(void **state)
{
    (void)state;
    static const struct {
        const char *route, *fault;
    } cases[] = {
        { "{host: '*', pool: web}", "leave `host` out for any" },
        { "{host: 'a.org:80', pool: web}", "routes go by host alone" },
        { "{host: 'a.*.org', pool: web}", "wildcard elsewhere than in front" },
        { "{path: /a, path_prefix: /, pool: web}", "either a path or a path prefix" },
        { "{path_prefix: v1/, pool: web}", "begin it with a slash" },
        { "{path: '/a?b=1', pool: web}", "which no path has" },
        { "{pool: web, request_trailers: [Weir-Split]}", "Weir-Split decides what becomes of a request" },
        { "{pool: web, request_trailers: [x-egress-host]}", "cannot come behind it" },
        { "{pool: web, request_trailers: [X-Forwarded-Prefix]}", "cannot come behind it" },
        { "{pool: web, request_trailers: [Authorization]}", "cannot come behind it" },
        { "{pool: web, request_trailers: ['a b']}", "cannot be the name of a field" },
        { "{pool: wbe}", "did you mean \"web\"?" },
        { "{pool: web, gate: {connections: 5}}", "connections" },
        { "{pool: web, gate: {deny: [10.0.0.1/8]}}", "write 10.0.0.0/8" },
        { "{name: x}", "the route leads nowhere" },
        { "{pool: web, redirect: /}", "the route leads to several places" },
        { "{name: r, redirect: {to: /, status: 304}}", "304 is no status of a redirect" },
        { "{name: r, redirect: '{nothing}'}", "nothing" },
        { "{name: r, respond: {status: 204, body: x}}", "a 204 has no body" },
        { "{name: r, respond: {status: 101}}", "101" },
        { "{pool: web, path_regex: '('}", "is no regular expression" },
        { "{pool: web, path: /, path_regex: x}", "either a path, a path prefix or a regular expression" },
        { "{pool: web, method: [get]}", "write it in capitals" },
        { "{pool: web, headers: {'a b': x}}", "cannot be the name of a header" },
        { "{pool: web, request_headers: {set: {Host: x}}}", "leave it to weir" },
        { "{pool: web, response_headers: {remove: [content-length]}}", "leave it to weir" },
        { "{pool: web, rewrite: {}}", "the rewrite says nothing" },
        { "{pool: web, rewrite: {regex: x}}", "belong together" },
        { "{pool: web, rewrite: {regex: x, to: y, strip_prefix: /}}", "either prefixes or an expression" },
        { "{pool: web, mirror: {pool: api, share: 0}}", "nothing would be copied" },
        { "{pool: web, mirror: nowhere}", "nowhere" },
        { "{name: r, respond: x, mirror: api}", "cannot be copied" },
        { "{name: r, egress: {pool: web, allow: [10.0.0.1/8]}}", "10.0.0.0/8" },
        { "{name: r, egress: {pool: web, allow: []}}", "allow" },
        { "{name: r, respond: x, debug: {upstream: '10.0.0.1:80'}}", "does not go to a pool" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char yaml[300] = "pools: {web: {}}\nroutes:\n  - ";
        strcat(yaml, cases[i].route);
        struct decoded d = decode(yaml);
        if (!d.faults || !strstr(d.faults, cases[i].fault))
            fail_msg("%s: %s", cases[i].route, d.faults ? d.faults : "no fault");
        drop(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_route_is_what_was_written),
        cmocka_unit_test(mistakes_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
