/* `compress:` in its forms, and the types that it takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "coding/compress_scene.h"

static void a_word_or_a_list_will_do(void **state)
{
    (void)state;
    struct compress_scene s;
    compress_scene_open(&s, "true");
    const uint32_t *algorithms = s.conf->algorithms.data;
    assert_true(s.conf->enabled);
    assert_false(s.conf->secret);
    assert_int_equal(s.conf->algorithms.count, 3);
    assert_int_equal(algorithms[0], CODING_ZSTD);
    assert_int_equal(s.conf->least_bytes, 1024);
    assert_int_equal(compress_level(s.conf, CODING_ZSTD), 5);
    compress_scene_close(&s);

    compress_scene_open(&s, "[gzip, br]");
    algorithms = s.conf->algorithms.data;
    assert_true(s.conf->enabled);
    assert_int_equal(s.conf->algorithms.count, 2);
    assert_int_equal(algorithms[0], CODING_GZIP);
    assert_int_equal(algorithms[1], CODING_BR);
    assert_true(compress_takes_type(s.conf, SLICE("text/html")));
    compress_scene_close(&s);

    compress_scene_open(&s, "false");
    assert_false(s.conf->enabled);
    compress_scene_close(&s);

    compress_scene_open(&s, "{levels: {gzip: 9}, least: 10KiB, secret: true}");
    assert_true(s.conf->enabled);
    assert_true(s.conf->secret);
    assert_int_equal(s.conf->least_bytes, 10240);
    assert_int_equal(compress_level(s.conf, CODING_GZIP), 9);
    assert_int_equal(compress_level(s.conf, CODING_BR), 5);
    compress_scene_close(&s);
}

static void what_is_compressed_already_is_not_taken(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        bool is_taken;
    } cases[] = {
        { "text/html", true },
        { "text/html; charset=utf-8", true },
        { "TEXT/HTML", true },
        { " application/json ;x=y", true },
        { "application/problem+json", true },
        { "image/svg+xml", true },
        { "text/event-stream", true },
        { "image/png", false },
        { "application/zip", false },
        { "application/octet-stream", false },
        { "application/grpc", false },
        { "application/json2", false },
        { "font/woff2", false },
        { "text/", false },
        { "text", false },
        { "+json", false },
        { "", false },
        { ";", false },
    };
    struct compress_scene s;
    compress_scene_open(&s, "true");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (compress_takes_type(s.conf, slice_of(cases[i].type)) != cases[i].is_taken)
            fail_msg("\"%s\"", cases[i].type);
    assert_false(compress_takes_type(s.conf, SLICE_NONE));
    compress_scene_close(&s);
}

static void mistakes_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        { "[gzip, brotli]", "\"brotli\"" },
        { "[]", "algorithms" },
        { "[gzip, gzip]", "\"gzip\" is there twice" },
        { "{types: [html]}", "\"html\" is no media type" },
        { "{types: [\"*/css\"]}", "\"*/css\" is no media type" },
        { "{types: [\"te*/css\"]}", "is no media type" },
        { "{types: [\"text/c*\"]}", "is no media type" },
        { "{types: [\"*+\"]}", "is no media type" },
        { "{types: [\"text/css; charset=utf-8\"]}", "is no media type" },
        { "{levels: {br: 11}}", "br" },
        { "{level: 5}", "levels" },
        { "{least: 0}", "least" },
        { "yes please", "enabled" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct compress_scene s;
        compress_scene_open(&s, cases[i].text);
        if (!s.faults || !strstr(s.faults, cases[i].part))
            fail_msg("%s: %s", cases[i].text, s.faults ? s.faults : "correct");
        compress_scene_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_or_a_list_will_do),
        cmocka_unit_test(what_is_compressed_already_is_not_taken),
        cmocka_unit_test(mistakes_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
