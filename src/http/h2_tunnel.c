/* A stream as a transport: what comes of it is what its DATA frames carry, its end is END_STREAM, and RST_STREAM is a reset
 * (RFC 8441 5). So a tunnel is one thing, with its time-outs, its end and its record, whatever its ends are.
 *
 * What comes lies in the loop's scratch, into which whoever has the transport reads what the other side says: it is held, at
 * the price of a copy, and told once that is over. */
#include <errno.h>
#include <string.h>

#include "base/bug.h"
#include "http/h2_session.h"

static struct h2_stream *stream_of(const struct transport *t)
{
    return t->own;
}

/* What is held is for whoever has the transport, who is told once nobody works off what was received. */
void h2_tunnel_came(struct h2_stream *st)
{
    if (bug_if(H2_SESSION, !st->tunnel)) return;
    st->tunnel->is_readable = true;
    loop_defer(st->session->loop, &st->tunnel_task);
}

static void on_task(struct loop_task *task)
{
    struct h2_stream *st = container_of(task, struct h2_stream, tunnel_task);
    if (st->tunnel) st->tunnel->on_ready(st->tunnel);
}

/* as a transport */

static enum io fail(struct transport *t, int cause)
{
    t->saved_errno = cause;
    return IO_FAIL;
}

static enum io tunnel_open(struct transport *t)
{
    return t->is_open ? IO_OK : fail(t, ENOTCONN);
}

static size_t take_held(struct h2_stream *st, char *data, size_t len)
{
    struct h2_session *s = st->session;
    size_t taken = 0;
    while (taken < len && st->hold.len) {
        struct slice front = h2_bytes_front(&st->hold);
        size_t now = front.len < len - taken ? front.len : len - taken;
        memcpy(data + taken, front.data, now);
        h2_bytes_drop(&st->hold, s->loop, now);
        taken += now;
    }
    if (!bug_if(H2_SESSION, taken > s->held || taken > len)) s->held -= taken;
    st->stream.held = (uint32_t)st->hold.len;
    return taken;
}

static enum io tunnel_recv(struct transport *t, char *data, size_t len, size_t *got)
{
    struct h2_stream *st = stream_of(t);
    *got = 0;
    if (bug_if(H2_SESSION, st->tunnel != t || st->is_gone))
        return fail(t, EBADF); /* it is another's by now */
    if (t->is_broken) return fail(t, ECONNRESET);
    if (st->hold.len) {
        *got = take_held(st, data, len);
        h2_body_took(st, *got);
        h2_body_credit(st->session);
        return IO_OK;
    }
    if (st->has_ended) return IO_EOF;
    t->is_readable = false;
    return IO_AGAIN;
}

static enum io tunnel_send(struct transport *t, const struct iovec *iov, int count, size_t *sent)
{
    struct h2_stream *st = stream_of(t);
    *sent = 0;
    if (bug_if(H2_SESSION, st->tunnel != t || st->is_gone)) return fail(t, EBADF);
    for (int i = 0; i < count; i++) {
        size_t taken = 0;
        enum io io = h2_stream_send_body(&st->stream, iov[i].iov_base, iov[i].iov_len, 0, &taken);
        *sent += taken;
        if (io == IO_FAIL) return fail(t, EPIPE);
        if (taken < iov[i].iov_len) {
            t->is_writable = false; /* until on_writable */
            break;
        }
    }
    if (!*sent) return IO_AGAIN;
    t->has_sent = true;
    return IO_OK;
}

static enum io tunnel_shutdown(struct transport *t)
{
    size_t none = 0;
    if (t->is_shut) return IO_OK;
    t->is_shut = true;
    enum io io = h2_stream_send_body(&stream_of(t)->stream, NULL, 0, HTTP_END, &none);
    return io == IO_FAIL ? fail(t, EPIPE) : IO_OK;
}

static void tunnel_on_events(struct transport *t, uint32_t events)
{
    (void)t, (void)events; /* it has no descriptor */
}

static bool tunnel_is_dead(struct transport *t)
{
    return t->is_broken || stream_of(t)->has_ended;
}

/* It is called in any case. */
static int tunnel_wait(struct transport *t)
{
    (void)t;
    return 0;
}

static void tunnel_close(struct transport *t, bool is_reset)
{
    struct h2_stream *st = stream_of(t);
    if (!is_reset && !t->is_broken) (void)tunnel_shutdown(t);
    if (bug_if(H2_SESSION, st->tunnel != t)) return; /* it is another's by now */
    bool by_us = !st->is_reset && !st->is_refused && !(st->has_sent_end && st->has_ended);
    loop_cancel(&st->tunnel_task);
    st->tunnel = NULL;
    if (by_us) h2_stream_send_reset(st, is_reset ? H2_CANCEL : H2_NO_ERROR);
    h2_stream_bury(st, by_us);
}

static void tunnel_moved(struct transport *t, struct transport *to)
{
    (void)bug_if(H2_SESSION, stream_of(t)->tunnel != t);
    stream_of(t)->tunnel = to;
}

static const struct transport_ops tunnel_ops = {
    .name = "h2",
    .open = tunnel_open,
    .recv = tunnel_recv,
    .send = tunnel_send,
    .shutdown = tunnel_shutdown,
    .on_events = tunnel_on_events,
    .is_dead = tunnel_is_dead,
    .wait = tunnel_wait,
    .close = tunnel_close,
    .moved = tunnel_moved,
};

struct h2_stream *h2_tunnel_stream(const struct transport *t)
{
    return t->ops == &tunnel_ops ? stream_of(t) : NULL;
}

/* as a stream's owner */

static size_t on_body(struct http_stream *stream, const char *data, size_t len, unsigned flags)
{
    (void)stream, (void)data, (void)len, (void)flags;
    return 0; /* it stays where it is held */
}

static void on_trailers(struct http_stream *stream, const struct http_field *fields, uint32_t count)
{
    (void)stream, (void)fields, (void)count;
}

/* As a socket that was reset: whoever reads or writes hears of it. */
static void on_error(struct http_stream *stream, const struct http_fault *fault)
{
    struct h2_stream *st = h2_stream_of(stream);
    struct transport *t = st->tunnel;
    if (bug_if(H2_SESSION, !t) || t->is_broken) return;
    t->is_broken = t->has_hangup = t->is_writable = true;
    /* That a client is gone is called as it is of one without HTTP/2. */
    if (fault->reason != END_CLIENT_ABORT) t->fault = (uint8_t)fault->reason;
    h2_tunnel_came(st);
}

static void on_writable(struct http_stream *stream)
{
    struct h2_stream *st = h2_stream_of(stream);
    struct transport *t = st->tunnel;
    if (bug_if(H2_SESSION, !t)) return;
    t->is_writable = true;
    if (t->loop->is_scratch_busy)
        loop_defer(t->loop, &st->tunnel_task); /* the server refuses the rest */
    else
        t->on_ready(t);
}

static const struct http_stream_events tunnel_events = {
    .on_body = on_body, .on_trailers = on_trailers, .on_error = on_error, .on_writable = on_writable
};

void h2_tunnel_await(struct h2_stream *st)
{
    st->is_tunnel = st->is_blocked = st->stream.is_ended = true;
    st->is_told = false;
}

int h2_stream_detach(struct http_stream *stream, struct transport *to, struct block **held,
                     struct slice *bytes)
{
    struct h2_stream *st = h2_stream_of(stream);
    (void)bug_if(H2_SESSION, st->tunnel || st->is_gone);
    *held = NULL;
    *bytes = SLICE_NONE;
    *to = (struct transport){ .io = { .fd = -1 },
                              .is_open = true,
                              .is_readable = st->hold.len || st->has_ended,
                              .is_writable = true,
                              .loop = st->session->loop,
                              .ops = &tunnel_ops,
                              .own = st };
    st->tunnel = to;
    loop_task_init(&st->tunnel_task, on_task);
    stream->events = &tunnel_events;
    stream->owner = NULL;
    return 0;
}
