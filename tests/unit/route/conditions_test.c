/* Routes that ask for more than host and path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "http/template.h"
#include "route/route.h"
#include "route/route_not.h"

/* A request as text: "GET /path?query name:value name:value". "-name" is not passed on; "^" is the upgrade that is
 * asked for, "@" the authority, which else is a.org. */
struct request {
    char memory[512];
    struct http_field fields[8];
    struct http_head head;
    struct route_request rq;
};

static void request_of(struct request *r, const char *text)
{
    char *rest = NULL;
    memset(r, 0, sizeof(*r));
    snprintf(r->memory, sizeof(r->memory), "%s", text);
    r->head.fields = r->fields;
    r->head.method_text = slice_of(strtok_r(r->memory, " ", &rest));
    r->head.method = http_method_of(r->head.method_text);
    r->head.target = slice_of(strtok_r(NULL, " ", &rest));
    r->head.authority = SLICE("a.org");
    for (char *field; (field = strtok_r(NULL, " ", &rest));) {
        char *colon = strchr(field, ':');
        bool is_dropped = *field == '-';
        if (*field == '^') r->head.upgrade = slice_of(colon + 1);
        if (*field == '@') r->head.authority = slice_of(colon + 1);
        field += is_dropped;
        struct slice name = { field, (size_t)(colon - field) };
        r->fields[r->head.field_count++] = (struct http_field){ .name = field,
                                                                .name_len = (uint16_t)name.len,
                                                                .value = colon + 1,
                                                                .value_len = (uint32_t)strlen(colon + 1),
                                                                .is_dropped = is_dropped,
                                                                .id = (uint8_t)http_field_id_of(name) };
    }
    r->rq = (struct route_request){ .host = SLICE("a.org"),
                                    .path = http_target_path(r->head.target),
                                    .query = http_target_query(r->head.target),
                                    .head = &r->head };
    assert_true(ip_parse(SLICE("10.1.2.3"), &r->rq.client));
}

static struct route_table *table_of(const struct route_row *rows, uint32_t count)
{
    struct err err;
    struct route_table *t = route_table_new(rows, count, &err);
    if (!t) fail_msg("%s", err.text);
    return t;
}

static uint32_t match(const struct route_table *t, const char *text, struct route_choice *c)
{
    struct request r;
    struct route_scratch *scratch = route_scratch_new();
    request_of(&r, text);
    uint32_t index = route_match(t, &r.rq, scratch, c);
    route_scratch_free(scratch);
    return index;
}

static const char *const get_head[] = { "GET", "HEAD" }, *const purge[] = { "PURGE" };
static const struct route_condition beta[] = { { "X-Env", "beta" } }, any_env[] = { { "x-env", "*" } },
                                    not_beta[] = { { "X-Env", "!beta" } }, no_env[] = { { "X-Env", "!*" } },
                                    beta_v2[] = { { "X-Env", "beta" }, { "Accept", "v2" } },
                                    version_2[] = { { "v", "2" } }, no_v[] = { { "v", "!*" } },
                                    not_v_2[] = { { "v", "!2" } }, spaced[] = { { "a b", "c d" } },
                                    upgrade[] = { { "Upgrade", "websocket" } },
                                    host[] = { { "Host", "a.org" } };

static void a_scheme_tells_two_routes_apart(void **state)
{
    (void)state;
    static const struct route_row rows[] = {
        { .index = 0, .scheme = ROUTE_SCHEME_HTTPS },
        { .index = 1, .scheme = ROUTE_SCHEME_HTTP },
        { .index = 2 },
    };
    struct route_table *t = table_of(rows, 3);
    struct route_choice c;
    struct request r;
    request_of(&r, "GET /");
    for (uint32_t i = 0; i < 2; i++) {
        r.rq.is_secure = i == 0;
        assert_int_equal(route_match(t, &r.rq, NULL, &c), i);
        assert_int_equal(c.conditions, 1);
    }
    route_table_free(t);
}

static const char *const admin[] = { "/admin/", "/b/" }, *const exact[] = { "/a/x" },
                         *const post[] = { "POST" }, *const below[] = { "*.A.org", "b.org.", "*.c.Org." };

static void a_route_leaves_out_what_it_says(void **state)
{
    (void)state;
    static const struct route_not_conf prefixes = { .path_prefixes = { (void *)(uintptr_t)admin, 2 } },
                                       path = { .paths = { (void *)(uintptr_t)exact, 1 } },
                                       methods = { .methods = { (void *)(uintptr_t)post, 1 } };
    static const struct {
        const struct route_not_conf * not ;
        const char *takes, *leaves, *why;
    } cases[] = {
        { &prefixes, "GET /admin", "GET /admin/x", "path_prefix" },
        { &prefixes, "GET /", "GET /b/", "path_prefix" },
        { &path, "GET /a/x/", "GET /a/x?y", "path" },
        { &methods, "GET /", "POST /", "method" },
        { &methods, "post /", "POST /", "method" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const struct route_row rows[] = { { .index = 0 }, { .not = cases[i].not, .index = 1 } };
        struct route_table *t = table_of(rows, 2);
        struct route_choice c;
        struct request r;
        if (match(t, cases[i].takes, &c) != 1) fail_msg("not taken: %s", cases[i].takes);
        assert_int_equal(c.conditions, 1);
        if (match(t, cases[i].leaves, &c) != 0) fail_msg("taken: %s", cases[i].leaves);
        request_of(&r, cases[i].leaves);
        assert_string_equal(route_not_holds(cases[i].not, &r.rq), cases[i].why);
        route_table_free(t);
    }
}

static void a_route_leaves_out_hosts(void **state)
{
    (void)state;
    static const struct route_not_conf hosts = { .hosts = { (void *)(uintptr_t)below, 3 } };
    static const char *const out[] = { "x.a.org:80", "X.Y.A.ORG.", "b.org",
                                       "B.org:8080", "x.c.org",    "x.c.org.:80" },
                             *const in[] = { "a.org", "ba.org", "bb.org", "x.b.org",
                                             "",      ".a.org", "c.org",  "xc.org." };
    struct request r;
    request_of(&r, "GET /");
    for (size_t i = 0; i < sizeof(out) / sizeof(*out); i++) {
        r.rq.host = slice_of(out[i]);
        if (!route_not_holds(&hosts, &r.rq)) fail_msg("not left out: %s", out[i]);
    }
    for (size_t i = 0; i < sizeof(in) / sizeof(*in); i++) {
        r.rq.host = slice_of(in[i]);
        if (route_not_holds(&hosts, &r.rq)) fail_msg("left out: %s", in[i]);
    }
    assert_true(route_host_is_within("*.x.a.org", "*.a.org"));
    assert_true(route_host_is_within("*.a.org", "*.A.org."));
    assert_true(route_host_is_within("x.a.org.", "*.a.org."));
    assert_true(route_host_is_within("a.org.", "a.org"));
    assert_true(route_host_is_within("*.x.a.org.", "*.a.org"));
    assert_false(route_host_is_within("*.org", "*.a.org"));
    assert_false(route_host_is_within("a.org", "*.a.org"));
}

static void a_route_leaves_out_who_it_says(void **state)
{
    (void)state;
    struct cidr inner;
    struct err err;
    struct request r;
    assert_int_equal(cidr_parse(SLICE("10.0.0.0/8"), &inner, &err), 0);
    const struct route_not_conf clients = { .clients = { &inner, 1 } };
    request_of(&r, "GET /"); /* of 10.1.2.3 */
    assert_string_equal(route_not_holds(&clients, &r.rq), "client");
    assert_true(ip_parse(SLICE("192.0.2.1"), &r.rq.client));
    assert_null(route_not_holds(&clients, &r.rq));
}

/* By one condition each, in front of a route for everything. */
static void a_route_is_taken_only_where_its_conditions_hold(void **state)
{
    (void)state;
    struct cidr inner = { 0 };
    struct err err;
    assert_int_equal(cidr_parse(SLICE("10.0.0.0/8"), &inner, &err), 0);
    static const struct {
        struct route_row row;
        const char *takes, *refuses;
    } cases[] = {
        { { .methods = get_head, .method_count = 2 }, "HEAD /", "POST /" },
        { { .methods = purge, .method_count = 1 }, "PURGE /", "PURG /" },
        { { .methods = purge, .method_count = 1 }, "PURGE /x", "GET /x" },
        { { .headers = beta, .header_count = 1 }, "GET / x-env:beta", "GET / x-env:Beta" },
        { { .headers = beta, .header_count = 1 }, "GET / X-ENV:beta", "GET /" },
        { { .headers = any_env, .header_count = 1 }, "GET / X-Env:", "GET / X-Env2:a" },
        { { .headers = not_beta, .header_count = 1 }, "GET / X-Env:prod", "GET / X-Env:beta" },
        { { .headers = not_beta, .header_count = 1 }, "GET /", "GET / X-Env:beta" },
        { { .headers = no_env, .header_count = 1 }, "GET /", "GET / X-Env:" },
        { { .headers = beta_v2, .header_count = 2 },
          "GET / X-Env:beta Accept:v2",
          "GET / X-Env:beta Accept:v1" },
        { { .query = version_2, .query_count = 1 }, "GET /?a=1&v=2", "GET /?v=22" },
        { { .query = version_2, .query_count = 1 }, "GET /?v=3&v=2", "GET /?v=3&w=2" },
        { { .query = version_2, .query_count = 1 }, "GET /?%76=%32", "GET /?%2576=2" },
        { { .query = no_v, .query_count = 1 }, "GET /?w", "GET /?a&%76" },
        { { .query = not_v_2, .query_count = 1 }, "GET /?v=3&v=4", "GET /?v=3&v=2" },
        { { .query = spaced, .query_count = 1 }, "GET /?a+b=c%20d", "GET /?a%2Bb=c%20d" },
        { { .headers = beta, .header_count = 1 },
          "GET / X-Env:prod x-env:beta",
          "GET / X-Env:prod X-Env:Beta" },
        { { .headers = beta, .header_count = 1 }, "GET / X-Env:prod,beta", "GET / X-Env:prod,beta2" },
        { { .headers = beta, .header_count = 1 }, "GET / X-Env:beta,", "GET / -X-Env:beta" },
        { { .headers = not_beta, .header_count = 1 }, "GET / X-Env:a X-Env:b", "GET / X-Env:a X-Env:beta" },
        { { .headers = not_beta, .header_count = 1 }, "GET / -X-Env:beta", "GET / X-Env:a,\tbeta\t" },
        { { .headers = no_env, .header_count = 1 }, "GET / -X-Env:a", "GET / -X-Env:a X-Env:b" },
        { { .headers = upgrade, .header_count = 1 }, "GET / ^:websocket", "GET / Upgrade:websocket" },
        { { .headers = host, .header_count = 1 }, "GET / Host:b.org", "GET / @:b.org Host:a.org" },
        { { .path_regex = "^/u/[0-9]+$" }, "GET /u/17?x", "GET /u/17x" },
        { { .path_regex = "b+$" }, "GET /aab", "GET /aabc" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct route_row rows[] = { { .name = "rest", .index = 0 }, cases[i].row };
        struct route_choice c;
        rows[1].index = 1;
        struct route_table *t = table_of(rows, 2);
        if (match(t, cases[i].takes, &c) != 1) fail_msg("%s is not taken", cases[i].takes);
        if (match(t, cases[i].refuses, &c) != 0) fail_msg("%s is taken", cases[i].refuses);
        route_table_free(t);
    }
    struct route_row rows[] = { { .name = "rest", .index = 0 },
                                { .name = "inner", .clients = &inner, .client_count = 1, .index = 1 } };
    struct route_choice c;
    struct route_table *t = table_of(rows, 2);
    assert_int_equal(match(t, "GET /", &c), 1);
    assert_int_equal(c.conditions, 1);
    struct request r;
    request_of(&r, "GET /");
    assert_true(ip_parse(SLICE("192.0.2.1"), &r.rq.client));
    assert_int_equal(route_match(t, &r.rq, NULL, &c), 0);
    route_table_free(t);
}

static void the_more_specific_is_asked_first(void **state)
{
    (void)state;
    static const struct route_row rows[] = {
        { .name = "any", .index = 0 },
        { .name = "prefix", .path_prefix = "/a/", .index = 1 },
        { .name = "one condition", .path_prefix = "/a/", .headers = beta, .header_count = 1, .index = 2 },
        { .name = "two conditions", .path_prefix = "/a/", .headers = beta_v2, .header_count = 2, .index = 3 },
        { .name = "methods", .path_prefix = "/a/", .methods = purge, .method_count = 1, .index = 4 },
        { .name = "longer", .path_prefix = "/a/b/", .headers = beta, .header_count = 1, .index = 5 },
        { .name = "first regex", .path_regex = "x$", .index = 6 },
        { .name = "second regex", .path_regex = "xx$", .methods = get_head, .method_count = 2, .index = 7 },
        { .name = "exact", .path = "/a/b/c", .query = version_2, .query_count = 1, .index = 8 },
        { .name = "host",
          .host = "a.org",
          .path_prefix = "/only/",
          .headers = beta,
          .header_count = 1,
          .index = 9 },
        { .name = "again", .path_prefix = "/a/", .index = 10 },
    };
    static const struct {
        const char *request;
        uint32_t index;
        enum route_path_reason path;
        uint8_t conditions;
    } cases[] = {
        { "GET /", 0, ROUTE_PATH_ANY, 0 },
        { "GET /a/", 1, ROUTE_PATH_PREFIX, 0 },
        { "GET /a/ X-Env:beta", 2, ROUTE_PATH_PREFIX, 1 },
        { "GET /a/ X-Env:beta Accept:v2", 3, ROUTE_PATH_PREFIX, 2 },
        { "PURGE /a/ X-Env:beta Accept:v2", 4, ROUTE_PATH_PREFIX, 1 },
        { "GET /a/b/c X-Env:beta", 5, ROUTE_PATH_PREFIX, 1 },
        { "GET /a/b/c", 1, ROUTE_PATH_PREFIX, 0 },
        { "GET /a/b/c?v=2", 8, ROUTE_PATH_EXACT, 1 },
        { "GET /xx", 6, ROUTE_PATH_REGEX, 0 },
        { "GET /a/xx", 1, ROUTE_PATH_PREFIX, 0 },
        { "GET /only/x X-Env:beta", 9, ROUTE_PATH_PREFIX, 1 },
        { "GET /only/y", 0, ROUTE_PATH_ANY, 0 },
    };
    struct route_table *t = table_of(rows, sizeof(rows) / sizeof(*rows));
    assert_true(route_table_needs_scratch(t));
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct route_choice c;
        if (match(t, cases[i].request, &c) != cases[i].index) fail_msg("%s: %u", cases[i].request, c.index);
        assert_int_equal(c.path, cases[i].path);
        assert_int_equal(c.conditions, cases[i].conditions);
    }
    route_table_free(t);
}

static void note_step(void *context, uint32_t index, struct slice why)
{
    struct text *t = context;
    text_printf(t, "%u: %.*s\n", index, SLICE_ARGS(why));
}

static void every_route_that_was_looked_at_says_why_not(void **state)
{
    (void)state;
    static const struct route_row rows[] = {
        { .name = "any", .index = 0 },
        { .name = "beta", .path_prefix = "/a/", .headers = beta, .header_count = 1, .index = 1 },
        { .name = "methods", .path_prefix = "/a/", .methods = purge, .method_count = 1, .index = 2 },
        { .name = "exact", .path = "/a/b", .query = version_2, .query_count = 1, .index = 3 },
        { .name = "regex", .path_regex = "^/b", .index = 4 },
        { .name = "absent", .path_regex = "^/a", .headers = no_env, .header_count = 1, .index = 5 },
    };
    char memory[2048];
    struct text told = text_over(memory, sizeof(memory));
    struct request r;
    struct route_scratch *scratch = route_scratch_new();
    struct route_table *t = table_of(rows, sizeof(rows) / sizeof(*rows));
    request_of(&r, "GET /a/b X-Env:prod");
    route_explain(t, &r.rq, scratch, note_step, &told);
    assert_string_equal(text_cstr(&told), "3: query argument v is missing, not \"2\"\n"
                                          "2: method GET is not among its methods\n"
                                          "1: header x-env is \"prod\", not \"beta\"\n"
                                          "4: its regular expression does not match the path\n"
                                          "5: header x-env is there\n"
                                          "0: \n");
    route_table_free(t);
    route_scratch_free(scratch);
}

static void an_expression_that_works_too_long_ends_the_search(void **state)
{
    (void)state;
    static const struct route_row rows[] = { { .name = "rest", .index = 0 },
                                             { .name = "bad", .path_regex = "^/(a+)+$", .index = 1 } };
    struct route_table *t = table_of(rows, 2);
    struct route_choice c;
    assert_int_equal(match(t, "GET /aaaa", &c), 1);
    assert_false(c.is_undecided);
    assert_int_equal(match(t, "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", &c), ROUTE_NONE);
    assert_true(c.is_undecided);
    route_table_free(t);
}

static void expressions_that_are_none_are_refused_with_their_place(void **state)
{
    (void)state;
    struct route_row row = { .name = "bad", .path_regex = "/(x" };
    struct err err = { "" };
    assert_null(route_table_new(&row, 1, &err));
    assert_non_null(
        strstr(err.text, "route \"bad\": \"/(x\" is no regular expression: missing closing parenthesis"));
    row = (struct route_row){ .name = "two", .path = "/", .path_regex = "/" };
    assert_null(route_table_new(&row, 1, &err));
}

/* What trying every row in the order of route.h gives, for rows of one host and few paths. */
static uint32_t slow_match(const struct route_row *rows, uint32_t count, const char *path, const char *env,
                           bool is_get)
{
    uint64_t best = 0;
    uint32_t index = ROUTE_NONE;
    for (uint32_t i = 0; i < count; i++) {
        const struct route_row *r = &rows[i];
        uint64_t rank_path = r->path ? (strcmp(r->path, path) == 0 ? 1000 : 0)
                             : strncmp(path, r->path_prefix, strlen(r->path_prefix)) == 0
                                 ? 1 + strlen(r->path_prefix)
                                 : 0;
        bool takes = rank_path && (!r->method_count || is_get) &&
                     (!r->header_count || (env && strcmp(env, "beta") == 0));
        uint64_t rank = rank_path * 1000000 + (r->method_count ? 10000 : 0) + (r->header_count ? 5000 : 0) +
                        count - i;
        if (!takes || rank <= best) continue;
        best = rank;
        index = r->index;
    }
    return index;
}

static void drawn_tables_match_as_trying_every_row_does(void **state)
{
    (void)state;
    static const char *const paths[] = { "", "/", "/a", "/a/", "/a/b", "/a/b/c", "/b" };
    struct rng rng;
    rng_seed(&rng, 7);
    for (int round = 0; round < 300; round++) {
        struct route_row rows[20];
        uint32_t count = 1 + rng_below(&rng, 20);
        for (uint32_t i = 0; i < count; i++) {
            const char *path = paths[rng_below(&rng, 7)];
            bool is_exact = *path && rng_below(&rng, 2);
            rows[i] = (struct route_row){ .name = "drawn", .index = i };
            if (is_exact)
                rows[i].path = path;
            else
                rows[i].path_prefix = path;
            if (rng_below(&rng, 3) == 0) rows[i].methods = get_head, rows[i].method_count = 2;
            if (rng_below(&rng, 3) == 0) rows[i].headers = beta, rows[i].header_count = 1;
        }
        struct route_table *t = table_of(rows, count);
        for (uint32_t p = 1; p < 7; p++) {
            for (unsigned form = 0; form < 4; form++) {
                char text[64];
                struct route_choice c;
                snprintf(text, sizeof(text), "%s %s%s", form & 1 ? "GET" : "POST", paths[p],
                         form & 2 ? " X-Env:beta" : "");
                assert_int_equal(match(t, text, &c),
                                 slow_match(rows, count, paths[p], form & 2 ? "beta" : NULL, form & 1));
            }
        }
        route_table_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scheme_tells_two_routes_apart),
        cmocka_unit_test(a_route_leaves_out_what_it_says),
        cmocka_unit_test(a_route_leaves_out_hosts),
        cmocka_unit_test(a_route_leaves_out_who_it_says),
        cmocka_unit_test(a_route_is_taken_only_where_its_conditions_hold),
        cmocka_unit_test(the_more_specific_is_asked_first),
        cmocka_unit_test(every_route_that_was_looked_at_says_why_not),
        cmocka_unit_test(an_expression_that_works_too_long_ends_the_search),
        cmocka_unit_test(expressions_that_are_none_are_refused_with_their_place),
        cmocka_unit_test(drawn_tables_match_as_trying_every_row_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
