#include "http/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct http_field field(const char *name, const char *value)
{
    struct slice n = slice_of(name);
    return (struct http_field){ .name = name,
                                .value = value,
                                .name_len = (uint16_t)n.len,
                                .value_len = (uint32_t)strlen(value),
                                .id = (uint8_t)http_field_id_of(n) };
}

struct request {
    struct http_field fields[8];
    struct http_head head;
    struct ip client;
    struct http_template_input in;
};

static void make_request(struct request *r)
{
    *r = (struct request){ 0 };
    r->fields[0] = field("X-User", "dropped");
    r->fields[0].is_dropped = true;
    r->fields[1] = field("x-user", "ann");
    r->fields[2] = field("X-USER", "bob");
    r->fields[3] = field("Cookie", "a=1; sid=s-1;b=\"two\"");
    r->fields[4] = field("cookie", "sid=later; cart=3; empty=; bare");
    r->fields[5] = field("x-empty", "");
    r->fields[6] = field("x-empty", "");
    r->head = (struct http_head){ .method_text = SLICE("PATCH"),
                                  .target = SLICE("/p/%7Bq?id=7&flag&id=8&none=&x=a=b"),
                                  .authority = SLICE("Www.Example.ORG:8080"),
                                  .fields = r->fields,
                                  .field_count = 7 };
    assert_true(ip_parse(SLICE("192.0.2.7"), &r->client));
    r->in =
        (struct http_template_input){ .head = &r->head, .client = &r->client, .request_id = SLICE("r-9") };
}

static struct text expand(const char *written, const struct http_template_input *in, char *out, size_t cap)
{
    struct http_template t;
    struct err err = { "" };
    struct text text = text_over(out, cap);
    if (http_template_parse(slice_of(written), &t, &err) < 0) fail_msg("%s: %s", written, err.text);
    http_template_expand(&t, in, &text);
    return text;
}

static void every_source_gives_its_part_of_the_request(void **state)
{
    (void)state;
    static const struct {
        const char *written, *expected;
    } cases[] = {
        { "", "" },
        { "plain", "plain" },
        { "{client}", "192.0.2.7" },
        { "{host}", "www.example.org" },
        { "{path}", "/p/%7Bq" },
        { "{query}", "id=7&flag&id=8&none=&x=a=b" },
        { "{target}", "/p/%7Bq?id=7&flag&id=8&none=&x=a=b" },
        { "{method}", "PATCH" },
        { "{scheme}", "http" },
        { "{request_id}", "r-9" },
        { "{header:X-User}", "ann, bob" }, /* one list (RFC 9110 5.3) */
        { "{header:X-Absent}", "" },
        { "{cookie:sid}", "s-1" },
        { "{cookie:cart}", "3" },
        { "{cookie:b}", "\"two\"" },
        { "{cookie:SID}", "" },
        { "{arg:id}", "7" },
        { "{arg:x}", "a=b" },
        { "{arg:i}", "" },
        { "https://{host}{target}", "https://www.example.org/p/%7Bq?id=7&flag&id=8&none=&x=a=b" },
        { "<{client}|{request_id}>", "<192.0.2.7|r-9>" },
        { "{{{client}}}", "{192.0.2.7}" },
        { "a{{b}}c", "a{b}c" },
        { "{{client}}", "{client}" },
    };
    struct request r;
    make_request(&r);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char out[200];
        struct text text = expand(cases[i].written, &r.in, out, sizeof(out));
        assert_string_equal(text_cstr(&text), cases[i].expected);
        assert_false(text.is_cut);
    }
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *written, *fault;
        bool is_source;
    } cases[] = {
        { "{clinet}", "did you mean \"client\"?", false },
        { "{visitor}", "there are client, host", false },
        { "{}", "there is no source \"\"", false },
        { "{client:x}", "takes no name; write client alone", false },
        { "{header}", "write header:NAME", false },
        { "{cookie:}", "write cookie:NAME", false },
        { "{header:X User}", "0x20", false },
        { "{cookie:a;b}", "0x3b", false },
        { "{arg:a&b}", "0x26", false },
        { "{arg:a=b}", "0x3d", false },
        { "a {client", "the brace at byte 3 is not closed", false },
        { "a } b", "byte 3 closes a brace", false },
        { "{client}}", "byte 9 closes a brace", false },
        { "a\nb", "byte 2 of this text is the control character 0x0a", false },
        { "{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{", "more than 16 pieces", false },
        { "", "there is no source \"\"", true },
        { "X-User", "there is no source \"X-User\"", true },
        { "hots", "did you mean \"host\"?", true },
        { "header:", "lacks a name", true },
        { "client ", "did you mean \"client\"?", true },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct http_template t;
        struct err err = { "" };
        struct slice written = slice_of(cases[i].written);
        int result = cases[i].is_source ? http_template_parse_source(written, &t, &err)
                                        : http_template_parse(written, &t, &err);
        if (result == 0 || !strstr(err.text, cases[i].fault)) fail_msg("%s: %s", cases[i].written, err.text);
    }
}

static void a_text_may_be_as_long_as_its_room(void **state)
{
    (void)state;
    char written[HTTP_TEMPLATE_TEXT_MAX + 1];
    struct http_template t;
    struct err err = { "" };
    memset(written, 'a', sizeof(written));
    assert_int_equal(http_template_parse((struct slice){ written, HTTP_TEMPLATE_TEXT_MAX }, &t, &err), 0);
    assert_int_equal(t.count, 1);
    assert_int_equal(t.parts[0].len, HTTP_TEMPLATE_TEXT_MAX);
    assert_int_equal(http_template_parse((struct slice){ written, sizeof(written) }, &t, &err), -1);
    assert_string_equal(err.text, "this text may have 480 bytes, it has 481");
}

static void it_prints_as_it_was_written(void **state)
{
    (void)state;
    static const char *const written[] = { "header:X-User", "a{{b}}{header:X-User}c", "{client}" };
    for (size_t i = 0; i < 3; i++) {
        struct http_template t;
        struct err err;
        char out[64];
        struct text text = text_over(out, sizeof(out));
        assert_int_equal(http_source_type.parse(slice_of(written[i]), &t, &err), 0);
        http_source_type.print(&t, &text);
        assert_string_equal(text_cstr(&text), written[i]);
    }
}

static void what_does_not_fit_is_cut_and_told(void **state)
{
    (void)state;
    struct request r;
    char out[8];
    make_request(&r);
    struct text text = expand("{client}{host}", &r.in, out, sizeof(out));
    assert_true(text.is_cut);
    assert_true(slice_equal(text_slice(&text), SLICE("192.0.2.")));
}

static void a_single_source_is_known_as_such(void **state)
{
    (void)state;
    static const struct {
        const char *written;
        bool is_single;
    } cases[] = {
        { "cookie:sid", true }, { "{cookie:sid}", true }, { "{cookie:sid}.", false }, { "a{{", false }
    };
    struct request r;
    make_request(&r);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char scratch[HTTP_SOURCE_SCRATCH];
        struct http_template t;
        struct err err;
        bool is_single;
        assert_int_equal(http_template_parse_source(slice_of(cases[i].written), &t, &err), 0);
        struct slice value = http_template_single(&t, &r.in, scratch, &is_single);
        assert_int_equal(is_single, cases[i].is_single);
        assert_true(slice_equal(value, is_single ? SLICE("s-1") : SLICE_NONE));
    }
}

static void an_absent_value_is_told_from_an_empty_one(void **state)
{
    (void)state;
    struct request r;
    make_request(&r);
    struct slice query = http_target_query(r.head.target);
    assert_non_null(http_query_value(query, SLICE("flag")).data);
    assert_non_null(http_query_value(query, SLICE("none")).data);
    assert_null(http_query_value(query, SLICE("fla")).data);
    assert_null(http_query_value(query, SLICE_NONE).data);
    assert_non_null(http_cookie_value(&r.head, SLICE("empty")).data);
    assert_int_equal(http_cookie_value(&r.head, SLICE("empty")).len, 0);
    assert_null(http_cookie_value(&r.head, SLICE("bare")).data);
    assert_null(http_cookie_value(&r.head, SLICE("missing")).data);
    assert_null(http_target_query(SLICE("/p")).data);
    assert_non_null(http_target_query(SLICE("/p?")).data);
    assert_true(slice_equal(http_target_path(SLICE("*")), SLICE("*")));
    assert_true(slice_equal(http_target_path(SLICE("/p?a?b")), SLICE("/p")));
}

static void a_dropped_cookie_is_not_read(void **state)
{
    (void)state;
    struct request r;
    make_request(&r);
    r.fields[3].is_dropped = true;
    assert_true(slice_equal(http_cookie_value(&r.head, SLICE("sid")), SLICE("later")));
}

static void an_absent_source_is_empty(void **state)
{
    (void)state;
    static const struct http_head head = { 0 };
    const struct http_template_input in = { .head = &head };
    for (enum http_source s = HTTP_SOURCE_CLIENT; s <= HTTP_SOURCE_ARG; s++) {
        char scratch[HTTP_SOURCE_SCRATCH];
        struct slice value = http_source_value(s, SLICE("x"), &in, scratch);
        if (s != HTTP_SOURCE_SCHEME) assert_null(value.data);
    }
}

static void hosts_lose_their_port_only(void **state)
{
    (void)state;
    static const struct {
        const char *authority, *host;
    } cases[] = {
        { "A.b", "a.b" },
        { "a.b:", "a.b" },
        { "a.b:80", "a.b" },
        { "127.0.0.1", "127.0.0.1" },
        { "[2001:DB8::1]", "[2001:db8::1]" },
        { "[::1]:80", "[::1]" },
    };
    char scratch[HTTP_SOURCE_SCRATCH], longest[HTTP_SOURCE_SCRATCH + 1];
    struct http_head head = { 0 };
    const struct http_template_input in = { .head = &head };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        head.authority = slice_of(cases[i].authority);
        struct slice host = http_source_value(HTTP_SOURCE_HOST, SLICE_NONE, &in, scratch);
        assert_true(slice_equal(host, slice_of(cases[i].host)));
    }
    memset(longest, 'a', sizeof(longest));
    head.authority = (struct slice){ longest, HTTP_SOURCE_SCRATCH };
    assert_int_equal(http_source_value(HTTP_SOURCE_HOST, SLICE_NONE, &in, scratch).len, HTTP_SOURCE_SCRATCH);
    head.authority.len++;
    assert_null(http_source_value(HTTP_SOURCE_HOST, SLICE_NONE, &in, scratch).data);
}

static void an_absolute_target_says_its_scheme(void **state)
{
    (void)state;
    struct http_head head = { .scheme = SLICE("HTTPS") };
    const struct http_template_input in = { .head = &head };
    char scratch[HTTP_SOURCE_SCRATCH];
    assert_true(slice_equal(http_source_value(HTTP_SOURCE_SCHEME, SLICE_NONE, &in, scratch), SLICE("https")));
}

/* Whatever its target says. */
static void a_request_over_tls_has_the_scheme_of_its_connection(void **state)
{
    (void)state;
    struct http_head said = { .scheme = SLICE("http") }, unsaid = { .scheme = SLICE_NONE };
    char scratch[HTTP_SOURCE_SCRATCH];
    for (int is_said = 0; is_said < 2; is_said++) {
        const struct http_template_input in = { .head = is_said ? &said : &unsaid, .is_secure = true };
        assert_true(
            slice_equal(http_source_value(HTTP_SOURCE_SCHEME, SLICE_NONE, &in, scratch), SLICE("https")));
    }
}

/* A part of a template that is there makes all of it; none at all makes nothing, so that no empty field or unit comes of
 * it. */
static void a_template_whose_sources_are_all_missing_is_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *written, *expanded;
        bool is_whole;
    } cases[] = {
        { "{header:X-Absent}", "", false },
        { "{header:X-Absent}/{cookie:absent}", "", false },
        { "Bearer {header:X-Absent}", "", false },
        { "{header:X-Absent}/{cookie:sid}", "/s-1", true },
        { "{cookie:empty}", "", false },
        { "{header:X-Empty}", "", false }, /* twice */
        { "text alone", "text alone", true },
        { "", "", true },
        { "{method}{header:X-Absent}", "PATCH", true },
    };
    struct request r;
    make_request(&r);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct http_template t;
        struct err err = { "" };
        char memory[64];
        struct text out = text_over(memory, sizeof(memory));
        text_add_char(&out, '>');
        assert_int_equal(http_template_parse(slice_of(cases[i].written), &t, &err), 0);
        assert_int_equal(http_template_expand(&t, &r.in, &out), cases[i].is_whole);
        assert_int_equal(out.data[0], '>');
        assert_string_equal(text_cstr(&out) + 1, cases[i].expanded);
    }
}

static void every_cookie_of_a_name_is_found(void **state)
{
    (void)state;
    struct request r;
    make_request(&r);
    struct http_cookies walk = { .head = &r.head, .name = SLICE("sid") };
    struct slice value;
    assert_true(http_cookies_next(&walk, &value) && slice_equal(value, SLICE("s-1")));
    assert_true(http_cookies_next(&walk, &value) && slice_equal(value, SLICE("later")));
    assert_false(http_cookies_next(&walk, &value));
    assert_false(http_cookies_next(&walk, &value));
    walk = (struct http_cookies){ .head = &r.head, .name = SLICE("si") };
    assert_false(http_cookies_next(&walk, &value));
}

static void a_location_names_a_host(void **state)
{
    (void)state;
    static const char *const whole[] = { "https://h/a", "https://h", "//h/a", "/a", "/a//b", "a", "?x" };
    static const char *const broken[] = { "",          "https:///a", "https://", "http://:80/",
                                          "http://?a", "http://#",   "///a",     "//" };
    for (size_t i = 0; i < sizeof(whole) / sizeof(*whole); i++)
        if (!http_location_is_whole(slice_of(whole[i]))) fail_msg("%s", whole[i]);
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++)
        if (http_location_is_whole(slice_of(broken[i]))) fail_msg("%s", broken[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_template_whose_sources_are_all_missing_is_nothing),
        cmocka_unit_test(every_cookie_of_a_name_is_found),
        cmocka_unit_test(a_location_names_a_host),
        cmocka_unit_test(every_source_gives_its_part_of_the_request),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(a_text_may_be_as_long_as_its_room),
        cmocka_unit_test(it_prints_as_it_was_written),
        cmocka_unit_test(what_does_not_fit_is_cut_and_told),
        cmocka_unit_test(a_single_source_is_known_as_such),
        cmocka_unit_test(an_absent_value_is_told_from_an_empty_one),
        cmocka_unit_test(a_dropped_cookie_is_not_read),
        cmocka_unit_test(an_absent_source_is_empty),
        cmocka_unit_test(hosts_lose_their_port_only),
        cmocka_unit_test(an_absolute_target_says_its_scheme),
        cmocka_unit_test(a_request_over_tls_has_the_scheme_of_its_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
