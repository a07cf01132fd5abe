/* tls/facts.h: what is known of a client's TLS connection once it is open: for records, logs, and what servers are told of who
 * the client is. Made once a connection; counted, for its requests may outlive it. One loop's thread. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Longer lists of names are left out: half of one would be another. */
#define TLS_FACTS_NAMES_MAX 4096u

struct tls_facts {
    uint32_t refs;
    bool is_resumed;
    uint8_t version;                        /* TLS 1.x; 0: another */
    uint16_t cipher;                        /* its number (RFC 8446 B.4) */
    const char *version_name, *cipher_name; /* static */
    struct slice name;                      /* that was asked for; empty: none */
    /* The client's certificate, which was verified; empty: it showed none. Printable ASCII, in one line. */
    struct slice subject;     /* RFC 2253 */
    struct slice names;       /* "DNS:a.example, URI:spiffe://…" */
    struct slice fingerprint; /* SHA-256 of its DER, in hexadecimal */
};

/* NULL: out of memory. One reference is the caller's. */
struct tls_facts *tls_facts_new(SSL *ssl);
/* NULL is fine, for both. */
struct tls_facts *tls_facts_get(struct tls_facts *f);
void tls_facts_put(struct tls_facts *f);
/* As OpenSSL and nginx call it; NULL: not one that is served. */
const char *tls_cipher_text(uint16_t cipher);
