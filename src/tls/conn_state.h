/* tls/conn_state.h: what a TLS connection is made of, for the two files that it is in: conn.c, bytes both ways, and
 * conn_open.c, the handshake. */
#pragma once

#include "tls/conn.h"

/* What OpenSSL has of a connection that is open and idle, about: drawn on the budget, as it is outside of it. */
#define TLS_SSL_BYTES (16u << 10)

/* What a transport in the place of a plain one has of its own. */
struct tls_conn {
    SSL *ssl; /* NULL: nothing has come yet */
    struct transport *t;
    const struct transport_ops *below; /* what the transport had before */
    struct tls_worker *worker;
    struct tls_store *store; /* one reference, while it is being opened */
    const char *alpn;
    const struct tls_choice *choice;
    struct tls_facts *facts; /* one reference, once it is open; NULL: there was no memory for them */
    struct block *rest;      /* encrypted, not yet taken by the kernel: from begin to end */
    uint32_t begin, end;
    bool has_bytes; /* the kernel's buffer has, as far as known */
    bool is_ended;  /* the peer's close_notify has come */
    bool is_failed, owes_fin;
    bool is_charged; /* for what OpenSSL has */
    bool
        waits_to_write; /* OpenSSL has answers for which there is no room: nothing is read before what is kept has gone */
    struct loop_task task;
};

static inline struct tls_conn *tls_conn_of(const struct transport *t)
{
    return t->own;
}

/* IO_FAIL, with that errno, from now on. */
enum io tls_conn_fail(struct tls_conn *c, int cause);
/* Why it could not be opened; the first word counts. */
void tls_conn_note(struct tls_conn *c, enum end_reason fault, const char *words);
/* The peer has closed without having said that it would. */
enum io tls_conn_cut(struct tls_conn *c);
/* OpenSSL says that something is wrong. */
enum io tls_conn_broke(struct tls_conn *c);
/* Before each call of OpenSSL: of the worker's buffer it may read so much, and write as much as may be kept. */
void tls_conn_begin(struct tls_conn *c, uint32_t in_bytes);
/* After it: what it has written goes, or is kept. */
enum io tls_conn_ship(struct tls_conn *c);
/* Ciphertext from the kernel to the worker's buffer: taken, or looked at. */
enum io tls_conn_fetch(struct tls_conn *c, bool is_look, size_t max, size_t *got);
/* What OpenSSL took of what was looked at leaves the kernel. */
enum io tls_conn_drop(struct tls_conn *c, size_t looked_at);
/* Gives back all that it has of its own. */
void tls_conn_release(struct tls_conn *c);
/* Of the ops. */
enum io tls_conn_flush(struct transport *t);
enum io tls_conn_open(struct transport *t);
void tls_conn_on_task(struct loop_task *task);
