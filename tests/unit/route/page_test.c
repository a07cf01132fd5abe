#include "route/page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "route/page_conf.h"
#include "route/page_html.h"

#define EVIL "/<script>alert(\"1\")</script>&'"
#define EVIL_FIELD "\"><img src=x onerror=alert(1)>\\\t"

static struct http_field fields[] = {
    { .name = "X-Evil", .name_len = 6, .value = EVIL_FIELD, .value_len = sizeof(EVIL_FIELD) - 1 },
};
static const struct http_head head = { .target = { EVIL "?q=\"},{\"a", sizeof(EVIL "?q=\"},{\"a") - 1 },
                                       .authority = { "shop.example:80", 15 },
                                       .method_text = { "GET", 3 },
                                       .fields = fields,
                                       .field_count = 1 };

static struct page_input input(void)
{
    return (struct page_input){ .request = { .head = &head, .request_id = SLICE("id-7") },
                                .status = 404,
                                .title = SLICE("Not Found"),
                                .reason = SLICE("no_route"),
                                .detail = SLICE("No route matches <it>.") };
}

/* What becomes of a page; NULL, and *err, if it is refused. The caller's. */
static char *filled(const char *text, enum page_kind kind, struct err *err)
{
    struct conf_arena *arena = conf_arena_new();
    struct page *p = page_new(slice_of(text), kind, arena, err);
    struct page_input in = input();
    char *out = p ? calloc(1, p->room + 1) : NULL;
    struct text t = text_over(out, p ? p->room : 0);
    if (p) page_expand(p, &in, &t);
    assert_false(t.is_cut);
    conf_arena_free(arena);
    return out;
}

static void check(const char *text, enum page_kind kind, const char *expected)
{
    struct err err = { "" };
    char *out = filled(text, kind, &err);
    if (!out) fail_msg("%s: %s", text, err.text);
    assert_string_equal(out, expected);
    free(out);
}

static void check_refused(const char *text, enum page_kind kind, const char *why)
{
    struct err err = { "" };
    char *out = filled(text, kind, &err);
    if (out) fail_msg("taken: %s", text);
    if (!strstr(err.text, why)) fail_msg("%s: %s", text, err.text);
}

static void variables_are_filled_in(void **state)
{
    (void)state;
    check("{status} {title}: {reason}, {request_id} {host} {method}{server}{pool}.", PAGE_TEXT,
          "404 Not Found: no_route, id-7 shop.example GET.");
    check("{header:X-Evil}{cookie:none}{arg:none}", PAGE_TEXT, EVIL_FIELD);
    check("", PAGE_TEXT, "");
}

static void other_braces_stand_for_themselves(void **state)
{
    (void)state;
    check("body { color: red } a{b:c} {} { {unknown} {Status} {status {status:x} {header} {header:} }}",
          PAGE_TEXT,
          "body { color: red } a{b:c} {} { {unknown} {Status} {status {status:x} {header} {header:} }}");
    check("{{status}} {{{status}}} {{status} {status}}", PAGE_TEXT, "{status} {{status}} {404 404}");
    check("{\"a\": {\"b\": {}}}", PAGE_JSON, "{\"a\": {\"b\": {}}}");
    check("{", PAGE_TEXT, "{");
}

static void nothing_of_a_request_is_more_than_text_in_html(void **state)
{
    (void)state;
    check("<p>{path}</p>", PAGE_HTML, "<p>/&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;&amp;&#39;</p>");
    check("<title>{detail}</title>", PAGE_HTML, "<title>No route matches &lt;it&gt;.</title>");
    check("<a href=\"mailto:x?subject={request_id}\">{status}</a>", PAGE_HTML,
          "<a href=\"mailto:x?subject=id-7\">404</a>");
    check("<script>var id = \"{request_id}\";</script>{reason}", PAGE_HTML,
          "<script>var id = \"id-7\";</script>no_route");
}

static void places_where_it_could_be_more_are_refused(void **state)
{
    (void)state;
    static const char *const pages[] = {
        "<a href={path}>x</a>",
        "<a href=\"{path}\">",
        "<img onerror='{arg:q}'>",
        "<{header:X}>",
        "</{path}>",
        "<script>{path}</script>",
        "<SCRIPT type=a>\"{path}\"",
        "<style>a{b:{host}}</style>",
        "<!-- {path} -->",
        "<p x'y='>{path}",
        "<script><!--<script></script>{path}",
        "<p {status}a=\"b>{path}",
        "<{status}>{path}",
        "<noscript><p title=\"</noscript>{path}\">",
        "<p a=\"{request_id}\" b={host}>",
        "<iframe>{path}",
        "<!DOCTYPE html {path}>",
        "<title><p a=\"</title><script>\">{path}",
        /* The end of another element, and of none. */
        "<script></script-x>{path}",
        "<script></scripts>{path}",
        "<style></style\v>{path}",
        "<!DOCTYPE html \"{path}",
        "<!DOCTYPE {status}><p>{path}",
        "<?xml {path}?>",
        "</ {path}>",
        "<![CDATA[>{path}",
        "<!doctype x=\">\"><p a='{path}'>",
        "</ a='><p b='>{path}'>",
        "<!{status}-->{path}",
        /* Comments that end early, for some. */
        "<!-->{path}-->",
        "<!--->{path}-->",
        "<!-- a --!>{path}-->",
        "<!----!>{path}-->",
        /* Equals signs and quotes that are part of something. */
        "<p a=b=\"><p c=\">{path}",
        "<p a=b\"><p c=\">{path}",
        "<p a=/=\"><p c=\">{path}",
        "<p=\"><p c=\">{path}",
        "<p/=\"><p c=\">{path}",
        "<p =\"><p c=\">{path}",
        "<p a= =\"><p c=\">{path}",
        "<p a/=\"><p c=\">{path}",
        "<p a=b =\"><p c=\">{path}",
        "<p a='b'=\"><p c=\">{path}",
        "<p a='b' =\"><p c=\">{path}",
        "<p\"><p c=\">{path}",
    };
    for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++) check_refused(pages[i], PAGE_HTML, "stands");
    check_refused("<script>{path}</script>", PAGE_HTML, "within a script");
}

static void text_behind_what_is_closed_is_text(void **state)
{
    (void)state;
    static const char *const pages[] = {
        "<!DOCTYPE html><html><head><style>p{color:red}</style><script>if (a < b) c();</script></head><body>",
        "<p class=\"a > b\" title='\"'>",
        "a < b",
        "<br/>",
        "<!-- a > b -- c -->",
        "<textarea><p x='</textarea>",
        "<svg viewBox=\"0 0 1 1\"><path d='M0'/></svg>",
        "</p >",
        "<a href = \"x\">",
        "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" "
        "\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd\">",
        "<!doctype html SYSTEM 'about:legacy-compat'>",
        "<?xml version=\"1.0\" encoding='utf-8'?>",
        "<!x it's>",
        "</ it's>",
        "</>",
        "<!---->",
        "<!-- a -- b ! --- c --->",
        "<title-bar><p>it's</p></title-bar>",
        "<script-x><p></p></script-x>",
        "<script>a</script-x></SCRIPT\n>",
        "<style/>p{}</style/>",
        "<p a=b/ c d=e f>",
        "<input disabled value = x checked/>",
        "<p a = 'b'c=\"d\">",
        "<p a=>",
    };
    for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++) {
        struct page_html h = { 0 };
        page_html_walk(&h, slice_of(pages[i]));
        if (h.place != PAGE_HTML_TEXT) fail_msg("%s: %s", pages[i], page_html_place_name(h.place));
    }
}

static void values_stay_within_their_strings_in_json(void **state)
{
    (void)state;
    check("{\"s\": {status}, \"p\": \"{path}\", \"h\": \"{header:X-Evil}\", \"q\": \"{arg:q}\"}", PAGE_JSON,
          "{\"s\": 404, \"p\": \"/\\u003cscript>alert(\\\"1\\\")\\u003c/script>&'\", \"h\": "
          "\"\\\">\\u003cimg src=x "
          "onerror=alert(1)>\\\\\\u0009\", \"q\": \"\\\"},{\\\"a\"}");
    check_refused("{\"p\": {path}}", PAGE_JSON, "outside of a string");
    check_refused("{\"p\": \"\\{path}\"}", PAGE_JSON, "no JSON");
    check_refused("{\"p\": \"\\\"{path}}", PAGE_JSON, "no JSON");
    check_refused("{\"p\": }", PAGE_JSON, "no JSON");
    check_refused("", PAGE_JSON, "no JSON");
}

static void bytes_that_are_no_text_become_a_mark(void **state)
{
    (void)state;
    char out[64];
    for (enum page_kind kind = PAGE_TEXT; kind <= PAGE_JSON; kind++) {
        struct text t = text_over(out, sizeof(out));
        page_escape(kind, SLICE("\xc3\xa9\xff\xc3"), &t);
        assert_string_equal(text_cstr(&t), "\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd");
    }
}

static void a_long_value_is_cut(void **state)
{
    (void)state;
    static char target[4096];
    memset(target, '<', sizeof(target));
    target[0] = '/';
    struct conf_arena *arena = conf_arena_new();
    struct err err;
    const struct http_head long_head = { .target = { target, sizeof(target) } };
    struct page *p = page_new(SLICE("<p>{path}{path}"), PAGE_HTML, arena, &err);
    struct page_input in = { .request = { .head = &long_head } };
    char *out = malloc(p->room);
    struct text t = text_over(out, p->room);
    page_expand(p, &in, &t);
    assert_false(t.is_cut);
    assert_int_equal(t.len, 3 + 2 * (1 + (PAGE_VALUE_MAX - 1) * 4));
    free(out);
    conf_arena_free(arena);
}

static void pages_are_bounded(void **state)
{
    (void)state;
    struct conf_arena *arena = conf_arena_new();
    struct err err;
    size_t size = PAGE_TEXT_MAX + 1;
    char *text = malloc(size);
    memset(text, 'a', size);
    struct slice whole = { text, PAGE_TEXT_MAX }, same;
    struct page *p = page_new(whole, PAGE_HTML, arena, &err);
    assert_non_null(p);
    assert_true(page_is_fixed(p, &same));
    assert_ptr_equal(same.data, text);
    whole.len++;
    assert_null(page_new(whole, PAGE_HTML, arena, &err));
    assert_non_null(strstr(err.text, "1024 KiB"));
    memcpy(text, "{path}", 6);
    whole.len = PAGE_ROOM_MAX;
    assert_null(page_new(whole, PAGE_HTML, arena, &err));
    assert_non_null(strstr(err.text, "with its variables"));
    free(text);
    char many[257 * 8 + 1] = "";
    for (int i = 0; i < 257; i++) memcpy(many + i * 8, "{status}", 8);
    assert_null(page_new((struct slice){ many, 257 * 8 }, PAGE_TEXT, arena, &err));
    assert_non_null(strstr(err.text, "pieces"));
    conf_arena_free(arena);
}

static void a_near_miss_is_noticed(void **state)
{
    (void)state;
    struct conf_arena *arena = conf_arena_new();
    struct err err;
    struct page *p = page_new(SLICE("{requestid} {color}"), PAGE_TEXT, arena, &err);
    assert_true(slice_equal(p->doubted, SLICE("requestid")));
    assert_string_equal(p->meant, "request_id");
    p = page_new(SLICE("{color} {margin:0} { status }"), PAGE_TEXT, arena, &err);
    assert_int_equal(p->doubted.len, 0);
    conf_arena_free(arena);
}

static void the_status_goes_before_its_class_and_that_before_the_default(void **state)
{
    (void)state;
    struct page_conf pages[] = { { .name = "default" }, { .name = "5xx" }, { .name = "404" } };
    struct conf_items errors = { pages, 3 };
    assert_ptr_equal(page_conf_find(&errors, 404), &pages[2]);
    assert_ptr_equal(page_conf_find(&errors, 503), &pages[1]);
    assert_ptr_equal(page_conf_find(&errors, 400), &pages[0]);
    errors.count = 0;
    assert_null(page_conf_find(&errors, 404));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_are_filled_in),
        cmocka_unit_test(other_braces_stand_for_themselves),
        cmocka_unit_test(nothing_of_a_request_is_more_than_text_in_html),
        cmocka_unit_test(places_where_it_could_be_more_are_refused),
        cmocka_unit_test(text_behind_what_is_closed_is_text),
        cmocka_unit_test(values_stay_within_their_strings_in_json),
        cmocka_unit_test(bytes_that_are_no_text_become_a_mark),
        cmocka_unit_test(a_long_value_is_cut),
        cmocka_unit_test(pages_are_bounded),
        cmocka_unit_test(a_near_miss_is_noticed),
        cmocka_unit_test(the_status_goes_before_its_class_and_that_before_the_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
