#include "acme/jws.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"

/* Of a number of P-256. */
#define FIELD_BYTES 32
/* A request to sign a certificate of a hundred names is a few KiB. */
#define BODY_MAX ((size_t)256 << 10)

static bool add_number(struct text *t, EVP_PKEY *key, const char *name)
{
    unsigned char bytes[FIELD_BYTES];
    BIGNUM *number = NULL;
    bool is_there = EVP_PKEY_get_bn_param(key, name, &number) == 1 &&
                    BN_bn2binpad(number, bytes, FIELD_BYTES) == FIELD_BYTES;
    BN_free(number);
    if (is_there) base64url_add(t, (struct slice){ (const char *)bytes, FIELD_BYTES });
    return is_there;
}

bool jwk_print(EVP_PKEY *key, char out[JWK_ROOM])
{
    struct text t = text_over(out, JWK_ROOM);
    TEXT_LITERAL(&t, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"");
    bool is_good = EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_bits(key) == 8 * FIELD_BYTES &&
                   add_number(&t, key, OSSL_PKEY_PARAM_EC_PUB_X);
    TEXT_LITERAL(&t, "\",\"y\":\"");
    is_good = is_good && add_number(&t, key, OSSL_PKEY_PARAM_EC_PUB_Y);
    TEXT_LITERAL(&t, "\"}");
    text_cstr(&t);
    ERR_clear_error();
    return is_good && !t.is_cut;
}

bool jwk_thumbprint(EVP_PKEY *key, char out[JWK_THUMBPRINT_ROOM])
{
    char jwk[JWK_ROOM];
    unsigned char digest[SHA256_DIGEST_LENGTH];
    struct text t = text_over(out, JWK_THUMBPRINT_ROOM);
    if (!jwk_print(key, jwk)) return false;
    SHA256((const unsigned char *)jwk, strlen(jwk), digest);
    base64url_add(&t, (struct slice){ (const char *)digest, sizeof(digest) });
    text_cstr(&t);
    return true;
}

/* signing */

/* What OpenSSL makes is DER; here it is both numbers, one behind the other (RFC 7518 3.4). */
static bool put_numbers(const unsigned char *der, size_t len, unsigned char out[2 * FIELD_BYTES])
{
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool is_good = signature && BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, FIELD_BYTES) == FIELD_BYTES &&
                   BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + FIELD_BYTES, FIELD_BYTES) == FIELD_BYTES;
    ECDSA_SIG_free(signature);
    return is_good;
}

static bool sign(EVP_PKEY *key, struct slice text, unsigned char out[2 * FIELD_BYTES])
{
    unsigned char der[128];
    size_t len = sizeof(der);
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool is_good = digest && EVP_DigestSignInit(digest, NULL, EVP_sha256(), NULL, key) == 1 &&
                   EVP_DigestSign(digest, der, &len, (const unsigned char *)text.data, text.len) == 1 &&
                   put_numbers(der, len, out);
    EVP_MD_CTX_free(digest);
    ERR_clear_error();
    return is_good;
}

/* "protected.payload", each in base64 (RFC 7515 5.1). The caller's to free. */
static char *signing_input(struct slice header, struct slice payload, struct text *t)
{
    size_t room = BASE64URL_ROOM(header.len) + 1 + BASE64URL_ROOM(payload.len) + 1;
    char *memory = malloc(room);
    if (!memory) return NULL;
    *t = text_over(memory, room);
    base64url_add(t, header);
    text_add_char(t, '.');
    base64url_add(t, payload);
    return memory;
}

/* The flattened form (RFC 7515 7.2.2). */
static char *flatten(const struct text *input, struct slice signature, size_t *len)
{
    char room[BASE64URL_ROOM(2 * FIELD_BYTES)];
    struct text t = text_over(room, sizeof(room));
    struct json j;
    const char *dot = memchr(input->data, '.', input->len);
    size_t header_len = (size_t)(dot - input->data);
    base64url_add(&t, signature);
    json_init(&j, BODY_MAX, false);
    json_object(&j);
    json_key(&j, "protected");
    json_slice(&j, (struct slice){ input->data, header_len });
    json_key(&j, "payload");
    json_slice(&j, (struct slice){ dot + 1, input->len - header_len - 1 });
    json_key(&j, "signature");
    json_slice(&j, text_slice(&t));
    json_object_end(&j);
    return json_take(&j, len);
}

static char *print_header(EVP_PKEY *key, const struct jws_header *header, size_t *len)
{
    char jwk[JWK_ROOM];
    struct json j;
    if (!header->account && !jwk_print(key, jwk)) return NULL;
    json_init(&j, BODY_MAX, false);
    json_object(&j);
    json_key(&j, "alg");
    json_string(&j, "ES256");
    json_key(&j, header->account ? "kid" : "jwk");
    if (header->account)
        json_string(&j, header->account);
    else
        json_raw(&j, slice_of(jwk));
    json_key(&j, "nonce");
    json_string(&j, header->nonce);
    json_key(&j, "url");
    json_string(&j, header->url);
    json_object_end(&j);
    return json_take(&j, len);
}

char *jws_sign(EVP_PKEY *key, const struct jws_header *header, struct slice payload, size_t *len)
{
    unsigned char signature[2 * FIELD_BYTES];
    size_t header_len = 0;
    struct text input = { 0 };
    char *protected = print_header(key, header, &header_len), *result = NULL;
    char *memory = protected ? signing_input((struct slice){ protected, header_len }, payload, &input) : NULL;
    if (memory && sign(key, text_slice(&input), signature))
        result = flatten(&input, (struct slice){ (const char *)signature, sizeof(signature) }, len);
    free(memory);
    free(protected);
    return result;
}

char *jws_bind(EVP_PKEY *key, const char *url, const char *kid, struct slice hmac_key)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    char jwk[JWK_ROOM], *header = NULL, *memory = NULL, *result = NULL;
    struct text input = { 0 };
    struct json j;
    size_t len = 0;
    if (!jwk_print(key, jwk)) return NULL;
    json_init(&j, BODY_MAX, false);
    json_object(&j);
    json_key(&j, "alg");
    json_string(&j, "HS256");
    json_key(&j, "kid");
    json_string(&j, kid);
    json_key(&j, "url");
    json_string(&j, url);
    json_object_end(&j);
    header = json_take(&j, &len);
    if (header) memory = signing_input((struct slice){ header, len }, slice_of(jwk), &input);
    if (memory && HMAC(EVP_sha256(), hmac_key.data, (int)hmac_key.len, (const unsigned char *)input.data,
                       input.len, mac, &mac_len))
        result = flatten(&input, (struct slice){ (const char *)mac, mac_len }, &len);
    free(memory);
    free(header);
    return result;
}
