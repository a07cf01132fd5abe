#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <cmocka.h>

#include "acme/document.h"
#include "acme/jws.h"
#include "acme/request.h"
#include "base/base64.h"

/* That of RFC 7515 A.3.1, made PEM. */
static const char rfc_key[] = "-----BEGIN EC PRIVATE KEY-----\n"
                              "MHcCAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSyoAoGCCqGSM49\n"
                              "AwEHoUQDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72b\n"
                              "focs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
                              "-----END EC PRIVATE KEY-----\n";

static EVP_PKEY *key;

static int set_up(void **state)
{
    (void)state;
    key = acme_key_read(SLICE(rfc_key));
    return key ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    EVP_PKEY_free(key);
    return 0;
}

static void the_public_half_is_written_in_order(void **state)
{
    (void)state;
    char jwk[JWK_ROOM], thumbprint[JWK_THUMBPRINT_ROOM];
    assert_true(jwk_print(key, jwk));
    assert_string_equal(
        jwk, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
             "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}");
    assert_true(jwk_thumbprint(key, thumbprint));
    assert_string_equal(thumbprint, "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
}

static void keys_of_other_kinds_are_refused(void **state)
{
    (void)state;
    char jwk[JWK_ROOM];
    EVP_PKEY *rsa = acme_key_new(ACME_KEY_RSA), *p384 = EVP_EC_gen("P-384");
    assert_false(jwk_print(rsa, jwk));
    assert_false(jwk_print(p384, jwk));
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(p384);
}

/* What a member has in it, terminated. */
static size_t read_member(const struct conf_node *root, const char *name, unsigned char out[1024])
{
    size_t len;
    assert_true(base64url_decode(slice_of(acme_document_text(root, name)), (char *)out, 1023, &len));
    out[len] = 0;
    return len;
}

static void verify(const struct conf_node *root, const unsigned char raw[64])
{
    char input[4096];
    unsigned char digest[SHA256_DIGEST_LENGTH], der[128], *at = der;
    ECDSA_SIG *signature = ECDSA_SIG_new();
    ECDSA_SIG_set0(signature, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL));
    int len = i2d_ECDSA_SIG(signature, &at);
    snprintf(input, sizeof(input), "%s.%s", acme_document_text(root, "protected"),
             acme_document_text(root, "payload"));
    SHA256((const unsigned char *)input, strlen(input), digest);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    assert_int_equal(EVP_PKEY_verify_init(ctx), 1);
    assert_int_equal(EVP_PKEY_verify(ctx, der, (size_t)len, digest, sizeof(digest)), 1);
    EVP_PKEY_CTX_free(ctx);
    ECDSA_SIG_free(signature);
}

static void what_is_signed_can_be_verified(void **state)
{
    (void)state;
    const struct jws_header with_key = { "https://ca/new", "n-1", NULL };
    const struct jws_header with_url = { "https://ca/\"x", "n-2", "https://ca/account/1" };
    /* Numbers that begin with zeroes are as long as others: of 300 signatures one or two do. */
    for (int i = 0; i < 300; i++) {
        unsigned char bytes[1024];
        struct acme_document d;
        size_t len;
        char *text = jws_sign(key, i % 2 ? &with_key : &with_url, SLICE("{\"a\":1}"), &len);
        assert_non_null(text);
        assert_true(acme_document_read(&d, (struct slice){ text, len }));
        read_member(d.root, "protected", bytes);
        assert_string_equal(bytes,
                            i % 2 ? "{\"alg\":\"ES256\",\"jwk\":{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":"
                                    "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":"
                                    "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},\"nonce\":\"n-1\","
                                    "\"url\":\"https://ca/new\"}"
                                  : "{\"alg\":\"ES256\",\"kid\":\"https://ca/account/1\",\"nonce\":\"n-2\","
                                    "\"url\":\"https://ca/\\\"x\"}");
        read_member(d.root, "payload", bytes);
        assert_string_equal(bytes, "{\"a\":1}");
        assert_int_equal(read_member(d.root, "signature", bytes), 64);
        verify(d.root, bytes);
        acme_document_close(&d);
        free(text);
    }
}

static void an_empty_payload_is_empty(void **state)
{
    (void)state;
    const struct jws_header header = { "https://ca/order/1", "n", "https://ca/account/1" };
    struct acme_document d;
    size_t len;
    char *text = jws_sign(key, &header, SLICE_NONE, &len);
    assert_true(acme_document_read(&d, (struct slice){ text, len }));
    assert_string_equal(acme_document_text(d.root, "payload"), "");
    acme_document_close(&d);
    free(text);
}

static void an_account_of_another_kind_vouches_for_the_key(void **state)
{
    (void)state;
    unsigned char bytes[1024], mac[EVP_MAX_MD_SIZE];
    unsigned mac_len;
    char input[2048], jwk[JWK_ROOM];
    struct acme_document d;
    char *text = jws_bind(key, "https://ca/new-account", "kid-1", SLICE("0123456789abcdef"));
    assert_true(acme_document_read(&d, slice_of(text)));
    read_member(d.root, "protected", bytes);
    assert_string_equal(bytes, "{\"alg\":\"HS256\",\"kid\":\"kid-1\",\"url\":\"https://ca/new-account\"}");
    read_member(d.root, "payload", bytes);
    assert_true(jwk_print(key, jwk));
    assert_string_equal(bytes, jwk);
    snprintf(input, sizeof(input), "%s.%s", acme_document_text(d.root, "protected"),
             acme_document_text(d.root, "payload"));
    HMAC(EVP_sha256(), "0123456789abcdef", 16, (const unsigned char *)input, strlen(input), mac, &mac_len);
    assert_int_equal(read_member(d.root, "signature", bytes), mac_len);
    assert_memory_equal(bytes, mac, mac_len);
    acme_document_close(&d);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_public_half_is_written_in_order),
        cmocka_unit_test(keys_of_other_kinds_are_refused),
        cmocka_unit_test(what_is_signed_can_be_verified),
        cmocka_unit_test(an_empty_payload_is_empty),
        cmocka_unit_test(an_account_of_another_kind_vouches_for_the_key),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
