#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include "admin/guard.h"
#include <cmocka.h>

struct request {
    enum http_method method;
    const char *host, *authorization, *origin;
    const char *sites[2], *mode, *dest; /* Sec-Fetch-Site, -Mode, -Dest */
    bool has_effect;
};

static void add(struct http_head *head, enum http_field_id id, const char *value)
{
    if (!value) return;
    head->fields[head->field_count++] = (struct http_field){
        .id = (uint8_t)id, .value = value, .value_len = (uint32_t)strlen(value), .name = http_field_name(id)
    };
}

static void add_named(struct http_head *head, const char *name, const char *value)
{
    if (!value) return;
    head->fields[head->field_count++] = (struct http_field){ .id = HTTP_FIELD_OTHER,
                                                             .name = name,
                                                             .name_len = (uint16_t)strlen(name),
                                                             .value = value,
                                                             .value_len = (uint32_t)strlen(value) };
}

static uint16_t check(const struct guard *g, const struct request *r)
{
    struct err err = { "" };
    struct http_field fields[8];
    struct http_head head = { .version = HTTP_VERSION_1_1, .fields = fields, .method = r->method };
    head.authority = r->host ? slice_of(r->host) : SLICE_NONE;
    add(&head, HTTP_FIELD_AUTHORIZATION, r->authorization);
    add(&head, HTTP_FIELD_ORIGIN, r->origin);
    add_named(&head, "sec-fetch-site", r->sites[0]);
    add_named(&head, "Sec-Fetch-Site", r->sites[1]);
    add_named(&head, "Sec-Fetch-Mode", r->mode);
    add_named(&head, "Sec-Fetch-Dest", r->dest);
    uint16_t status = guard_check(g, &head, r->has_effect, &err);
    assert_int_equal(status != 0, err.text[0] != 0); /* every refusal has its sentence */
    return status;
}

static struct guard guard_on(const char *bind, const char *token)
{
    struct guard g = { .token = token };
    struct err err;
    assert_int_equal(address_parse(slice_of(bind), true, &g.bind, &err), 0);
    return g;
}

static uint16_t with_host(const char *bind, const char *host)
{
    struct guard g = guard_on(bind, NULL);
    return check(&g, &(struct request){ .host = host });
}

static void without_a_token_only_its_own_hosts_are_answered(void **state)
{
    (void)state;
    const char *bind = "127.0.0.1:9091";
    static const char *const good[] = { "127.0.0.1:9091", "localhost:9091", "LocalHost:9091", "[::1]:9091" };
    static const char *const bad[] = { "evil.example",   "evil.example:9091", "localhost",
                                       "localhost:9092", "127.0.0.1",         "localhost:9091.evil.example",
                                       "127.0.0.2:9091", "localhost.:9091",   "" };
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) assert_int_equal(with_host(bind, good[i]), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) assert_int_equal(with_host(bind, bad[i]), 403);
    assert_int_equal(with_host("127.0.0.9:9091", "127.0.0.9:9091"), 0);
    assert_int_equal(with_host("127.0.0.9:80", "127.0.0.9"), 0);
    assert_int_equal(with_host("127.0.0.1:80", "localhost"), 0);
    assert_int_equal(with_host("[::1]:9091", "[::1]:9091"), 0);
    assert_int_equal(with_host("unix:/run/weir.sock", "whatever"), 0);
}

static void an_old_request_without_host_is_a_tools(void **state)
{
    (void)state;
    struct guard g = guard_on("127.0.0.1:9091", NULL);
    struct http_head head = { .version = HTTP_VERSION_1_0 };
    struct err err;
    assert_int_equal(guard_check(&g, &head, false, &err), 0);
    head.authority = SLICE("evil.example");
    assert_int_equal(guard_check(&g, &head, false, &err), 403);
}

static uint16_t with_authorization(const char *token, const char *authorization)
{
    struct guard g = guard_on("0.0.0.0:9091", token);
    return check(&g, &(struct request){ .host = "any.example", .authorization = authorization });
}

static void a_token_is_taken_as_bearer_or_as_basics_password(void **state)
{
    (void)state;
    assert_int_equal(with_authorization("secret", "Bearer secret"), 0);
    assert_int_equal(with_authorization("secret", "bearer   secret"), 0);
    assert_int_equal(with_authorization("secret", "Basic dXNlcjpzZWNyZXQ="), 0); /* user:secret */
    assert_int_equal(with_authorization("secret", "Basic OnNlY3JldA=="), 0);     /* :secret */
    assert_int_equal(with_authorization("secret", "basic OnNlY3JldA"), 0);       /* without padding */
    assert_int_equal(with_authorization("a:b", "Basic dXNlcjphOmI="), 0);        /* user:a:b */
}

static void everything_else_is_not_the_token(void **state)
{
    (void)state;
    static const char *const bad[] = {
        NULL,
        "",
        "Bearer",
        "Bearer ",
        "Bearer secre",
        "Bearer secrets",
        "Bearer Secret",
        "Bearersecret",
        "secret",
        "Basic",
        "Basic ",
        "Basic secret",
        "Basic c2VjcmV0" /* secret, no colon */,
        "Basic dXNlcjpzZWNyZXQ=x",
        "Basic dXNlcjpzZWNyZXQ!",
        "Basic A",
        "Basic dXNlcjo=" /* user: */,
        "Digest secret",
        "Bearer secretsecret",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(with_authorization("secret", bad[i]), 401);
    char longest[3000] = "Basic ";
    memset(longest + 6, 'A', sizeof(longest) - 7);
    longest[sizeof(longest) - 1] = 0;
    assert_int_equal(with_authorization("secret", longest), 401);
}

static void tokens_compare_whole(void **state)
{
    (void)state;
    assert_true(guard_is_token("abc", SLICE("abc")));
    assert_false(guard_is_token("abc", SLICE("ab")));
    assert_false(guard_is_token("abc", SLICE("abcabc")));
    assert_false(guard_is_token("abc", SLICE("abd")));
    assert_false(guard_is_token("abc", SLICE_NONE));
}

static void a_foreign_page_may_neither_write_nor_read(void **state)
{
    (void)state;
    struct guard open = guard_on("127.0.0.1:9091", NULL);
    struct guard closed = guard_on("0.0.0.0:9091", "secret");
    const char *host = "localhost:9091";
    static const struct {
        const char *origin;
        uint16_t status;
    } cases[] = { { NULL, 0 },
                  { "http://localhost:9091", 0 },
                  { "https://localhost:9091", 0 },
                  { "http://localhost:9092", 403 },
                  { "http://evil.example", 403 },
                  { "null", 403 },
                  { "localhost:9091", 403 },
                  { "", 403 } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *origin = cases[i].origin;
        struct request write = {
            .method = HTTP_PATCH, .host = host, .origin = origin, .authorization = "Bearer secret"
        };
        assert_int_equal(check(&open, &write), cases[i].status);
        assert_int_equal(check(&closed, &write), cases[i].status);
        struct request read = { .method = HTTP_GET, .host = host, .origin = origin };
        assert_int_equal(check(&open, &read), cases[i].status);
    }
}

static void what_a_browser_sends_for_another_site_is_refused(void **state)
{
    (void)state;
    struct guard open = guard_on("127.0.0.1:9091", NULL);
    struct guard closed = guard_on("0.0.0.0:9091", "secret");
    static const struct {
        const char *sites[2], *mode, *dest;
        bool has_effect;
        uint16_t status;
    } cases[] = {
        { { NULL }, NULL, NULL, true, 0 }, /* no browser, or an old one */
        { { "same-origin" }, "cors", "empty", true, 0 },
        { { "none" }, "navigate", "document", true, 0 }, /* typed */
        { { "cross-site" }, "no-cors", "image", false, 403 },
        { { "cross-site" }, "no-cors", "image", true, 403 },
        { { "same-site" }, "no-cors", "image", true, 403 }, /* another port of localhost */
        { { "cross-site" }, "cors", "empty", false, 403 },
        { { "cross-site" }, "navigate", "document", false, 0 }, /* a link to look at something */
        { { "cross-site" }, "navigate", "document", true, 403 },
        { { "cross-site" }, "navigate", "iframe", false, 403 },
        { { "same-origin", "cross-site" }, "cors", "empty", false, 403 },
        { { "cross-site", "none" }, "cors", "empty", false, 403 },
        { { "of its own making" }, "cors", "empty", false, 403 },
        { { "" }, "cors", "empty", false, 403 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct request rq = { .host = "localhost:9091",
                              .authorization = "Bearer secret",
                              .sites = { cases[i].sites[0], cases[i].sites[1] },
                              .mode = cases[i].mode,
                              .dest = cases[i].dest,
                              .has_effect = cases[i].has_effect };
        rq.method = HTTP_GET;
        assert_int_equal(check(&open, &rq), cases[i].status);
        assert_int_equal(check(&closed, &rq), cases[i].status);
        if (!cases[i].status) continue;
        rq.method = HTTP_HEAD;
        assert_int_equal(check(&open, &rq), 403);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_token_only_its_own_hosts_are_answered),
        cmocka_unit_test(an_old_request_without_host_is_a_tools),
        cmocka_unit_test(a_token_is_taken_as_bearer_or_as_basics_password),
        cmocka_unit_test(everything_else_is_not_the_token),
        cmocka_unit_test(tokens_compare_whole),
        cmocka_unit_test(a_foreign_page_may_neither_write_nor_read),
        cmocka_unit_test(what_a_browser_sends_for_another_site_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
