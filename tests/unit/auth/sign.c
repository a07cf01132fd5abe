#include "sign.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int result)
{
    if (result > 0) return;
    fputs("a test could not sign\n", stderr);
    abort();
}

const char *sign_encode(const char *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    static char texts[4][32768]; /* of the last four */
    static unsigned turn;
    char *out = texts[turn++ % 4];
    size_t at = 0;
    unsigned held = 0, bits = 0;
    for (size_t i = 0; i < len; i++) {
        held = (held << 8 | (unsigned char)data[i]) & 0xffff;
        for (bits += 8; bits >= 6; bits -= 6) out[at++] = digits[held >> (bits - 6) & 63];
    }
    if (bits) out[at++] = digits[held << (6 - bits) & 63];
    out[at] = 0;
    return out;
}

static const char *curve_of(enum jwk_algorithm a)
{
    return a == JWK_ES256 ? "P-256" : a == JWK_ES384 ? "P-384" : "P-521";
}

EVP_PKEY *sign_key_new(enum jwk_algorithm a)
{
    if (a <= JWK_HS512) return NULL;
    if (a <= JWK_PS512) return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    if (a <= JWK_ES512) return EVP_PKEY_Q_keygen(NULL, NULL, "EC", curve_of(a));
    return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

static const char *number_of(EVP_PKEY *key, const char *name, int bytes)
{
    unsigned char out[1024];
    BIGNUM *n = NULL;
    must(EVP_PKEY_get_bn_param(key, name, &n));
    int len = bytes ? bytes : BN_num_bytes(n);
    must(BN_bn2binpad(n, out, len));
    BN_free(n);
    return sign_encode((char *)out, (size_t)len);
}

const char *sign_jwk(EVP_PKEY *key, const char *more)
{
    static char text[4096];
    if (!key) {
        snprintf(text, sizeof(text), "{\"kty\":\"oct\",\"k\":\"%s\"%s}",
                 sign_encode(SIGN_SECRET, strlen(SIGN_SECRET)), more);
    } else if (EVP_PKEY_is_a(key, "RSA")) {
        snprintf(text, sizeof(text), "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"%s}",
                 number_of(key, OSSL_PKEY_PARAM_RSA_N, 0), number_of(key, OSSL_PKEY_PARAM_RSA_E, 0), more);
    } else if (EVP_PKEY_is_a(key, "EC")) {
        int bits = EVP_PKEY_get_bits(key), bytes = (bits + 7) / 8;
        snprintf(text, sizeof(text), "{\"kty\":\"EC\",\"crv\":\"P-%d\",\"x\":\"%s\",\"y\":\"%s\"%s}", bits,
                 number_of(key, OSSL_PKEY_PARAM_EC_PUB_X, bytes),
                 number_of(key, OSSL_PKEY_PARAM_EC_PUB_Y, bytes), more);
    } else {
        unsigned char x[32];
        size_t len = sizeof(x);
        must(EVP_PKEY_get_raw_public_key(key, x, &len));
        snprintf(text, sizeof(text), "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"%s}",
                 sign_encode((char *)x, len), more);
    }
    return text;
}

const char *sign_pem(EVP_PKEY *key)
{
    static char text[4096];
    BIO *bio = BIO_new(BIO_s_mem());
    must(PEM_write_bio_PUBKEY(bio, key));
    int len = BIO_read(bio, text, sizeof(text) - 1);
    must(len);
    text[len] = 0;
    BIO_free(bio);
    return text;
}

static const EVP_MD *digest_of(enum jwk_algorithm a)
{
    static const EVP_MD *(*const digests[])(void) = { EVP_sha256, EVP_sha384, EVP_sha512 };
    return a == JWK_EDDSA ? NULL : digests[a % 3]();
}

/* Both halves, one behind the other. */
static size_t to_halves(EVP_PKEY *key, unsigned char *signature, size_t len)
{
    const unsigned char *at = signature;
    int half = (EVP_PKEY_get_bits(key) + 7) / 8;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
    must(sig != NULL);
    must(BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, half));
    must(BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + half, half));
    ECDSA_SIG_free(sig);
    return 2 * (size_t)half;
}

static size_t sign(EVP_PKEY *key, enum jwk_algorithm a, const char *text, unsigned char *out, size_t room)
{
    unsigned mac_len;
    size_t len = room;
    EVP_PKEY_CTX *how = NULL;
    if (!key) {
        HMAC(digest_of(a), SIGN_SECRET, (int)strlen(SIGN_SECRET), (const unsigned char *)text, strlen(text),
             out, &mac_len);
        return mac_len;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    must(EVP_DigestSignInit(ctx, &how, digest_of(a), NULL, key));
    if (a >= JWK_PS256 && a <= JWK_PS512) {
        must(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING));
        must(EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST));
    }
    must(EVP_DigestSign(ctx, out, &len, (const unsigned char *)text, strlen(text)));
    EVP_MD_CTX_free(ctx);
    return EVP_PKEY_is_a(key, "EC") ? to_halves(key, out, len) : len;
}

const char *sign_token(EVP_PKEY *key, enum jwk_algorithm a, const char *header, const char *payload)
{
    static char text[32768];
    unsigned char signature[1024];
    int len = snprintf(text, sizeof(text), "%s.%s", sign_encode(header, strlen(header)),
                       sign_encode(payload, strlen(payload)));
    size_t signature_len = sign(key, a, text, signature, sizeof(signature));
    snprintf(text + len, sizeof(text) - (size_t)len, ".%s", sign_encode((char *)signature, signature_len));
    return text;
}
