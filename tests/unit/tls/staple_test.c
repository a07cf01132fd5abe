/* What an issuer says of a certificate: taken where it is for that one, signed and good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <openssl/ocsp.h>
#include <openssl/pem.h>

#include "tls/pki.h"
#include "tls/staple.h"

#define HOUR 3600

static X509 *read_certificate(const char *file)
{
    FILE *f = fopen(pki_path(file, ".pem"), "r");
    assert_non_null(f);
    X509 *x = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    assert_non_null(x);
    return x;
}

static EVP_PKEY *read_key(const char *file)
{
    FILE *f = fopen(pki_path(file, ".key"), "r");
    assert_non_null(f);
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    fclose(f);
    assert_non_null(key);
    return key;
}

struct wish {
    const char *subject, *issuer, *signer;
    int status;
    int from_s, until_s; /* relative to now; 0: it does not say until when */
};

/* FILE.ocsp */
static void make_response(const char *file, const struct wish *wish)
{
    X509 *subject = read_certificate(wish->subject), *issuer = read_certificate(wish->issuer),
         *signer = read_certificate(wish->signer);
    EVP_PKEY *key = read_key(wish->signer);
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), subject, issuer);
    time_t now = time(NULL);
    ASN1_TIME *from = ASN1_TIME_set(NULL, now + wish->from_s),
              *until = wish->until_s ? ASN1_TIME_set(NULL, now + wish->until_s) : NULL;
    ASN1_TIME *revoked = wish->status == V_OCSP_CERTSTATUS_REVOKED ? from : NULL;
    assert_non_null(OCSP_basic_add1_status(basic, id, wish->status, OCSP_REVOKED_STATUS_UNSPECIFIED, revoked,
                                           from, until));
    assert_int_equal(OCSP_basic_sign(basic, signer, key, EVP_sha256(), NULL, 0), 1);
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    unsigned char *der = NULL;
    int len = i2d_OCSP_RESPONSE(response, &der);
    FILE *f = fopen(pki_path(file, ".ocsp"), "w");
    assert_non_null(f);
    assert_int_equal(fwrite(der, 1, (size_t)len, f), len);
    fclose(f);
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    EVP_PKEY_free(key);
    X509_free(subject);
    X509_free(issuer);
    X509_free(signer);
}

static int set_up(void **state)
{
    (void)state;
    pki_make(&(struct pki_wish){ .file = "ca", .common_name = "CA", .days = 10, .is_ca = 1 });
    pki_make(&(struct pki_wish){ .file = "stranger", .common_name = "CA", .days = 10, .is_ca = 1 });
    const struct pki_wish a = {
        .file = "a", .names = "DNS:a.example", .issuer = "ca", .days = 10, .has_issuer = 1
    };
    struct pki_wish b = a, bare = a;
    b.file = "b";
    bare.file = "bare";
    bare.has_issuer = 0;
    pki_make(&a);
    pki_make(&b);
    pki_make(&bare);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pki_remove();
    return 0;
}

/* NULL with the sentence in `err`. */
static struct tls_staple *read_staple(const char *certificate, const char *file, struct err *err)
{
    struct tls_certificate *c;
    struct file_stamp stamps[TLS_CERTIFICATE_FILES], stamp;
    struct tls_staple *s = NULL;
    int64_t from;
    if (tls_certificate_read(&c, pki_path(certificate, ".pem"), pki_path(certificate, ".key"), stamps, err) <
        0)
        fail_msg("%s", err->text);
    int result = tls_staple_read(&s, pki_path(file, ".ocsp"), c, (int64_t)time(NULL), &stamp, &from, err);
    assert_int_equal(result, s ? 0 : -1);
    /* Only who has nothing but its time against it is to be read again. */
    assert_int_equal(from != 0, s == NULL && strstr(err->text, "is not valid before") != NULL);
    tls_certificate_put(c);
    return s;
}

static void a_good_word_is_taken_until_it_ends(void **state)
{
    (void)state;
    struct err err;
    make_response("good", &(struct wish){ "a", "ca", "ca", V_OCSP_CERTSTATUS_GOOD, -HOUR, HOUR });
    struct tls_staple *s = read_staple("a", "good", &err);
    if (!s) fail_msg("%s", err.text);
    assert_in_range(s->until, time(NULL) + HOUR - 60, time(NULL) + HOUR + 60);
    struct tls_staple *again = read_staple("a", "good", &err);
    assert_true(tls_staple_is_same(s, again));
    assert_false(tls_staple_is_same(s, NULL));
    tls_staple_put(again);
    tls_staple_put(tls_staple_get(s));
    tls_staple_put(s);
    make_response("old", &(struct wish){ "a", "ca", "ca", V_OCSP_CERTSTATUS_GOOD, -2 * HOUR, -HOUR });
    s = read_staple("a", "old", &err);
    assert_non_null(s);
    assert_false(tls_staple_show(s, NULL, (int64_t)time(NULL)));
    tls_staple_put(s);
}

static void what_is_of_no_use_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *certificate;
        struct wish wish;
        const char *said;
    } cases[] = {
        { "b", { "a", "ca", "ca", V_OCSP_CERTSTATUS_GOOD, -HOUR, HOUR }, "is for another certificate" },
        { "a", { "a", "stranger", "ca", V_OCSP_CERTSTATUS_GOOD, -HOUR, HOUR }, "is for another certificate" },
        { "a", { "a", "ca", "stranger", V_OCSP_CERTSTATUS_GOOD, -HOUR, HOUR }, "is not signed by" },
        { "a", { "a", "ca", "b", V_OCSP_CERTSTATUS_GOOD, -HOUR, HOUR }, "is not signed by" },
        { "a",
          { "a", "ca", "ca", V_OCSP_CERTSTATUS_REVOKED, -HOUR, HOUR },
          "says that the certificate is revoked" },
        { "a",
          { "a", "ca", "ca", V_OCSP_CERTSTATUS_UNKNOWN, -HOUR, HOUR },
          "says that the certificate is unknown" },
        { "a", { "a", "ca", "ca", V_OCSP_CERTSTATUS_GOOD, 2 * HOUR, 3 * HOUR }, "is not valid before" },
        { "a", { "a", "ca", "ca", V_OCSP_CERTSTATUS_GOOD, -HOUR, 0 }, "does not say until when" },
        { "bare", { "bare", "ca", "ca", V_OCSP_CERTSTATUS_GOOD, -HOUR, HOUR }, "without its issuer" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct err err;
        make_response("bad", &cases[i].wish);
        assert_null(read_staple(cases[i].certificate, "bad", &err));
        if (!strstr(err.text, cases[i].said)) fail_msg("%zu: %s", i, err.text);
    }
}

static void what_is_no_response_is_refused(void **state)
{
    (void)state;
    struct err err;
    pki_write("text", ".ocsp", "-----BEGIN CERTIFICATE-----");
    assert_null(read_staple("a", "text", &err));
    assert_non_null(strstr(err.text, "is no OCSP response"));
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_TRYLATER, NULL);
    BIO *file = BIO_new_file(pki_path("later", ".ocsp"), "w");
    assert_int_equal(i2d_OCSP_RESPONSE_bio(file, response), 1);
    BIO_free(file);
    OCSP_RESPONSE_free(response);
    assert_null(read_staple("a", "later", &err));
    assert_non_null(strstr(err.text, "trylater"));
    assert_null(read_staple("a", "nowhere", &err));
    assert_non_null(strstr(err.text, "cannot open"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_word_is_taken_until_it_ends),
        cmocka_unit_test(what_is_of_no_use_is_refused),
        cmocka_unit_test(what_is_no_response_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
