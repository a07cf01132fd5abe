#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tls/certificate.h"
#include "tls/pki.h"

static struct tls_certificate *certificate;

static int set_up(void **state)
{
    (void)state;
    certificate = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_certificate_put(certificate);
    certificate = NULL;
    pki_remove();
    return 0;
}

static int read_pair(const char *cert, const char *key, struct err *err)
{
    struct file_stamp stamps[TLS_CERTIFICATE_FILES];
    return tls_certificate_read(&certificate, pki_path(cert, ".pem"), pki_path(key, ".key"), stamps, err);
}

static void read_well(const char *file)
{
    struct err err = { "" };
    if (read_pair(file, file, &err) < 0) fail_msg("%s", err.text);
}

/* The sentence, the folder's name taken out of it. */
static void expect_fault(const char *cert, const char *key, const char *expected)
{
    struct err err = { "" };
    char plain[ERR_TEXT_MAX], *at;
    assert_int_equal(read_pair(cert, key, &err), -1);
    snprintf(plain, sizeof(plain), "%s", err.text);
    size_t len = strlen(pki_folder()) + 1;
    while ((at = strstr(plain, pki_folder()))) memmove(at, at + len, strlen(at + len) + 1);
    assert_string_equal(plain, expected);
}

static void names_are_those_of_the_extension_in_lower_case(void **state)
{
    (void)state;
    pki_make(&(struct pki_wish){ .file = "a",
                                 .common_name = "other.example",
                                 .names = "DNS:A.example,IP:127.0.0.1,DNS:*.B.example,email:x@y.example",
                                 .days = 30 });
    read_well("a");
    assert_int_equal(certificate->name_count, 2);
    assert_string_equal(certificate->names, "a.example");
    assert_string_equal(certificate->names + strlen("a.example") + 1, "*.b.example");
    assert_int_equal(certificate->kind, TLS_KEY_EC);
    assert_string_equal(certificate->serial, "1001");
}

static void a_name_with_something_hidden_behind_it_is_none(void **state)
{
    (void)state;
    pki_make(&(struct pki_wish){
        .file = "a", .names = "DNS:a/b.example,DNS:a.*.example,DNS:a b,DNS:*,DNS:b", .days = 30 });
    read_well("a");
    assert_int_equal(certificate->name_count, 1); /* "b" */
}

static void what_is_in_the_files_is_told_when_it_is_wrong(void **state)
{
    (void)state;
    pki_make(&(struct pki_wish){ .file = "a", .names = "DNS:a.example", .days = 30 });
    pki_make(&(struct pki_wish){ .file = "b", .names = "DNS:b.example", .days = 30 });
    pki_make(&(struct pki_wish){ .file = "weak", .key = PKI_RSA_WEAK, .days = 30 });
    pki_write("empty", ".pem", "");
    pki_write("empty", ".key", "nothing\n");
    pki_write("broken", ".pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    pki_write("broken", ".key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    expect_fault(
        "a", "b",
        "the key in b.key does not belong to the certificate in a.pem; with the right one, openssl pkey "
        "-pubout and openssl x509 -noout -pubkey say the same");
    expect_fault("none", "a", "cannot open none.pem: No such file or directory");
    expect_fault("a", "none", "cannot open none.key: No such file or directory");
    expect_fault(
        "empty", "a",
        "empty.pem has no certificate; it should begin with -----BEGIN CERTIFICATE----- and have the leaf "
        "first, then what issued it");
    expect_fault("a", "empty",
                 "empty.key has no private key; it should begin with -----BEGIN PRIVATE KEY-----");
    expect_fault("weak", "weak",
                 "the RSA key in weak.key has 1024 bits, which clients refuse; make one of 2048 or more");
    struct err err;
    struct file_stamp stamps[TLS_CERTIFICATE_FILES];
    assert_int_equal(read_pair("broken", "a", &err), -1);
    assert_non_null(strstr(err.text, "certificate 1 of "));
    assert_int_equal(read_pair("a", "broken", &err), -1);
    assert_non_null(strstr(err.text, "broken.key cannot be read: "));
    assert_int_equal(tls_certificate_read(&certificate, pki_folder(), pki_path("a", ".key"), stamps, &err),
                     -1);
    assert_non_null(strstr(err.text, " is no file"));
}

static void an_encrypted_key_is_not_asked_for(void **state)
{
    (void)state;
    char command[600];
    pki_make(&(struct pki_wish){ .file = "a", .days = 30 });
    snprintf(command, sizeof(command), "openssl pkey -aes256 -passout pass:secret -in %s -out %s",
             pki_path("a", ".key"), pki_path("locked", ".key"));
    assert_int_equal(system(command), 0);
    expect_fault(
        "a", "locked",
        "the key in locked.key is encrypted, and nobody is there to ask for the pass phrase; decrypt it "
        "with: openssl pkey -in locked.key -out FILE");
}

static void a_chain_in_another_order_is_refused(void **state)
{
    (void)state;
    pki_make(&(struct pki_wish){ .file = "ca", .days = 30, .is_ca = 1 });
    pki_make(&(struct pki_wish){ .file = "a", .issuer = "ca", .days = 20, .has_issuer = 1 });
    read_well("a");
    tls_certificate_put(certificate);
    certificate = NULL;
    char *own = pki_read("ca", ".pem"), *a = pki_read("a", ".pem"), *both = calloc(1, 1 << 20);
    pki_make(&(struct pki_wish){ .file = "other", .days = 30, .is_ca = 1 });
    char *other = pki_read("other", ".pem");
    snprintf(both, 1 << 20, "%s%s", a, other);
    pki_write("a", ".pem", both);
    free(own);
    free(a);
    free(both);
    free(other);
    expect_fault(
        "a", "a",
        "certificate 3 of a.pem did not issue the one before it; write the leaf first, then what issued it, "
        "and so on");
}

static void a_chain_that_another_key_signed_is_refused(void **state)
{
    (void)state;
    pki_make(&(struct pki_wish){ .file = "ca", .days = 30, .is_ca = 1 });
    pki_make(&(struct pki_wish){ .file = "a", .issuer = "ca", .days = 20 });
    pki_make(&(struct pki_wish){ .file = "ca", .days = 30, .is_ca = 1 });
    char *ca = pki_read("ca", ".pem"), *a = pki_read("a", ".pem"), *both = calloc(1, 1 << 20);
    snprintf(both, 1 << 20, "%s%s", a, ca);
    pki_write("a", ".pem", both);
    free(ca);
    free(a);
    free(both);
    expect_fault("a", "a", "certificate 1 of a.pem is not signed by certificate 2: it has another key");
}

static void the_shortest_life_in_the_chain_is_its_own(void **state)
{
    (void)state;
    pki_make(&(struct pki_wish){ .file = "ca", .days = 10, .is_ca = 1 });
    pki_make(&(struct pki_wish){ .file = "a", .issuer = "ca", .days = 300, .has_issuer = 1 });
    read_well("a");
    int64_t now_s = (int64_t)time(NULL);
    assert_in_range(certificate->not_after, now_s + 9 * 86400, now_s + 11 * 86400);
    assert_int_equal(tls_certificate_age(certificate, now_s), TLS_AGE_ENDING);
    assert_int_equal(tls_certificate_age(certificate, certificate->not_after), TLS_AGE_EXPIRED);
    assert_int_equal(tls_certificate_age(certificate, certificate->not_before - 1), TLS_AGE_FUTURE);
}

static void keys_of_each_kind_are_used(void **state)
{
    (void)state;
    static const struct {
        enum pki_key key;
        enum tls_key_kind kind;
    } cases[] = { { PKI_RSA, TLS_KEY_RSA }, { PKI_EC, TLS_KEY_EC }, { PKI_ED25519, TLS_KEY_ED25519 } };
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        pki_make(&(struct pki_wish){ .file = "a", .key = cases[i].key, .days = 30 });
        read_well("a");
        SSL *ssl = SSL_new(ctx);
        assert_int_equal(certificate->kind, cases[i].kind);
        assert_int_equal(tls_certificate_use(certificate, ssl), 0);
        assert_int_equal(tls_certificate_use(certificate, ssl), 0);
        assert_non_null(SSL_get_certificate(ssl));
        tls_certificate_put(certificate);
        certificate = NULL;
        assert_int_equal(SSL_check_private_key(ssl), 1); /* it goes on without us */
        SSL_free(ssl);
    }
    SSL_CTX_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_are_those_of_the_extension_in_lower_case, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_with_something_hidden_behind_it_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_in_the_files_is_told_when_it_is_wrong, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_encrypted_key_is_not_asked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_chain_in_another_order_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_chain_that_another_key_signed_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_shortest_life_in_the_chain_is_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_of_each_kind_are_used, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
