#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the above */
#include "admin/guard.h"
#include <cmocka.h>

static struct admin_conf conf;
static struct sessions sessions;
static struct guard_who who; /* of the latest check */

struct request {
    enum http_method method;
    const char *host, *authorization, *origin;
    const char *sites[2], *mode, *dest; /* Sec-Fetch-Site, -Mode, -Dest */
    bool has_effect;
    enum admin_role needs;
    const char *cookie, *page;
    uint64_t now_ms;
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
    struct http_field fields[10];
    struct http_head head = { .version = HTTP_VERSION_1_1, .fields = fields, .method = r->method };
    head.authority = r->host ? slice_of(r->host) : SLICE_NONE;
    add(&head, HTTP_FIELD_AUTHORIZATION, r->authorization);
    add(&head, HTTP_FIELD_ORIGIN, r->origin);
    add_named(&head, "sec-fetch-site", r->sites[0]);
    add_named(&head, "Sec-Fetch-Site", r->sites[1]);
    add_named(&head, "Sec-Fetch-Mode", r->mode);
    add_named(&head, "Sec-Fetch-Dest", r->dest);
    add_named(&head, "Cookie", r->cookie);
    add_named(&head, "X-Weir-Page", r->page);
    const struct guard_ask ask = { .head = &head,
                                   .needs = r->needs ? r->needs : ROLE_VIEW,
                                   .has_effect = r->has_effect,
                                   .now_ms = r->now_ms };
    uint16_t status = guard_check(g, &ask, &who, &err);
    assert_int_equal(status != 0, err.text[0] != 0); /* every refusal has its sentence */
    return status;
}

static struct guard guard_on(const char *bind, const char *token)
{
    struct guard g = { .conf = &conf, .sessions = &sessions };
    struct err err;
    conf = (struct admin_conf){ .token = token };
    memset(&sessions, 0, sizeof(sessions));
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
    const struct guard_ask ask = { .head = &head, .needs = ROLE_ADMIN };
    assert_int_equal(guard_check(&g, &ask, &who, &err), 0);
    head.authority = SLICE("evil.example");
    assert_int_equal(guard_check(&g, &ask, &who, &err), 403);
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

static void a_foreign_page_may_neither_write_nor_read(void **state)
{
    (void)state;
    struct guard closed = guard_on("0.0.0.0:9091", "secret");
    struct guard open = guard_on("127.0.0.1:9091", NULL);
    static const struct admin_conf with_token = { .token = "secret" };
    closed.conf = &with_token;
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
    struct guard closed = guard_on("0.0.0.0:9091", "secret");
    struct guard open = guard_on("127.0.0.1:9091", NULL);
    static const struct admin_conf with_token = { .token = "secret" };
    closed.conf = &with_token;
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

static const struct admin_token_conf three[] = { { "grafana", "token-of-grafana", ROLE_VIEW - ROLE_VIEW },
                                                 { "deploy", "token-of-deploy-", ROLE_OPERATE - ROLE_VIEW },
                                                 { "ops", "token-of-the-ops", ROLE_ADMIN - ROLE_VIEW } };

static struct guard guard_with_three(const char *token)
{
    struct guard g = guard_on("127.0.0.1:9091", token);
    conf.tokens = (struct conf_items){ (void *)(uintptr_t)three, 3 };
    return g;
}

static void each_token_has_its_name_and_may_what_its_role_may(void **state)
{
    (void)state;
    static const struct {
        const char *authorization, *name;
        enum admin_role role;
    } cases[] = { { "Bearer token-of-grafana", "grafana", ROLE_VIEW },
                  { "Basic Z3JhZmFuYTp0b2tlbi1vZi1ncmFmYW5h", "grafana", ROLE_VIEW },
                  { "Bearer token-of-deploy-", "deploy", ROLE_OPERATE },
                  { "Bearer token-of-the-ops", "ops", ROLE_ADMIN },
                  { "Bearer single", "token", ROLE_ADMIN } };
    struct guard g = guard_with_three("single");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        for (unsigned needs = ROLE_VIEW; needs <= ROLE_ADMIN; needs++) {
            struct request rq = { .authorization = cases[i].authorization, .needs = (enum admin_role)needs };
            assert_int_equal(check(&g, &rq), needs <= cases[i].role ? 0 : 403);
            assert_string_equal(who.name, cases[i].name);
            assert_int_equal(who.role, cases[i].role);
            assert_int_equal(who.by, GUARD_BY_TOKEN);
        }
    }
    assert_int_equal(check(&g, &(struct request){ .authorization = "Bearer token-of-nobody-" }), 401);
    assert_int_equal(check(&g, &(struct request){ .host = "localhost:9091" }), 401);
}

static void who_shows_no_token_may_look_where_that_is_said(void **state)
{
    (void)state;
    struct guard g = guard_with_three(NULL);
    conf.anonymous = 2; /* view */
    const char *host = "localhost:9091";
    assert_int_equal(check(&g, &(struct request){ .host = host }), 0);
    assert_int_equal(who.by, GUARD_BY_NOTHING);
    assert_int_equal(check(&g, &(struct request){ .host = host, .needs = ROLE_OPERATE }), 401);
    /* By its own names alone, as where there is no token. */
    assert_int_equal(check(&g, &(struct request){ .host = "evil.example" }), 403);
    assert_int_equal(check(&g, &(struct request){ .host = host, .authorization = "Bearer wrong" }), 401);
    conf.tokens.count = 0;
    assert_int_equal(check(&g, &(struct request){ .host = host }), 0);
    assert_int_equal(check(&g, &(struct request){ .host = host, .needs = ROLE_OPERATE }), 403);
}

static void an_address_of_the_network_is_never_open(void **state)
{
    (void)state;
    struct guard g = guard_on("0.0.0.0:9091", NULL);
    assert_int_equal(check(&g, &(struct request){ .host = "0.0.0.0:9091" }), 403);
    conf.anonymous = 2;
    assert_int_equal(check(&g, &(struct request){ .host = "0.0.0.0:9091" }), 403);
}

static void a_session_may_what_its_token_may_while_there_is_one(void **state)
{
    (void)state;
    struct guard g = guard_with_three(NULL);
    char id[SESSION_ID_TEXT + 1], cookie[200];
    sessions_begin(&sessions, "deploy", 1000, id);
    snprintf(cookie, sizeof(cookie), "a=b; weir_session=0; weir_session=%s;c", id);
    struct request rq = { .host = "any.example", .cookie = cookie, .needs = ROLE_OPERATE, .now_ms = 1000 };
    assert_int_equal(check(&g, &rq), 0);
    assert_string_equal(who.name, "deploy");
    assert_int_equal(who.by, GUARD_BY_SESSION);
    rq.needs = ROLE_ADMIN;
    assert_int_equal(check(&g, &rq), 403);
    rq.needs = ROLE_VIEW;
    rq.authorization = "Bearer wrong"; /* what is shown goes before what a browser keeps */
    assert_int_equal(check(&g, &rq), 401);
    rq.authorization = NULL;
    conf.tokens.count = 1; /* a reload without its token */
    assert_int_equal(check(&g, &rq), 401);
    conf.tokens.count = 3;
    rq.now_ms += SESSION_IDLE_MS + 1;
    assert_int_equal(check(&g, &rq), 401);
}

static void a_cookie_alone_changes_nothing(void **state)
{
    (void)state;
    struct guard g = guard_with_three(NULL);
    char id[SESSION_ID_TEXT + 1], cookie[200];
    sessions_begin(&sessions, "ops", 1000, id);
    snprintf(cookie, sizeof(cookie), "weir_session=%s", id);
    struct request rq = { .method = HTTP_POST, .host = "weir.example", .cookie = cookie, .now_ms = 1000 };
    assert_int_equal(check(&g, &rq), 403);
    rq.page = "1";
    assert_int_equal(check(&g, &rq), 0);
    rq.page = NULL;
    rq.origin = "https://weir.example";
    assert_int_equal(check(&g, &rq), 0);
    assert_true(who.is_over_tls);
    rq.origin = "https://evil.example";
    assert_int_equal(check(&g, &rq), 403);
    rq.page = "1";
    assert_int_equal(check(&g, &rq), 403);
    rq.origin = NULL;
    rq.sites[0] = "same-site"; /* another port of this host, which gets the cookie */
    assert_int_equal(check(&g, &rq), 403);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_token_only_its_own_hosts_are_answered),
        cmocka_unit_test(an_old_request_without_host_is_a_tools),
        cmocka_unit_test(a_token_is_taken_as_bearer_or_as_basics_password),
        cmocka_unit_test(everything_else_is_not_the_token),
        cmocka_unit_test(a_foreign_page_may_neither_write_nor_read),
        cmocka_unit_test(what_a_browser_sends_for_another_site_is_refused),
        cmocka_unit_test(each_token_has_its_name_and_may_what_its_role_may),
        cmocka_unit_test(who_shows_no_token_may_look_where_that_is_said),
        cmocka_unit_test(an_address_of_the_network_is_never_open),
        cmocka_unit_test(a_session_may_what_its_token_may_while_there_is_one),
        cmocka_unit_test(a_cookie_alone_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
