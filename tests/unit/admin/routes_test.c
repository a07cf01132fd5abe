#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdlib.h>
#include <cmocka.h>

#include "admin/exchanges.h"
#include "admin/routes.h"
#include "conf/decode.h"
#include "pool/server.h"
#include "record/flight.h"

/* Whether `path` can be taken apart as the pattern that it is. */
static void every_row_is_found_by_its_own_path(void **state)
{
    (void)state;
    for (const struct admin_route *r = admin_routes; r->path; r++) {
        struct target t = { 0 };
        struct router_match m;
        const char *rest = r->path;
        bool is_param;
        while (router_next_segment(&rest, &t.segments[t.segment_count], &is_param)) t.segment_count++;
        if (*rest == '/' && t.segment_count) t.segments[t.segment_count++] = SLICE("");
        router_match(admin_routes, &t, r->method, &m);
        assert_ptr_equal(m.route, r);
    }
}

static void every_row_is_documented_and_bounded(void **state)
{
    (void)state;
    for (const struct admin_route *r = admin_routes; r->path; r++) {
        assert_non_null(r->handle);
        assert_true(r->summary[0] >= 'A' && r->summary[0] <= 'Z');
        assert_true(r->summary[strlen(r->summary) - 1] != '.');
        assert_false(r->is_open && r->method != HTTP_GET);
        bool has_body = r->body || r->takes_text;
        if (r->method == HTTP_PATCH || r->method == HTTP_PUT) assert_true(has_body);
        if (has_body) assert_true(r->method == HTTP_PATCH || r->method == HTTP_PUT || r->method == HTTP_POST);
        uint32_t count = 0;
        for (const struct admin_query *q = r->query; q && q->name; q++, count++)
            assert_int_equal(q->help[strlen(q->help) - 1], '.');
        assert_true(count <= ROUTER_QUERY_MAX);
    }
}

/* What somebody may do who is only to look; everything else that is no GET takes more. */
static void who_may_only_look_changes_nothing(void **state)
{
    (void)state;
    static const char *const harmless[] = { "/api/v1/session", "/api/v1/explain", "/debug/pprof/symbol" };
    for (const struct admin_route *r = admin_routes; r->path; r++) {
        bool is_harmless = r->method == HTTP_GET;
        for (size_t i = 0; i < sizeof(harmless) / sizeof(*harmless); i++)
            is_harmless |= strcmp(r->path, harmless[i]) == 0;
        if (!is_harmless) assert_true(r->role >= ROLE_OPERATE);
        if (r->is_open) assert_int_equal(r->role, ROLE_NONE);
        if (r->method == HTTP_PUT) assert_int_equal(r->role, ROLE_ADMIN);
    }
}

static const struct conf_node *get(const struct conf_node *node, const char *key)
{
    const struct conf_node *child = conf_node_get(node, key);
    if (!child) fail_msg("there is no \"%s\"", key);
    return child;
}

/* Every key of `node` is a row, every row that is not optional a key; likewise within. */
static void compare(const struct shape *shape, const struct conf_node *node)
{
    assert_int_equal(node->kind, CONF_NODE_MAP);
    for (const struct conf_node *n = node->first_child; n; n = n->next) {
        const struct shape_field *f = shape->fields;
        while (f->name && !slice_equal(slice_of(f->name), n->key)) f++;
        if (!f->name) fail_msg("%s has no row for \"%.*s\"", shape->name, SLICE_ARGS(n->key));
        if (n->kind == CONF_NODE_NULL && !f->may_be_null)
            fail_msg("\"%s\" of %s may be null", f->name, shape->name);
    }
    for (const struct shape_field *f = shape->fields; f->name; f++) {
        if (f->is_optional && !conf_node_get(node, f->name)) continue;
        const struct conf_node *child = get(node, f->name);
        if (f->kind == SHAPE_OBJECT) compare(f->of, child);
        if (f->kind == SHAPE_LIST && child->first_child) compare(f->of, child->first_child);
    }
}

static void compare_text(const struct shape *shape, struct json *j)
{
    static struct conf_faults faults;
    struct conf_tree tree;
    size_t len;
    char *text = json_take(j, &len);
    assert_int_equal(conf_read_json(&tree, "record", (struct slice){ text, len }, &faults), 0);
    compare(shape, tree.root);
    conf_tree_free(&tree);
    free(text);
}

static void the_shape_of_an_exchange_is_what_its_record_prints(void **state)
{
    (void)state;
    static const struct proxy nobody; /* knows no names */
    for (int flags = 0; flags < 4; flags++) {
        struct flight_record r;
        struct json j;
        flight_init(&r);
        r.flags = (uint8_t)flags;
        flight_set_target(&r, SLICE("/"));
        flight_begin_attempt(&r, 1, BALANCE_TIE, false);
        json_init(&j, 65536, false);
        exchange_print(&nobody, &r, true, &j);
        compare_text(&exchange_shape, &j);
    }
}

static struct conf_tree openapi;

static void read_openapi(void)
{
    static struct conf_faults faults;
    struct admin_request rq = { .routes = admin_routes };
    struct answer a = { 0 };
    openapi_show(&rq, &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(conf_read_json(&openapi, "openapi.json", (struct slice){ a.body, a.body_len }, &faults),
                     0);
    answer_fini(&a);
}

static void check_references(const struct conf_node *node)
{
    for (const struct conf_node *n = node->first_child; n; n = n->next) {
        check_references(n);
        if (!slice_equal(n->key, SLICE("$ref"))) continue;
        const struct conf_node *at = openapi.root;
        const char *rest = n->text.data + 1;
        struct slice segment;
        bool is_param;
        while (router_next_segment(&rest, &segment, &is_param)) {
            char key[64] = "";
            strncat(key, segment.data, segment.len);
            at = get(at, key);
        }
    }
}

static void openapi_has_every_row_and_no_dangling_reference(void **state)
{
    (void)state;
    read_openapi();
    const struct conf_node *paths = get(openapi.root, "paths");
    for (const struct admin_route *r = admin_routes; r->path; r++) {
        if (r->is_alias) continue;
        char method[8] = "";
        for (size_t i = 0; http_method_name(r->method)[i]; i++)
            method[i] = (char)(http_method_name(r->method)[i] | 32);
        const struct conf_node *operation = get(get(paths, r->path), method);
        get(operation, "operationId");
        uint32_t count = 0;
        for (const struct conf_node *n = get(operation, "parameters")->first_child; n; n = n->next) count++;
        for (const char *c = r->path; *c; c++) count -= *c == '{';
        for (const struct admin_query *q = r->query; q && q->name; q++) count--;
        assert_int_equal(count, 0);
        assert_int_equal(conf_node_get(operation, "requestBody") != NULL, r->body != NULL || r->takes_text);
        get(operation, "x-codeSamples");
        assert_true(!r->takes_text ||
                    (r->text_type && r->example)); /* what cannot be guessed from a schema */
        assert_true(!r->body || r->example);
    }
    check_references(openapi.root);
    conf_tree_free(&openapi);
}

static void what_the_operator_may_say_is_in_the_order_of_the_servers_own_names(void **state)
{
    (void)state;
    const char *const *names = server_patch_type.fields[0].type->names;
    for (unsigned i = 0; i <= SERVER_MAINTENANCE; i++)
        assert_string_equal(names[i], server_admin_name((enum server_admin)i));
    assert_null(names[SERVER_MAINTENANCE + 1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_found_by_its_own_path),
        cmocka_unit_test(every_row_is_documented_and_bounded),
        cmocka_unit_test(who_may_only_look_changes_nothing),
        cmocka_unit_test(the_shape_of_an_exchange_is_what_its_record_prints),
        cmocka_unit_test(openapi_has_every_row_and_no_dangling_reference),
        cmocka_unit_test(what_the_operator_may_say_is_in_the_order_of_the_servers_own_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
