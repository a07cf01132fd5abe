/* acme/request.h: keys that weir makes for certificates and accounts, and what a CA is asked to sign (PKCS #10, RFC 2986, as
 * RFC 8555 7.4 wants it). Any thread. */
#pragma once

#include <openssl/evp.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum acme_key_kind { ACME_KEY_ECDSA, ACME_KEY_RSA };

/* P-256, or RSA of 2048 bits. NULL: OpenSSL has none to give. */
EVP_PKEY *acme_key_new(enum acme_key_kind kind);
/* PEM, terminated, for OPENSSL_clear_free(). NULL: out of memory. */
char *acme_key_print(EVP_PKEY *key, size_t *len);
/* NULL: it is none, or has a pass phrase. */
EVP_PKEY *acme_key_read(struct slice pem);
/* DER, for OPENSSL_free(), of a request for these names. NULL: out of memory. */
unsigned char *acme_csr_new(EVP_PKEY *key, const char *const *names, uint32_t count, size_t *len);
