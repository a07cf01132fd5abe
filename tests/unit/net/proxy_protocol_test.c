#include "net/proxy_protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define V2 "\r\n\r\n\0\r\nQUIT\n"

/* "BAD", "MORE", or who the client is and how much was taken. */
static const char *read_all(struct slice bytes)
{
    static char said[ADDRESS_TEXT_MAX + 32];
    char client[ADDRESS_TEXT_MAX];
    struct proxy_header h;
    const char *detail = NULL;
    switch (proxy_header_parse(bytes, &h, &detail)) {
    case PROXY_HEADER_MORE: return "MORE";
    case PROXY_HEADER_BAD: assert_non_null(detail); return "BAD";
    case PROXY_HEADER_OK: break;
    }
    snprintf(said, sizeof(said), "%s %u", h.has_client ? address_print(&h.client, client) : "nobody", h.len);
    return said;
}

static const struct {
    struct slice bytes;
    const char *expected;
} cases[] = {
#define CASE(bytes, expected)                  \
    {                                          \
        { bytes, sizeof(bytes) - 1 }, expected \
    }
    CASE("PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\nGET", "192.0.2.7:4711 40"),
    CASE("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535 56"),
    CASE("PROXY TCP6 2001:db8::7 ::1 4711 80\r\n", "[2001:db8::7]:4711 36"),
    CASE("PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 80\r\n", "192.0.2.7:4711 41"),
    CASE("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
         "65535\r\n",
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535 104"),
    CASE("PROXY UNKNOWN\r\n", "nobody 15"),
    CASE("PROXY UNKNOWN whatever there is\r\n", "nobody 33"),
    CASE("PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\n", "BAD"),
    CASE("PROXY TCP4 192.0.2.7 192.0.2.1 4711\r\n", "BAD"),
    CASE("PROXY TCP4 192.0.2.7 192.0.2.1 4711 80 \r\n", "BAD"),
    CASE("PROXY TCP4  192.0.2.7 192.0.2.1 4711 80\r\n", "BAD"),
    CASE("PROXY TCP4 192.0.2.7 192.0.2.1 4711 65536\r\n", "BAD"),
    CASE("PROXY TCP4 192.0.2.7 192.0.2.1 04711 80\r\n", "BAD"),
    CASE("PROXY TCP4 192.0.2.7 192.0.2.1 -1 80\r\n", "BAD"),
    CASE("PROXY TCP4 192.0.2.07 192.0.2.1 4711 80\r\n", "BAD"),
    CASE("PROXY TCP4 ::1 ::1 4711 80\r\n", "BAD"),
    CASE("PROXY TCP6 192.0.2.7 192.0.2.1 4711 80\r\n", "BAD"),
    CASE("PROXY UDP4 192.0.2.7 192.0.2.1 4711 80\r\n", "BAD"),
    CASE("PROXY \r\n", "BAD"),
    CASE("PROXYTCP4", "BAD"),
    CASE("GET / HTTP/1.1\r\n", "BAD"),
    CASE("PRI * HTTP/2.0\r\n", "BAD"),
    CASE("\x16\x03\x01", "BAD"),
    CASE("\r\n\r\n\0\r\nQUIT\r", "BAD"),
    CASE(V2 "\x21\x11\0\x0c\xc0\0\2\7\xc0\0\2\1\x12\x67\0\x50", "192.0.2.7:4711 28"),
    CASE(V2 "\x21\x11\0\x10\xc0\0\2\7\xc0\0\2\1\x12\x67\0\x50\4\0\1x!", "192.0.2.7:4711 32"),
    CASE(V2 "\x21\x11\0\x0f\xc0\0\2\7\xc0\0\2\1\x12\x67\0\x50\4\0\1x", "BAD"),
    CASE(V2 "\x21\x11\0\x0b\xc0\0\2\7\xc0\0\2\1\x12\x67\0", "BAD"),
    CASE(V2
         "\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\x12\x67\0\x50",
         "[2001:db8::7]:4711 52"),
    CASE(V2 "\x20\0\0\0", "nobody 16"),
    CASE(V2 "\x20\x99\0\2ab", "nobody 18"), /* LOCAL: all else is passed over */
    CASE(V2 "\x21\0\0\2ab", "nobody 18"),
    CASE(V2 "\x21\x12\0\x0c\xc0\0\2\7\xc0\0\2\1\x12\x67\0\x50", "nobody 28"),
    CASE(V2 "\x21\x13\0\0", "BAD"),
    CASE(V2 "\x22\x11\0\0", "BAD"),
    CASE(V2 "\x31\x11\0\0", "BAD"),
    CASE(V2 "\x21\x11\x10\0", "BAD"), /* 4096 more than it may be */
#undef CASE
};

/* Given as bytes come: whatever is known early is the same as what is known late, and nothing is known too early. */
static void headers_are_read_wherever_they_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *now = "MORE";
        for (size_t len = 0; len <= cases[i].bytes.len; len++) {
            now = read_all((struct slice){ cases[i].bytes.data, len });
            if (strcmp(now, "MORE") != 0) break;
        }
        /* Who is told that more follows than its first bytes say must not have waited for it. */
        if (strcmp(now, cases[i].expected) != 0) {
            bool is_later = strncmp(now, "BAD", 3) != 0;
            fail_msg("case %zu: %s instead of %s%s", i, now, cases[i].expected,
                     is_later ? ", too early" : "");
        }
        assert_string_equal(read_all(cases[i].bytes), cases[i].expected);
    }
}

static void a_line_without_end_is_given_up(void **state)
{
    (void)state;
    char line[PROXY_HEADER_MAX];
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY ", 6);
    assert_string_equal(read_all((struct slice){ line, 106 }), "MORE");
    assert_string_equal(read_all((struct slice){ line, 107 }), "BAD");
    assert_string_equal(read_all((struct slice){ line, sizeof(line) }), "BAD");
}

static void the_longest_fits_and_no_more(void **state)
{
    (void)state;
    char bytes[PROXY_HEADER_MAX + 1] = V2 "\x20\0\x0f\xf0";
    assert_string_equal(read_all((struct slice){ bytes, PROXY_HEADER_MAX - 1 }), "MORE");
    assert_string_equal(read_all((struct slice){ bytes, sizeof(bytes) }), "nobody 4096");
    bytes[15] = (char)0xf1;
    assert_string_equal(read_all((struct slice){ bytes, 16 }), "BAD");
}

static struct address at(const char *text)
{
    struct address a;
    struct err err;
    assert_int_equal(address_parse(slice_of(text), false, &a, &err), 0);
    return a;
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    static const struct {
        const char *client, *server, *expected;
    } pairs[] = { { "192.0.2.7:4711", "192.0.2.1:80", "192.0.2.7:4711" },
                  { "[2001:db8::7]:4711", "[::1]:80", "[2001:db8::7]:4711" },
                  { "192.0.2.7:4711", "[::1]:80", "192.0.2.7:4711" },
                  { "[2001:db8::7]:1", "192.0.2.1:80", "[2001:db8::7]:1" },
                  { "192.0.2.7:4711", "unix:/run/x", "nobody" },
                  { NULL, NULL, "nobody" } };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
        for (int version = PROXY_PROTOCOL_V1; version <= PROXY_PROTOCOL_V2; version++) {
            char out[PROXY_HEADER_WRITTEN_MAX], expected[ADDRESS_TEXT_MAX + 32];
            struct address client = at(pairs[i].client ? pairs[i].client : "[::1]:1");
            struct address server = at(pairs[i].server ? pairs[i].server : "[::1]:1");
            size_t len = proxy_header_write(out, (enum proxy_protocol)version,
                                            pairs[i].client ? &client : NULL,
                                            pairs[i].client ? &server : NULL);
            snprintf(expected, sizeof(expected), "%s %zu", pairs[i].expected, len);
            assert_string_equal(read_all((struct slice){ out, len }), expected);
        }
}

static void the_written_ones_are_those_of_the_specification(void **state)
{
    (void)state;
    char out[PROXY_HEADER_WRITTEN_MAX];
    struct address client = at("192.0.2.7:4711"), server = at("192.0.2.1:80");
    static const char v1[] = "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n";
    static const char v2[] = V2 "\x21\x11\0\x0c\xc0\0\2\7\xc0\0\2\1\x12\x67\0\x50";
    assert_int_equal(proxy_header_write(out, PROXY_PROTOCOL_V1, &client, &server), sizeof(v1) - 1);
    assert_memory_equal(out, v1, sizeof(v1) - 1);
    assert_int_equal(proxy_header_write(out, PROXY_PROTOCOL_V2, &client, &server), sizeof(v2) - 1);
    assert_memory_equal(out, v2, sizeof(v2) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_read_wherever_they_are_cut),
        cmocka_unit_test(a_line_without_end_is_given_up),
        cmocka_unit_test(the_longest_fits_and_no_more),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(the_written_ones_are_those_of_the_specification),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
