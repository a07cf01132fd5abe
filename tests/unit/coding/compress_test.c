/* Which responses are compressed, and what is true of their fields then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coding/compress.h"
#include "coding/compress_scene.h"

#define FIELDS_MAX 16

struct head {
    struct http_head head;
    struct http_field fields[FIELDS_MAX];
};

/* "Name: value" lines. */
static void read_head(struct head *h, const char *lines)
{
    *h = (struct head){ .head = { .version = HTTP_VERSION_1_1 } };
    h->head.fields = h->fields;
    while (*lines) {
        const char *colon = strchr(lines, ':'), *end = strchr(lines, '\n');
        if (!end) end = lines + strlen(lines);
        assert_non_null(colon);
        assert_true(h->head.field_count < FIELDS_MAX);
        struct slice name = { lines, (size_t)(colon - lines) };
        struct slice value = slice_trim((struct slice){ colon + 1, (size_t)(end - colon - 1) });
        h->fields[h->head.field_count++] = (struct http_field){ .name = name.data,
                                                                .name_len = (uint16_t)name.len,
                                                                .value = value.data,
                                                                .value_len = (uint32_t)value.len,
                                                                .id = (uint8_t)http_field_id_of(name) };
        lines = *end ? end + 1 : end;
    }
}

#define ASKS "Accept-Encoding: gzip, br, zstd\n"
#define HTML "Content-Type: text/html\n"

static void what_a_response_says_decides(void **state)
{
    (void)state;
    static const struct {
        const char *request, *response;
        uint16_t status;
        int64_t length; /* -1: not known */
        enum compress_verdict verdict;
        bool varies;
    } cases[] = {
        { ASKS, HTML, 200, -1, COMPRESS_YES, true },
        { ASKS, HTML, 200, 1024, COMPRESS_YES, true },
        { ASKS, HTML, 500, 2000, COMPRESS_YES, true },
        { ASKS, HTML, 200, 1023, COMPRESS_SMALL, false },
        { ASKS "Accept-Encoding: identity;q=0\n", HTML, 200, 10, COMPRESS_YES, true },
        { ASKS "Accept-Encoding: identity;q=0\n", HTML, 200, 0, COMPRESS_SMALL, false },
        { "", HTML, 200, -1, COMPRESS_CLIENT, true },
        { "Accept-Encoding: deflate\n", HTML, 200, -1, COMPRESS_CLIENT, true },
        { "Accept-Encoding:\n", HTML, 200, -1, COMPRESS_CLIENT, true },
        { ASKS, "", 200, -1, COMPRESS_TYPE, false },
        { ASKS, "Content-Type: image/png\n", 200, -1, COMPRESS_TYPE, false },
        { ASKS, HTML HTML, 200, -1, COMPRESS_TYPE, false },
        { ASKS, HTML, 204, -1, COMPRESS_STATUS, false },
        { ASKS, HTML, 205, -1, COMPRESS_STATUS, false },
        { ASKS, HTML, 206, -1, COMPRESS_STATUS, false },
        { ASKS, HTML, 304, -1, COMPRESS_STATUS, false },
        { ASKS, HTML "Content-Range: bytes 0-1/2\n", 200, -1, COMPRESS_STATUS, false },
        { ASKS, HTML "Content-Encoding: gzip\n", 200, -1, COMPRESS_ENCODED, false },
        { ASKS, HTML "content-encoding: identity\n", 200, -1, COMPRESS_ENCODED, false },
        { ASKS, HTML "Cache-Control: max-age=1, No-Transform\n", 200, -1, COMPRESS_NO_TRANSFORM, false },
        { ASKS, HTML "Cache-Control: x=\"no-transform\"\n", 200, -1, COMPRESS_YES, true },
        { ASKS, HTML "Signature-Input: a=()\n", 200, -1, COMPRESS_NO_TRANSFORM, false },
        /* for one client alone */
        { ASKS "Cookie: a=b\n", HTML, 200, -1, COMPRESS_SECRET, true },
        { ASKS "Authorization: Basic eDp5\n", HTML, 200, -1, COMPRESS_SECRET, true },
        { ASKS "Cookie: a=b\n", HTML "Cache-Control: public, max-age=60\n", 200, -1, COMPRESS_YES, true },
        { ASKS "Authorization: x\n", HTML "Cache-Control: s-maxage=60\n", 200, -1, COMPRESS_YES, true },
        { ASKS, HTML "Set-Cookie: a=b\n", 200, -1, COMPRESS_SECRET, true },
        { ASKS, HTML "Set-Cookie: a=b\nCache-Control: public\n", 200, -1, COMPRESS_SECRET, true },
        { ASKS, HTML "Cache-Control: private\n", 200, -1, COMPRESS_SECRET, true },
        { ASKS, HTML "Cache-Control: private=\"x-a, x-b\", public\n", 200, -1, COMPRESS_SECRET, true },
        { ASKS, HTML "Cache-Control: no-store\n", 200, -1, COMPRESS_SECRET, true },
        { ASKS, HTML "Cache-Control: no-cache\n", 200, -1, COMPRESS_YES, true },
    };
    struct compress_scene s;
    compress_scene_open(&s, "true");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct head request, response;
        struct compress_answer a;
        read_head(&request, cases[i].request);
        read_head(&response, cases[i].response);
        struct compress_query q = { .conf = s.conf,
                                    .request = &request.head,
                                    .response = { { NULL, 0 },
                                                  { response.fields, response.head.field_count } },
                                    .status = cases[i].status,
                                    .has_length = cases[i].length >= 0,
                                    .length = cases[i].length >= 0 ? (uint64_t)cases[i].length : 0 };
        compress_decide(&q, &a);
        if (a.verdict != cases[i].verdict || a.varies != cases[i].varies)
            fail_msg("%zu: %s%s: %s, varies %d", i, cases[i].request, cases[i].response,
                     compress_verdict_name(a.verdict), a.varies);
    }
    compress_scene_close(&s);
}

static struct compress_query query_of(const struct compress_scene *s, const struct head *request,
                                      struct head *response)
{
    return (struct compress_query){ .conf = s->conf,
                                    .request = &request->head,
                                    .response = { { response->fields, response->head.field_count } },
                                    .status = 200 };
}

static void the_configuration_can_allow_secrets(void **state)
{
    (void)state;
    struct compress_scene s;
    struct head request, response;
    struct compress_answer a;
    compress_scene_open(&s, "{secret: true}");
    read_head(&request, ASKS "Cookie: a=b\nAuthorization: x\n");
    read_head(&response, HTML "Set-Cookie: a=b\nCache-Control: private\n");
    struct compress_query q = query_of(&s, &request, &response);
    q.has_certificate = true;
    compress_decide(&q, &a);
    assert_int_equal(a.verdict, COMPRESS_YES);
    compress_scene_close(&s);
    compress_scene_open(&s, "true");
    read_head(&request, ASKS);
    read_head(&response, HTML);
    q = query_of(&s, &request, &response);
    q.has_certificate = true;
    compress_decide(&q, &a);
    assert_int_equal(a.verdict, COMPRESS_SECRET);
    compress_scene_close(&s);
}

static void a_client_of_1_0_would_not_see_a_cut(void **state)
{
    (void)state;
    struct compress_scene s;
    struct head request, response;
    struct compress_answer a;
    compress_scene_open(&s, "true");
    read_head(&request, ASKS);
    read_head(&response, HTML);
    request.head.version = HTTP_VERSION_1_0;
    struct compress_query q = query_of(&s, &request, &response);
    compress_decide(&q, &a);
    assert_int_equal(a.verdict, COMPRESS_VERSION);
    compress_scene_close(&s);
}

static void what_a_rule_took_out_does_not_count(void **state)
{
    (void)state;
    struct compress_scene s;
    struct head request, response;
    struct compress_answer a;
    compress_scene_open(&s, "true");
    read_head(&request, ASKS);
    read_head(&response, HTML "Set-Cookie: a=b\n");
    request.fields[0].is_dropped = true; /* for the server alone */
    response.fields[1].is_dropped = true;
    struct compress_query q = query_of(&s, &request, &response);
    compress_decide(&q, &a);
    assert_int_equal(a.verdict, COMPRESS_YES);
    compress_scene_close(&s);
}

static void the_next_choice_follows_one_that_cannot_be_had(void **state)
{
    (void)state;
    struct compress_scene s;
    struct head request, response;
    struct compress_answer a;
    compress_scene_open(&s, "true");
    read_head(&request, "Accept-Encoding: gzip, br;q=0.5\n");
    read_head(&response, HTML);
    struct compress_query q = query_of(&s, &request, &response);
    compress_decide(&q, &a);
    assert_int_equal(compress_choose(&q, &a, 0), CODING_GZIP);
    assert_int_equal(compress_choose(&q, &a, 1u << CODING_GZIP), CODING_BR);
    assert_int_equal(compress_choose(&q, &a, 1u << CODING_GZIP | 1u << CODING_BR), CODING_IDENTITY);
    compress_scene_close(&s);
}

static void events_are_live(void **state)
{
    (void)state;
    static const struct {
        const char *response;
        bool is_live;
    } cases[] = { { "Content-Type: text/event-stream\n", true },
                  { "Content-Type: Text/Event-Stream;charset=utf-8\n", true },
                  { "Content-Type: text/event\n", false },
                  { HTML, false },
                  { "", false } };
    struct compress_scene s;
    compress_scene_open(&s, "true");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct head request, response;
        struct compress_answer a;
        read_head(&request, ASKS);
        read_head(&response, cases[i].response);
        struct compress_query q = query_of(&s, &request, &response);
        compress_decide(&q, &a);
        assert_int_equal(a.is_live, cases[i].is_live);
    }
    compress_scene_close(&s);
}

static void vary_is_said_once(void **state)
{
    (void)state;
    static const struct {
        const char *response;
        bool lacks;
    } cases[] = { { HTML, true },
                  { "Vary: Origin\n", true },
                  { "Vary: x-accept-encoding\n", true },
                  { "Vary: Accept-Encoding\n", false },
                  { "vary: origin, accept-encoding\n", false },
                  { "Vary: Origin\nVary: Accept-Encoding\n", false },
                  { "Vary: *\n", false } };
    struct compress_scene s;
    compress_scene_open(&s, "true");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct head request, response;
        read_head(&request, "");
        read_head(&response, cases[i].response);
        struct compress_query q = query_of(&s, &request, &response);
        assert_int_equal(compress_lacks_vary(&q), cases[i].lacks);
    }
    compress_scene_close(&s);
}

static void what_is_not_true_any_more_is_dropped(void **state)
{
    (void)state;
    struct head h;
    read_head(
        &h,
        "Content-MD5: x\nDigest: x\nContent-Digest: x\nRepr-Digest: x\nAccept-Ranges: bytes\nETag: \"a\"\n");
    compress_drop_untrue((struct compress_fields){ h.fields, h.head.field_count });
    for (uint32_t i = 0; i < h.head.field_count; i++) assert_true(h.fields[i].is_dropped);
    read_head(&h, "Content-Type: x\nETag: W/\"a\"\nLast-Modified: x\nVary: x\nWant-Repr-Digest: x\n");
    compress_drop_untrue((struct compress_fields){ h.fields, h.head.field_count });
    for (uint32_t i = 0; i < h.head.field_count; i++) assert_false(h.fields[i].is_dropped);
}

static void a_304_confirms_what_the_client_has(void **state)
{
    (void)state;
    static const struct {
        const char *request, *etag;
        bool was;
    } cases[] = {
        { "If-None-Match: W/\"a\"\n", "\"a\"", true },
        { "If-None-Match: \"b\", W/\"a,b\"\n", "\"a,b\"", true },
        { "If-None-Match: \"b\"\nIf-None-Match: W/\"a\"\n", "\"a\"", true },
        { "If-None-Match: \"a\"\n", "\"a\"", false },
        { "If-None-Match: W/\"a\", \"a\"\n", "\"a\"", false },
        { "If-None-Match: W/\"b\"\n", "\"a\"", false },
        { "If-None-Match: *\n", "\"a\"", false },
        { "If-None-Match: W/\"a\"\n", "W/\"a\"", false },
        { "", "\"a\"", false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct head request;
        read_head(&request, cases[i].request);
        if (compress_was_weakened(&request.head, slice_of(cases[i].etag)) != cases[i].was)
            fail_msg("%s and %s", cases[i].request, cases[i].etag);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_response_says_decides),
        cmocka_unit_test(the_configuration_can_allow_secrets),
        cmocka_unit_test(a_client_of_1_0_would_not_see_a_cut),
        cmocka_unit_test(what_a_rule_took_out_does_not_count),
        cmocka_unit_test(the_next_choice_follows_one_that_cannot_be_had),
        cmocka_unit_test(events_are_live),
        cmocka_unit_test(vary_is_said_once),
        cmocka_unit_test(what_is_not_true_any_more_is_dropped),
        cmocka_unit_test(a_304_confirms_what_the_client_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
