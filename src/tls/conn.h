/* tls/conn.h: TLS over a transport's descriptor (net/transport.h), by OpenSSL. Between the two lie buffers of the worker:
 * what came is decrypted at once or stays in the kernel, what goes is encrypted in stretches of 31 KiB, each one send; at
 * most one such stretch is kept for a receiver that does not take it. A FIN without a close_notify is a cut, never an end
 * (RFC 8446 6.1). One loop's thread. */
#pragma once

#include "net/transport.h"
#include "tls/facts.h"
#include "tls/store.h"
#include "tls/upstream.h"
#include "tls/worker.h"

/* `t` is an open plain transport, from which nothing was received yet, and goes on as the server's side of TLS: it is to be
 * opened. alpn: the protocols that are spoken, the preferred first, as the extension has them (RFC 7301 3.1), for longer than
 * the handshake; NULL: whatever the client likes. -1: out of memory, and `t` is as before.
 *
 * Where opening fails t->fault says why, and t->fault_words what OpenSSL has to say. HTTP that comes plain where HTTP is among
 * the protocols is left in the kernel: `t` is a plain transport again, and open, with fault END_PLAIN_ON_TLS. */
MUST_CHECK int tls_conn_accept(struct transport *t, struct tls_worker *w, struct tls_slot *slot,
                               const char *alpn);
#define TLS_CONN_HTTP_1_1 "\x08http/1.1"

struct tls_watch {
    /* The handshake is over. */
    void (*on_opened)(void *watcher, const struct transport *t);
    /* It has failed, for t->fault and t->fault_words; without a fault: it was given up before its end. */
    void (*on_failed)(void *watcher, const struct transport *t);
};

/* Whom a connection leads to. Borrowed for the call, but for what is said. */
struct tls_target {
    struct tls_upstream *upstream;
    const char
        *name; /* asked for, and expected of the certificate: a host's or an address; NULL: `address` */
    const struct address *address;
    const char *alpn; /* what is offered, as for tls_conn_accept(); NULL: nothing is */
    const struct tls_watch *watch;
    void *watcher; /* lives until it has heard */
};

/* `t`, a plain transport whose connection is being opened or is open, goes on as the client's side of TLS. -1: out of memory,
 * and `t` is as before. What fails is named by t->fault and, until `t` is closed, by t->fault_words: of a handshake, that
 * nothing of the owner's was acted on. The time-out of one that has begun is named by t->overdue. */
MUST_CHECK int tls_conn_connect(struct transport *t, struct tls_worker *w, const struct tls_target *to);

extern const struct transport_ops tls_conn_ops;
static inline bool tls_conn_is(const struct transport *t)
{
    return t->ops == &tls_conn_ops;
}

/* Of an open one: "TLSv1.3", "TLS_AES_128_GCM_SHA256", the name that was asked for or "", the protocol agreed or none. */
const char *tls_conn_version(const struct transport *t);
const char *tls_conn_cipher(const struct transport *t);
const char *tls_conn_name(const struct transport *t);
struct slice tls_conn_alpn(const struct transport *t);
bool tls_conn_is_resumed(const struct transport *t);
/* The peer's certificate, verified; NULL: it showed none. Borrowed. */
X509 *tls_conn_peer(const struct transport *t);
/* All of that, counted; NULL: there was no memory for it. Borrowed. */
struct tls_facts *tls_conn_facts(const struct transport *t);

/* For the worker. */
BIO_METHOD *tls_conn_bio_method(void);
size_t tls_conn_size(void);
size_t tls_opening_size(void);

/* For the contexts towards servers. */
int tls_conn_on_session(SSL *ssl, SSL_SESSION *session);
int tls_conn_on_verified(int is_good, X509_STORE_CTX *verified);

/* For the context's callbacks: of a connection that is being opened. */
struct tls_conn;
struct tls_store *tls_conn_store(const struct tls_conn *c);
struct tls_worker *tls_conn_worker(const struct tls_conn *c);
const char *tls_conn_wanted_alpn(const struct tls_conn *c);
const struct tls_choice *tls_conn_choice(const struct tls_conn *c);
void tls_conn_choose(struct tls_conn *c, const struct tls_choice *choice);
/* It has the proof of a name to show, `store`, whose reference is taken, and nothing else. */
void tls_conn_prove(struct tls_conn *c, struct tls_store *store);
bool tls_conn_is_proof(const struct tls_conn *c);
