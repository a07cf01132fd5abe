#include <ctype.h>
#include <errno.h>
#include <openssl/err.h>

#include "base/bug.h"
#include "tls/conn_state.h"

/* What a turn may spend on handshakes; the others wait for the next, so that those who are connected do not wait for those
 * who come. */
#define HANDSHAKES_NS (3 * NS_PER_MS)
#define HANDSHAKE_RECORD 22
#define ALERT_RECORD 21

/* What a TLS peer sends first is a record of the handshake (RFC 8446 5.1); a request of HTTP begins with its method. */
static bool looks_like_tls(struct tls_conn *c, size_t got)
{
    const unsigned char *in = (const unsigned char *)c->worker->in;
    bool may_be = in[0] == HANDSHAKE_RECORD || (c->is_upstream && in[0] == ALERT_RECORD);
    if (may_be && (got < 2 || in[1] == 3)) return true;
    if (c->is_upstream)
        tls_connect_note_plain(c, (struct slice){ c->worker->in, got });
    else
        tls_conn_note(c, isupper(in[0]) ? END_PLAIN_ON_TLS : END_NOT_TLS, NULL);
    return false;
}

static bool make_ssl(struct tls_conn *c)
{
    if (c->ssl) return true;
    if (bug_if(TLS, c->is_charged || (!c->opening && !c->store))) return false;
    if (!block_pool_charge(&c->t->loop->blocks, TLS_SSL_BYTES)) {
        tls_conn_note(c, END_NO_MEMORY, NULL);
        return false;
    }
    c->is_charged = true;
    c->worker->charged++;
    BIO *bio = BIO_new(c->worker->method);
    SSL_CTX *context = c->opening ? tls_upstream_context(c->opening->upstream) : tls_store_context(c->store);
    c->ssl = bio ? SSL_new(context) : NULL;
    if (!c->ssl) {
        BIO_free(bio);
        tls_conn_note(c, END_NO_MEMORY, NULL);
        return false;
    }
    BIO_set_data(bio, c->worker);
    SSL_set_bio(c->ssl, bio, bio);
    SSL_set_app_data(c->ssl, c);
    if (c->opening) return tls_connect_prepare(c);
    SSL_set_accept_state(c->ssl);
    return true;
}

static void opened(struct tls_conn *c)
{
    (void)bug_if(TLS, c->t->is_open || c->facts);
    c->t->is_open = true;
    if (!c->is_upstream) c->facts = tls_facts_new(c->ssl);
    /* The configuration may go now; so may what only handshakes need. */
    tls_store_put(c->store);
    c->store = NULL;
    c->choice = NULL;
    SSL_certs_clear(c->ssl);
    if (c->opening) tls_connect_opened(c);
}

static enum io handshake_failed(struct tls_conn *c)
{
    unsigned long error = ERR_peek_error();
    if (c->is_upstream) return tls_conn_broke(c);
    if (!c->choice && ERR_GET_REASON(error) == SSL_R_CALLBACK_FAILED)
        tls_conn_note(c, END_TLS_UNKNOWN_NAME, NULL);
    long verified = SSL_get_verify_result(c->ssl);
    if (ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK)
        tls_conn_note(c, END_TLS_FAILED, X509_verify_cert_error_string(verified));
    return tls_conn_broke(c);
}

/* The CA has seen what it came for, and has nothing else to say here (RFC 8737 3). */
static enum io proof_shown(struct tls_conn *c)
{
    tls_conn_begin(c, 0);
    SSL_shutdown(c->ssl);
    (void)tls_conn_ship(c);
    ERR_clear_error();
    tls_conn_note(c, END_ACME_PROOF, NULL);
    return tls_conn_fail(c, EPROTO);
}

/* IO_AGAIN: one step was made. */
static enum io handshake_step(struct tls_conn *c, size_t came)
{
    tls_conn_begin(c, (uint32_t)came);
    int done = SSL_do_handshake(c->ssl);
    enum io io = IO_AGAIN;
    int why = done == 1 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, done);
    if (why != SSL_ERROR_NONE && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
        io = handshake_failed(c);
    if (tls_conn_drop(c, came) != IO_OK) io = tls_conn_fail(c, c->t->saved_errno);
    bool was_failed = c->is_failed;
    if (tls_conn_ship(c) != IO_OK) { /* an alert, too */
        if (c->is_upstream) tls_connect_note_cut(c);
        io = IO_FAIL;
    }
    if (io == IO_FAIL || was_failed) return IO_FAIL;
    if (done == 1 && c->is_proof) return proof_shown(c);
    if (done == 1) opened(c);
    return IO_AGAIN;
}

/* Has this turn time for one more? */
static bool may_shake_hands(struct tls_conn *c)
{
    struct tls_worker *w = c->worker;
    if (w->turn != w->loop->turns) {
        w->turn = w->loop->turns;
        w->turn_ns = 0;
    }
    if (w->turn_ns < HANDSHAKES_NS) return true;
    loop_defer(w->loop, &c->task);
    return false;
}

/* What came, to be looked at; towards a server the first step is ours, and needs none. IO_EOF: there is nothing yet. */
static enum io next_bytes(struct tls_conn *c, size_t *came)
{
    *came = 0;
    if (c->is_upstream && !c->ssl) return make_ssl(c) ? IO_OK : tls_conn_fail(c, ENOMEM);
    enum io io = tls_conn_fetch(c, true, TLS_IN_BYTES, came);
    if (io == IO_EOF) return tls_conn_cut(c);
    if (io == IO_AGAIN) return IO_EOF;
    if (io == IO_FAIL && c->is_upstream) return tls_conn_cut(c);
    if (io == IO_FAIL) {
        tls_conn_note(c, END_CLIENT_ABORT, NULL);
        return tls_conn_fail(c, c->t->saved_errno);
    }
    if (!c->has_heard && !looks_like_tls(c, *came)) return tls_conn_fail(c, EPROTO);
    c->has_heard = true;
    return make_ssl(c) ? IO_OK : tls_conn_fail(c, ENOMEM);
}

static enum io handshake_once(struct tls_conn *c)
{
    size_t came = 0;
    if (c->t->holds_rest) {
        enum io io = c->t->is_writable ? tls_conn_flush(c->t) : IO_AGAIN;
        if (io != IO_OK) return io == IO_FAIL ? tls_conn_fail(c, c->t->saved_errno) : IO_EOF;
    }
    if (!may_shake_hands(c)) return IO_EOF;
    uint64_t start_ns = clock_now_ns();
    enum io io = next_bytes(c, &came);
    if (io != IO_OK) return io;
    io = handshake_step(c, came);
    c->worker->turn_ns += clock_now_ns() - start_ns;
    return io;
}

/* Nothing was taken from the kernel yet. */
static void become_plain(struct tls_conn *c)
{
    struct transport *t = c->t;
    (void)bug_if(TLS, c->is_upstream || c->ssl); /* it would have said something already */
    t->ops = c->below;
    t->own = NULL;
    t->is_open = t->is_readable = true;
    tls_conn_release(c);
}

/* TCP's part. */
static enum io connect_below(struct tls_conn *c)
{
    struct transport *t = c->t;
    (void)bug_if(TLS, !c->is_upstream); /* who was accepted is connected */
    enum io io = c->below->open(t);
    t->is_open = false;
    if (io == IO_FAIL) c->is_failed = true;
    if (io != IO_OK) return io;
    c->is_connected = true;
    t->overdue = END_SERVER_TLS_TIMEOUT;
    return IO_OK;
}

/* IO_EOF of a step stands for: nothing more can be done now. */
enum io tls_conn_open(struct transport *t)
{
    struct tls_conn *c = tls_conn_of(t);
    if (c->is_failed) return IO_FAIL;
    enum io io = c->is_connected ? IO_OK : connect_below(c);
    if (io != IO_OK) return io;
    io = IO_AGAIN;
    while (io == IO_AGAIN && !t->is_open) io = handshake_once(c);
    if (io == IO_FAIL && c->alpn && t->fault == END_PLAIN_ON_TLS) {
        become_plain(c);
        return IO_OK;
    }
    if (io == IO_FAIL) {
        c->is_failed = true;
        if (c->opening) tls_connect_failed(c);
        return IO_FAIL;
    }
    t->is_readable = c->has_bytes || (c->ssl && SSL_pending(c->ssl));
    return t->is_open ? IO_OK : IO_AGAIN;
}

void tls_conn_on_task(struct loop_task *task)
{
    struct tls_conn *c = container_of(task, struct tls_conn, task);
    c->t->on_ready(c->t);
}
