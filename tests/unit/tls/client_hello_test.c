#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tls/client_hello.h"

/* What OpenSSL's client sends first; returns its length. */
static size_t make_hello(const char *name, int max_version, char out[CLIENT_HELLO_MAX])
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *bio = BIO_new(BIO_s_mem());
    SSL_set_max_proto_version(ssl, max_version);
    if (name) SSL_set_tlsext_host_name(ssl, name);
    SSL_set_bio(ssl, in, bio);
    SSL_connect(ssl);
    int len = BIO_read(bio, out, CLIENT_HELLO_MAX);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    assert_true(len > 0);
    return (size_t)len;
}

/* The same message in records of `piece` bytes. */
static size_t cut(const char *hello, size_t len, size_t piece, char *out)
{
    size_t at = 0;
    for (size_t done = 5; done < len; done += piece) {
        size_t now = len - done < piece ? len - done : piece;
        const char header[] = { 22, 3, 1, (char)(now >> 8), (char)now };
        memcpy(out + at, header, 5);
        memcpy(out + at + 5, hello + done, now);
        at += 5 + now;
    }
    return at;
}

/* Every part of it in memory of its own, so that a step too far is seen. */
static void expect_at_every_byte(const char *bytes, size_t len, const char *name)
{
    struct client_hello hello;
    for (size_t n = 0; n <= len; n++) {
        char *copy = malloc(n + 1);
        memcpy(copy, bytes, n);
        enum client_hello_result result = client_hello_read((struct slice){ copy, n }, &hello);
        assert_int_equal(result, n < len ? CLIENT_HELLO_MORE : CLIENT_HELLO_WHOLE);
        free(copy);
    }
    assert_string_equal(hello.name, name);
    assert_int_equal(hello.name_len, strlen(name));
}

static void a_name_is_found_however_the_hello_is_cut(void **state)
{
    (void)state;
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
    static const size_t pieces[] = { 1, 2, 3, 7, 100, 16384 };
    char hello[CLIENT_HELLO_MAX], records[6 * CLIENT_HELLO_MAX];
    for (size_t v = 0; v < 2; v++) {
        size_t len = make_hello("www.A.example", versions[v], hello);
        expect_at_every_byte(hello, len, "www.a.example");
        for (size_t p = 0; p < sizeof(pieces) / sizeof(*pieces); p++)
            expect_at_every_byte(records, cut(hello, len, pieces[p], records), "www.a.example");
        len = make_hello(NULL, versions[v], hello);
        expect_at_every_byte(hello, len, "");
    }
}

static enum client_hello_result read_text(const char *text, size_t len)
{
    struct client_hello hello;
    enum client_hello_result result = client_hello_read((struct slice){ text, len }, &hello);
    assert_int_equal(hello.name_len, 0);
    return result;
}

static void what_is_no_tls_is_told_by_its_first_bytes(void **state)
{
    (void)state;
    assert_int_equal(read_text("", 0), CLIENT_HELLO_MORE);
    assert_int_equal(read_text("G", 1), CLIENT_HELLO_NOT_TLS);
    assert_int_equal(read_text("\x16", 1), CLIENT_HELLO_MORE);
    assert_int_equal(read_text("\x16\x02", 2), CLIENT_HELLO_NOT_TLS);
    assert_int_equal(read_text("\x80\x2e\x01\x03\x01", 5), CLIENT_HELLO_NOT_TLS);         /* SSL 2 */
    assert_int_equal(read_text("\x15\x03\x01\x00\x02\x02\x28", 7), CLIENT_HELLO_NOT_TLS); /* an alert */
}

static void what_is_broken_is_told(void **state)
{
    (void)state;
    assert_int_equal(read_text("\x16\x03\x01\x00\x00", 5), CLIENT_HELLO_BROKEN);     /* an empty record */
    assert_int_equal(read_text("\x16\x03\x01\x40\x01", 5), CLIENT_HELLO_BROKEN);     /* too long a record */
    assert_int_equal(read_text("\x16\x03\x01\x00\x05\x02", 6), CLIENT_HELLO_BROKEN); /* a server's hello */
    assert_int_equal(read_text("\x16\x03\x01\x00\x05\x01\x00\x40\x01\x03", 10), CLIENT_HELLO_BROKEN);
    assert_int_equal(read_text("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03", 10), CLIENT_HELLO_BROKEN);
}

/* Any one byte may be wrong: there is an end to it, and no name that was not there. */
static void any_byte_may_be_wrong(void **state)
{
    (void)state;
    char hello[CLIENT_HELLO_MAX];
    size_t len = make_hello("a.example", TLS1_2_VERSION, hello);
    for (size_t at = 0; at < len; at++) {
        for (unsigned value = 0; value < 256; value++) {
            struct client_hello out;
            char *copy = malloc(len);
            memcpy(copy, hello, len);
            copy[at] = (char)value;
            enum client_hello_result result = client_hello_read((struct slice){ copy, len }, &out);
            if (result != CLIENT_HELLO_WHOLE) assert_int_equal(out.name_len, 0);
            assert_int_equal(strlen(out.name), out.name_len);
            free(copy);
        }
    }
}

static void a_name_that_no_host_has_is_no_hello(void **state)
{
    (void)state;
    static const char *const names[] = { "a b.example", "a.example.",       ".a.example",
                                         "a/b",         "\xc3\xa4.example", "a:443" };
    char hello[CLIENT_HELLO_MAX];
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        size_t len = make_hello(names[i], TLS1_3_VERSION, hello);
        assert_int_equal(read_text(hello, len), CLIENT_HELLO_BROKEN);
    }
}

static void more_than_a_hello_may_have_is_refused(void **state)
{
    (void)state;
    char records[CLIENT_HELLO_MAX + 6];
    size_t len = 0;
    /* It says that it goes on for long, in records of one byte. */
    static const char message[] = { 1, 0, 0x3f, 0x00, 3, 3 };
    for (size_t i = 0; len + 6 <= sizeof(records); i++) {
        const char record[] = { 22, 3, 1, 0, 1, i < sizeof(message) ? message[i] : 0 };
        memcpy(records + len, record, 6);
        len += 6;
    }
    assert_int_equal(read_text(records, CLIENT_HELLO_MAX - 1), CLIENT_HELLO_MORE);
    assert_int_equal(read_text(records, CLIENT_HELLO_MAX), CLIENT_HELLO_BROKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_found_however_the_hello_is_cut),
        cmocka_unit_test(what_is_no_tls_is_told_by_its_first_bytes),
        cmocka_unit_test(what_is_broken_is_told),
        cmocka_unit_test(any_byte_may_be_wrong),
        cmocka_unit_test(a_name_that_no_host_has_is_no_hello),
        cmocka_unit_test(more_than_a_hello_may_have_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
