#include "control/config_edit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/config.h"

static struct conf_edit_result last;

static const char source[] = "# a remark\n"
                             "listeners:\n"
                             "  - {name: web, bind: \"127.0.0.1:0\", routes: [\n"
                             "      {name: a, path: /a, pool: web},\n"
                             "      {path: /b, pool: web, maintenance: false},\n"
                             "      {path: /c, split: web-2, host: [\"1.example\"]}]}\n"
                             "pools:\n"
                             "  web: {servers: [\"127.0.0.1:1\"], timeouts: {connect: 2s, total: off}}\n"
                             "splits:\n"
                             "  web-2: {unit: \"cookie:${WEIR_TEST_NAME:-sid}\", variants: {a: {weight: "
                             "12.5, pool: web}, b: {weight: 87.5, pool: web}}}\n"
                             "workers: 1\n";

/* The configuration that it becomes; *text is what it is made of. */
static struct config *edited(const char *const *changes, uint32_t count, char **text, size_t *len)
{
    struct err err = { "" };
    struct config *c = NULL;
    char *faults = NULL;
    if (config_edit("weir.yaml", SLICE(source), changes, count, &last, text, len, &faults, &err) < 0)
        fail_msg("%s%s", faults ? faults : "", err.text);
    if (config_parse(&c, "weir.json", (struct slice){ *text, *len }, &faults) < 0)
        fail_msg("%s\n%s", faults, *text);
    return c;
}

static const struct route_conf *route_of(const struct config *c, uint32_t at)
{
    const struct listener_conf *l = c->proxy.listeners.data;
    return (const struct route_conf *)l->routes.data + at;
}

static void what_is_not_changed_says_the_same(void **state)
{
    (void)state;
    struct config *before = NULL;
    char *faults = NULL, *text = NULL;
    size_t len = 0;
    assert_int_equal(config_parse(&before, "weir.yaml", SLICE(source), &faults), 0);
    struct config *after = edited(NULL, 0, &text, &len);
    assert_true(slice_equal(before->shown, after->shown));
    assert_non_null(strstr(text, "${WEIR_TEST_NAME:-sid}"));
    config_text_free(text, len);
    config_free(before);
    config_free(after);
}

static void a_change_finds_listeners_and_routes_by_their_names(void **state)
{
    (void)state;
    static const char *const changes[] = { "listeners[web].maintenance.enabled=true",
                                           "listeners[web].routes[web].maintenance.enabled=true",
                                           "listeners[web].routes[web-2].maintenance.enabled=true" };
    char *text = NULL;
    size_t len = 0;
    struct config *c = edited(changes, 3, &text, &len);
    const struct listener_conf *l = c->proxy.listeners.data;
    assert_true(l->maintenance && l->maintenance->enabled);
    assert_int_equal(l->maintenance->status, 503);
    assert_null(route_of(c, 0)->maintenance); /* it goes to "web", and is called otherwise */
    assert_true(route_of(c, 1)->maintenance->enabled);
    assert_true(route_of(c, 2)->maintenance->enabled);
    config_text_free(text, len);
    config_free(c);
}

static void a_change_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const char *const changes[] = { "listeners[other].maintenance.enabled=true" };
    char *text = NULL, *faults = NULL;
    size_t len = 0;
    struct err err = { "" };
    assert_int_equal(config_edit("weir.yaml", SLICE(source), changes, 1, &last, &text, &len, &faults, &err),
                     -1);
    assert_null(text);
    assert_null(faults);
    assert_non_null(strstr(err.text, "there is no \"other\""));
    assert_int_equal(config_edit("weir.yaml", SLICE("a: [b"), changes, 1, &last, &text, &len, &faults, &err),
                     -1);
    assert_non_null(faults);
    free(faults);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_changed_says_the_same),
        cmocka_unit_test(a_change_finds_listeners_and_routes_by_their_names),
        cmocka_unit_test(a_change_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
