/* tls/conn_state.h: what a TLS connection is made of, for the files that it is in: conn.c, bytes both ways, conn_open.c, the
 * handshake, and conn_connect.c, what is different towards servers. */
#pragma once

#include "tls/conn.h"

/* What only the handshake with a server needs. */
struct tls_opening {
    struct tls_upstream *upstream; /* one reference */
    const struct tls_watch *watch;
    void *watcher;
    bool has_offered; /* a session, to be resumed */
    char name[256];   /* of a host; "": it goes by its address */
    struct ip ip;     /* if it goes by that */
    bool has_ip;
    char address[ADDRESS_TEXT_MAX]; /* for people */
};

/* What a transport in the place of a plain one has of its own. */
struct tls_conn {
    SSL *ssl; /* NULL: nothing has come yet */
    struct transport *t;
    const struct transport_ops *below; /* what the transport had before */
    struct tls_worker *worker;
    struct tls_store *store; /* one reference, while it is being opened */
    const char *alpn;
    const struct tls_choice *choice;
    struct tls_facts *facts;     /* one reference, once it is open; NULL: there was no memory for them */
    struct tls_opening *opening; /* towards a server, while it is being opened */
    struct tls_session_key key;  /* likewise, of its sessions; for longer, as tickets come later */
    char *words;                 /* what t->fault_words is, if it was made for this connection; malloc */
    struct block *rest;          /* encrypted, not yet taken by the kernel: from begin to end */
    uint32_t begin, end;
    bool has_bytes;                 /* the kernel's buffer has, as far as known */
    bool is_ended;                  /* the peer's close_notify has come */
    bool is_upstream, is_connected; /* towards a server; what lies below is open */
    bool has_heard, has_data;       /* anything came; anything for the owner did */
    bool is_failed, owes_fin;
    bool is_mute;   /* nothing more can be sent: what came before may still be read */
    bool is_spoilt; /* something was wrong with what came: its session is good for nothing (RFC 5246 7.2.2) */
    bool has_shipped; /* of what was shipped last, the kernel has some */
    bool is_charged;  /* for what OpenSSL has */
    bool is_proof;    /* a CA looks for the proof of a name (tls/challenges.h), and is shown nothing else */
    bool
        waits_to_write; /* OpenSSL has answers for which there is no room: nothing is read before what is kept has gone */
    struct loop_task task;
};

static inline struct tls_conn *tls_conn_of(const struct transport *t)
{
    return t->own;
}

/* It becomes what `t` goes on as. */
void tls_conn_put_over(struct tls_conn *c, struct transport *t, struct tls_worker *w, const char *alpn);
/* IO_FAIL, with that errno, from now on. */
enum io tls_conn_fail(struct tls_conn *c, int cause);
/* Why it could not be opened; the first word counts. */
void tls_conn_note(struct tls_conn *c, enum end_reason fault, const char *words);
/* The peer has closed without having said that it would. */
enum io tls_conn_cut(struct tls_conn *c);
/* Likewise, with a sentence of its own. */
void tls_conn_explain(struct tls_conn *c, enum end_reason fault, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
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
/* Towards a server: before the first step of its handshake, with `ssl` made; false: it is not to be begun. */
bool tls_connect_prepare(struct tls_conn *c);
/* Its handshake is over; has failed, for what is noted; is given up. */
void tls_connect_opened(struct tls_conn *c);
void tls_connect_failed(struct tls_conn *c);
/* What is wrong, noted: the peer is gone without a word; OpenSSL says so; what came first is no TLS. */
void tls_connect_note_cut(struct tls_conn *c);
void tls_connect_note_broke(struct tls_conn *c);
void tls_connect_note_plain(struct tls_conn *c, struct slice bytes);
/* Of the ops. */
enum io tls_conn_flush(struct transport *t);
enum io tls_conn_open(struct transport *t);
void tls_conn_on_task(struct loop_task *task);
