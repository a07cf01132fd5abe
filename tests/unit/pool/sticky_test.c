#include "pool/sticky.h"

#include <stdlib.h>
#include <string.h>

#include "conf/decoded.h"
#include "crew.h"
#include "pool/sticky_conf.h"

#define OLD_SECRET "0123456789abcdef"
#define NEW_SECRET "another secret, of more bytes than a block of SHA-256 has: they are hashed first"

static const char *secrets[] = { OLD_SECRET, NEW_SECRET };

static struct sticky_conf fresh_conf(void)
{
    return (struct sticky_conf){
        .cookie = "weir", .secrets = { secrets, 1 }, .drain_ms = 60000, .path = "/", .same_site = STICKY_LAX
    };
}

static void start(struct crew *c, struct sticky_conf *conf, uint32_t server_count)
{
    crew_init(c, "least_request", server_count);
    c->conf.sticky = conf;
    crew_start(c, 1);
    assert_non_null(c->pool->roster->sticky);
}

/* "weir=VALUE; …" */
static struct slice value_of(struct slice cookie)
{
    const char *begin = (const char *)memchr(cookie.data, '=', cookie.len) + 1;
    const char *end = memchr(begin, ';', cookie.len - (size_t)(begin - cookie.data));
    return (struct slice){ begin, (size_t)(end - begin) };
}

static struct slice cookie_for(const struct crew *c, uint32_t server)
{
    return sticky_set_cookie(c->pool->roster->sticky, c->pool->roster->places[server].server);
}

static void the_value_is_the_mac_of_pool_and_server(void **state)
{
    (void)state;
    struct crew c;
    struct sticky_conf conf = fresh_conf();
    start(&c, &conf, 2);
    /* hmac.new(b"0123456789abcdef", b"weir sticky\0web\0s0\0", hashlib.sha256).hexdigest()[:32] in Python */
    assert_true(slice_equal(value_of(cookie_for(&c, 0)), SLICE("d2ee789bb70a54d41e4f529b0eb5cec4")));
    crew_stop(&c);
}

static void a_cookie_has_the_attributes_that_were_configured(void **state)
{
    (void)state;
    struct crew c;
    struct sticky_conf conf = fresh_conf();
    char expected[200];
    start(&c, &conf, 1);
    struct text t = text_over(expected, sizeof(expected));
    text_printf(&t, "weir=%.32s; Path=/; HttpOnly; SameSite=Lax", value_of(cookie_for(&c, 0)).data);
    assert_true(slice_equal(cookie_for(&c, 0), text_slice(&t)));
    crew_stop(&c);
    conf.cookie = "__Secure-node";
    conf.path = "/shop";
    conf.domain = "example.com";
    conf.max_age_ms = 8 * 3600 * 1000;
    conf.same_site = STICKY_NONE;
    conf.is_secure = true;
    start(&c, &conf, 1);
    t.len = 0;
    text_printf(
        &t,
        "__Secure-node=%.32s; Path=/shop; Domain=example.com; Max-Age=28800; HttpOnly; SameSite=None; Secure",
        value_of(cookie_for(&c, 0)).data);
    assert_true(slice_equal(cookie_for(&c, 0), text_slice(&t)));
    crew_stop(&c);
}

static void each_server_is_found_by_its_own_value_alone(void **state)
{
    (void)state;
    struct crew c;
    struct sticky_conf conf = fresh_conf();
    conf.secrets.count = 2;
    start(&c, &conf, CREW_SERVERS_MAX);
    for (uint32_t i = 0; i < CREW_SERVERS_MAX; i++) {
        bool is_current = false;
        struct slice value = value_of(cookie_for(&c, i));
        assert_ptr_equal(sticky_server(c.pool->roster->sticky, value, &is_current),
                         c.pool->roster->places[i].server);
        assert_true(is_current);
        assert_null(memmem(value.data, value.len, c.names[i], strlen(c.names[i])));
    }
    crew_stop(&c);
}

static void a_value_that_is_not_ours_names_nobody(void **state)
{
    (void)state;
    struct crew c;
    struct sticky_conf conf = fresh_conf();
    start(&c, &conf, 3);
    char good[33] = "";
    bool is_current;
    struct slice value = value_of(cookie_for(&c, 1));
    memcpy(good, value.data, 32);
    for (int i = 0; i < 32; i++) {
        char forged[33];
        memcpy(forged, good, sizeof(good));
        forged[i] = forged[i] == '0' ? '1' : '0';
        assert_null(sticky_server(c.pool->roster->sticky, slice_of(forged), &is_current));
        assert_false(is_current);
        forged[i] = 'G';
        assert_null(sticky_server(c.pool->roster->sticky, slice_of(forged), &is_current));
    }
    static const char *const others[] = { "",
                                          "s1",
                                          "web/s1",
                                          "0",
                                          "00000000000000000000000000000000",
                                          "ffffffffffffffffffffffffffffffff",
                                          "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF" };
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        assert_null(sticky_server(c.pool->roster->sticky, slice_of(others[i]), &is_current));
    assert_null(sticky_server(c.pool->roster->sticky, (struct slice){ good, 31 }, &is_current));
    char longer[40] = "";
    strcat(strcat(longer, good), "0");
    assert_null(sticky_server(c.pool->roster->sticky, slice_of(longer), &is_current));
    crew_stop(&c);
}

static void another_pools_cookie_names_nobody_here(void **state)
{
    (void)state;
    struct crew c, d;
    struct sticky_conf conf = fresh_conf();
    bool is_current;
    start(&c, &conf, 2);
    crew_init(&d, "least_request", 2);
    d.conf.sticky = &conf;
    d.conf.name = "api";
    crew_start(&d, 1);
    for (uint32_t i = 0; i < 2; i++)
        assert_null(sticky_server(c.pool->roster->sticky, value_of(cookie_for(&d, i)), &is_current));
    crew_stop(&d);
    crew_stop(&c);
}

/* As one that only an older configuration has: an empty Set-Cookie would be worse than none. */
static void a_server_of_another_roster_has_no_cookie_here(void **state)
{
    (void)state;
    struct crew c, d;
    struct sticky_conf conf = fresh_conf();
    start(&c, &conf, 2);
    start(&d, &conf, 2);
    for (uint32_t i = 0; i < 2; i++) {
        struct slice foreign = sticky_set_cookie(c.pool->roster->sticky, d.pool->roster->places[i].server);
        assert_int_equal(foreign.len, 0);
        assert_true(cookie_for(&c, i).len > 0);
    }
    crew_stop(&d);
    crew_stop(&c);
}

static void secrets_are_rotated_without_losing_anybody(void **state)
{
    (void)state;
    struct crew before, during, after;
    static const char *both[] = { NEW_SECRET, OLD_SECRET }, *newer[] = { NEW_SECRET };
    struct sticky_conf conf[3] = { fresh_conf(), fresh_conf(), fresh_conf() };
    conf[1].secrets = (struct conf_items){ both, 2 };
    conf[2].secrets = (struct conf_items){ newer, 1 };
    start(&before, &conf[0], 3);
    start(&during, &conf[1], 3);
    start(&after, &conf[2], 3);
    for (uint32_t i = 0; i < 3; i++) {
        bool is_current = true;
        struct slice old = value_of(cookie_for(&before, i)), renewed = value_of(cookie_for(&during, i));
        assert_ptr_equal(sticky_server(during.pool->roster->sticky, old, &is_current),
                         during.pool->roster->places[i].server);
        assert_false(is_current);
        assert_ptr_equal(sticky_server(during.pool->roster->sticky, renewed, &is_current),
                         during.pool->roster->places[i].server);
        assert_true(is_current);
        assert_ptr_equal(sticky_server(after.pool->roster->sticky, renewed, &is_current),
                         after.pool->roster->places[i].server);
        assert_null(sticky_server(after.pool->roster->sticky, old, &is_current));
    }
    crew_stop(&after);
    crew_stop(&during);
    crew_stop(&before);
}

static void the_same_secret_twice_is_one(void **state)
{
    (void)state;
    struct crew c;
    static const char *twice[] = { OLD_SECRET, OLD_SECRET };
    struct sticky_conf conf = fresh_conf();
    conf.secrets = (struct conf_items){ twice, 2 };
    start(&c, &conf, 2);
    bool is_current = false;
    assert_ptr_equal(sticky_server(c.pool->roster->sticky, value_of(cookie_for(&c, 1)), &is_current),
                     c.pool->roster->places[1].server);
    assert_true(is_current);
    crew_stop(&c);
}

static void a_draining_server_keeps_its_clients_for_a_while(void **state)
{
    (void)state;
    struct crew c;
    struct sticky_conf conf = fresh_conf();
    start(&c, &conf, 2);
    struct server *s = c.pool->roster->places[0].server;
    assert_true(sticky_may_take(c.pool->roster->sticky, s, 1000));
    server_set_admin(s, SERVER_DRAIN, 5000);
    assert_true(sticky_may_take(c.pool->roster->sticky, s, 4999));
    assert_true(sticky_may_take(c.pool->roster->sticky, s, 5000));
    assert_true(sticky_may_take(c.pool->roster->sticky, s, 64999));
    assert_false(sticky_may_take(c.pool->roster->sticky, s, 65000));
    /* Said again, it goes on; begun again, it begins again. */
    server_set_admin(s, SERVER_DRAIN, 60000);
    assert_false(sticky_may_take(c.pool->roster->sticky, s, 65000));
    server_set_admin(s, SERVER_ENABLED, 66000);
    assert_int_equal(s->drain_since_ms, 0);
    assert_true(sticky_may_take(c.pool->roster->sticky, s, 66000));
    server_set_admin(s, SERVER_DRAIN, 70000);
    assert_true(sticky_may_take(c.pool->roster->sticky, s, 129999));
    server_set_admin(s, SERVER_MAINTENANCE, 71000);
    assert_false(sticky_may_take(c.pool->roster->sticky, s, 71000));
    crew_stop(&c);
}

static void a_server_that_is_not_well_keeps_nobody(void **state)
{
    (void)state;
    struct crew c;
    struct sticky_conf conf = fresh_conf();
    start(&c, &conf, 2);
    struct server *s = c.pool->roster->places[0].server;
    atomic_store(&s->health, SERVER_EJECTED);
    assert_false(sticky_may_take(c.pool->roster->sticky, s, 1));
    server_set_admin(s, SERVER_DRAIN, 1);
    assert_false(sticky_may_take(c.pool->roster->sticky, s, 1));
    atomic_store(&s->health, SERVER_WARMING);
    assert_true(sticky_may_take(c.pool->roster->sticky, s, 1));
    crew_stop(&c);
}

static void a_server_of_weight_0_keeps_its_clients(void **state)
{
    (void)state;
    struct crew c;
    struct sticky_conf conf = fresh_conf();
    start(&c, &conf, 2);
    atomic_store(&c.pool->roster->places[0].server->weight, 0);
    crew_publish(&c);
    assert_true(sticky_may_take(c.pool->roster->sticky, c.pool->roster->places[0].server, 1));
    assert_int_equal(c.pool->current->count, 1);
    crew_stop(&c);
}

/* configuration */

static char *faults_of(const char *yaml)
{
    struct sticky_conf conf;
    struct conf_arena *arena = conf_arena_new();
    char *faults = decode_yaml(yaml, &sticky_conf_type, &conf, arena);
    conf_arena_free(arena);
    return faults;
}

#define GOOD "secrets: [\"" OLD_SECRET "\"]"

static void what_browsers_or_attackers_would_make_nothing_of_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *fault; /* NULL: none */
    } rows[] = {
        { "{" GOOD "}", NULL },
        { "{" GOOD ", cookie: __Host-weir, secure: true}", NULL },
        { "{" GOOD ", same_site: none, secure: true}", NULL },
        { "{" GOOD ", max_age: 8h, drain: off, path: /a, domain: example.com}", NULL },
        { "{}", "secrets" },
        { "{secrets: []}", "secrets" },
        { "{secrets: [\"" OLD_SECRET "\", fifteen-letters]}", "secret 2 has 15 bytes" },
        { "{secrets: [short]}", "openssl rand" },
        { "{" GOOD ", same_site: none}", "SameSite=None only with Secure" },
        { "{" GOOD ", same_site: never}", "never" },
        { "{" GOOD ", cookie: \"a b\"}", "cannot be a cookie's name" },
        { "{" GOOD ", cookie: \"a=b\"}", "cannot be a cookie's name" },
        { "{" GOOD ", cookie: \"a;b\"}", "cannot be a cookie's name" },
        { "{" GOOD ", cookie: \"\\u00e9\"}", "cannot be a cookie's name" },
        { "{" GOOD ", cookie: __Secure-weir}", "only with Secure" },
        { "{" GOOD ", cookie: __host-weir, secure: true, path: /a}", "only for path /" },
        { "{" GOOD ", path: shop}", "cannot be a cookie's path" },
        { "{" GOOD ", path: \"/a; Domain=evil.example\"}", "cannot be a cookie's path" },
        { "{" GOOD ", path: \"/a\\r\\nX: y\"}", "cannot be a cookie's path" },
        { "{" GOOD ", domain: .example.com}", "without a leading dot" },
        { "{" GOOD ", domain: \"a;b\"}", "cannot be a cookie's domain" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char *faults = faults_of(rows[i].yaml);
        if (!rows[i].fault && faults) fail_msg("%s: %s", rows[i].yaml, faults);
        if (rows[i].fault && (!faults || !strstr(faults, rows[i].fault)))
            fail_msg("%s: %s", rows[i].yaml, faults ? faults : "no fault");
        free(faults);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_value_is_the_mac_of_pool_and_server),
        cmocka_unit_test(a_cookie_has_the_attributes_that_were_configured),
        cmocka_unit_test(each_server_is_found_by_its_own_value_alone),
        cmocka_unit_test(a_value_that_is_not_ours_names_nobody),
        cmocka_unit_test(another_pools_cookie_names_nobody_here),
        cmocka_unit_test(a_server_of_another_roster_has_no_cookie_here),
        cmocka_unit_test(secrets_are_rotated_without_losing_anybody),
        cmocka_unit_test(the_same_secret_twice_is_one),
        cmocka_unit_test(a_draining_server_keeps_its_clients_for_a_while),
        cmocka_unit_test(a_server_that_is_not_well_keeps_nobody),
        cmocka_unit_test(a_server_of_weight_0_keeps_its_clients),
        cmocka_unit_test(what_browsers_or_attackers_would_make_nothing_of_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
