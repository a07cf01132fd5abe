#include "tls/conn_state.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/bug.h"

/* Reads of at least this much take ciphertext from the kernel, as all of it that comes finds room once it is decrypted; for
 * smaller ones it is looked at, and only what OpenSSL took leaves the kernel. */
#define TAKE_MIN (TLS_RECORD_MAX + 1024u)

enum io tls_conn_fail(struct tls_conn *c, int cause)
{
    c->is_failed = true;
    c->t->saved_errno = cause;
    return IO_FAIL;
}

void tls_conn_note(struct tls_conn *c, enum end_reason fault, const char *words)
{
    if (c->t->fault) return; /* the first is the cause */
    c->t->fault = (uint8_t)fault;
    c->t->fault_words = words;
}

void tls_conn_explain(struct tls_conn *c, enum end_reason fault, const char *format, ...)
{
    va_list arguments;
    char *words = NULL;
    if (c->t->fault) return;
    va_start(arguments, format);
    if (vasprintf(&words, format, arguments) < 0) words = NULL;
    va_end(arguments);
    c->words = words;
    tls_conn_note(c, fault, words);
}

/* between OpenSSL and the worker's buffers */

static int bio_read(BIO *bio, char *data, int len)
{
    struct tls_worker *w = BIO_get_data(bio);
    uint32_t has = w->in_end - w->in_begin;
    BIO_clear_retry_flags(bio);
    if (bug_if(TLS, w->in_begin > w->in_end || w->in_end > TLS_IN_BYTES))
        has = 0; /* what is behind is another's */
    if (!has) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if ((uint32_t)len > has) len = (int)has;
    memcpy(data, w->in + w->in_begin, (size_t)len);
    w->in_begin += (uint32_t)len;
    return len;
}

static int bio_write(BIO *bio, const char *data, int len)
{
    struct tls_worker *w = BIO_get_data(bio);
    uint32_t room = w->out_room - w->out_end;
    BIO_clear_retry_flags(bio);
    if (bug_if(TLS, w->out_end > w->out_room || w->out_room > TLS_OUT_BYTES)) room = 0;
    if (!room) {
        BIO_set_retry_write(bio);
        return -1;
    }
    if ((uint32_t)len > room) len = (int)room;
    memcpy(w->out + w->out_end, data, (size_t)len);
    w->out_end += (uint32_t)len;
    return len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

BIO_METHOD *tls_conn_bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir");
    if (m && BIO_meth_set_read(m, bio_read) && BIO_meth_set_write(m, bio_write) &&
        BIO_meth_set_ctrl(m, bio_ctrl) && BIO_meth_set_create(m, bio_create))
        return m;
    BIO_meth_free(m);
    return NULL;
}

/* Before each call of OpenSSL: what it may read and write. */
void tls_conn_begin(struct tls_conn *c, uint32_t in_bytes)
{
    struct tls_worker *w = c->worker;
    uint32_t kept = c->end - c->begin;
    if (bug_if(TLS, kept > TLS_OUT_BYTES)) kept = TLS_OUT_BYTES; /* then OpenSSL has no room, and waits */
    w->in_begin = w->out_end = 0;
    w->in_end = in_bytes;
    w->out_room = TLS_OUT_BYTES - kept;
    ERR_clear_error();
}

/* Behind what is kept already; tls_conn_begin() saw to it that all of it is not more than one stretch. */
static enum io keep(struct tls_conn *c, const char *data, size_t len)
{
    struct transport *t = c->t;
    if (bug_if(TLS, c->begin > c->end || c->end - c->begin + len > TLS_OUT_BYTES))
        return tls_conn_fail(c, EPROTO);
    if (!block_grow(&t->loop->blocks, &c->rest, c->begin, c->end - c->begin, len))
        return tls_conn_fail(c, ENOMEM);
    c->end -= c->begin;
    c->begin = 0;
    memcpy(c->rest->data + c->end, data, len);
    c->end += (uint32_t)len;
    t->holds_rest = true;
    t->is_writable = false;
    return IO_OK;
}

/* What OpenSSL has written goes, or is kept. */
enum io tls_conn_ship(struct tls_conn *c)
{
    struct tls_worker *w = c->worker;
    struct transport *t = c->t;
    size_t len = w->out_end, sent = 0;
    enum io io = IO_OK;
    c->has_shipped = false;
    if (bug_if(TLS, len > w->out_room)) return tls_conn_fail(c, EPROTO);
    if (!len) return IO_OK;
    w->out_end = 0;
    /* The owner counts his own bytes, not those of the protocol. */
    bool has_sent = t->has_sent;
    while (c->end == c->begin && t->is_writable && sent < len && io != IO_FAIL) {
        struct iovec iov = { w->out + sent, len - sent };
        size_t now = 0;
        io = transport_plain_ops.send(t, &iov, 1, &now);
        sent += now;
    }
    t->has_sent = has_sent;
    c->has_shipped = sent > 0;
    if (io == IO_FAIL) c->is_mute = true; /* what has come can still be read */
    if (io == IO_FAIL) return io;
    return sent < len ? keep(c, w->out + sent, len - sent) : IO_OK;
}

enum io tls_conn_flush(struct transport *t)
{
    struct tls_conn *c = tls_conn_of(t);
    bool has_sent = t->has_sent;
    while (c->begin < c->end) {
        struct iovec iov = { c->rest->data + c->begin, c->end - c->begin };
        size_t sent = 0;
        enum io io = t->is_writable ? transport_plain_ops.send(t, &iov, 1, &sent) : IO_AGAIN;
        if (io == IO_FAIL) c->is_mute = true;
        if (io != IO_OK) return io;
        c->begin += (uint32_t)sent;
    }
    t->has_sent = has_sent;
    block_put(&t->loop->blocks, c->rest);
    c->rest = NULL;
    c->begin = c->end = 0;
    t->holds_rest = c->waits_to_write = false;
    if (c->has_bytes) t->is_readable = true;
    if (!c->owes_fin) return IO_OK;
    c->owes_fin = false;
    return shutdown(t->io.fd, SHUT_WR) < 0 ? tls_conn_fail(c, errno) : IO_OK;
}

/* receiving */

/* Ciphertext from the kernel to the worker's buffer: taken, or looked at. */
enum io tls_conn_fetch(struct tls_conn *c, bool is_look, size_t max, size_t *got)
{
    struct transport *t = c->t;
    *got = 0;
    if (bug_if(TLS, max > TLS_IN_BYTES)) return tls_conn_fail(c, EPROTO);
    if (!c->has_bytes) return IO_AGAIN;
    t->is_readable = true;
    enum io io = is_look ? transport_plain_ops.peek(t, c->worker->in, max, got)
                         : transport_plain_ops.recv(t, c->worker->in, max, got);
    c->has_bytes = t->is_readable;
    return io;
}

/* OpenSSL took so much of what was looked at. It is read over itself: it is little, and the op that drops is TCP's alone. */
enum io tls_conn_drop(struct tls_conn *c, size_t looked_at)
{
    size_t taken = c->worker->in_begin, done = 0;
    if (bug_if(TLS, taken > looked_at)) return tls_conn_fail(c, EPROTO);
    bool has_bytes = c->has_bytes || taken < looked_at; /* the rest is still there, and no edge will say so */
    while (done < taken) {
        size_t now = 0;
        enum io io = transport_plain_ops.recv(c->t, c->worker->in, taken - done, &now);
        if (io != IO_OK) return IO_FAIL;
        done += now;
    }
    c->has_bytes = has_bytes;
    return IO_OK;
}

/* A cut is no end: what was sent may be less than what was meant. */
enum io tls_conn_cut(struct tls_conn *c)
{
    if (c->is_upstream)
        tls_connect_note_cut(c);
    else
        tls_conn_note(c, END_CLIENT_ABORT, NULL);
    return tls_conn_fail(c, ECONNRESET);
}

enum io tls_conn_broke(struct tls_conn *c)
{
    if (c->is_upstream)
        tls_connect_note_broke(c);
    else
        tls_conn_note(c, c->t->is_open ? END_CLIENT_ABORT : END_TLS_FAILED,
                      ERR_reason_error_string(ERR_peek_last_error()));
    c->is_spoilt = true;
    ERR_clear_error();
    return tls_conn_fail(c, EPROTO);
}

/* From what OpenSSL has, until `data` is full or it wants more. */
static enum io decrypt(struct tls_conn *c, char *data, size_t len, size_t *got)
{
    while (*got < len) {
        size_t now = 0;
        if (SSL_read_ex(c->ssl, data + *got, len - *got, &now) == 1) {
            *got += now;
            c->has_data = true;
            continue;
        }
        switch (SSL_get_error(c->ssl, 0)) {
        case SSL_ERROR_WANT_READ: return IO_AGAIN;
        case SSL_ERROR_WANT_WRITE: c->waits_to_write = true; return IO_AGAIN;
        case SSL_ERROR_ZERO_RETURN: c->is_ended = true; return IO_EOF;
        default: return tls_conn_broke(c);
        }
    }
    return IO_OK;
}

/* One read from the kernel, and what becomes of it. */
static enum io receive_once(struct tls_conn *c, char *data, size_t len, size_t *got)
{
    bool is_look = len < TAKE_MIN;
    size_t max = len, came = 0;
    if (bug_if(TLS, !c->t->is_open)) return tls_conn_fail(c, EPROTO); /* its handshake reads for itself */
    if (is_look)
        max = TLS_RECORD_MAX;
    else if (SSL_has_pending(c->ssl))
        max = len - TLS_RECORD_MAX; /* a record that has come in part has to find room, too */
    if (max > TLS_IN_BYTES) max = TLS_IN_BYTES;
    enum io io = tls_conn_fetch(c, is_look, max, &came);
    if (io == IO_EOF) return tls_conn_cut(c);
    if (io != IO_OK) return io;
    tls_conn_begin(c, (uint32_t)came);
    io = decrypt(c, data, len, got);
    if (is_look && tls_conn_drop(c, came) != IO_OK) return tls_conn_fail(c, c->t->saved_errno);
    /* What is left would be lost. */
    if (!is_look && io != IO_EOF && io != IO_FAIL && bug_if(TLS, c->worker->in_begin < came))
        return tls_conn_fail(c, EPROTO);
    (void)tls_conn_ship(c); /* whoever sends next hears of it */
    return c->is_failed ? IO_FAIL : io;
}

static enum io conn_recv(struct transport *t, char *data, size_t len, size_t *got)
{
    struct tls_conn *c = tls_conn_of(t);
    enum io io = IO_AGAIN;
    *got = 0;
    if (c->is_failed || bug_if(TLS, !c->ssl)) return IO_FAIL; /* it has not begun to open */
    if (c->is_ended) return IO_EOF;
    if (c->waits_to_write) return IO_AGAIN;
    if (SSL_pending(c->ssl)) {
        tls_conn_begin(c, 0);
        io = decrypt(c, data, len, got);
        (void)tls_conn_ship(c);
        if (c->is_failed) io = IO_FAIL;
    }
    while (io == IO_AGAIN && !*got && c->has_bytes && !c->waits_to_write)
        io = receive_once(c, data, len, got);
    /* The end, or what went wrong, is told when what came before it was taken. */
    t->is_readable = !c->waits_to_write &&
                     (c->has_bytes || c->is_ended || c->is_failed || SSL_pending(c->ssl));
    if (bug_if(TLS, *got > len)) *got = len; /* what is behind is not of it */
    return *got ? IO_OK : io;
}

/* sending */

/* The next stretch of what is to be sent, behind `skip` bytes of it: as it lies there, or gathered from several short pieces,
 * as each that is encrypted by itself costs a record. */
static struct slice next_stretch(struct tls_worker *w, const struct iovec *iov, int count, size_t skip,
                                 size_t max)
{
    size_t gathered = 0;
    for (int i = 0; i < count && gathered < TLS_GATHER_BYTES; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        struct slice piece = { (const char *)iov[i].iov_base + skip, iov[i].iov_len - skip };
        skip = 0;
        bool is_alone = i + 1 == count || piece.len >= TLS_GATHER_BYTES;
        if (is_alone && !gathered) {
            if (piece.len > max) piece.len = max;
            return piece;
        }
        size_t room = (max < TLS_GATHER_BYTES ? max : TLS_GATHER_BYTES) - gathered;
        if (piece.len > room) piece.len = room;
        memcpy(w->gather + gathered, piece.data, piece.len);
        gathered += piece.len;
        if (piece.len == room) break;
    }
    return (struct slice){ w->gather, gathered };
}

static void say_end(struct tls_conn *c)
{
    if (SSL_get_shutdown(c->ssl) & SSL_SENT_SHUTDOWN || c->is_failed || c->is_mute) return;
    SSL_shutdown(c->ssl);
    ERR_clear_error();
}

/* Encrypts up to 31 KiB of what is behind `skip` bytes. */
static enum io encrypt(struct tls_conn *c, const struct iovec *iov, int count, size_t skip, size_t *len)
{
    *len = 0;
    while (*len < TLS_ENCRYPT_BYTES) {
        struct slice s = next_stretch(c->worker, iov, count, skip + *len, TLS_ENCRYPT_BYTES - *len);
        size_t now = 0;
        if (!s.len) break;
        if (SSL_write_ex(c->ssl, s.data, s.len, &now) != 1) return tls_conn_broke(c);
        *len += now;
    }
    return IO_OK;
}

static enum io conn_send(struct transport *t, const struct iovec *iov, int count, size_t *sent)
{
    struct tls_conn *c = tls_conn_of(t);
    size_t asked = 0;
    *sent = 0;
    if (c->is_failed || c->is_mute || bug_if(TLS, !t->is_open)) return IO_FAIL;
    for (int i = 0; i < count; i++) asked += iov[i].iov_len;
    while (*sent < asked && t->is_writable) {
        size_t len = 0;
        tls_conn_begin(c, 0);
        if (encrypt(c, iov, count, *sent, &len) != IO_OK) return IO_FAIL;
        *sent += len;
        if (t->ends_with_this && *sent == asked) say_end(c);
        bool is_shipped = tls_conn_ship(c) == IO_OK;
        if (is_shipped || c->has_shipped) t->has_sent = true;
        if (!is_shipped) return IO_FAIL;
    }
    if (bug_if(TLS, *sent > asked)) *sent = asked;
    return *sent ? IO_OK : IO_AGAIN;
}

static enum io conn_shutdown(struct transport *t)
{
    struct tls_conn *c = tls_conn_of(t);
    if (t->is_shut) return IO_OK;
    t->is_shut = true;
    if (c->ssl && t->is_open) {
        tls_conn_begin(c, 0);
        say_end(c);
        if (tls_conn_ship(c) != IO_OK) return IO_FAIL;
    }
    c->owes_fin = t->holds_rest;
    if (c->owes_fin) return IO_OK;
    return shutdown(t->io.fd, SHUT_WR) < 0 ? tls_conn_fail(c, errno) : IO_OK;
}

/* the rest */

/* All that it has of its own. */
void tls_conn_release(struct tls_conn *c)
{
    (void)bug_if(TLS, c->opening); /* it has a reference, and somebody who waits */
    loop_cancel(&c->task);
    block_put(&c->t->loop->blocks, c->rest);
    /* Else OpenSSL would take the session for spoilt, by which the next connection is to be opened. */
    if (c->is_upstream && c->ssl && !c->is_spoilt) SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN);
    SSL_free(c->ssl);
    if (c->words) c->t->fault_words = NULL;
    free(c->words);
    if (c->is_charged) {
        block_pool_refund(&c->t->loop->blocks, TLS_SSL_BYTES);
        if (!bug_if(TLS, !c->worker->charged)) c->worker->charged--;
    }
    tls_store_put(c->store);
    tls_facts_put(c->facts);
    slab_put(&c->worker->conns, c);
}

static void conn_on_events(struct transport *t, uint32_t events)
{
    struct tls_conn *c = tls_conn_of(t);
    bool was_readable = t->is_readable;
    t->is_readable = false;
    transport_note_events(t, events);
    if (t->is_readable) c->has_bytes = true;
    t->is_readable |= was_readable;
}

/* A server may send tickets at any time, which are no reason to give its connection up: what has come is read. */
static bool conn_is_dead(struct transport *t)
{
    struct tls_conn *c = tls_conn_of(t);
    char byte;
    size_t got;
    if (t->has_hangup || (t->io.pending & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return true;
    if (t->io.pending & EPOLLIN) t->is_readable = c->has_bytes = true;
    return t->is_readable && conn_recv(t, &byte, 1, &got) != IO_AGAIN;
}

/* Bytes that nobody read would make the kernel send a reset, which takes the alert away from whoever is to read it. */
static void drain(struct tls_conn *c)
{
    if (c->has_bytes) (void)!recv(c->t->io.fd, NULL, TLS_IN_BYTES, MSG_TRUNC | MSG_DONTWAIT);
}

static void conn_close(struct transport *t, bool is_reset)
{
    struct tls_conn *c = tls_conn_of(t);
    if (!is_reset && c->ssl && t->is_open && !c->is_failed && !t->is_shut) {
        tls_conn_begin(c, 0);
        say_end(c);
        (void)tls_conn_ship(c);
    }
    if (!is_reset && !t->is_open) drain(c);
    if (c->opening) tls_connect_failed(c);
    tls_conn_release(c);
    transport_close_descriptor(t, is_reset);
}

static void conn_moved(struct transport *from, struct transport *to)
{
    (void)from;
    tls_conn_of(to)->t = to;
}

const struct transport_ops tls_conn_ops = {
    .name = "tls",
    .open = tls_conn_open,
    .recv = conn_recv,
    .send = conn_send,
    .flush = tls_conn_flush,
    .shutdown = conn_shutdown,
    .on_events = conn_on_events,
    .is_dead = conn_is_dead,
    .wait = transport_register,
    .close = conn_close,
    .moved = conn_moved,
};

void tls_conn_put_over(struct tls_conn *c, struct transport *t, struct tls_worker *w, const char *alpn)
{
    (void)bug_if(TLS, t->own); /* whose that is would never hear of its end */
    c->t = t;
    c->worker = w;
    c->alpn = alpn;
    c->has_bytes = t->is_readable;
    c->is_connected = t->is_open;
    loop_task_init(&c->task, tls_conn_on_task);
    t->own = c;
    c->below = t->ops;
    t->ops = &tls_conn_ops;
    t->is_open = false;
}

int tls_conn_accept(struct transport *t, struct tls_worker *w, struct tls_slot *slot, const char *alpn)
{
    struct tls_conn *c = slab_get(&w->conns);
    if (!c) return -1;
    c->store = tls_slot_get(slot);
    tls_conn_put_over(c, t, w, alpn);
    return 0;
}

size_t tls_conn_size(void)
{
    return sizeof(struct tls_conn);
}

/* what it is */

const char *tls_conn_version(const struct transport *t)
{
    return SSL_get_version(tls_conn_of(t)->ssl);
}

const char *tls_conn_cipher(const struct transport *t)
{
    return SSL_get_cipher_name(tls_conn_of(t)->ssl);
}

const char *tls_conn_name(const struct transport *t)
{
    const char *name = SSL_get_servername(tls_conn_of(t)->ssl, TLSEXT_NAMETYPE_host_name);
    return name ? name : "";
}

struct slice tls_conn_alpn(const struct transport *t)
{
    const unsigned char *name = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(tls_conn_of(t)->ssl, &name, &len);
    return (struct slice){ (const char *)name, len };
}

bool tls_conn_is_resumed(const struct transport *t)
{
    return SSL_session_reused(tls_conn_of(t)->ssl);
}

X509 *tls_conn_peer(const struct transport *t)
{
    return SSL_get0_peer_certificate(tls_conn_of(t)->ssl);
}

struct tls_facts *tls_conn_facts(const struct transport *t)
{
    return tls_conn_of(t)->facts;
}

struct tls_store *tls_conn_store(const struct tls_conn *c)
{
    return c->store;
}

struct tls_worker *tls_conn_worker(const struct tls_conn *c)
{
    return c->worker;
}

const char *tls_conn_wanted_alpn(const struct tls_conn *c)
{
    return c->alpn;
}

const struct tls_choice *tls_conn_choice(const struct tls_conn *c)
{
    return c->choice;
}

void tls_conn_choose(struct tls_conn *c, const struct tls_choice *choice)
{
    c->choice = choice;
}

void tls_conn_prove(struct tls_conn *c, struct tls_store *store)
{
    tls_store_put(c->store);
    c->store = store;
    c->choice = NULL;
    c->is_proof = true;
}

bool tls_conn_is_proof(const struct tls_conn *c)
{
    return c->is_proof;
}
