#include "route/cors_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/decoded.h"

struct config {
    struct cors_conf *cors;
};
static const struct conf_field config_fields[] = {
    { "cors", CONF_OPTIONAL(struct config, cors, &cors_type), .help = "CORS." },
    { 0 },
};
static const struct conf_type config_type = { .name = "config",
                                              .size = sizeof(struct config),
                                              .fields = config_fields };

/* NULL: it is right, and *cors is it, in `arena`. */
static char *decode(const char *yaml, struct conf_arena *arena, struct cors_conf **cors)
{
    struct config config;
    char *faults = decode_yaml(yaml, &config_type, &config, arena);
    *cors = config.cors;
    return faults;
}

static void one_line_is_enough(void **state)
{
    (void)state;
    struct conf_arena *arena = conf_arena_new();
    struct cors_conf *cors;
    char *faults = decode("cors: https://app.example.org", arena, &cors);
    if (faults) fail_msg("%s", faults);
    assert_true(cors_allows(cors, SLICE("https://app.example.org")));
    assert_true(slice_equal(cors->methods_text, SLICE("GET, HEAD, POST, PUT, PATCH, DELETE")));
    assert_true(slice_equal(cors->max_age_text, SLICE("600")));
    assert_int_equal(cors->headers_text.len, 0);
    faults = decode("cors: [https://a.example, 'https://*.b.example:8443']", arena, &cors);
    if (faults) fail_msg("%s", faults);
    static const struct {
        const char *origin;
        bool is_allowed;
    } cases[] = {
        { "https://a.example", true },
        { "http://a.example", false },
        { "https://a.example:443", false },
        { "https://a.example.evil", false },
        { "https://x.b.example:8443", true },
        { "https://x.y.b.example:8443", true },
        { "https://b.example:8443", false },
        { "https://.b.example:8443", false },
        { "https://x.b.example", false },
        { "https://evil/.b.example:8443", false },
        { "https://evil\".b.example:8443", false },
        { "https://evilb.example:8443", false },
        { "null", false },
        { "", false },
        { "*", false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (cors_allows(cors, slice_of(cases[i].origin)) != cases[i].is_allowed)
            fail_msg("%s", cases[i].origin);
    conf_arena_free(arena);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *fault;
    } cases[] = {
        { "cors: {origins: '*', credentials: true}", "any page could read" },
        { "cors: https://app.example.org/", "before the path" },
        { "cors: app.example.org", "begins with its scheme" },
        { "cors: 'null'", "any page can have the origin null" },
        { "cors: https://App.example.org", "small letters" },
        { "cors: 'https://a.*.example'", "only wildcard" },
        { "cors: 'https://'", "has a host" },
        { "cors: \"https://a.example\\r\\nx: y\"", "no such character" },
        { "cors: {origins: [https://a.example], methods: ['GET, PUT']}", "cannot be the name of a method" },
        { "cors: {origins: [https://a.example], headers: [\"X\\r\\nY\"]}", "cannot be the name of a header" },
        { "cors: {methods: [GET]}", "origins" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct conf_arena *arena = conf_arena_new();
        struct cors_conf *cors;
        char *faults = decode(cases[i].yaml, arena, &cors);
        if (!faults || !strstr(faults, cases[i].fault))
            fail_msg("%s: %s", cases[i].yaml, faults ? faults : "taken");
        free(faults);
        conf_arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line_is_enough),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
