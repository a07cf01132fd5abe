#include "proxy/forwarded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/fields.h"
#include "proxy/forward.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

struct sent {
    const char *name, *value;
};

struct scene {
    struct cidr trust[2];
    struct listener_conf conf;
    struct route_set listener;
    struct http_field fields[8];
    struct http_head head;
    struct forwarded forwarded;
    char list[8192], element[8192];
    struct text list_text, element_text;
    bool is_secure; /* the one member that read_from() keeps */
};

static struct ip ip_of(const char *text)
{
    struct ip ip;
    if (!ip_parse(slice_of(text), &ip)) fail_msg("%s", text);
    return ip;
}

static void read_from(struct scene *s, const char *peer, const struct sent *sent, uint32_t count,
                      const char *host)
{
    struct err err;
    *s = (struct scene){ .is_secure = s->is_secure };
    assert_int_equal(cidr_parse(SLICE("127.0.0.0/8"), &s->trust[0], &err), 0);
    assert_int_equal(cidr_parse(SLICE("10.0.0.0/8"), &s->trust[1], &err), 0);
    s->conf.trust = (struct conf_items){ s->trust, 2 };
    s->listener.conf = &s->conf;
    for (uint32_t i = 0; i < count; i++) {
        struct slice name = slice_of(sent[i].name), value = slice_of(sent[i].value);
        s->fields[i] = (struct http_field){ .name = name.data,
                                            .name_len = (uint16_t)name.len,
                                            .value = value.data,
                                            .value_len = (uint32_t)value.len,
                                            .id = (uint8_t)http_field_id_of(name) };
    }
    s->head = (struct http_head){ .fields = s->fields, .field_count = count, .authority = slice_of(host) };
    struct ip ip = ip_of(peer);
    assert_null(fields_admit(&s->listener, &ip, s->fields, count));
    forwarded_read(&s->listener, &ip, s->is_secure, &s->head, &s->forwarded);
    s->list_text = text_over(s->list, sizeof(s->list));
    s->element_text = text_over(s->element, sizeof(s->element));
    forwarded_print(&s->forwarded, &ip, &s->list_text, &s->element_text);
    assert_in_range(s->list_text.len, 1, forwarded_room(&s->forwarded));
    assert_in_range(s->element_text.len, 1, forwarded_room(&s->forwarded));
}

/* Its own connection's, unless somebody who is trusted says how the client's was. */
static void the_scheme_is_the_connections(void **state)
{
    (void)state;
    static const struct sent nothing[1] = { { "Accept", "*/*" } },
                             http[1] = { { "X-Forwarded-Proto", "http" } };
    struct scene s = { .is_secure = true };
    read_from(&s, "198.51.100.9", nothing, 1, "h");
    assert_true(slice_equal(s.forwarded.proto, SLICE("https")));
    assert_true(slice_equal(text_slice(&s.element_text), SLICE("for=198.51.100.9;host=\"h\";proto=https")));
    read_from(&s, "198.51.100.9", http, 1, "h");
    assert_true(slice_equal(s.forwarded.proto, SLICE("https")));
    read_from(&s, "127.0.0.1", http, 1, "h");
    assert_true(slice_equal(s.forwarded.proto, SLICE("http")));
    s.is_secure = false;
    read_from(&s, "198.51.100.9", nothing, 1, "h");
    assert_true(slice_equal(s.forwarded.proto, SLICE("http")));
}

static void both_forms_say_the_same(void **state)
{
    (void)state;
    static const struct {
        struct sent sent[3];
        const char *peer, *client, *proto, *list, *forwarded;
    } cases[] = {
        /* Nobody is believed. */
        { { { "X-Forwarded-For", "192.0.2.1" },
            { "X-Forwarded-Proto", "https" },
            { "Forwarded", "for=192.0.2.1" } },
          "198.51.100.9",
          "198.51.100.9",
          "http",
          "198.51.100.9",
          "for=198.51.100.9;host=\"h\";proto=http" },
        { { { "X-Forwarded-For", "192.0.2.1, 198.51.100.2" },
            { "X-Forwarded-Proto", "https" },
            { "X-Forwarded-Host", "claimed.test:8443" } },
          "127.0.0.1",
          "198.51.100.2",
          "https",
          "192.0.2.1, 198.51.100.2, 127.0.0.1",
          "for=192.0.2.1;host=\"claimed.test:8443\";proto=https, for=198.51.100.2, "
          "for=127.0.0.1;host=\"claimed.test:8443\";proto=https" },
        /* Ports and brackets. */
        { { { "X-Forwarded-For", "203.0.113.7:4711" } },
          "127.0.0.1",
          "203.0.113.7",
          "http",
          "203.0.113.7:4711, 127.0.0.1",
          "for=203.0.113.7;host=\"h\";proto=http, for=127.0.0.1;host=\"h\";proto=http" },
        { { { "X-Forwarded-For", "[2001:db8::7]:4711" } },
          "127.0.0.1",
          "2001:db8::7",
          "http",
          "[2001:db8::7]:4711, 127.0.0.1",
          "for=\"[2001:db8::7]\";host=\"h\";proto=http, for=127.0.0.1;host=\"h\";proto=http" },
        { { { "X-Forwarded-For", "[2001:db8::7]" }, { "X-Forwarded-For", "10.0.0.1:1" } },
          "127.0.0.1",
          "2001:db8::7",
          "http",
          "[2001:db8::7], 10.0.0.1:1, 127.0.0.1",
          "for=\"[2001:db8::7]\";host=\"h\";proto=http, for=10.0.0.1, for=127.0.0.1;host=\"h\";proto=http" },
        /* Forwarded alone is told in the other form, too; the client's element says how it asked. */
        { { { "Forwarded", "for=evil;proto=http, For=\"[2001:db8::7]:4711\";Proto=https;host=\"a.test\"" },
            { "Forwarded", "for=10.0.0.1;proto=http" } },
          "127.0.0.1",
          "2001:db8::7",
          "https",
          "unknown, 2001:db8::7, 10.0.0.1, 127.0.0.1",
          "for=unknown;host=\"a.test\";proto=https, for=\"[2001:db8::7]\", for=10.0.0.1, "
          "for=127.0.0.1;host=\"a.test\";proto=https" },
        { { { "Forwarded", "for=_hidden;proto=https" } },
          "127.0.0.1",
          "127.0.0.1",
          "https",
          "unknown, 127.0.0.1",
          "for=unknown;host=\"h\";proto=https, for=127.0.0.1;host=\"h\";proto=https" },
        { { { "Forwarded", "proto=https" } },
          "127.0.0.1",
          "127.0.0.1",
          "https",
          "unknown, 127.0.0.1",
          "for=unknown;host=\"h\";proto=https, for=127.0.0.1;host=\"h\";proto=https" },
        /* X-Forwarded-For wins: the other may be the client's own invention. */
        { { { "X-Forwarded-For", "192.0.2.1" },
            { "Forwarded", "for=192.0.2.66;proto=https;host=evil.test" } },
          "127.0.0.1",
          "192.0.2.1",
          "http",
          "192.0.2.1, 127.0.0.1",
          "for=192.0.2.1;host=\"h\";proto=http, for=127.0.0.1;host=\"h\";proto=http" },
        /* What is no address is nobody, and nothing of it is taken for more. */
        { { { "X-Forwarded-For", "192.0.2.1;proto=gopher, \"x" } },
          "127.0.0.1",
          "127.0.0.1",
          "http",
          "192.0.2.1;proto=gopher, \"x, 127.0.0.1",
          "for=unknown;host=\"h\";proto=http, for=unknown, for=127.0.0.1;host=\"h\";proto=http" },
        { { { "X-Forwarded-For", " , ,," },
            { "X-Forwarded-Proto", "ht\"tp" },
            { "X-Forwarded-Host", "a b" } },
          "127.0.0.1",
          "127.0.0.1",
          "http",
          "127.0.0.1",
          "for=127.0.0.1;host=\"h\";proto=http" },
        /* Of several, the last is the peer's own word. */
        { { { "X-Forwarded-Proto", "https" }, { "X-Forwarded-Proto", "https, http" } },
          "127.0.0.1",
          "127.0.0.1",
          "http",
          "127.0.0.1",
          "for=127.0.0.1;host=\"h\";proto=http" },
    };
    struct scene s = { .is_secure = false };
    char client[INET6_ADDRSTRLEN];
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint32_t count = 0;
        while (count < 3 && cases[i].sent[count].name) count++;
        read_from(&s, cases[i].peer, cases[i].sent, count, "h");
        assert_string_equal(ip_print(&s.forwarded.client, client), cases[i].client);
        assert_string_equal(text_cstr(&s.list_text), cases[i].list);
        assert_string_equal(text_cstr(&s.element_text), cases[i].forwarded);
        assert_true(slice_equal(s.forwarded.proto, slice_of(cases[i].proto)));
    }
}

static void a_long_host_is_left_out_of_forwarded(void **state)
{
    (void)state;
    struct scene s = { .is_secure = false };
    char host[600];
    memset(host, 'a', sizeof(host));
    host[sizeof(host) - 1] = 0;
    read_from(&s, "192.0.2.1", NULL, 0, host);
    assert_string_equal(text_cstr(&s.element_text), "for=192.0.2.1;proto=http");
    host[261] = 0;
    read_from(&s, "192.0.2.1", NULL, 0, host);
    assert_non_null(strstr(text_cstr(&s.element_text), ";host=\"aaa"));
    read_from(&s, "192.0.2.1", NULL, 0, "");
    assert_string_equal(text_cstr(&s.element_text), "for=192.0.2.1;proto=http");
}

/* Of a chain that nobody has, the nearest are kept, in order. */
static void a_chain_is_bounded(void **state)
{
    (void)state;
    static struct scene s;
    char list[4096];
    struct text t = text_over(list, sizeof(list));
    for (unsigned i = 0; i < 200; i++) text_printf(&t, "192.0.2.%u,", i);
    const struct sent sent = { "X-Forwarded-For", text_cstr(&t) };
    read_from(&s, "127.0.0.1", &sent, 1, "h");
    assert_int_equal(s.forwarded.count, FORWARDED_NODES_MAX);
    for (unsigned i = 0; i < FORWARDED_NODES_MAX; i++) {
        char wanted[16];
        snprintf(wanted, sizeof(wanted), "192.0.2.%u", 200 - FORWARDED_NODES_MAX + i);
        assert_true(slice_equal(s.forwarded.nodes[i], slice_of(wanted)));
    }
    struct ip client = ip_of("192.0.2.199");
    assert_memory_equal(&s.forwarded.client, &client, sizeof(client));
}

static void names_that_only_deceive_do_not_pass(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool drop, keep, drop_trusted, keep_trusted; /* whether it passes */
    } cases[] = {
        { "X-Role", true, true, true, true },
        { "X_Role", false, true, false, true },
        { "X.Role", true, true, true, true },
        { "X_Forwarded_For", false, false, false, false },
        { "x-forwarded_for", false, false, false, false },
        { "X.Forwarded.Proto", false, false, false, false },
        { "Weir_Split", false, false, false, false },
        { "Weir-Split", false, false, false, false },
        { "X_Egress_Host", false, false, false, false },
        { "Content_Length", false, false, false, false },
        { "Transfer~Encoding", false, false, false, false },
        { "X-Forwarded-For", false, false, true, true },
        { "X-Forwarded-Port", false, false, true, true },
        { "X-Forwarded", false, false, true, true },
        { "X-Real-IP", false, false, true, true },
        { "x_real_ip", false, false, false, false },
        { "Forwarded", false, false, true, true },
        { "Proxy", false, false, false, false },
        { "X-Forwardedness", true, true, true, true },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (unsigned way = 0; way < 4; way++) {
            const bool passes[] = { cases[i].drop, cases[i].keep, cases[i].drop_trusted,
                                    cases[i].keep_trusted };
            struct cidr trust;
            struct err err;
            assert_int_equal(cidr_parse(SLICE("10.0.0.0/8"), &trust, &err), 0);
            struct listener_conf conf = { .trust = { &trust, 1 },
                                          .fields = { way & 1 ? FIELDS_UNDERSCORE_KEEP
                                                              : FIELDS_UNDERSCORE_DROP } };
            struct route_set l = { .conf = &conf };
            struct slice name = slice_of(cases[i].name);
            struct http_field f = { .name = name.data,
                                    .name_len = (uint16_t)name.len,
                                    .value = "1",
                                    .value_len = 1,
                                    .id = (uint8_t)http_field_id_of(name) };
            struct ip peer = ip_of(way < 2 ? "192.0.2.1" : "10.0.0.1");
            assert_null(fields_admit(&l, &peer, &f, 1));
            if (f.is_dropped == passes[way]) fail_msg("%s, way %u", cases[i].name, way);
        }
    }
}

static void an_underscore_may_be_refused(void **state)
{
    (void)state;
    struct listener_conf conf = { .fields = { FIELDS_UNDERSCORE_REFUSE } };
    struct route_set l = { .conf = &conf };
    struct ip peer = ip_of("192.0.2.1");
    struct http_field fields[] = { { .name = "X-A", .name_len = 3 }, { .name = "X_B", .name_len = 3 } };
    assert_null(fields_admit(&l, &peer, fields, 1));
    assert_non_null(fields_admit(&l, &peer, fields, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_say_the_same),
        cmocka_unit_test(the_scheme_is_the_connections),
        cmocka_unit_test(a_long_host_is_left_out_of_forwarded),
        cmocka_unit_test(a_chain_is_bounded),
        cmocka_unit_test(names_that_only_deceive_do_not_pass),
        cmocka_unit_test(an_underscore_may_be_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
