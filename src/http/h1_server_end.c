/* What follows a response: the next request, or what still comes of this one. */
#include "base/bug.h"
#include "http/h1_server_steps.h"

/* After a response that ended before its request did, what still comes is read and thrown away, so that a reset does not
 * destroy the response on its way (RFC 9112 9.6). Bounded by rate, so much in each step, and by time, so many steps. */
#define LINGER_STEP_MS 5000
#define LINGER_STEP_BYTES 5120
#define LINGER_STEPS 6

/* What still comes is read and thrown away, in state `next`. */
static void start_clean_up(struct h1_server *c, enum h1_server_state next)
{
    c->state = (uint8_t)next;
    c->request->cleaned_bytes = 0;
    loop_arm(h1_server_loop(c), &c->http.timer, LINGER_STEP_MS);
    loop_defer(h1_server_loop(c), &c->request->conn.task);
}

void h1_server_clean_on(struct h1_server *c)
{
    struct h1_request *r = c->request;
    bool may = r->cleaned_bytes >= LINGER_STEP_BYTES && ++r->clean_steps < LINGER_STEPS;
    r->cleaned_bytes = 0;
    if (may)
        loop_arm(h1_server_loop(c), &c->http.timer, LINGER_STEP_MS);
    else
        h1_server_close(c, false);
}

static void start_linger(struct h1_server *c)
{
    if (bug_if(H1_SERVER, c->request->conn.stream.events)) { /* somebody would wait for what is thrown away */
        h1_server_stop(c, END_INTERNAL);
        return;
    }
    h1_in_clear(&c->request->conn.in, h1_server_loop(c));
    if (transport_shutdown(&c->http.transport) == IO_OK)
        start_clean_up(c, H1_SERVER_LINGER);
    else
        h1_server_close(c, false);
}

void h1_server_linger(struct h1_server *c)
{
    struct loop *l = h1_server_loop(c);
    for (size_t moved = 0; moved < LOOP_TURN_BYTES;) {
        size_t got = 0;
        enum io io = transport_recv(&c->http.transport, l->scratch, LOOP_SCRATCH_BYTES, &got);
        if (io == IO_AGAIN) {
            h1_server_wait(c);
            return;
        }
        if (io != IO_OK) {
            h1_server_close(c, false);
            return;
        }
        moved += got;
        c->request->cleaned_bytes += got;
    }
    loop_defer(l, &c->request->conn.task);
}

static size_t on_unwanted_body(struct http_stream *s, const char *data, size_t len, unsigned flags)
{
    (void)data, (void)flags;
    struct h1_request *r = h1_request_of(s);
    if (!bug_if(H1_SERVER, r->server->state != H1_SERVER_DISCARD)) r->cleaned_bytes += len;
    return len;
}

static void on_unwanted_trailers(struct http_stream *s, const struct http_field *fields, uint32_t count)
{
    (void)s, (void)fields, (void)count;
}

static void on_unwanted_error(struct http_stream *s, const struct http_fault *fault)
{
    (void)fault;
    s->events = NULL;
}

static void on_unwanted_writable(struct http_stream *s)
{
    (void)s;
}

static const struct http_stream_events unwanted_events = {
    .on_body = on_unwanted_body,
    .on_trailers = on_unwanted_trailers,
    .on_error = on_unwanted_error,
    .on_writable = on_unwanted_writable,
};

void h1_server_finish(struct h1_server *c)
{
    struct h1_request *r = c->request;
    struct h1_conn *conn = &r->conn;
    if (bug_if(H1_SERVER, conn->stream.events)) { /* the next request would be told to the last one's */
        h1_server_stop(c, END_INTERNAL);
        return;
    }
    bool has_unread = !conn->stream.is_ended;
    /* A client that was not told to go on may leave the body away and send its next request in its place. */
    bool is_unsure = has_unread && r->awaits_continue;
    bool is_ahead = r->is_upgrade && (conn->in.hold || conn->transport->is_readable);
    bool is_last = c->http.service->is_draining && !c->http.service->keeps_idle;
    if (is_last || is_unsure || is_ahead) c->closes = true;
    if (c->closes || !conn->is_persistent || !conn->out.is_ended) {
        /* Who was told of the close by weir may have sent more before he heard of it. */
        if (has_unread || r->may_run_ahead || conn->in.hold || conn->transport->is_readable)
            start_linger(c);
        else
            h1_server_close(c, false);
        return;
    }
    if (has_unread) {
        conn->stream.events = &unwanted_events;
        conn->stream.owner = NULL; /* no exchange any more */
        start_clean_up(c, H1_SERVER_DISCARD);
        return;
    }
    c->state = H1_SERVER_HEAD;
    r->clean_steps = 0;
    loop_arm(h1_server_loop(c), &c->http.timer, c->http.service->keep_alive_timeout_ms);
    if (conn->in.hold || conn->transport->is_readable) {
        loop_defer(h1_server_loop(c), &conn->task);
        return;
    }
    h1_server_rest(c);
    h1_server_wait(c);
}

void h1_server_discard(struct h1_server *c)
{
    struct h1_conn *conn = &c->request->conn;
    struct http_stream *s = &conn->stream;
    bool is_whole = s->is_ended || h1_conn_pump(conn, SLICE_NONE);
    if (is_whole && !s->is_ended) return;
    s->events = NULL;
    if (is_whole)
        h1_server_finish(c);
    else
        start_linger(c);
}
