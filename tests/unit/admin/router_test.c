#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include "admin/router.h"
#include <cmocka.h>

static const struct admin_query query[] = { { "limit", "integer", "How many." },
                                            { "status", "integer", "Which." },
                                            { 0 } };

static void handle(const struct admin_request *rq, struct answer *out)
{
    (void)rq, (void)out;
}

static const struct admin_route routes[] = {
    { HTTP_GET, "/", ROLE_VIEW, handle, "Index" },
    { HTTP_GET, "/pools", ROLE_VIEW, handle, "Pools" },
    { HTTP_GET, "/pools/{pool}", ROLE_VIEW, handle, "A pool" },
    { HTTP_GET, "/pools/{pool}/servers/{server}", ROLE_VIEW, handle, "A server" },
    { HTTP_PATCH, "/pools/{pool}/servers/{server}", ROLE_VIEW, handle, "Changes it" },
    { HTTP_GET, "/exchanges", ROLE_VIEW, handle, "Exchanges", .query = query },
    { 0 },
};

static struct target target;
static char memory[512];

static void match(const char *text, enum http_method method, struct router_match *out)
{
    struct err err;
    assert_int_equal(target_read(&target, slice_of(text), memory, &err), 0);
    router_match(routes, &target, method, out);
}

static void a_request_finds_its_row_and_its_parameters(void **state)
{
    (void)state;
    struct router_match m;
    match("/", HTTP_GET, &m);
    assert_ptr_equal(m.route, &routes[0]);
    match("/pools", HTTP_GET, &m);
    assert_ptr_equal(m.route, &routes[1]);
    match("/pools/a%2Fb?x=y", HTTP_GET, &m);
    assert_ptr_equal(m.route, &routes[2]);
    assert_string_equal(m.params[0].data, "a/b");
    match("/pools/web/servers/10.0.0.1:80", HTTP_PATCH, &m);
    assert_ptr_equal(m.route, &routes[4]);
    assert_string_equal(m.params[0].data, "web");
    assert_string_equal(m.params[1].data, "10.0.0.1:80");
}

static void get_answers_head_and_other_methods_are_told_what_is_allowed(void **state)
{
    (void)state;
    struct router_match m;
    match("/pools/web/servers/a", HTTP_HEAD, &m);
    assert_ptr_equal(m.route, &routes[3]);
    match("/pools/web/servers/a", HTTP_DELETE, &m);
    assert_null(m.route);
    assert_true(m.has_path);
    assert_string_equal(m.allow, "GET, HEAD, PATCH, OPTIONS");
    match("/pools", HTTP_PATCH, &m);
    assert_null(m.route);
    assert_string_equal(m.allow, "GET, HEAD, OPTIONS");
}

static void what_is_not_in_the_table_is_not_found(void **state)
{
    (void)state;
    static const char *const paths[] = { "/pool",
                                         "/pools/",
                                         "/pools//servers/a",
                                         "/pools/a/b",
                                         "/Pools",
                                         "//pools",
                                         "/pools%2Fa%2Fb",
                                         "/pools/web/servers",
                                         "/pools/web/servers/a/b" };
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        struct router_match m;
        match(paths[i], HTTP_GET, &m);
        /* "/pools%2Fa%2Fb" is one segment of that name, not three. */
        assert_false(m.has_path);
        assert_string_equal(m.allow, "");
    }
}

static const char *query_fault(const char *text)
{
    static struct err err;
    struct router_match m;
    struct slice values[ROUTER_QUERY_MAX];
    match(text, HTTP_GET, &m);
    assert_non_null(m.route);
    assert_int_equal(router_query(m.route, &target, values, &err), -1);
    return err.text;
}

static void a_query_is_put_by_its_rows(void **state)
{
    (void)state;
    struct router_match m;
    struct err err;
    struct slice values[ROUTER_QUERY_MAX];
    match("/exchanges?status=502", HTTP_GET, &m);
    assert_int_equal(router_query(m.route, &target, values, &err), 0);
    assert_null(values[0].data);
    assert_string_equal(values[1].data, "502");
    match("/exchanges?limit", HTTP_GET, &m);
    assert_int_equal(router_query(m.route, &target, values, &err), 0);
    assert_non_null(values[0].data);
    assert_int_equal(values[0].len, 0);
}

static void unknown_and_repeated_parameters_are_faults_that_name_the_nearest(void **state)
{
    (void)state;
    assert_string_equal(query_fault("/exchanges?limt=5"),
                        "unknown query parameter \"limt\"; did you mean \"limit\"?");
    assert_string_equal(query_fault("/exchanges?x=5"),
                        "unknown query parameter \"x\"; there are limit, status");
    assert_string_equal(query_fault("/pools?limit=5"),
                        "unknown query parameter \"limit\"; this path takes none");
    assert_string_equal(query_fault("/exchanges?limit=1&limit=1"),
                        "the query parameter \"limit\" is given twice");
}

static void a_mistyped_path_names_the_nearest(void **state)
{
    (void)state;
    assert_string_equal(router_nearest(routes, SLICE("/pool")), "/pools");
    assert_string_equal(router_nearest(routes, SLICE("/exchnages")), "/exchanges");
    assert_null(router_nearest(routes, SLICE("/metrics")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_finds_its_row_and_its_parameters),
        cmocka_unit_test(get_answers_head_and_other_methods_are_told_what_is_allowed),
        cmocka_unit_test(what_is_not_in_the_table_is_not_found),
        cmocka_unit_test(a_query_is_put_by_its_rows),
        cmocka_unit_test(unknown_and_repeated_parameters_are_faults_that_name_the_nearest),
        cmocka_unit_test(a_mistyped_path_names_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
