/* Keys and tokens that tests sign themselves, by OpenSSL. Texts lie in memory of their own until the next of their kind. */
#pragma once

#include <openssl/evp.h>

#include "auth/jwk.h"

#define SIGN_SECRET "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Of the kind that the algorithm needs; NULL for HMAC, whose secret is SIGN_SECRET. */
EVP_PKEY *sign_key_new(enum jwk_algorithm a);
/* {"kty": …}: its public half (of HMAC: the secret), with more members behind it, each with its comma before it. */
const char *sign_jwk(EVP_PKEY *key, const char *more);
/* In PEM. */
const char *sign_pem(EVP_PKEY *key);
const char *sign_encode(const char *data, size_t len);
/* header and payload as they are, and the signature. */
const char *sign_token(EVP_PKEY *key, enum jwk_algorithm a, const char *header, const char *payload);
