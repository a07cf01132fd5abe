#include "http/h1_server.h"

#include <errno.h>

#include "base/bug.h"
#include "http/h2_server.h"

/* After a response that ended before its request did, what still comes is read and thrown away, so that a reset does not
 * destroy the response on its way (RFC 9112 9.6). Bounded by rate, so much in each step, and by time, so many steps. */
#define LINGER_STEP_MS 5000
#define LINGER_STEP_BYTES 5120
#define LINGER_STEPS 6
/* So little of a request that nobody wants is read to its end rather than that its connection is given up. */
#define UNWANTED_MAX (256u << 10)
/* While weir drains, who has connected and asked for nothing yet has so long to do it. */
#define FIRST_REQUEST_MS 1000u

static void drive(struct h1_conn *conn);
static void kill(struct h1_server *c, enum end_reason reason);
static const struct http_stream_ops stream_ops;

static const struct h1_role role = {
    .body_eof = END_CLIENT_ABORT,
    .body_reset = END_CLIENT_ABORT,
    .drive = drive,
};

static struct h1_server *h1_server_of(struct http_stream *s)
{
    return container_of(h1_conn_of(s), struct h1_server, conn);
}

static struct loop *loop_of(struct h1_server *c)
{
    return h1_conn_loop(&c->conn);
}

static void close_now(struct h1_server *c, bool is_reset)
{
    if (c->state == H1_SERVER_CLOSED) return;
    if (c->state == H1_SERVER_DISCARD) c->conn.stream.events = NULL; /* its own */
    if (bug_if(H1_SERVER, c->conn.stream.events)) {
        kill(c, END_INTERNAL); /* it closes once whoever holds the stream lets go */
        return;
    }
    c->state = H1_SERVER_CLOSED;
    h1_conn_retire(&c->conn, is_reset);
    http_conn_end(&c->http, is_reset);
}

static void wait_or_close(struct h1_server *c)
{
    if (transport_wait(c->conn.transport) < 0) close_now(c, false);
}

/* False, and it ends: somebody still has the last one. */
static bool begin_stream(struct h1_server *c)
{
    struct http_stream *s = &c->conn.stream;
    if (bug_if(H1_SERVER, s->events)) {
        kill(c, END_INTERNAL);
        return false;
    }
    *s = (struct http_stream){ .ops = &stream_ops,
                               .client = &c->http.client,
                               .is_flushed = true,
                               .is_reused = c->http.client.requests > 0 };
    c->conn.is_blocked = c->conn.wants_write = false;
    c->conn.out.is_ended = false;
    c->conn.transport->has_sent = false;
    c->http.client.requests++;
    return true;
}

static void tell_fault(struct h1_server *c, const struct http_fault *fault, struct slice start)
{
    if (!begin_stream(c)) return;
    c->state = H1_SERVER_EXCHANGE;
    c->is_1_0 = false;
    c->closes = true;
    c->http.service->on_fault(c->http.service, &c->conn.stream, fault, start);
}

/* A client that may send in the new protocol before it knows of the answer: if the change is refused, what follows the
 * head could be read as a request that somebody else has made up. Of CONNECT (RFC 9110 9.3.6) and of most upgrades one
 * cannot know; those of WebSocket, TLS and HTTP itself wait (RFC 6455 4.1, RFC 2817 3.1, RFC 7540 3.2). */
static bool may_run_ahead(const struct http_head *head)
{
    struct slice rest = head->upgrade;
    struct slice protocol;
    if (head->method == HTTP_CONNECT) return true;
    while (slice_next_element(&rest, &protocol)) {
        struct slice name = protocol; /* without the version */
        const char *slash = memchr(protocol.data, '/', protocol.len);
        if (slash) name.len = (size_t)(slash - protocol.data);
        if (!slice_equal_fold(name, SLICE("websocket")) && !slice_equal_fold(name, SLICE("h2c")) &&
            !slice_equal_fold(name, SLICE("HTTP")) && !slice_equal_fold(name, SLICE("TLS")))
            return true;
    }
    return false;
}

/* `bytes` begin with the head just parsed and lie in the scratch buffer or are held. */
static void begin_exchange(struct h1_server *c, struct slice bytes, bool is_held, uint32_t head_len,
                           struct http_head *head, const struct h1_framing *framing)
{
    struct h1_conn *conn = &c->conn;
    struct http_stream *s = &conn->stream;
    if (!begin_stream(c)) return;
    c->state = H1_SERVER_EXCHANGE;
    c->is_1_0 = head->version == HTTP_VERSION_1_0;
    c->closes = !framing->is_persistent || c->http.service->is_draining || may_run_ahead(head);
    c->is_upgrade = head->upgrade.len > 0;
    c->awaits_continue = head->expects_continue && !c->is_1_0;
    c->http.client.received = head_len;
    h1_body_init(&conn->in.body, head, framing, false);
    bool has_body = head->body != HTTP_BODY_NONE;
    s->is_ended = !has_body;
    if (bug_if(H1_SERVER, head_len > bytes.len)) {
        close_now(c, true);
        return;
    }
    struct slice rest = { bytes.data + head_len, bytes.len - head_len };
    if (c->is_upgrade && !has_body && rest.len) c->closes = true; /* it did run ahead */
    conn->in.owes_more = has_body && rest.len;
    c->http.service->on_request(c->http.service, s, head, conn->in.owes_more ? HTTP_MORE : 0);
    if (c->state == H1_SERVER_KILLED || c->state == H1_SERVER_CLOSED) return;
    if (is_held) {
        h1_in_use(&conn->in, loop_of(c), head_len);
        rest = SLICE_NONE;
    }
    if (!has_body || !s->events) {
        /* The start of the next request, or a body that nobody wants. */
        if (!h1_in_hold(&conn->in, loop_of(c), rest, LOOP_HOLD_BYTES)) kill(c, END_NO_MEMORY);
        return;
    }
    h1_conn_pump(conn, rest);
}

/* By prior knowledge (RFC 9113 3.3): of a client that has spoken nothing else yet. */
static bool is_http2(const struct h1_server *c, struct slice bytes)
{
    return c->http.service->h2 && !c->http.client.requests && !c->http.client.is_secure &&
           h2_server_is_meant(bytes);
}

/* Another speaks in the same memory. */
static void become_http2(struct h1_server *c, struct slice bytes)
{
    struct loop *l = loop_of(c);
    struct block *held = c->conn.in.hold;
    c->conn.in.hold = NULL;
    loop_cancel(&c->conn.task);
    c->state = H1_SERVER_CLOSED;
    h2_server_begin_with(&c->http, bytes);
    block_put(&l->blocks, held);
}

static void on_head_bytes(struct h1_server *c, struct slice bytes, bool is_held)
{
    struct http_field fields[HTTP_FIELDS_MAX + 1];
    struct http_head head;
    struct h1_framing framing;
    struct h1_fault fault;
    uint32_t head_len = 0;
    struct h1_conn *conn = &c->conn;
    if (!c->has_started) c->http.client.head_started_ns = loop_of(c)->now_ns;
    switch (h1_parse_request(&conn->in.progress, bytes, conn->limits, fields, &head, &framing, &head_len,
                             &fault)) {
    case H1_MORE:
        /* The clock runs from the first byte; a head that is whole at once never sets it. */
        if (!c->has_started) loop_arm(loop_of(c), &c->http.timer, c->http.service->header_timeout_ms);
        c->has_started = true;
        if (!is_held && !h1_in_hold(&conn->in, loop_of(c), bytes, BLOCK_MAX)) close_now(c, false);
        return;
    case H1_BAD:
        if (is_http2(c, bytes)) {
            become_http2(c, bytes);
            return;
        }
        conn->in.progress = (struct h1_progress){ 0 };
        tell_fault(c, &(struct http_fault){ fault.reason, fault.detail, 0 }, bytes);
        return;
    case H1_DONE:
        c->has_started = false;
        conn->in.progress = (struct h1_progress){ 0 };
        begin_exchange(c, bytes, is_held, head_len, &head, &framing);
        return;
    }
}

/* Receives behind what is held of the head, or into the scratch buffer. */
static enum io receive_head(struct h1_server *c, struct slice *bytes, bool *is_held)
{
    struct h1_conn *conn = &c->conn;
    struct loop *l = loop_of(c);
    size_t got = 0;
    enum io io = transport_recv(conn->transport, l->scratch, LOOP_HOLD_BYTES, &got);
    if (io != IO_OK) return io;
    conn->in.is_bulk = got == LOOP_HOLD_BYTES;
    *is_held = conn->in.hold != NULL;
    *bytes = (struct slice){ l->scratch, got };
    if (!*is_held) return IO_OK;
    if (!h1_in_hold(&conn->in, l, *bytes, BLOCK_MAX)) return IO_FAIL;
    *bytes = h1_in_held(&conn->in);
    return IO_OK;
}

static void on_received(struct h1_server *c, struct slice bytes, bool is_held)
{
    struct loop *l = loop_of(c);
    bool was_busy = loop_claim_scratch(l);
    on_head_bytes(c, bytes, is_held);
    loop_release_scratch(l, was_busy);
}

static void read_head(struct h1_server *c)
{
    struct slice bytes = h1_in_held(&c->conn.in);
    bool is_held = bytes.len > 0;
    if (is_held && !c->has_started) {
        on_head_bytes(c, bytes, true); /* pipelined */
        if (c->state != H1_SERVER_HEAD) return;
    }
    while (c->state == H1_SERVER_HEAD) {
        switch (receive_head(c, &bytes, &is_held)) {
        case IO_OK: on_received(c, bytes, is_held); break;
        case IO_AGAIN: wait_or_close(c); return;
        case IO_EOF:
        case IO_FAIL: close_now(c, false); return;
        }
    }
}

/* What still comes is read and thrown away, in state `next`. */
static void start_clean_up(struct h1_server *c, enum h1_server_state next)
{
    c->state = (uint8_t)next;
    c->cleaned_bytes = 0;
    loop_arm(loop_of(c), &c->http.timer, LINGER_STEP_MS);
    loop_defer(loop_of(c), &c->conn.task);
}

static bool may_clean_on(struct h1_server *c)
{
    bool may = c->cleaned_bytes >= LINGER_STEP_BYTES && ++c->clean_steps < LINGER_STEPS;
    c->cleaned_bytes = 0;
    return may;
}

static void start_linger(struct h1_server *c)
{
    h1_in_clear(&c->conn.in, loop_of(c));
    if (transport_shutdown(c->conn.transport) == IO_OK)
        start_clean_up(c, H1_SERVER_LINGER);
    else
        close_now(c, false);
}

static void linger(struct h1_server *c)
{
    struct loop *l = loop_of(c);
    for (size_t moved = 0; moved < LOOP_TURN_BYTES;) {
        size_t got = 0;
        enum io io = transport_recv(c->conn.transport, l->scratch, LOOP_SCRATCH_BYTES, &got);
        if (io == IO_AGAIN) {
            wait_or_close(c);
            return;
        }
        if (io != IO_OK) {
            close_now(c, false);
            return;
        }
        moved += got;
        c->cleaned_bytes += got;
    }
    loop_defer(l, &c->conn.task);
}

static size_t on_unwanted_body(struct http_stream *s, const char *data, size_t len, unsigned flags)
{
    (void)data, (void)flags;
    struct h1_server *c = h1_server_of(s);
    if (!bug_if(H1_SERVER, c->state != H1_SERVER_DISCARD)) c->cleaned_bytes += len;
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

/* The response is out: on to the next request, or to the end. */
static void finish(struct h1_server *c)
{
    struct h1_conn *conn = &c->conn;
    bool has_unread = !conn->stream.is_ended;
    /* A client that was not told to go on may leave the body away and send its next request in its place. */
    bool is_unsure = has_unread && c->awaits_continue;
    bool is_ahead = c->is_upgrade && (conn->in.hold || conn->transport->is_readable);
    bool is_last = c->http.service->is_draining && !c->http.service->keeps_idle;
    if (is_last || is_unsure || is_ahead) c->closes = true;
    if (c->closes || !conn->is_persistent || !conn->out.is_ended) {
        /* Who was told of the close by weir may have sent more before he heard of it. */
        if (has_unread || conn->in.hold || conn->transport->is_readable)
            start_linger(c);
        else
            close_now(c, false);
        return;
    }
    if (has_unread) {
        conn->stream.events = &unwanted_events;
        conn->stream.owner = NULL; /* no exchange any more */
        start_clean_up(c, H1_SERVER_DISCARD);
        return;
    }
    c->state = H1_SERVER_HEAD;
    c->clean_steps = 0;
    loop_arm(loop_of(c), &c->http.timer, c->http.service->keep_alive_timeout_ms);
    if (conn->in.hold || conn->transport->is_readable)
        loop_defer(loop_of(c), &conn->task);
    else
        wait_or_close(c);
}

/* The rest of an answered request, to its end: both sides keep the connection. */
static void discard(struct h1_server *c)
{
    struct http_stream *s = &c->conn.stream;
    bool is_whole = s->is_ended || h1_conn_pump(&c->conn, SLICE_NONE);
    if (is_whole && !s->is_ended) return;
    s->events = NULL;
    if (is_whole)
        finish(c);
    else
        start_linger(c);
}

/* A client may close its side alone and still take the response (RFC 9112 9.6). */
static bool has_left(const struct h1_conn *conn)
{
    return conn->transport->is_broken || (conn->stream.ends_at_hangup && conn->transport->has_hangup);
}

static void tell_left(struct h1_conn *conn)
{
    struct http_fault fault = { .reason = END_CLIENT_ABORT,
                                .detail = conn->transport->is_broken ? "the client reset its connection"
                                                                     : "the client closed its connection" };
    conn->is_persistent = false;
    conn->stream.events->on_error(&conn->stream, &fault);
}

static void drive(struct h1_conn *conn)
{
    struct h1_server *c = container_of(conn, struct h1_server, conn);
    switch ((enum h1_server_state)c->state) {
    case H1_SERVER_HEAD: read_head(c); return;
    case H1_SERVER_EXCHANGE:
        if (!h1_conn_write(conn) || c->state != H1_SERVER_EXCHANGE) return;
        if (!conn->stream.events) return;
        if (!conn->stream.is_ended && !conn->is_blocked && conn->transport->is_readable) {
            h1_conn_pump(conn, SLICE_NONE);
        } else if (has_left(conn)) {
            tell_left(conn);
        }
        return;
    case H1_SERVER_FLUSH:
        if (conn->transport->is_writable && h1_out_flush(&conn->out, conn->transport) == IO_FAIL)
            close_now(c, false);
        else if (h1_conn_is_flushed(conn))
            finish(c);
        return;
    case H1_SERVER_DISCARD: discard(c); return;
    case H1_SERVER_LINGER: linger(c); return;
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
            tell_fault(c, &(struct http_fault){ END_HEADER_TIMEOUT, NULL, 0 }, h1_in_held(&c->conn.in));
            return;
        }
        close_now(c, false);
        return;
    case H1_SERVER_EXCHANGE: /* the exchange has its own; this one was left from before it */
    case H1_SERVER_KILLED:
    case H1_SERVER_CLOSED: return;
    case H1_SERVER_FLUSH: close_now(c, true); return;
    case H1_SERVER_DISCARD:
    case H1_SERVER_LINGER:
        if (may_clean_on(c))
            loop_arm(loop_of(c), t, LINGER_STEP_MS);
        else
            close_now(c, false);
        return;
    }
}

/* Both messages are complete with this, and the connection ends with them: release() follows in this turn. */
static void expect_close(struct h1_server *c, bool is_end)
{
    c->conn.transport->ends_with_this = is_end && c->closes && c->conn.stream.is_ended;
}

static enum io send_body(struct http_stream *s, const char *data, size_t len, unsigned flags, size_t *taken)
{
    expect_close(h1_server_of(s), flags & HTTP_END);
    return h1_conn_send_body(s, data, len, flags, taken);
}

/* What is still to come of the request, and is not wanted, is known to be little. */
static bool is_rest_small(const struct h1_server *c)
{
    const struct h1_body *body = &c->conn.in.body;
    return c->conn.stream.is_ended || (body->state == H1_BODY_LENGTH && body->remaining <= UNWANTED_MAX);
}

static enum io send_head(struct http_stream *s, const struct http_send *send, unsigned flags)
{
    struct h1_server *c = h1_server_of(s);
    struct h1_conn *conn = &c->conn;
    bool is_final = send->head->status >= 200 || send->head->status == 101;
    /* To whom it would go has asked for nothing, or for something else by now. */
    if (bug_if(H1_SERVER, c->state != H1_SERVER_EXCHANGE && c->state != H1_SERVER_KILLED)) return IO_FAIL;
    if (send->head->status == 100) c->awaits_continue = false;
    if (send->wants_close || c->http.service->is_draining || !conn->is_persistent) c->closes = true;
    if (send->is_early && (c->awaits_continue || !is_rest_small(c))) c->closes = true;
    uint32_t before = conn->out.end - conn->out.begin;
    if (h1_out_response(&conn->out, loop_of(c), send, c->is_1_0, &c->closes) == IO_FAIL) {
        s->lacks_memory = true;
        return IO_FAIL;
    }
    s->head_bytes += conn->out.end - conn->out.begin - before;
    if ((flags & HTTP_MORE) && is_final) {
        s->is_flushed = false;
        return IO_OK;
    }
    expect_close(c, conn->out.is_ended && send->head->status >= 200);
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
    else if (s->ends_at_hangup && s->is_ended && has_left(conn))
        tell_left(conn); /* it is not reported again */
}

static void release(struct http_stream *s)
{
    struct h1_server *c = h1_server_of(s);
    s->events = NULL;
    if (c->state == H1_SERVER_KILLED) close_now(c, false);
    if (c->state != H1_SERVER_EXCHANGE) return;
    if (h1_conn_is_flushed(&c->conn)) {
        finish(c);
        return;
    }
    c->state = H1_SERVER_FLUSH;
    loop_arm(loop_of(c), &c->http.timer, c->http.service->write_timeout_ms);
    if (c->conn.transport->is_writable)
        loop_defer(loop_of(c), &c->conn.task);
    else
        wait_or_close(c);
}

static void reset(struct http_stream *s, enum end_reason reason)
{
    (void)reason; /* HTTP/1 cannot say it */
    struct h1_server *c = h1_server_of(s);
    s->events = NULL;
    /* A response that only its connection's end delimits would look whole after a FIN. */
    close_now(c, c->conn.out.mode == H1_OUT_CLOSE && !c->conn.out.is_ended);
}

static int detach(struct http_stream *s, struct transport *to, struct block **held, struct slice *bytes)
{
    struct h1_server *c = h1_server_of(s);
    int result = h1_conn_detach(s, to, held, bytes);
    c->http.is_detached = true;
    close_now(c, false);
    return result;
}

static const struct http_stream_ops stream_ops = {
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
        close_now(c, false);
    else if (!is_told && c->http.service->header_timeout_ms > FIRST_REQUEST_MS)
        loop_arm(loop_of(c), &c->http.timer, FIRST_REQUEST_MS);
}

static void kill(struct h1_server *c, enum end_reason reason)
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
        close_now(c, false);
        return;
    }
    c->state = H1_SERVER_KILLED;
    loop_disarm(loop_of(c), &c->http.timer);
    h1_conn_shut(&c->conn, false);
}

static void h1_server_kill(struct http_conn *http, enum end_reason reason)
{
    kill(h1_server_at(http), reason);
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
    c->conn.stream.ops = &stream_ops;
    drive(&c->conn);
}

void h1_server_start(struct h1_server *c, struct http_service *service, struct loop *l, int fd,
                     const struct address *client, uint64_t id, struct list *among)
{
    http_conn_init(&c->http, service, l, fd, client, id, among);
    http_conn_open(&c->http, h1_server_begin);
}
