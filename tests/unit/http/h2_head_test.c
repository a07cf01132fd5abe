/* Field lists as heads: what a request must say, what it may not, and how a response looks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "http/h2_head.h"

static const struct h1_limits limits = { .head_max = 1024, .field_max = 12 };

struct reader {
    struct h2_head h;
    struct http_field fields[16];
    struct http_head head;
    char text[4096];
    bool goes_on;
};

static bool is_open_for_tunnels;

/* "name=value" one a line. */
static enum end_reason read_fields(struct reader *r, const char *lines, bool ends, bool is_trailers)
{
    r->h = (struct h2_head){ .limits = &limits,
                             .fields = r->fields,
                             .is_trailers = is_trailers,
                             .allows_tunnels = is_open_for_tunnels };
    r->h.text = text_over(r->text, h2_head_room(&limits));
    r->goes_on = true;
    while (*lines && r->goes_on) {
        const char *end = strchr(lines, '\n');
        const char *equals = memchr(lines, '=', (size_t)(end - lines));
        r->goes_on = h2_head_add(&r->h, (struct slice){ lines, (size_t)(equals - lines) },
                                 (struct slice){ equals + 1, (size_t)(end - equals - 1) });
        lines = end + 1;
    }
    return is_trailers ? r->h.fault : h2_head_finish(&r->h, ends, &r->head);
}

#define GET ":method=GET\n:scheme=https\n:path=/a?b\n:authority=example.test\n"

static const char *field_of(const struct reader *r, const char *name)
{
    static char value[256];
    const struct http_field *f = http_head_find_name(&r->head, slice_of(name));
    if (!f) return NULL;
    snprintf(value, sizeof(value), "%.*s", (int)f->value_len, f->value);
    return value;
}

static void a_request_is_what_http_1_would_have_made_of_it(void **state)
{
    (void)state;
    struct reader r;
    assert_int_equal(read_fields(&r, GET "accept=*/*\nte=trailers\n", true, false), END_NONE);
    assert_int_equal(r.head.version, HTTP_VERSION_2);
    assert_int_equal(r.head.method, HTTP_GET);
    assert_int_equal(r.head.body, HTTP_BODY_NONE);
    assert_true(slice_equal(r.head.target, SLICE("/a?b")));
    assert_true(slice_equal(r.head.authority, SLICE("example.test")));
    assert_string_equal(field_of(&r, "host"), "example.test");
    assert_true(r.head.accepts_trailers);
    assert_null(http_head_find(&r.head, HTTP_FIELD_TE)); /* hop by hop: not passed on as it is */
}

static void what_is_malformed_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        ":scheme=https\n:path=/\n:authority=a\n",
        ":method=GET\n:path=/\n:authority=a\n",
        ":method=GET\n:scheme=https\n:authority=a\n",
        ":method=GET\n:scheme=https\n:path=/\n",
        ":method=GET\n:scheme=https\n:path=\n:authority=a\n",
        ":method=GET\n:scheme=https\n:path=a\n:authority=a\n",
        ":method=GET\n:scheme=https\n:path=*\n:authority=a\n",
        ":method=GET\n:scheme=https\n:path=https://b/\n:authority=a\n",
        ":method=GET\n:scheme=https\n:path=/a b\n:authority=a\n",
        ":method=GET\n:scheme=https\n:path=/a#b\n:authority=a\n",
        ":method=GET\n:scheme=ftp\n:path=/\n:authority=a\n",
        ":method=G T\n:scheme=https\n:path=/\n:authority=a\n",
        ":method=GET\n:scheme=https\n:path=/\n:authority=\n",
        ":method=GET\n:scheme=https\n:path=/\n:authority=a@b\n",
        ":method=GET\n:scheme=https\n:path=/\n:authority=a,b\n",
        GET ":method=GET\n",
        GET ":path=/c\n",
        GET ":status=200\n",
        GET ":protocol=websocket\n",
        GET "x=1\n:x=2\n",
        ":method=GET\nx=1\n:scheme=https\n:path=/\n:authority=a\n",
        GET "X-Upper=1\n",
        GET "=1\n",
        GET "a b=1\n",
        GET "a:=1\n",
        GET "x= 1\n",
        GET "x=1\t\n",
        GET "x=a\rb\n",
        GET "x=a\x01\n",
        GET "x=a\x7f\n",
        GET "connection=close\n",
        GET "keep-alive=timeout\n",
        GET "proxy-connection=keep-alive\n",
        GET "transfer-encoding=chunked\n",
        GET "upgrade=h2c\n",
        GET "te=gzip\n",
        GET "host=other.test\n",
        GET "host=example.test\nhost=example.test\n",
        GET "content-length=1\n",
        GET "content-length=a\n",
        GET "content-length=0\ncontent-length=0\n",
        ":method=CONNECT\n:authority=a:1\n:path=/\n",
        ":method=CONNECT\n:authority=a\n",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct reader r;
        if (read_fields(&r, cases[i], true, false) != END_BAD_REQUEST) fail_msg("case %zu passes", i);
        assert_non_null(r.h.detail);
    }
}

#define ASK ":scheme=https\n:path=/chat\n:authority=a\n"

static void a_websocket_is_asked_for_as_in_http_1(void **state)
{
    (void)state;
    struct reader r;
    is_open_for_tunnels = true;
    assert_int_equal(read_fields(&r, ":method=CONNECT\n:protocol=websocket\n" ASK "x=1\n", false, false),
                     END_NONE);
    assert_int_equal(r.head.method, HTTP_GET);
    assert_true(slice_equal(r.head.method_text, SLICE("GET")));
    assert_true(slice_equal(r.head.target, SLICE("/chat")));
    assert_true(slice_equal(r.head.upgrade, SLICE("websocket")));
    assert_int_equal(r.head.body, HTTP_BODY_NONE);
    assert_int_equal(read_fields(&r, ":method=CONNECT\n:protocol=connect-udp\n" ASK, false, false),
                     END_UPGRADE_NOT_SUPPORTED);
    static const char *const malformed[] = {
        ":method=GET\n:protocol=websocket\n" ASK,
        ":method=CONNECT\n:protocol=websocket\n:protocol=websocket\n" ASK,
        ":method=CONNECT\n:protocol=\n:authority=a\n",
        ":method=CONNECT\n:protocol=websocket\n:authority=a:1\n",
        ":method=CONNECT\n:protocol=websocket\n:scheme=https\n:authority=a\n",
        ":method=CONNECT\n:protocol=websocket\n" ASK "content-length=1\n",
        ":method=CONNECT\n:protocol=websocket\n" ASK "upgrade=websocket\n",
    };
    for (size_t i = 0; i < sizeof(malformed) / sizeof(*malformed); i++)
        if (read_fields(&r, malformed[i], false, false) != END_BAD_REQUEST) fail_msg("case %zu passes", i);
    is_open_for_tunnels = false;
}

static void NUL_and_LF_do_not_come_in_values(void **state)
{
    (void)state;
    static const struct slice values[] = { { "a\0b", 3 }, { "a\nb", 3 }, { "\n", 1 } };
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
        struct reader r;
        read_fields(&r, GET, true, false);
        assert_true(h2_head_add(&r.h, SLICE("x"), values[i]));
        assert_int_equal(r.h.fault, END_BAD_REQUEST);
    }
}

static void what_may_be_is_served(void **state)
{
    (void)state;
    static const char *const cases[] = {
        ":method=OPTIONS\n:scheme=http\n:path=*\n:authority=a\n",
        ":method=GET\n:scheme=http\n:path=/\nhost=a:80\n",
        GET "host=EXAMPLE.test\n",
        GET "x=\nx_y=\xc3\xa4\n",
        ":method=CONNECT\n:authority=a:443\n",
        ":method=BREW\n:scheme=http\n:path=/\n:authority=[::1]:80\n",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct reader r;
        if (read_fields(&r, cases[i], true, false) != END_NONE) fail_msg("case %zu: %s", i, r.h.detail);
    }
}

static void crumbs_of_cookies_are_one_field(void **state)
{
    (void)state;
    struct reader r;
    assert_int_equal(
        read_fields(&r, GET "cookie=a=1\nx=y\ncookie=b=2\nhost=example.test\ncookie=c\n", true, false),
        END_NONE);
    assert_string_equal(field_of(&r, "cookie"), "a=1; b=2; c");
    assert_string_equal(field_of(&r, "x"), "y");
    assert_string_equal(field_of(&r, "host"), "example.test");
    assert_int_equal(r.head.field_count, 3);
}

static void bodies_are_what_was_said_of_them(void **state)
{
    (void)state;
    struct reader r;
#define POST ":method=POST\n:scheme=https\n:path=/\n:authority=a\n"
    assert_int_equal(read_fields(&r, POST, false, false), END_NONE);
    assert_int_equal(r.head.body, HTTP_BODY_UNKNOWN);
    assert_int_equal(read_fields(&r, POST "content-length=7\nexpect=100-continue\n", false, false), END_NONE);
    assert_int_equal(r.head.body, HTTP_BODY_LENGTH);
    assert_int_equal(r.head.content_length, 7);
    assert_true(r.head.expects_continue);
    /* An HTTP/1 server is told of the content that is not there (RFC 9110 8.6). */
    assert_int_equal(read_fields(&r, POST, true, false), END_NONE);
    assert_int_equal(r.head.body, HTTP_BODY_LENGTH);
    assert_int_equal(r.head.content_length, 0);
    assert_int_equal(read_fields(&r, POST "expect=more\n", false, false), END_EXPECTATION_FAILED);
}

static void limits_hold(void **state)
{
    (void)state;
    struct reader r;
    char lines[8192] = GET;
    for (int i = 0; i < 12; i++) strcat(lines, "x=y\n");
    assert_int_equal(read_fields(&r, lines, true, false), END_NONE);
    strcat(lines, "x=y\n");
    assert_int_equal(read_fields(&r, lines, true, false), END_HEAD_TOO_LARGE);
    char value[512];
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = 0;
    strcpy(lines, GET);
    for (int i = 0; i < 2; i++) {
        strcat(lines, "x=");
        strcat(lines, value);
        strcat(lines, "\n");
    }
    assert_int_equal(read_fields(&r, lines, true, false), END_HEAD_TOO_LARGE);
    assert_true(r.goes_on); /* the decoder's table needs the rest */
    for (int i = 0; i < 8; i++) {
        strcat(lines, "x=");
        strcat(lines, value);
        strcat(lines, "\n");
    }
    read_fields(&r, lines, true, false);
    assert_false(r.goes_on); /* that is no head any more */
}

static void trailers_have_neither_pseudo_fields_nor_framing(void **state)
{
    (void)state;
    struct reader r;
    assert_int_equal(read_fields(&r, "x-sum=1\nset-cookie=a\n", true, true), END_NONE);
    assert_int_equal(r.h.count, 2);
    assert_false(r.fields[0].is_dropped);
    assert_true(r.fields[1].is_dropped); /* RFC 9110 6.5.1 */
    static const char *const cases[] = {
        ":path=/\n", "content-length=1\n", "transfer-encoding=chunked\n", "connection=x\n", "X=1\n",
        "x=a\rb\n"
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (read_fields(&r, cases[i], true, true) != END_BAD_REQUEST_BODY) fail_msg("case %zu passes", i);
}

static struct http_field field(const char *name, const char *value)
{
    struct slice n = slice_of(name);
    return (struct http_field){ .name = name,
                                .name_len = (uint16_t)n.len,
                                .value = value,
                                .value_len = (uint32_t)strlen(value),
                                .id = (uint8_t)http_field_id_of(n) };
}

static void a_response_has_small_names_and_nothing_of_a_connection(void **state)
{
    (void)state;
    char memory[2048] __attribute__((aligned(16))), text[512] = "";
    struct http_field fields[] = {
        field("Content-Type", "text/plain"),   field("Connection", "close"), field("Content-Length", "5"),
        field("Transfer-Encoding", "chunked"), field("X-Gone", "1"),         field("Keep-Alive", "timeout=5")
    };
    fields[4].is_dropped = true;
    struct http_field extra = field("Via", "1.1 x");
    struct http_head head = { .status = 200, .fields = fields, .field_count = 6 };
    struct http_send send = {
        .head = &head, .extra = &extra, .extra_count = 1, .body = HTTP_BODY_LENGTH, .content_length = 12
    };
    assert_true(h2_head_fields_room(&send) <= sizeof(memory));
    size_t count = h2_head_put(&send, memory);
    const nghttp2_nv *nv = (const nghttp2_nv *)(const void *)memory;
    for (size_t i = 0; i < count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.*s=%.*s\n", (int)nv[i].namelen,
                 nv[i].name, (int)nv[i].valuelen, nv[i].value);
    assert_string_equal(text, ":status=200\ncontent-length=12\ncontent-type=text/plain\nvia=1.1 x\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_what_http_1_would_have_made_of_it),
        cmocka_unit_test(what_is_malformed_is_refused),
        cmocka_unit_test(a_websocket_is_asked_for_as_in_http_1),
        cmocka_unit_test(NUL_and_LF_do_not_come_in_values),
        cmocka_unit_test(what_may_be_is_served),
        cmocka_unit_test(crumbs_of_cookies_are_one_field),
        cmocka_unit_test(bodies_are_what_was_said_of_them),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(trailers_have_neither_pseudo_fields_nor_framing),
        cmocka_unit_test(a_response_has_small_names_and_nothing_of_a_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
