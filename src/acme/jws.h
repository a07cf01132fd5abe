/* acme/jws.h: what is signed for a CA: JSON Web Signatures as RFC 8555 6.2 has them, by an account's key, which is of P-256
 * (ES256 of RFC 7518 3.4). Nothing here touches a file or the network. Any thread. */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/text.h"

/* The public half, with its members in the order of RFC 7638 3.3. False: it is no key of P-256. */
#define JWK_ROOM 192
MUST_CHECK bool jwk_print(EVP_PKEY *key, char out[JWK_ROOM]);
/* SHA-256 of that (RFC 7638), as challenges have it (RFC 8555 8.1). */
#define JWK_THUMBPRINT_ROOM 44
MUST_CHECK bool jwk_thumbprint(EVP_PKEY *key, char out[JWK_THUMBPRINT_ROOM]);

struct jws_header {
    const char *url, *nonce;
    const char *account; /* its URL; NULL: the key itself is sent */
};

/* The body of a POST, terminated, for the caller to free; an empty payload is a POST-as-GET (RFC 8555 6.3). NULL: out of
 * memory, or OpenSSL fails. */
char *jws_sign(EVP_PKEY *key, const struct jws_header *header, struct slice payload, size_t *len);
/* The same key, vouched for by what the CA gave somebody who has an account of another kind with it (RFC 8555 7.3.4). */
char *jws_bind(EVP_PKEY *key, const char *url, const char *kid, struct slice hmac_key);
