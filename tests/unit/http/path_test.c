#include "http/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "http/path_reader.h"

static const struct http_path_rules preset;

/* In exactly the memory that is asked for, so that a byte more is seen. */
static enum http_path_fault put(const struct http_path_rules *rules, struct slice target, char *out,
                                size_t cap)
{
    size_t room = http_path_room(target);
    char *memory = malloc(room + 1);
    struct text t = text_over(memory, room);
    struct slice put;
    enum http_path_fault fault = http_path_put(rules, target, &t, &put);
    assert_ptr_equal(put.data, memory);
    assert_false(t.is_cut);
    if (put.len >= cap) fail_msg("%zu bytes", put.len);
    memcpy(out, put.data, put.len);
    out[put.len] = 0;
    free(memory);
    return fault;
}

struct path_case {
    const char *target, *becomes;
};

static void check_cases(const struct http_path_rules *rules, const struct path_case *cases, size_t count)
{
    char out[512], again[512];
    for (size_t i = 0; i < count; i++) {
        enum http_path_fault fault = put(rules, slice_of(cases[i].target), out, sizeof(out));
        if (fault != HTTP_PATH_OK || strcmp(out, cases[i].becomes) != 0)
            fail_msg("%s became %s (%s)", cases[i].target, out, http_path_fault_text(fault));
        assert_int_equal(put(rules, slice_of(out), again, sizeof(again)), HTTP_PATH_OK);
        assert_string_equal(again, out);
    }
}
#define CHECK_CASES(rules, cases) check_cases((rules), (cases), sizeof(cases) / sizeof(*(cases)))

static void what_means_the_same_is_written_the_same(void **state)
{
    (void)state;
    static const struct path_case cases[] = {
        { "/admin/", "/admin/" },
        { "/%61dmin/", "/admin/" },
        { "/%61%64%6D%69%6e/", "/admin/" },
        { "//admin/", "/admin/" },
        { "///admin////", "/admin/" },
        { "/./admin/", "/admin/" },
        { "/%2e/admin/", "/admin/" },
        { "/x/../admin/", "/admin/" },
        { "/x/%2e%2e/admin/", "/admin/" },
        { "/x/.%2E/admin/", "/admin/" },
        { "/x/..//admin/", "/admin/" },
        { "//x//../admin/", "/admin/" },
        { "/admin/.", "/admin/" },
        { "/admin/x/..", "/admin/" },
        { "/admin/x/../", "/admin/" },
        { "/.", "/" },
        { "//", "/" },
        { "/x/..", "/" },
        { "/a/b/c/./../../g", "/a/g" }, /* RFC 3986 5.2.4 */
        { "/%7Euser/%2D%5f%7e", "/~user/-_~" },
        { "/caf%c3%a9", "/caf%C3%A9" }, /* 6.2.2.1 */
        { "/caf\xc3\xa9", "/caf%C3%A9" },
        { "/a b\"<>^`{|}\x7f", "/a%20b%22%3C%3E%5E%60%7B%7C%7D%7F" },
        { "/a%20b%22%7b", "/a%20b%22%7B" },
    };
    CHECK_CASES(&preset, cases);
}

static void what_does_not_mean_the_same_stays_as_it_is(void **state)
{
    (void)state;
    static const char *const targets[] = {
        "/",
        "*",
        "h:443",
        "/.well-known/acme",
        "/...",
        "/..a/a../.b./",
        "/%252e%252e/",
        "/%25",
        "/%252fadmin",
        "/%3F%23",
        "/a%20b",
        "/a;b=1;c/d",
        "/;jsessionid=1",
        "/a/;b",
        "/a;.",
        "/a;..",
        "/!$&'()*+,;=:@[]-._~",
        "/%40%3A%2B%26%3D%3B%24%21",
        "/%01%0D%0A%7F%FF",
        "/a:b@c",
        "/http:/h/",
        "/?a=/../%61//b%2F%00\\%zz",
        "/a?",
        "/a??%61",
    };
    for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++) {
        struct path_case same = { targets[i], targets[i] };
        check_cases(&preset, &same, 1);
    }
    static const struct path_case queries[] = { { "//a?//a", "/a?//a" },
                                                { "/%61?%61", "/a?%61" },
                                                { "?a=b", "/?a=b" } };
    CHECK_CASES(&preset, queries);
}

static void what_is_read_in_more_than_one_way_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        enum http_path_fault fault;
    } cases[] = {
        { "/..", HTTP_PATH_ABOVE_ROOT },
        { "/../admin", HTTP_PATH_ABOVE_ROOT },
        { "/%2e%2e/", HTTP_PATH_ABOVE_ROOT },
        { "//..", HTTP_PATH_ABOVE_ROOT },
        { "/./..", HTTP_PATH_ABOVE_ROOT },
        { "/x/../../admin/", HTTP_PATH_ABOVE_ROOT },
        { "/admin%2f", HTTP_PATH_SLASH },
        { "/%2Fadmin/", HTTP_PATH_SLASH },
        { "/%2e%2e%2fadmin/", HTTP_PATH_SLASH },
        { "/x%5cadmin", HTTP_PATH_BACKSLASH },
        { "/x\\..\\admin", HTTP_PATH_BACKSLASH },
        { "/admin%00", HTTP_PATH_NUL },
        { "/%", HTTP_PATH_ESCAPE },
        { "/%4", HTTP_PATH_ESCAPE },
        { "/%4?1", HTTP_PATH_ESCAPE },
        { "/%zz", HTTP_PATH_ESCAPE },
        { "/%a/", HTTP_PATH_ESCAPE },
        { "/%u0041", HTTP_PATH_ESCAPE },
        { "/%%61", HTTP_PATH_ESCAPE },
        { "/..;/admin/", HTTP_PATH_HIDDEN_DOTS },
        { "/x/..;a=b/admin/", HTTP_PATH_HIDDEN_DOTS },
        { "/x/%2e.;/admin/", HTTP_PATH_HIDDEN_DOTS },
        { "/.;/admin/", HTTP_PATH_HIDDEN_DOTS },
        { "/x/..;", HTTP_PATH_HIDDEN_DOTS },
        { "/;/admin/", HTTP_PATH_HIDDEN_SEGMENT },
        { "/a/;b/", HTTP_PATH_HIDDEN_SEGMENT },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char out[64];
        enum http_path_fault fault = put(&preset, slice_of(cases[i].target), out, sizeof(out));
        if (fault != cases[i].fault) fail_msg("%s: %s", cases[i].target, http_path_fault_text(fault));
        assert_string_equal(out, cases[i].target); /* for the log */
    }
}

static void a_listener_may_say_otherwise(void **state)
{
    (void)state;
    static const struct {
        struct http_path_rules rules;
        const char *target, *becomes; /* NULL: refused */
    } cases[] = {
        { { .form = HTTP_PATH_AS_SENT }, "/%61//../\\%2f%zz?", "/%61//../\\%2f%zz?" },
        { { .encoded_slash = HTTP_PATH_SLASH_KEEP }, "/a%2fb%2F", "/a%2Fb%2F" },
        { { .encoded_slash = HTTP_PATH_SLASH_KEEP }, "/..%2fadmin", NULL },
        { { .encoded_slash = HTTP_PATH_SLASH_KEEP }, "/a%2f%2e%2E%2fadmin", NULL },
        { { .encoded_slash = HTTP_PATH_SLASH_KEEP }, "/a%2f..;x%2fadmin", NULL },
        { { .encoded_slash = HTTP_PATH_SLASH_KEEP }, "/a%2F...%2F.b", "/a%2F...%2F.b" },
        { { .encoded_slash = HTTP_PATH_SLASH_DECODE }, "/%2fadmin%2F%2e%2e%2fb", "/b" },
        { { .encoded_slash = HTTP_PATH_SLASH_DECODE }, "/%2e%2e%2fadmin", NULL },
        { { .keeps_backslash = true }, "/a\\b%5c", "/a%5Cb%5C" },
        { { .keeps_backslash = true }, "/a\\..\\b", NULL },
        { { .keeps_nul = true }, "/a%00", "/a%00" },
        { { .keeps_empty = true }, "//a//b/./c//", "//a//b/c//" },
        { { .keeps_empty = true }, "/a//../b", "/a/b" },
        { { .keeps_empty = true }, "//..", "/" },
        { { .keeps_empty = true }, "//../..", NULL },
        { { .stays_at_root = true }, "/../a/../../b", "/b" },
        { { .stays_at_root = true }, "/..", "/" },
        { { .refuses_dots = true }, "/a/./b", NULL },
        { { .refuses_dots = true }, "/a/b/%2e%2e", NULL },
        { { .refuses_dots = true }, "/a/.b/..c", "/a/.b/..c" },
        { { .refuses_parameters = true }, "/a;b", NULL },
        { { .refuses_parameters = true }, "/a%3Bb?;", "/a%3Bb?;" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char out[64];
        if (cases[i].becomes)
            check_cases(&cases[i].rules, &(struct path_case){ cases[i].target, cases[i].becomes }, 1);
        else if (put(&cases[i].rules, slice_of(cases[i].target), out, sizeof(out)) == HTTP_PATH_OK)
            fail_msg("%s became %s", cases[i].target, out);
    }
}

/* What is left of the target is what whoever decodes and resolves the path as it came would have served, once more is
 * no change, and nothing is in it that a server could read in another way. */
static void the_canonical_form_is_read_as_the_path_was_and_stays(void **state)
{
    (void)state;
    static const char *const pieces[] = { "/",   "/",   "/",   ".",   ".",   "..",  "%2e",
                                          "%2E", "a",   "%61", "%41", "%7e", "%3f", "%25",
                                          "%c3", "%20", ";",   "{",   "=",   "Z",   "%2" };
    static struct reader read, read_after;
    struct rng rng;
    rng_seed(&rng, 17);
    uint32_t taken = 0;
    for (unsigned round = 0; round < 200000; round++) {
        char path[160], out[512], again[512];
        struct text t = text_over(path, sizeof(path));
        text_add_char(&t, '/');
        for (uint32_t n = rng_below(&rng, 12); n; n--)
            text_add_slice(&t, slice_of(pieces[rng_below(&rng, sizeof(pieces) / sizeof(*pieces))]));
        if (put(&preset, text_slice(&t), out, sizeof(out)) != HTTP_PATH_OK) continue;
        taken++;
        struct slice before = reader_read(&read, text_slice(&t)),
                     after = reader_read(&read_after, slice_of(out));
        if (!slice_equal(before, after)) fail_msg("%s became %s", text_cstr(&t), out);
        if (strstr(out, "//") || strstr(out, "/./") || strstr(out, "/../")) fail_msg("%s", out);
        assert_int_equal(put(&preset, slice_of(out), again, sizeof(again)), HTTP_PATH_OK);
        assert_string_equal(again, out);
        size_t len = strlen(again);
        assert_int_equal(http_path_settle(&preset, again, &len), HTTP_PATH_OK);
        assert_int_equal(len, strlen(out));
    }
    assert_true(taken > 20000);
}

static void a_path_is_settled_where_it_lies(void **state)
{
    (void)state;
    static const struct http_path_rules strict = { .refuses_dots = true };
    char path[] = "//a//%62/./c%2d/x/..";
    size_t len = strlen(path);
    assert_int_equal(http_path_settle(&preset, path, &len), HTTP_PATH_OK);
    assert_true(slice_equal((struct slice){ path, len }, SLICE("/a/b/c-/")));
    char climbing[] = "/public/../private";
    len = strlen(climbing);
    assert_int_equal(http_path_settle(&strict, climbing, &len), HTTP_PATH_DOTS);
}

static void what_grows_beyond_any_target_is_refused(void **state)
{
    (void)state;
    size_t len = HTTP_TARGET_MAX / 2;
    char *target = malloc(len), *out = malloc(2 * HTTP_TARGET_MAX);
    memset(target, '{', len);
    target[0] = '/';
    assert_int_equal(http_path_room((struct slice){ target, len }), HTTP_TARGET_MAX);
    assert_int_equal(put(&preset, (struct slice){ target, len }, out, HTTP_TARGET_MAX), HTTP_PATH_TOO_LONG);
    assert_memory_equal(out, target, len);
    free(target);
    free(out);
}

static void a_configured_path_that_no_request_has_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool is_prefix;
        const char *says; /* NULL: it is fine */
    } cases[] = {
        { "/admin", false, NULL },
        { "/a/.", true, NULL },   /* of /a/.well-known */
        { "/a%2", true, NULL },   /* of /a%20b */
        { "/a%C3%", true, NULL }, /* of /a%C3%20 */
        { "/a%2", false, "a % that two hexadecimal digits do not follow" },
        { "/%61dmin/", true, "\"/admin/\"" },
        { "/a//b", true, "\"/a/b\"" },
        { "/a/./b", false, "\"/a/b\"" },
        { "/stra\xc3\x9f"
          "e/",
          true, "\"/stra%C3%9Fe/\"" },
        { "/a%2fb", true, "an encoded slash" },
        { "/../", true, "above the root" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct err err = { "" };
        int result = http_path_check(&preset, cases[i].path, cases[i].is_prefix, &err);
        if (result != (cases[i].says ? -1 : 0)) fail_msg("%s: %s", cases[i].path, err.text);
        if (result < 0 && !strstr(err.text, cases[i].says)) fail_msg("%s: %s", cases[i].path, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_means_the_same_is_written_the_same),
        cmocka_unit_test(what_does_not_mean_the_same_stays_as_it_is),
        cmocka_unit_test(what_is_read_in_more_than_one_way_is_refused),
        cmocka_unit_test(a_listener_may_say_otherwise),
        cmocka_unit_test(the_canonical_form_is_read_as_the_path_was_and_stays),
        cmocka_unit_test(a_path_is_settled_where_it_lies),
        cmocka_unit_test(what_grows_beyond_any_target_is_refused),
        cmocka_unit_test(a_configured_path_that_no_request_has_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
