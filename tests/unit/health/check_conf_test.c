#include "health/check_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/decoded.h"

static void a_path_is_enough(void **state)
{
    (void)state;
    static const char *const forms[] = { "http: {path: /healthz}", "http: /healthz" };
    for (size_t i = 0; i < 2; i++) {
        struct check_conf c;
        struct conf_arena *arena = conf_arena_new();
        char *faults = decode_yaml(forms[i], &check_conf_type, &c, arena);
        if (faults) fail_msg("%s", faults);
        assert_string_equal(c.http->path, "/healthz");
        assert_int_equal(check_method(c.http), HTTP_GET);
        assert_true(check_expects(c.http, 200) && check_expects(c.http, 399));
        assert_false(check_expects(c.http, 199) || check_expects(c.http, 400) || check_expects(c.http, 503));
        assert_int_equal(c.interval_ms, 5000);
        assert_int_equal(c.timeout_ms, 2000);
        assert_int_equal(c.rise, 2);
        assert_int_equal(c.fall, 3);
        conf_arena_free(arena);
    }
}

static void everything_can_be_said(void **state)
{
    (void)state;
    struct check_conf c;
    struct conf_arena *arena = conf_arena_new();
    char *faults = decode_yaml(
        "http: {path: /h, method: HEAD, host: a.example, headers: {X-Token: abc}, "
        "status: [204, 4xx, 301-302]}\n"
        "interval: 1s\nchanging_interval: 100ms\ntimeout: 500ms\nrise: 1\nfall: 5\nport: 81\n",
        &check_conf_type, &c, arena);
    if (faults) fail_msg("%s", faults);
    const struct check_header *h = c.http->headers.data;
    assert_int_equal(check_method(c.http), HTTP_HEAD);
    assert_string_equal(h->name, "X-Token");
    assert_string_equal(h->value, "abc");
    static const uint16_t good[] = { 204, 400, 499, 301, 302 }, bad[] = { 200, 205, 303, 500 };
    for (size_t i = 0; i < 5; i++) assert_true(check_expects(c.http, good[i]));
    for (size_t i = 0; i < 4; i++) assert_false(check_expects(c.http, bad[i]));
    assert_int_equal(c.port, 81);
    conf_arena_free(arena);
}

static void a_name_is_enough(void **state)
{
    (void)state;
    static const char *const forms[] = { "dns: {name: example.org}", "dns: example.org" };
    for (size_t i = 0; i < 2; i++) {
        struct check_conf c;
        struct conf_arena *arena = conf_arena_new();
        char *faults = decode_yaml(forms[i], &check_conf_type, &c, arena);
        if (faults) fail_msg("%s", faults);
        assert_string_equal(c.dns->name, "example.org");
        assert_int_equal(c.dns->type, 0);
        assert_true(check_is_of_datagrams(&c));
        for (uint32_t rcode = 0; rcode < 16; rcode++)
            assert_int_equal(check_expects_rcode(c.dns, rcode), rcode == 0 || rcode == 3);
        conf_arena_free(arena);
    }
}

static void what_cannot_be_is_explained_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *place, *words;
    } rows[] = {
        { "rise: 2", "test:1:1", "a check needs http, tcp, grpc, dns or udp" },
        { "http: {}\ngrpc: {}", "test:2:1", "one of http, tcp, grpc, dns and udp" },
        { "grpc: {service: \"a\\nb\"}", "test:1:8", "control character" },
        { "http: {}\ntcp: {}", "test:2:1", "one of http, tcp, grpc, dns and udp" },
        { "http: {path: healthz}", "test:1:8", "begin it with a slash" },
        { "http: {path: \"/a b\"}", "test:1:8", "cannot be a request's path" },
        { "http: {status: [abc]}", "test:1:17", "write 204, 2xx or 200-399" },
        { "http: {status: [100]}", "test:1:17", "is no status of an answer" },
        { "http: {status: [300-200]}", "test:1:17", "is no status of an answer" },
        { "http: {status: [2000]}", "test:1:17", "is no status of an answer" },
        { "http: {method: HEAD, body: ok}", "test:1:22", "has no body to look in" },
        { "http: {method: TRACE}", "test:1:16", "GET" },
        { "http: {headers: {\"X Y\": a}}", "test:1:18", "cannot be the name of a header" },
        { "http: {headers: {Host: a}}", "test:1:18", "a Host is written as `host:`" },
        { "http: {headers: {A: \"b\\r\\nC: d\"}}", "test:1:18", "write it on one line" },
        { "http: {host: \"a/b\"}", "test:1:8", "more than a Host can be" },
        { "dns: a.example\ngrpc: {}", "test:1:1", "one of http, tcp, grpc, dns and udp" },
        { "dns: {}", "test:1:1", "add \"name\"" },
        { "dns: a..example", "test:1:6", "a label of it is empty" },
        { "dns: {name: \"b\xc3\xbc.example\"}", "test:1:7", "in ASCII" },
        { "dns: {name: a.example, type: AAA}", "test:1:30", "AAAA" },
        { "dns: {name: a.example, rcodes: [NOERR]}", "test:1:33", "NOERROR" },
        { "udp: {send: a}", "test:1:1", "add \"answer\"" },
        { "tcp: {}\ninterval: 1s\ntimeout: 2s", "test:3:1", "let timeout be at most the interval" },
        { "tcp: {}\nfall: 0", "test:2:7", "fall" },
        { "gprc: {}", "test:1:1", "unknown key" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct check_conf c;
        struct conf_arena *arena = conf_arena_new();
        char *faults = decode_yaml(rows[i].yaml, &check_conf_type, &c, arena);
        if (!faults || !strstr(faults, rows[i].words) || !strstr(faults, rows[i].place))
            fail_msg("of %s is said: %s", rows[i].yaml, faults ? faults : "nothing");
        free(faults);
        conf_arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_enough),
        cmocka_unit_test(everything_can_be_said),
        cmocka_unit_test(a_name_is_enough),
        cmocka_unit_test(what_cannot_be_is_explained_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
