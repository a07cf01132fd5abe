/* acme/order.h: one certificate, from the question for the CA's directory to the chain that it issues (RFC 8555 7.1): a machine
 * that is given answers and says what comes next. It has no clock, no file and no network: whoever drives it brings the
 * time, sends what is to be sent, and shows the proofs to whom the CA sends. All that comes is a stranger's. One thread. */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

/* What CAs give one certificate (RFC 8555 leaves it to them). */
#define ACME_NAMES_MAX 100u
/* Of an answer; the longest is a chain. */
#define ACME_ANSWER_MAX (256u << 10)

enum acme_challenge { ACME_HTTP_01, ACME_TLS_ALPN_01 };
const char *acme_challenge_name(enum acme_challenge c);

/* What the CA looks for to be sure of a name. Borrowed from the order. */
struct acme_proof {
    const char *name, *token;
    const char *authorization; /* TOKEN.THUMBPRINT (RFC 8555 8.1) */
};

/* All is borrowed for longer than the order. */
struct acme_order_setup {
    const char *directory;
    const char *email;        /* NULL: none is told */
    const char *kid;          /* of an account that the CA knows otherwise (RFC 8555 7.3.4); NULL: none */
    struct slice hmac_key;    /* its key */
    EVP_PKEY *account;        /* P-256 */
    struct slice csr;         /* DER, of the same names */
    const char *const *names; /* lower case */
    uint32_t name_count;
    enum acme_challenge challenge;
    uint64_t
        settle_ms; /* from a proof being shown to the CA being told: other nodes need so long to show it */
    uint64_t limit_ms; /* the whole may take so long */
};

enum acme_want {
    ACME_WANT_ANSWER,  /* to `request` */
    ACME_WANT_TIME,    /* until `until_ms` */
    ACME_WANT_PROOFS,  /* shown; then acme_order_shown() */
    ACME_WANT_NOTHING, /* it has ended: `chain` is there, or `err` says why not */
};

struct acme_request {
    enum { ACME_GET, ACME_HEAD, ACME_POST } method;
    const char *url;
    const char *accept; /* NULL: anything */
    const char *body;   /* of a POST: application/jose+json (RFC 8555 6.2) */
    size_t len;
};

/* As it came; NULL: it has no such field. */
struct acme_response {
    int status;
    const char *content_type, *location, *nonce;
    uint64_t retry_after_s; /* 0: it does not say */
    struct slice body;      /* at most ACME_ANSWER_MAX */
};

struct acme_order {
    struct acme_request request;
    uint64_t until_ms;
    struct acme_proof *proofs; /* of the names that are to be proven */
    uint32_t proof_count;
    char *chain; /* PEM as it came, terminated; NULL: not issued */
    size_t chain_len;
    struct err err;         /* one sentence */
    uint64_t retry_after_s; /* what failed should rest so long; 0: the CA does not say */
    bool is_unheard;        /* no answer came, or the CA is out of order, before it had anything to count */
    bool is_made;           /* the CA has an order of it, and counts it */
};

/* NULL: there is no memory for it. */
struct acme_order *acme_order_new(const struct acme_order_setup *setup, uint64_t now_ms);
void acme_order_free(struct acme_order *o); /* NULL is fine */
enum acme_want acme_order_want(struct acme_order *o, uint64_t now_ms);
void acme_order_take(struct acme_order *o, const struct acme_response *r, uint64_t now_ms);
/* No answer came, for a reason in words. */
void acme_order_unanswered(struct acme_order *o, const char *words, uint64_t now_ms);
void acme_order_shown(struct acme_order *o, uint64_t now_ms);
