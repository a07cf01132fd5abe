/* What the owner of its stream calls. */
#include <errno.h>

#include "base/bug.h"
#include "http/h1_server_steps.h"

/* So little of a request that nobody wants is read to its end rather than that its connection is given up. */
#define UNWANTED_MAX (256u << 10)

bool h1_server_has_left(const struct h1_conn *conn)
{
    return conn->transport->is_broken || (conn->stream.ends_at_hangup && conn->transport->has_hangup);
}

void h1_server_tell_left(struct h1_conn *conn)
{
    struct http_fault fault = { .reason = END_CLIENT_ABORT,
                                .detail = conn->transport->is_broken ? "the client reset its connection"
                                                                     : "the client closed its connection" };
    conn->is_persistent = false;
    conn->stream.events->on_error(&conn->stream, &fault);
}

/* Both messages are complete with this, and the connection ends with them: release() follows in this turn. */
static void expect_close(struct h1_request *r, bool is_end)
{
    r->conn.transport->ends_with_this = is_end && r->server->closes && r->conn.stream.is_ended;
}

static enum io send_body(struct http_stream *s, const char *data, size_t len, unsigned flags, size_t *taken)
{
    expect_close(h1_request_of(s), flags & HTTP_END);
    return h1_conn_send_body(s, data, len, flags, taken);
}

/* What is still to come of the request, and is not wanted, is known to be little. */
static bool is_rest_small(const struct h1_request *r)
{
    const struct h1_body *body = &r->conn.in.body;
    return r->conn.stream.is_ended || (body->state == H1_BODY_LENGTH && body->remaining <= UNWANTED_MAX);
}

static enum io send_head(struct http_stream *s, const struct http_send *send, unsigned flags)
{
    struct h1_request *r = h1_request_of(s);
    struct h1_server *c = r->server;
    struct h1_conn *conn = &r->conn;
    bool is_final = send->head->status >= 200 || send->head->status == 101;
    /* To whom it would go has asked for nothing, or for something else by now. */
    if (bug_if(H1_SERVER, c->state != H1_SERVER_EXCHANGE && c->state != H1_SERVER_KILLED)) return IO_FAIL;
    if (send->head->status == 100) r->awaits_continue = false;
    if (send->wants_close || c->http.service->is_draining || !conn->is_persistent) c->closes = true;
    if (send->is_early && (r->awaits_continue || !is_rest_small(r))) c->closes = true;
    uint32_t before = conn->out.end - conn->out.begin;
    if (h1_out_response(&conn->out, h1_server_loop(c), send, r->is_1_0, &c->closes) == IO_FAIL) {
        s->lacks_memory = true;
        return IO_FAIL;
    }
    s->head_bytes += conn->out.end - conn->out.begin - before;
    if ((flags & HTTP_MORE) && is_final) {
        s->is_flushed = false;
        return IO_OK;
    }
    expect_close(r, conn->out.is_ended && send->head->status >= 200);
    return h1_conn_sent(conn, h1_out_flush(&conn->out, conn->transport)) == IO_FAIL ? IO_FAIL : IO_OK;
}

static bool unsend(struct http_stream *s)
{
    struct h1_conn *conn = h1_conn_of(s);
    if (conn->transport->has_sent) return false;
    h1_out_clear(&conn->out, h1_conn_loop(conn));
    s->is_flushed = true;
    s->head_bytes = 0;
    conn->wants_write = false;
    return true;
}

static void watch(struct http_stream *s)
{
    struct http_fault fault = { .reason = END_NO_DESCRIPTORS };
    struct h1_conn *conn = h1_conn_of(s);
    if (!s->events) return;
    if (transport_wait(conn->transport) < 0)
        s->events->on_error(s, &fault);
    else if (s->ends_at_hangup && s->is_ended && h1_server_has_left(conn))
        h1_server_tell_left(conn); /* it is not reported again */
}

static void release(struct http_stream *s)
{
    struct h1_request *r = h1_request_of(s);
    struct h1_server *c = r->server;
    s->events = NULL;
    if (bug_if(H1_SERVER, c->request != r)) return; /* the connection goes on with another */
    if (c->state == H1_SERVER_KILLED) h1_server_close(c, false);
    if (c->state != H1_SERVER_EXCHANGE) return;
    if (h1_conn_is_flushed(&r->conn)) {
        h1_server_finish(c);
        return;
    }
    c->state = H1_SERVER_FLUSH;
    loop_arm(h1_server_loop(c), &c->http.timer, c->http.service->write_timeout_ms);
    if (r->conn.transport->is_writable)
        loop_defer(h1_server_loop(c), &r->conn.task);
    else
        h1_server_wait(c);
}

static void reset(struct http_stream *s, enum end_reason reason)
{
    (void)reason; /* HTTP/1 cannot say it */
    struct h1_request *r = h1_request_of(s);
    s->events = NULL;
    if (bug_if(H1_SERVER, r->server->request != r)) return;
    /* A response that only its connection's end delimits would look whole after a FIN. */
    h1_server_close(r->server, r->conn.out.mode == H1_OUT_CLOSE && !r->conn.out.is_ended);
}

static int detach(struct http_stream *s, struct transport *to, struct block **held, struct slice *bytes)
{
    struct h1_server *c = h1_request_of(s)->server;
    int result = h1_conn_detach(s, to, held, bytes);
    c->http.is_detached = true;
    h1_server_close(c, false);
    return result;
}

const struct http_stream_ops h1_server_stream_ops = {
    .send_head = send_head,
    .send_body = send_body,
    .send_trailers = h1_conn_send_trailers,
    .resume = h1_conn_resume,
    .unsend = unsend,
    .watch = watch,
    .reset = reset,
    .release = release,
    .detach = detach,
};
