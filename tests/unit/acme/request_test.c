#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/x509v3.h>
#include <cmocka.h>

#include "acme/request.h"

static const char *const names[] = { "example.org", "www.example.org", "xn--bcher-kva.example" };

static void check_names(X509_REQ *request)
{
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(request);
    GENERAL_NAMES *found = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
    assert_non_null(found);
    assert_int_equal(sk_GENERAL_NAME_num(found), 3);
    for (int i = 0; i < 3; i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(found, i);
        assert_int_equal(n->type, GEN_DNS);
        assert_int_equal(ASN1_STRING_length(n->d.dNSName), strlen(names[i]));
        assert_memory_equal(ASN1_STRING_get0_data(n->d.dNSName), names[i], strlen(names[i]));
    }
    GENERAL_NAMES_free(found);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
}

static void a_request_has_all_names_and_is_signed_by_its_key(void **state)
{
    (void)state;
    for (enum acme_key_kind kind = ACME_KEY_ECDSA; kind <= ACME_KEY_RSA; kind++) {
        size_t len;
        EVP_PKEY *key = acme_key_new(kind);
        unsigned char *der = acme_csr_new(key, names, 3, &len);
        const unsigned char *at = der;
        X509_REQ *request = d2i_X509_REQ(NULL, &at, (long)len);
        assert_non_null(request);
        assert_ptr_equal(at, der + len);
        assert_int_equal(X509_REQ_verify(request, key), 1);
        assert_int_equal(X509_NAME_entry_count(X509_REQ_get_subject_name(request)), 0);
        check_names(request);
        X509_REQ_free(request);
        OPENSSL_free(der);
        EVP_PKEY_free(key);
    }
}

static void a_key_is_read_as_it_was_written(void **state)
{
    (void)state;
    for (enum acme_key_kind kind = ACME_KEY_ECDSA; kind <= ACME_KEY_RSA; kind++) {
        size_t len;
        EVP_PKEY *key = acme_key_new(kind);
        char *pem = acme_key_print(key, &len);
        assert_int_equal(len, strlen(pem));
        EVP_PKEY *again = acme_key_read((struct slice){ pem, len });
        assert_int_equal(EVP_PKEY_eq(key, again), 1);
        assert_int_equal(EVP_PKEY_get_bits(key), kind == ACME_KEY_RSA ? 2048 : 256);
        EVP_PKEY_free(again);
        OPENSSL_clear_free(pem, len);
        EVP_PKEY_free(key);
    }
}

static void what_is_no_key_is_none(void **state)
{
    (void)state;
    assert_null(acme_key_read(SLICE("")));
    assert_null(acme_key_read(SLICE("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_has_all_names_and_is_signed_by_its_key),
        cmocka_unit_test(a_key_is_read_as_it_was_written),
        cmocka_unit_test(what_is_no_key_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
