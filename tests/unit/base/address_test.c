#include "base/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static struct address address_of(const char *text)
{
    struct address a;
    struct err err;
    if (address_parse(slice_of(text), true, &a, &err) < 0) fail_msg("%s", err.text);
    return a;
}

static struct ip ip_of(const char *text)
{
    struct ip ip;
    if (!ip_parse(slice_of(text), &ip)) fail_msg("%s", text);
    return ip;
}

static void addresses_are_read_and_printed(void **state)
{
    (void)state;
    static const struct {
        const char *text, *printed;
        uint16_t port;
    } cases[] = {
        { "10.0.0.1:80", "10.0.0.1:80", 80 },
        { "[::1]:8080", "[::1]:8080", 8080 },
        { ":80", "[::]:80", 80 },
        { ":0", "[::]:0", 0 },
        { "localhost:65535", "127.0.0.1:65535", 65535 },
        { "[2001:DB8:0:0::1]:1", "[2001:db8::1]:1", 1 },
        { "[::ffff:10.0.0.1]:80", "10.0.0.1:80", 80 },
        { "unix:/run/x.sock", "unix:/run/x.sock", 0 },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct address a = address_of(cases[i].text);
        char out[ADDRESS_TEXT_MAX];
        assert_string_equal(address_print(&a, out), cases[i].printed);
        assert_int_equal(address_port(&a), cases[i].port);
        assert_true(a.len > 0);
    }
}

static void what_is_no_address_is_refused_with_a_remedy(void **state)
{
    (void)state;
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        { "", "\"\" has no port; write host:port, like 10.0.0.1:80" },
        { "10.0.0.1", "\"10.0.0.1\" has no port; write host:port, like 10.0.0.1:80" },
        { "[::1]", "\"[::1]\" has no port; write host:port, like 10.0.0.1:80" },
        { "::1", "\"::1\" has no port; write [address]:port, like [::1]:80" },
        { "8080", "\"8080\" has no host; write one before it, like 10.0.0.1:8080" },
        { "10.0.0.1:80 weight=3",
          "\"10.0.0.1:80 weight=3\" has more than an address; write what follows \"10.0.0.1:80\" as keys of "
          "its own" },
        { ":80", "\":80\" has no host; write one before the colon, like 10.0.0.1:80" },
        { "10.0.0.1:0", "\"0\" is not a port; ports go from 1 to 65535" },
        { "10.0.0.1:65536", "\"65536\" is not a port; ports go from 1 to 65535" },
        { "10.0.0.1:080", "\"080\" is not a port; ports go from 1 to 65535" },
        { "10.0.0.1:-1", "\"-1\" is not a port; ports go from 1 to 65535" },
        { "10.0.0.1:", "\"\" is not a port; ports go from 1 to 65535" },
        { "10.0.0:80",
          "\"10.0.0:80\" is not an address; write one like 10.0.0.1:80, [::1]:80 or unix:/path" },
        { "010.0.0.1:80",
          "\"010.0.0.1:80\" is not an address; write one like 10.0.0.1:80, [::1]:80 or unix:/path" },
        { "[1.2.3.4]:80",
          "\"[1.2.3.4]:80\" is not an address; write one like 10.0.0.1:80, [::1]:80 or unix:/path" },
        { "web:80",
          "\"web:80\" has a name for a host, which only a pool's servers may have; write the address "
          "that it stands for, "
          "like 10.0.0.1:80" },
        { "http://10.0.0.1:80/",
          "\"http://10.0.0.1:80/\" is a URL; write the address alone, like 10.0.0.1:80" },
        { "unix:x.sock", "\"unix:x.sock\" has no absolute path; write unix:/run/name.sock" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct address a;
        struct err err = { "" };
        assert_int_equal(address_parse(slice_of(cases[i].text), false, &a, &err), -1);
        assert_string_equal(err.text, cases[i].sentence);
    }
}

static void a_port_alone_is_refused_where_any_host_will_do(void **state)
{
    (void)state;
    struct address a;
    struct err err = { "" };
    assert_int_equal(address_parse(SLICE("8080"), true, &a, &err), -1);
    assert_string_equal(err.text,
                        "\"8080\" has no host; write \":8080\" for every address of this host, or one, "
                        "like 127.0.0.1:8080");
}

static void a_unix_path_has_an_end(void **state)
{
    (void)state;
    char path[200];
    struct address a;
    char out[ADDRESS_TEXT_MAX];
    memset(path, 'x', sizeof(path));
    memcpy(path, "unix:/", 6);
    assert_int_equal(address_parse((struct slice){ path, 5 + 107 }, false, &a, NULL), 0);
    assert_int_equal(strlen(address_print(&a, out)), 5 + 107);
    assert_int_equal(address_parse((struct slice){ path, 5 + 108 }, false, &a, NULL), -1);
}

static void equality_is_of_family_host_and_port(void **state)
{
    (void)state;
    struct address a = address_of("10.0.0.1:80"), b = address_of("10.0.0.1:80"),
                   c = address_of("10.0.0.1:81");
    struct address d = address_of("[::1]:80"), e = address_of("unix:/a"), f = address_of("unix:/b");
    assert_true(address_equal(&a, &b));
    assert_false(address_equal(&a, &c));
    assert_false(address_equal(&a, &d));
    assert_true(address_equal(&e, &e));
    assert_false(address_equal(&e, &f));
}

static void loopback_is_known_in_every_form(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_loopback;
    } cases[] = {
        { "127.0.0.1:1", true },          { "127.9.9.9:1", true }, { "[::1]:1", true }, { "unix:/x", true },
        { "[::ffff:127.0.0.1]:1", true }, { "10.0.0.1:1", false }, { ":1", false },     { "[::2]:1", false },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct address a = address_of(cases[i].text);
        assert_int_equal(address_is_loopback(&a), cases[i].is_loopback);
    }
}

static void clients_are_compared_in_one_form(void **state)
{
    (void)state;
    struct address v4 = address_of("192.0.2.7:1"), mapped = address_of("[::ffff:192.0.2.7]:2");
    struct address local = address_of("unix:/x");
    char out[INET6_ADDRSTRLEN];
    struct ip a = address_ip(&v4), b = address_ip(&mapped), c = address_ip(&local);
    assert_memory_equal(&a, &b, sizeof(a));
    assert_string_equal(ip_print(&a, out), "192.0.2.7");
    assert_string_equal(ip_print(&c, out), "::1");
    assert_true(ip_is_v4(&a));
    assert_false(ip_is_v4(&c));
}

static void bare_addresses_are_read_strictly(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "1.2.3",
                                       "1.2.3.4.5",
                                       "1.2.3.4 ",
                                       "256.1.1.1",
                                       ":::",
                                       "[::1]",
                                       "01.2.3.4",
                                       "1:2:3:4:5:6:7:8:9",
                                       "fe80::1%eth0",
                                       "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001" };
    struct ip ip;
    for (size_t i = 0; i < COUNT(bad); i++)
        if (ip_parse(slice_of(bad[i]), &ip)) fail_msg("\"%s\" was read", bad[i]);
    assert_false(ip_parse((struct slice){ "1.2.3.4\0", 8 }, &ip));
    ip = ip_of("::ffff:1.2.3.4");
    assert_true(ip_is_v4(&ip));
}

static void forwarding_fields_name_addresses_with_ports_and_brackets(void **state)
{
    (void)state;
    static const char *const good[][2] = {
        { "203.0.113.7", "203.0.113.7" },
        { "203.0.113.7:4711", "203.0.113.7" },
        { "203.0.113.7:0", "203.0.113.7" },
        { "2001:db8::7", "2001:db8::7" },
        { "[2001:db8::7]", "2001:db8::7" },
        { "[2001:db8::7]:4711", "2001:db8::7" },
        { "::1", "::1" },
        { "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8" },
        { "::ffff:192.0.2.7", "192.0.2.7" },
        { "[::ffff:192.0.2.7]:80", "192.0.2.7" },
        { "[1:2:3:4:5:6:7:8]", "1:2:3:4:5:6:7:8" },
    };
    static const char *const bad[] = { "",
                                       "[",
                                       "[]",
                                       "[]:80",
                                       ":",
                                       ":80",
                                       "192.0.2.7:",
                                       "192.0.2.7:x",
                                       "192.0.2.7:65536",
                                       "192.0.2:80",
                                       "[192.0.2.7]",
                                       "[::1",
                                       "[::1]80",
                                       "[::1]:",
                                       "[::1]:80:80",
                                       "::1]",
                                       "unknown",
                                       "_hidden",
                                       "\"[::1]\"",
                                       "192.0.2.7:80:80" };
    char printed[INET6_ADDRSTRLEN];
    struct ip ip;
    for (size_t i = 0; i < COUNT(good); i++) {
        if (!ip_parse_node(slice_of(good[i][0]), &ip)) fail_msg("\"%s\" was not read", good[i][0]);
        assert_string_equal(ip_print(&ip, printed), good[i][1]);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        if (ip_parse_node(slice_of(bad[i]), &ip)) fail_msg("\"%s\" was read", bad[i]);
}

static void an_ipv6_client_is_its_64(void **state)
{
    (void)state;
    struct ip a = ip_of("2001:db8:1:2:3:4:5:6"), b = ip_of("2001:db8:1:2::"), c = ip_of("192.0.2.7");
    struct ip client = ip_client(&a);
    assert_memory_equal(&client, &b, sizeof(b));
    client = ip_client(&c);
    assert_memory_equal(&client, &c, sizeof(c));
}

static void blocks_contain_what_they_should(void **state)
{
    (void)state;
    static const struct {
        const char *block, *ip;
        bool contains;
    } cases[] = {
        { "10.0.0.0/8", "10.255.0.1", true },
        { "10.0.0.0/8", "11.0.0.0", false },
        { "0.0.0.0/0", "255.1.2.3", true },
        { "0.0.0.0/0", "2001:db8::1", false },
        { "::/0", "2001:db8::1", true },
        { "::/0", "10.0.0.1", false },
        { "192.0.2.7", "192.0.2.7", true },
        { "192.0.2.7", "192.0.2.6", false },
        { "192.0.2.4/30", "192.0.2.7", true },
        { "192.0.2.4/30", "192.0.2.8", false },
        { "2001:db8::/33", "2001:db8:7fff::", true },
        { "2001:db8::/33", "2001:db8:8000::", false },
        { "::ffff:10.0.0.0/104", "10.1.2.3", true },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cidr block;
        struct err err;
        struct ip ip = ip_of(cases[i].ip);
        if (cidr_parse(slice_of(cases[i].block), &block, &err) < 0) fail_msg("%s", err.text);
        if (cidr_contains(&block, &ip) != cases[i].contains) fail_msg("%s, %s", cases[i].block, cases[i].ip);
    }
}

static void what_is_no_block_is_refused_with_a_remedy(void **state)
{
    (void)state;
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        { "10.0.0.1/8", "10.0.0.1/8 names a host within its network; write 10.0.0.0/8 for the network" },
        { "2001:db8::1/32",
          "2001:db8::1/32 names a host within its network; write 2001:db8::/32 for the network" },
        { "10.0.0.0/33",
          "what follows the slash of \"10.0.0.0/33\" is no prefix length; it goes from 0 to 32" },
        { "10.0.0.0/", "what follows the slash of \"10.0.0.0/\" is no prefix length; it goes from 0 to 32" },
        { "::/129", "what follows the slash of \"::/129\" is no prefix length; it goes from 0 to 128" },
        { "10.0.0/8", "\"10.0.0/8\" is not an address block; write one like 10.0.0.0/8 or 2001:db8::/32" },
        { "", "\"\" is not an address block; write one like 10.0.0.0/8 or 2001:db8::/32" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cidr block;
        struct err err = { "" };
        assert_int_equal(cidr_parse(slice_of(cases[i].text), &block, &err), -1);
        assert_string_equal(err.text, cases[i].sentence);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_and_printed),
        cmocka_unit_test(what_is_no_address_is_refused_with_a_remedy),
        cmocka_unit_test(a_port_alone_is_refused_where_any_host_will_do),
        cmocka_unit_test(a_unix_path_has_an_end),
        cmocka_unit_test(equality_is_of_family_host_and_port),
        cmocka_unit_test(loopback_is_known_in_every_form),
        cmocka_unit_test(clients_are_compared_in_one_form),
        cmocka_unit_test(bare_addresses_are_read_strictly),
        cmocka_unit_test(forwarding_fields_name_addresses_with_ports_and_brackets),
        cmocka_unit_test(an_ipv6_client_is_its_64),
        cmocka_unit_test(blocks_contain_what_they_should),
        cmocka_unit_test(what_is_no_block_is_refused_with_a_remedy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
