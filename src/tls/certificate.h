/* tls/certificate.h: a certificate with its chain and its key, from two PEM files, read and checked as a whole. What is kept
 * is DER; OpenSSL's objects, some ten times as much, are made at first use. Read by one thread, which need not be a
 * worker's; from then on any thread may use it. */
#pragma once

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "base/secret.h"
#include "base/slice.h"

/* A server may have one of each for one name: the client says which it can verify. */
enum tls_key_kind { TLS_KEY_RSA, TLS_KEY_EC, TLS_KEY_ED25519, TLS_KEY_KINDS };

/* So many certificates, the leaf's included, may be in a chain. */
#define TLS_CHAIN_MAX 16u
/* From so many seconds before its end on, a certificate is worth a word of warning. */
#define TLS_EXPIRY_WARNING_S (14 * 24 * 3600)

struct tls_credentials;

struct tls_certificate {
    enum tls_key_kind kind;
    int64_t not_before, not_after; /* seconds since 1970, of the whole chain: the latest, the earliest */
    char *names;                   /* DNS names, lower case, each terminated; "*.example.com" too */
    uint32_t name_count;
    char serial[2 * 20 + 1]; /* in hexadecimal (RFC 5280 4.1.2.2) */
    unsigned char *chain;    /* DER of the leaf, then of what issued it */
    uint32_t chain_bytes;
    struct slice key; /* DER, in the secrets */
    struct tls_credentials *_Atomic credentials;
};

/* Reads both files, whose sentences say which of them is at fault. `secrets` gets the key. */
MUST_CHECK int tls_certificate_read(struct tls_certificate *c, const char *cert_path, const char *key_path,
                                    struct secret_store *secrets, struct err *err);
void tls_certificate_fini(struct tls_certificate *c);

enum tls_age { TLS_AGE_GOOD, TLS_AGE_ENDING, TLS_AGE_EXPIRED, TLS_AGE_FUTURE };
enum tls_age tls_certificate_age(const struct tls_certificate *c, int64_t now_s);
/* "2026-01-02", of seconds since 1970. */
const char *tls_date_print(int64_t seconds, char out[16]);

/* Has `ssl` use it: the key is made of its DER the first time, by whichever thread comes first. -1: out of memory, or OpenSSL
 * finds it too weak. */
MUST_CHECK int tls_certificate_use(struct tls_certificate *c, SSL *ssl);
