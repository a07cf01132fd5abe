/* tls/trust.h: the CAs by which servers are verified, from a PEM file or the system's. What is the same byte by byte is kept
 * once, however many pools and configurations have it: the system's are some 150 certificates. Counted; immutable. Any
 * thread. */
#pragma once

#include <openssl/ssl.h>

#include "base/err.h"
#include "base/slice.h"

#define TLS_TRUST_DIGEST_BYTES 32u

struct tls_trust;

/* path NULL: the system's. One reference is the caller's. */
MUST_CHECK int tls_trust_read(struct tls_trust **out, const char *path, struct err *err);
void tls_trust_put(struct tls_trust *t); /* NULL is fine */
X509_STORE *tls_trust_store(const struct tls_trust *t);
/* Of the bytes that it was read from. */
const unsigned char *tls_trust_digest(const struct tls_trust *t);
