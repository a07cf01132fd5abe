#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "route/rewrite.h"
#include "route/route.h"

static const struct http_path_rules preset;

static enum rewrite_result rewrite(const struct rewrite_conf *conf, const char *target, char *out,
                                   size_t room)
{
    struct rewrite *r = NULL;
    struct err err;
    struct route_scratch *scratch = route_scratch_new();
    char *memory = malloc(room + 1);
    struct text t = text_over(memory, room);
    assert_int_equal(rewrite_new(&r, conf, &err), 0);
    enum rewrite_result result = rewrite_target(r, scratch, &preset, slice_of(target), &t);
    *out = 0;
    if (result == REWRITE_DONE) {
        memcpy(out, t.data, t.len);
        out[t.len] = 0;
    }
    free(memory);
    rewrite_free(r);
    route_scratch_free(scratch);
    return result;
}

static void targets_become_what_the_rules_say(void **state)
{
    (void)state;
    static const struct {
        struct rewrite_conf conf;
        const char *target, *becomes; /* NULL: the same */
    } cases[] = {
        { { .strip_prefix = "/v1" }, "/v1/x?q=1", "/x?q=1" },
        { { .strip_prefix = "/v1/" }, "/v1/x", "/x" },
        { { .strip_prefix = "/v1" }, "/v1", "/" },
        { { .strip_prefix = "/v1" }, "/v1?q", "/?q" },
        { { .strip_prefix = "/v1" }, "/v2/x", NULL },
        { { .strip_prefix = "/v1" }, "*", NULL },
        { { .strip_prefix = "/v1/" }, "/v1/x?/../%61", "/x?/../%61" },
        { { .regex = "^/go/", .to = "//" }, "/go/evil.org/x", "/evil.org/x" },
        { { .regex = "/tmp", .to = "" }, "/a/tmp/tmp", "/a/tmp" },
        { { .regex = "25", .to = "" }, "/%2561", "/a" },
        { { .add_prefix = "/api" }, "/x", "/api/x" },
        { { .add_prefix = "/api/" }, "/x", "/api/x" },
        { { .strip_prefix = "/v1", .add_prefix = "/api" }, "/v1/x", "/api/x" },
        { { .regex = "^/u/([0-9]+)(/.*)?", .to = "/users/$1/$2" }, "/u/17?z", "/users/17/?z" },
        { { .regex = "b", .to = "B" }, "/abab", "/aBab" },
        { { .regex = "(a)(x)?", .to = "<$0|${1}|$2|$$|$z" }, "/a", "/%3Ca%7Ca%7C%7C$%7C$z" },
        { { .regex = "^/x$", .to = "/a b\xc3\xa9?#" }, "/x?q", "/a%20b%C3%A9%3F%23?q" },
        { { .regex = "^/(.*)", .to = "$1" }, "/a", "/a" },
        { { .regex = "nothing", .to = "x" }, "/a", NULL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char out[256];
        enum rewrite_result result = rewrite(&cases[i].conf, cases[i].target, out, 200);
        if (!cases[i].becomes)
            assert_int_equal(result, REWRITE_SAME);
        else
            assert_string_equal(out, cases[i].becomes);
    }
}

/* What is left of one segment must not become a step out of the place where the rule puts it. */
static void a_result_that_leads_elsewhere_is_refused(void **state)
{
    (void)state;
    static const struct {
        struct rewrite_conf conf;
        const char *target;
    } cases[] = {
        { { .strip_prefix = "/static", .add_prefix = "/public/" }, "/static../private" },
        { { .strip_prefix = "/static" }, "/static../private" },
        { { .strip_prefix = "/static" }, "/static.." },
        { { .strip_prefix = "/static/x" }, "/static/x./private" },
        { { .strip_prefix = "/static/x" }, "/static/x..;/private" },
        { { .regex = "^/u/(.*)", .to = "/users/$1./x" }, "/u/." },
        { { .regex = "x", .to = "" }, "/a/.x./b" },
        { { .regex = "x", .to = "" }, "/%2xfa" },
        { { .regex = "x", .to = "\\" }, "/ax" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char out[256];
        if (rewrite(&cases[i].conf, cases[i].target, out, 200) != REWRITE_BAD_PATH)
            fail_msg("%s became %s", cases[i].target, out);
    }
}

static void what_has_no_room_is_too_long_and_nothing_is_written_beyond_it(void **state)
{
    (void)state;
    struct rewrite_conf conf = { .add_prefix = "/0123456789" };
    for (size_t room = 0; room < 13; room++) {
        char out[64];
        enum rewrite_result result = rewrite(&conf, "/x", out, room);
        assert_int_equal(result, room < 13 ? REWRITE_TOO_LONG : REWRITE_DONE);
    }
    char out[64];
    assert_int_equal(rewrite(&conf, "/x", out, 14), REWRITE_DONE);
    assert_string_equal(out, "/0123456789/x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_become_what_the_rules_say),
        cmocka_unit_test(a_result_that_leads_elsewhere_is_refused),
        cmocka_unit_test(what_has_no_room_is_too_long_and_nothing_is_written_beyond_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
