/* tls/certificate.h: a certificate with its chain and its key, from two PEM files, read and checked as a whole. What is kept
 * is DER; OpenSSL's objects, some ten times as much, are made at first use. Counted and immutable but for those: a store that
 * takes another's place has those that did not change. Any thread. */
#pragma once

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "tls/small_file.h"

/* A server may have one of each for one name: the client says which it can verify. */
enum tls_key_kind { TLS_KEY_RSA, TLS_KEY_EC, TLS_KEY_ED25519, TLS_KEY_KINDS };

/* So many certificates, the leaf's included, may be in a chain. */
#define TLS_CHAIN_MAX 16u
/* From so many seconds before its end on, a certificate is worth a word of warning. */
#define TLS_EXPIRY_WARNING_S (14 * 24 * 3600)

struct tls_credentials;
struct tls_staple;

struct tls_certificate {
    _Atomic uint32_t refs;
    enum tls_key_kind kind;
    int64_t not_before, not_after; /* seconds since 1970, of the whole chain: the latest, the earliest */
    char *names;                   /* DNS names, lower case, each terminated; "*.example.com" too */
    uint32_t name_count;
    char serial[2 * 20 + 1]; /* in hexadecimal (RFC 5280 4.1.2.2) */
    unsigned char *chain;    /* DER of the leaf, then of what issued it */
    uint32_t chain_bytes;
    unsigned char *key; /* DER, in OpenSSL's memory, which core files are without (tls/memory.h) */
    int key_bytes;
    char *issuer;              /* its name, for people (RFC 2253) */
    int64_t since_s;           /* served as it is */
    struct tls_staple *staple; /* what the issuer says of it; NULL: nothing that could be shown */
    struct file_stamp cert_stamp, key_stamp, staple_stamp;
    struct tls_credentials *_Atomic credentials;
};

/* Of a pair. */
#define TLS_CERTIFICATE_FILES 2u
/* Reads both files, whose sentences say which of them is at fault; stamps: of both, also where one is. One reference is the
 * caller's. */
MUST_CHECK int tls_certificate_read(struct tls_certificate **out, const char *cert_path, const char *key_path,
                                    struct file_stamp stamps[TLS_CERTIFICATE_FILES], struct err *err);
/* Of objects of OpenSSL's, which stay the caller's: of a leaf that nobody issued. Any time of it will do. */
MUST_CHECK int tls_certificate_of(struct tls_certificate **out, X509 *leaf, EVP_PKEY *key, struct err *err);
struct tls_certificate *tls_certificate_get(struct tls_certificate *c);
void tls_certificate_put(struct tls_certificate *c); /* NULL is fine */
/* The same chain and key, wherever they were read. */
bool tls_certificate_is_same(const struct tls_certificate *a, const struct tls_certificate *b);

enum tls_age { TLS_AGE_GOOD, TLS_AGE_ENDING, TLS_AGE_EXPIRED, TLS_AGE_FUTURE };
enum tls_age tls_certificate_age(const struct tls_certificate *c, int64_t now_s);
/* "2026-01-02", of seconds since 1970. */
const char *tls_date_print(int64_t seconds, char out[16]);

/* Has `ssl` use it: the key is made of its DER the first time, by whichever thread comes first. -1: out of memory, or OpenSSL
 * finds it too weak. */
MUST_CHECK int tls_certificate_use(struct tls_certificate *c, SSL *ssl);
/* It is the one that `ssl` has chosen, of those that it could use. */
bool tls_certificate_is_chosen(struct tls_certificate *c, const SSL *ssl);
