#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "route/egress.h"

static void targets_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port;
        bool is_address;
    } good[] = {
        { "Api.Example.com", "api.example.com", 80, false },
        { "a:8080", "a", 8080, false },
        { "a.b.:1", "a.b", 1, false },
        { "10.0.0.1", "10.0.0.1", 80, true },
        { "10.0.0.1:65535", "10.0.0.1", 65535, true },
        { "[2001:db8::1]:81", "2001:db8::1", 81, true },
        { "[::1]", "::1", 80, true },
    };
    static const char *const bad[] = { "",      ":80",        "a:",        "a:0",     "a:65536",    "a:8x",
                                       "a b",   "a/b",        "u@h",       "[::1",    "[::1]80",    "::1",
                                       "[a]",   "[10.0.0.1]", "127.1",     "0x7f.1",  "2130706433", "a..b",
                                       "-\r\n", "a.1",        "1.2.3.4.5", "[::1]:x", "[::1%lo]" };
    struct egress_target t;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        const char *wrong = egress_target_parse(slice_of(good[i].text), SLICE("http"), &t);
        if (wrong) fail_msg("%s: %s", good[i].text, wrong);
        assert_string_equal(t.host, good[i].host);
        assert_int_equal(t.port, good[i].port);
        assert_int_equal(t.is_address, good[i].is_address);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (!egress_target_parse(slice_of(bad[i]), SLICE_NONE, &t)) fail_msg("%s is taken", bad[i]);
    assert_null(egress_target_parse(SLICE("a"), SLICE("HTTPS"), &t));
    assert_true(t.is_secure);
    assert_int_equal(t.port, 443);
    assert_null(egress_target_parse(SLICE("a:80"), SLICE("https"), &t));
    assert_int_equal(t.port, 80);
    assert_null(egress_target_parse(SLICE("a"), SLICE_NONE, &t));
    assert_false(t.is_secure);
    assert_non_null(egress_target_parse(SLICE("a"), SLICE("ftp"), &t));
}

static const char *const allow[] = {
    "api.example.com:443,8443", "*.example.org", "10.1.0.0/16:8000-8100", "[2001:db8::]/32:80", "192.0.2.7",
    "inner.example.com:80",     "127.0.0.0/8:80"
};

static bool may(const struct egress_rules *r, const char *target, const char *address)
{
    struct egress_target t;
    struct ip ip;
    assert_null(egress_target_parse(slice_of(target), SLICE_NONE, &t));
    if (!egress_allows_target(r, &t)) return false;
    if (!address) return true;
    assert_true(ip_parse(slice_of(address), &ip));
    return egress_allows_address(r, &t, &ip);
}

static void names_and_addresses_pass_by_the_list_alone(void **state)
{
    (void)state;
    static const struct {
        const char *target, *address;
        bool may;
    } cases[] = {
        { "api.example.com:443", "8.8.8.8", true },
        { "api.example.com:8443", "8.8.8.8", true },
        { "api.example.com", NULL, false }, /* port 80 */
        { "example.org", NULL, false },
        { "a.b.example.org", "2606:4700::1", true },
        { "a.example.org:443", NULL, true },
        { "a.example.org:8080", NULL, false },
        { "evilexample.org", NULL, false },
        { "a.example.org", "10.1.2.3", false },        /* a name does not lead inside */
        { "a.example.org", "127.0.0.1", true },        /* but for the block that says so */
        { "a.example.org:443", "127.0.0.1", false },   /* with its port */
        { "a.example.org", "169.254.169.254", false }, /* the clouds' metadata */
        { "a.example.org", "::ffff:10.0.0.1", false },
        { "a.example.org", "::1", false },
        { "a.example.org", "64:ff9b::a00:1", false },
        { "a.example.org", "2002:a00:1::1", false },
        { "a.example.org", "64:ff9b::808:808", true },
        { "a.example.org", "fd00::1", false },
        { "a.example.org", "100.64.0.1", false },
        { "10.1.255.1:8050", "10.1.255.1", true },
        { "10.1.255.1:8101", NULL, false },
        { "10.2.0.1:8050", NULL, false },
        { "[2001:db8:1::1]", "2001:db8:1::1", true },
        { "192.0.2.7:443", "192.0.2.7", true },
        { "inner.example.com", "127.0.0.9", true },
        { "inner.example.com", "192.168.0.1", false },
        { "8.8.8.8", NULL, false },
    };
    struct egress_rules *r = NULL;
    struct err err;
    assert_int_equal(egress_rules_new(&r, allow, sizeof(allow) / sizeof(*allow), &err), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (may(r, cases[i].target, cases[i].address) != cases[i].may)
            fail_msg("%s at %s", cases[i].target, cases[i].address ? cases[i].address : "-");
    egress_rules_free(r);
}

static void entries_that_cannot_be_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "*",
                                       "*.",
                                       "a b",
                                       "a:0",
                                       "a:1-",
                                       "a:9-8",
                                       "10.0.0.1/8",
                                       "10.0.0.0/33",
                                       "[::1",
                                       "a:http",
                                       "a:",
                                       "*.a.*",
                                       "https://a.b",
                                       "[::1]x",
                                       "a:1,2,3,4,5,6,7,8,9",
                                       "10.0.0.0/8x" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct err err = { "" };
        if (egress_check_entry(slice_of(bad[i]), &err) == 0) fail_msg("%s is taken", bad[i]);
        assert_true(err.text[0]);
    }
    struct egress_rules *r = NULL;
    struct err err = { "" };
    static const char *const one_bad[] = { "a.org", "10.0.0.1/8" };
    assert_int_equal(egress_rules_new(&r, one_bad, 2, &err), -1);
    assert_non_null(strstr(err.text, "10.0.0.0/8"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_read_strictly),
        cmocka_unit_test(names_and_addresses_pass_by_the_list_alone),
        cmocka_unit_test(entries_that_cannot_be_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
