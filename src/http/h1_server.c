/* Its beginning, its time-outs and ends, and what its owner asks. */
#include "base/bug.h"
#include "http/h1_server_steps.h"

/* While weir drains, who has connected and asked for nothing yet has so long to do it. */
#define FIRST_REQUEST_MS 1000u

static void drive(struct h1_conn *conn);

static const struct h1_role role = {
    .body_eof = END_CLIENT_ABORT,
    .body_reset = END_CLIENT_ABORT,
    .drive = drive,
};

void h1_server_close(struct h1_server *c, bool is_reset)
{
    if (c->state == H1_SERVER_CLOSED) return;
    if (c->state == H1_SERVER_DISCARD) c->conn.stream.events = NULL; /* its own */
    if (bug_if(H1_SERVER, c->conn.stream.events)) {
        h1_server_stop(c, END_INTERNAL); /* it closes once whoever holds the stream lets go */
        return;
    }
    c->state = H1_SERVER_CLOSED;
    h1_conn_retire(&c->conn, is_reset);
    http_conn_end(&c->http, is_reset);
}

void h1_server_wait(struct h1_server *c)
{
    if (transport_wait(c->conn.transport) < 0) h1_server_close(c, false);
}

static void drive(struct h1_conn *conn)
{
    struct h1_server *c = container_of(conn, struct h1_server, conn);
    switch ((enum h1_server_state)c->state) {
    case H1_SERVER_HEAD: h1_server_read_head(c); return;
    case H1_SERVER_EXCHANGE:
        if (!h1_conn_write(conn) || c->state != H1_SERVER_EXCHANGE) return;
        if (!conn->stream.events) return;
        if (!conn->stream.is_ended && !conn->is_blocked && conn->transport->is_readable) {
            h1_conn_pump(conn, SLICE_NONE);
        } else if (h1_server_has_left(conn)) {
            h1_server_tell_left(conn);
        }
        return;
    case H1_SERVER_FLUSH:
        if (conn->transport->is_writable && h1_out_flush(&conn->out, conn->transport) == IO_FAIL)
            h1_server_close(c, false);
        else if (h1_conn_is_flushed(conn))
            h1_server_finish(c);
        return;
    case H1_SERVER_DISCARD: h1_server_discard(c); return;
    case H1_SERVER_LINGER: h1_server_linger(c); return;
    case H1_SERVER_KILLED:
    case H1_SERVER_CLOSED: return;
    }
}

static void on_ready(struct transport *t)
{
    drive(&container_of(t, struct h1_server, http.transport)->conn);
}

static void on_timer(struct timer *t)
{
    struct h1_server *c = container_of(t, struct h1_server, http.timer);
    switch ((enum h1_server_state)c->state) {
    case H1_SERVER_HEAD:
        if (c->has_started) {
            h1_server_tell_fault(c, &(struct http_fault){ END_HEADER_TIMEOUT, NULL, 0 },
                                 h1_in_held(&c->conn.in));
            return;
        }
        h1_server_close(c, false);
        return;
    case H1_SERVER_EXCHANGE: /* the exchange has its own; this one was left from before it */
    case H1_SERVER_KILLED:
    case H1_SERVER_CLOSED: return;
    case H1_SERVER_FLUSH: h1_server_close(c, true); return;
    case H1_SERVER_DISCARD:
    case H1_SERVER_LINGER: h1_server_clean_on(c); return;
    }
}

static struct h1_server *h1_server_at(const struct http_conn *http)
{
    return container_of((struct http_conn *)(uintptr_t)http, struct h1_server, http);
}

static void h1_server_drain(struct http_conn *http)
{
    struct h1_server *c = h1_server_at(http);
    bool is_told = c->closes;
    c->closes = true;
    if (c->state != H1_SERVER_HEAD || c->has_started) return;
    /* A request that has come meanwhile is served; only a connection that is truly idle closes. */
    c->http.transport.is_readable = true;
    drive(&c->conn);
    if (c->state != H1_SERVER_HEAD || c->has_started || c->conn.in.hold) return;
    /* Whoever has connected to ask for the first time is about to, and was told of no close. */
    if (c->http.client.requests)
        h1_server_close(c, false);
    else if (!is_told && c->http.service->header_timeout_ms > FIRST_REQUEST_MS)
        loop_arm(h1_server_loop(c), &c->http.timer, FIRST_REQUEST_MS);
}

void h1_server_stop(struct h1_server *c, enum end_reason reason)
{
    struct http_stream *s = &c->conn.stream;
    if (c->state == H1_SERVER_KILLED) return;
    if (s->events) {
        struct http_fault fault = { .reason = reason };
        s->events->on_error(s, &fault);
        /* An answer that the client does not take at once is not waited for. */
        fault.reason = END_CLIENT_ABORT;
        if (s->events) s->events->on_error(s, &fault);
    }
    if (!s->events) {
        h1_server_close(c, false);
        return;
    }
    c->state = H1_SERVER_KILLED;
    loop_disarm(h1_server_loop(c), &c->http.timer);
    h1_conn_shut(&c->conn, false);
}

static void h1_server_kill(struct http_conn *http, enum end_reason reason)
{
    h1_server_stop(h1_server_at(http), reason);
}

/* Whoever begins a request and does not go on with it is as good as idle, but not quite. */
static enum http_conn_use h1_server_use(const struct http_conn *http)
{
    const struct h1_server *c = h1_server_at(http);
    switch ((enum h1_server_state)c->state) {
    case H1_SERVER_HEAD: return c->has_started || c->conn.in.hold ? HTTP_CONN_BEGINNING : HTTP_CONN_IDLE;
    case H1_SERVER_DISCARD:
    case H1_SERVER_LINGER: return HTTP_CONN_ENDING;
    case H1_SERVER_FLUSH: return HTTP_CONN_FLUSHING;
    case H1_SERVER_EXCHANGE:
    case H1_SERVER_KILLED:
    case H1_SERVER_CLOSED: break;
    }
    return HTTP_CONN_BUSY;
}

static void h1_server_each_stream(struct http_conn *http,
                                  void (*on_stream)(void *context, struct http_stream *s), void *context)
{
    struct http_stream *s = &h1_server_at(http)->conn.stream;
    if (s->events && s->owner) on_stream(context, s); /* without an owner it is the connection's own */
}

static void h1_server_reach(const struct http_conn *http, struct http_reach *out)
{
    out->blocks += h1_conn_blocks(&h1_server_at(http)->conn);
}

static const struct http_conn_ops conn_ops = {
    .drain = h1_server_drain,
    .kill = h1_server_kill,
    .use = h1_server_use,
    .each_stream = h1_server_each_stream,
    .reach = h1_server_reach,
};

_Static_assert(sizeof(struct h1_server) >= sizeof(struct http_conn) + sizeof(void *), "it opens in there");

void h1_server_begin(struct http_conn *http)
{
    struct h1_server *c = h1_server_at(http);
    (void)bug_if(H1_SERVER, !http->transport.is_open);
    http->ops = &conn_ops;
    http->transport.on_ready = on_ready;
    http->timer.on_timer = on_timer; /* armed already: the first head has the time that is left */
    h1_conn_init(&c->conn, &http->transport, &role, &http->service->limits);
    c->conn.stream.ops = &h1_server_stream_ops;
    drive(&c->conn);
}

void h1_server_start(struct h1_server *c, struct http_service *service, struct loop *l, int fd,
                     const struct address *client, uint64_t id, struct list *among)
{
    http_conn_init(&c->http, service, l, fd, client, id, among);
    http_conn_open(&c->http, h1_server_begin);
}
