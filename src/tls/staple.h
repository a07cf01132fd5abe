/* tls/staple.h: the word of a certificate's issuer that it has not been revoked (OCSP, RFC 6960), from a file, to be shown to
 * clients that ask for it within the handshake (RFC 6066 8). Counted and immutable; any thread. */
#pragma once

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "tls/certificate.h"

struct tls_staple {
    _Atomic uint32_t refs;
    int64_t until; /* seconds since 1970: from then on it is of no more use, and not shown */
    unsigned char *der;
    uint32_t len;
};

/* The response in the file must be for the leaf of `c`, signed by its issuer or for that, and say that it is good. It may have
 * expired. One reference is the caller's. -1 with the sentence, and where nothing but its time is against it, *from is when that
 * comes, in seconds since 1970, else 0; *stamp in any case. */
MUST_CHECK int tls_staple_read(struct tls_staple **out, const char *path, const struct tls_certificate *c,
                               int64_t now_s, struct file_stamp *stamp, int64_t *from, struct err *err);
/* NULL is fine, for these. */
struct tls_staple *tls_staple_get(struct tls_staple *s);
void tls_staple_put(struct tls_staple *s);
bool tls_staple_is_same(const struct tls_staple *a, const struct tls_staple *b);
/* Has `ssl` show it, if it is of use still. */
bool tls_staple_show(const struct tls_staple *s, SSL *ssl, int64_t now_s);
