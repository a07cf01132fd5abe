/* tls/worker.h: what a worker's TLS connections share: the buffers between OpenSSL and the kernel, so that a connection has
 * none of its own while nothing is on the move, and the memory of their own part. One loop's thread. */
#pragma once

#include <openssl/ssl.h>

#include "tls/sessions.h"

/* A record with the most that it may grow by (RFC 5246 6.2.3). */
#define TLS_RECORD_MAX (5u + 16384u + 2048u)
/* So much plaintext is encrypted before it is sent. */
#define TLS_ENCRYPT_BYTES (31u << 10)
#define TLS_IN_BYTES (64u << 10)
/* Room for what is encrypted at a time, its records' frames, and a handshake message or two besides. */
#define TLS_OUT_BYTES ((32u << 10) - 128)
#define TLS_GATHER_BYTES (16u << 10)

/* What OpenSSL has of a connection that is open and idle, about: drawn on the budget, as it is outside of it. */
#define TLS_SSL_BYTES (16u << 10)

struct tls_challenges;
struct tls_tickets;

struct tls_worker {
    struct loop *loop;
    struct tls_tickets *tickets;       /* of the process; borrowed */
    struct tls_challenges *challenges; /* likewise; NULL: none are ever shown */
    struct slab conns, openings;
    uint32_t charged;             /* of conns: those for which TLS_SSL_BYTES are drawn */
    struct tls_sessions sessions; /* with servers */
    uint64_t seed;                /* of hashes of what clients ask for */
    BIO_METHOD *method;
    /* In one mapping that core files are without. Whoever uses them is done before it returns to the loop. */
    char *in, *out, *gather;
    uint32_t in_begin, in_end, out_end;
    uint32_t out_room;      /* for the connection in question */
    uint64_t turn, turn_ns; /* so long this turn's handshakes took */
};

MUST_CHECK int tls_worker_init(struct tls_worker *w, struct loop *l, struct tls_tickets *tickets,
                               struct err *err);
/* Of a name that somebody else may have chosen; never 0. */
uint64_t tls_worker_hash(const struct tls_worker *w, const char *name);
/* Its connections are closed. */
void tls_worker_fini(struct tls_worker *w);
