#include "route/route_shadow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

#define ROUTES 6u

static struct conf_items items(void *data, uint32_t count)
{
    return (struct conf_items){ count ? data : NULL, count };
}

static struct cidr block(const char *text)
{
    struct cidr c;
    struct err err;
    assert_int_equal(cidr_parse(slice_of(text), &c, &err), 0);
    return c;
}

static uint32_t second_of(const struct route_conf *a, const struct route_conf *b)
{
    const struct route_conf routes[] = { *a, *b };
    uint32_t by[2];
    assert_true(route_shadow_find(routes, 2, by));
    return by[1];
}

static void a_route_with_the_conditions_of_an_earlier_one_is_told(void **state)
{
    (void)state;
    const char *small[] = { "a.org", "b.org" }, *large[] = { "A.ORG" };
    struct route_conf all = { 0 }, prefix = { .hosts = items(small, 1), .path_prefix = "/v1/" },
                      upper = prefix, path = { .hosts = items(small, 1), .path = "/v1/" }, both = prefix;
    upper.hosts = items(large, 1);
    both.hosts.count = 2;
    assert_int_equal(second_of(&both, &upper), 0);
    assert_int_equal(second_of(&prefix, &both), ROUTE_NONE); /* b.org is still its own */
    assert_int_equal(second_of(&all, &all), 0);
    assert_int_equal(second_of(&prefix, &upper), 0);
    assert_int_equal(second_of(&prefix, &path), ROUTE_NONE);
    assert_int_equal(second_of(&all, &prefix), ROUTE_NONE);
}

static void what_asks_for_less_takes_what_asks_for_more(void **state)
{
    (void)state;
    const char *both[] = { "GET", "POST" }, *one[] = { "POST" };
    struct route_pair_conf header[] = { { "X-Env", "beta" }, { "x-user", "*" } },
                           same[] = { { "x-env", "beta" } }, other[] = { { "X-Env", "prod" } };
    struct cidr net[] = { block("10.0.0.0/8") }, host[] = { block("10.1.2.3") },
                far[] = { block("192.0.2.7") };
    struct route_conf wide = { .methods = items(both, 2) }, narrow = { .methods = items(one, 1) };
    assert_int_equal(second_of(&wide, &narrow), 0);
    assert_int_equal(second_of(&narrow, &wide), ROUTE_NONE);
    wide = (struct route_conf){ .headers = items(header, 1), .clients = items(net, 1) };
    narrow = (struct route_conf){ .headers = items(same, 1), .clients = items(host, 1) };
    assert_int_equal(second_of(&wide, &narrow), 0);
    narrow.clients = items(far, 1);
    assert_int_equal(second_of(&wide, &narrow), ROUTE_NONE);
    narrow = (struct route_conf){ .headers = items(other, 1), .clients = items(host, 1) };
    assert_int_equal(second_of(&wide, &narrow), ROUTE_NONE);
    /* More conditions are asked first, whatever the order in the file. */
    wide = (struct route_conf){ .headers = items(header, 1) };
    narrow = (struct route_conf){ .headers = items(header, 2) };
    assert_int_equal(second_of(&wide, &narrow), ROUTE_NONE);
}

static void a_scheme_is_a_condition(void **state)
{
    (void)state;
    struct route_conf any = { 0 }, http = { .scheme = ROUTE_SCHEME_HTTP },
                      https = { .scheme = ROUTE_SCHEME_HTTPS };
    assert_int_equal(second_of(&http, &http), 0);
    assert_int_equal(second_of(&http, &https), ROUTE_NONE);
    assert_int_equal(second_of(&http, &any), ROUTE_NONE);
    assert_int_equal(second_of(&any, &http), ROUTE_NONE); /* which asks for more, and is asked before */
}

static void what_leaves_out_as_much_takes_as_much(void **state)
{
    (void)state;
    const char *some[] = { "/a/", "/b/" }, *posts[] = { "POST" };
    struct cidr net[] = { block("10.0.0.0/8") }, host[] = { block("10.1.2.3") };
    struct route_not_conf one = { .path_prefixes = items(some, 1) },
                          two = { .path_prefixes = items(some, 2) }, post = { .methods = items(posts, 1) },
                          wide = { .clients = items(net, 1) }, narrow = { .clients = items(host, 1) };
    struct route_conf all = { 0 }, less = { .not = &one }, least = { .not = &two }, other = { .not = &post },
                      far = { .not = &wide }, near = { .not = &narrow };
    assert_int_equal(second_of(&less, &least), 0);
    assert_int_equal(second_of(&least, &less), ROUTE_NONE);
    assert_int_equal(second_of(&less, &other), ROUTE_NONE);
    assert_int_equal(second_of(&all, &less), ROUTE_NONE); /* which is asked before */
    assert_int_equal(second_of(&less, &all), ROUTE_NONE);
    assert_int_equal(second_of(&near, &far), 0);
    assert_int_equal(second_of(&far, &near), ROUTE_NONE);
    assert_int_equal(second_of(&far, &less), ROUTE_NONE);
}

static void a_route_that_leaves_out_all_of_itself_is_told(void **state)
{
    (void)state;
    const char *names[] = { "a.org", "x.b.org" }, *out[] = { "A.org", "*.b.org" },
               *posts[] = { "POST", "PUT" }, *admin[] = { "/admin" };
    struct cidr net[] = { block("10.0.0.0/8") }, host[] = { block("10.1.2.3") };
    struct route_not_conf not_hosts = { .hosts = items(out, 2) },
                          not_methods = { .methods = items(posts, 2) },
                          not_admin = { .path_prefixes = items(admin, 1) },
                          not_net = { .clients = items(net, 1) }, not_path = { .paths = items(admin, 1) },
                          not_host = { .clients = items(host, 1) };
    const struct {
        struct route_conf route;
        const char *key;
    } cases[] = {
        { { .not = &not_hosts, .hosts = items(names, 2) }, "host" },
        { { .not = &not_methods, .hosts = items(names, 2) }, NULL },
        { { .not = &not_hosts }, NULL },
        { { .not = &not_methods, .methods = items(posts, 1) }, "method" },
        { { .not = &not_admin, .path = "/admin/x" }, "path" },
        { { .not = &not_admin, .path_prefix = "/admin" }, "path_prefix" },
        { { .not = &not_admin, .path_prefix = "/adm" }, NULL },
        { { .not = &not_path, .path = "/admin" }, "path" },
        { { .not = &not_path, .path_prefix = "/admin" }, NULL },
        { { .not = &not_net, .clients = items(host, 1) }, "client" },
        { { .not = &not_host, .clients = items(net, 1) }, NULL },
        { { .path = "/" }, NULL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *key = route_shadow_left_out(&cases[i].route);
        if ((key != NULL) != (cases[i].key != NULL) || (key && strcmp(key, cases[i].key) != 0))
            fail_msg("case %zu: %s", i, key ? key : "none");
    }
}

/* Few of everything, so that much is alike. */
static const char *const hosts[] = { "a.org", "*.a.org", "A.org", "x.a.org" };
static const char *const paths[] = { "/", "/a", "/a/", "/a/b" };
static const char *const methods[] = { "GET", "POST" };
static struct route_pair_conf pairs[] = { { "X-Env", "beta" }, { "x-env", "*" }, { "X-Env", "!beta" } };

static struct route_conf some_route(struct rng *rng, const struct cidr *blocks)
{
    struct route_conf r = { 0 };
    uint32_t first = 2 * rng_below(rng, 2), scheme = rng_below(rng, 12);
    if (scheme < 3) r.scheme = scheme;
    r.hosts = items((void *)(uintptr_t)&hosts[first], rng_below(rng, 4) % 3);
    const char *path = paths[rng_below(rng, 4)];
    uint32_t kind = rng_below(rng, 4);
    if (kind == 1) r.path = path;
    if (kind == 2) r.path_prefix = path;
    if (kind == 3) r.path_regex = path;
    uint32_t method = rng_below(rng, 4), header = rng_below(rng, 6), client = rng_below(rng, 4);
    if (method < 3) r.methods = items((void *)(uintptr_t)&methods[method % 2], method == 2 ? 1 : 2 - method);
    if (header < 3) r.headers = items(&pairs[header], 1);
    if (client < 2) r.clients = items((void *)(uintptr_t)&blocks[client], 1);
    return r;
}

static struct route_table *table_of(const struct route_conf *routes)
{
    struct route_row rows[2 * ROUTES];
    struct route_condition memory[ROUTES][4];
    struct err err;
    uint32_t count = 0;
    for (uint32_t i = 0; i < ROUTES; i++)
        for (uint32_t n = 0; n < route_conf_row_count(&routes[i]); n++)
            rows[count++] = route_conf_row(&routes[i], n, i, memory[i]);
    struct route_table *t = route_table_new(rows, count, &err);
    if (!t) fail_msg("%s", err.text);
    return t;
}

static void ask(const struct route_table *t, const uint32_t *by, struct rng *rng,
                struct route_scratch *scratch)
{
    static const char *const asked[] = { "a.org", "x.a.org", "b.org" };
    static const char *const values[] = { "beta", "prod" };
    struct http_field field = { .name = "x-env", .name_len = 5 };
    struct http_head head = { .fields = &field, .field_count = (uint16_t)rng_below(rng, 2) };
    field.value = values[rng_below(rng, 2)];
    field.value_len = (uint32_t)strlen(field.value);
    head.method_text = slice_of(methods[rng_below(rng, 2)]);
    head.method = http_method_of(head.method_text);
    struct route_request rq = { .host = slice_of(asked[rng_below(rng, 3)]),
                                .path = slice_of(paths[rng_below(rng, 4)]),
                                .head = &head,
                                .is_secure = rng_below(rng, 2) };
    assert_true(ip_parse(rng_below(rng, 2) ? SLICE("10.1.2.3") : SLICE("10.9.9.9"), &rq.client));
    struct route_choice choice;
    uint32_t index = route_match(t, &rq, scratch, &choice);
    if (index != ROUTE_NONE && by[index] != ROUTE_NONE) fail_msg("route %u is taken", index);
}

static void no_route_that_is_told_is_ever_taken(void **state)
{
    (void)state;
    struct rng rng;
    const struct cidr blocks[] = { block("10.0.0.0/8"), block("10.1.0.0/16") };
    struct route_scratch *scratch = route_scratch_new();
    uint32_t told = 0;
    rng_seed(&rng, 7);
    for (uint32_t round = 0; round < 3000; round++) {
        struct route_conf routes[ROUTES];
        uint32_t by[ROUTES];
        for (uint32_t i = 0; i < ROUTES; i++) routes[i] = some_route(&rng, blocks);
        assert_true(route_shadow_find(routes, ROUTES, by));
        for (uint32_t i = 0; i < ROUTES; i++) told += by[i] != ROUTE_NONE;
        struct route_table *t = table_of(routes);
        for (uint32_t i = 0; i < 30; i++) ask(t, by, &rng, scratch);
        route_table_free(t);
    }
    assert_in_range(told, 50, 3000 * ROUTES);
    route_scratch_free(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_route_with_the_conditions_of_an_earlier_one_is_told),
        cmocka_unit_test(a_scheme_is_a_condition),
        cmocka_unit_test(what_leaves_out_as_much_takes_as_much),
        cmocka_unit_test(a_route_that_leaves_out_all_of_itself_is_told),
        cmocka_unit_test(what_asks_for_less_takes_what_asks_for_more),
        cmocka_unit_test(no_route_that_is_told_is_ever_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
