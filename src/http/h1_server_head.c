/* From bytes to a request: reading heads, and what is done where none can be read. */
#include "base/bug.h"
#include "http/h1_server_steps.h"
#include "http/h2_server.h"

/* False, and it ends: somebody still has the last one. */
static bool begin_stream(struct h1_server *c)
{
    struct h1_conn *conn = &c->request->conn;
    struct http_stream *s = &conn->stream;
    if (bug_if(H1_SERVER, s->events || c->state != H1_SERVER_HEAD)) {
        h1_server_stop(c, END_INTERNAL);
        return false;
    }
    *s = (struct http_stream){ .ops = &h1_server_stream_ops,
                               .client = &c->http.client,
                               .is_flushed = true,
                               .is_reused = c->http.client.requests > 0 };
    conn->is_blocked = conn->wants_write = false;
    conn->out.is_ended = false;
    conn->transport->has_sent = false;
    c->http.client.requests++;
    return true;
}

void h1_server_tell_fault(struct h1_server *c, const struct http_fault *fault, struct slice start)
{
    if (!begin_stream(c)) return;
    struct h1_request *r = c->request;
    c->state = H1_SERVER_EXCHANGE;
    r->is_1_0 = r->is_upgrade = r->may_run_ahead = r->awaits_continue =
        false; /* another one's had it before */
    c->closes = true;
    c->http.service->on_fault(c->http.service, &c->request->conn.stream, fault, start);
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
    struct h1_request *r = c->request;
    struct h1_conn *conn = &r->conn;
    struct http_stream *s = &conn->stream;
    if (!begin_stream(c)) return;
    c->state = H1_SERVER_EXCHANGE;
    r->is_1_0 = head->version == HTTP_VERSION_1_0;
    r->may_run_ahead = may_run_ahead(head);
    c->closes = !framing->is_persistent || c->http.service->is_draining || r->may_run_ahead;
    r->is_upgrade = head->upgrade.len > 0;
    r->awaits_continue = head->expects_continue && !r->is_1_0;
    c->http.client.received = head_len;
    h1_body_init(&conn->in.body, head, framing, false);
    bool has_body = head->body != HTTP_BODY_NONE;
    s->is_ended = !has_body;
    if (bug_if(H1_SERVER, head_len > bytes.len)) {
        h1_server_close(c, true);
        return;
    }
    struct slice rest = { bytes.data + head_len, bytes.len - head_len };
    if (r->is_upgrade && !has_body && rest.len) c->closes = true; /* it did run ahead */
    conn->in.owes_more = has_body && rest.len;
    c->http.service->on_request(c->http.service, s, head, conn->in.owes_more ? HTTP_MORE : 0);
    if (c->state == H1_SERVER_KILLED || c->state == H1_SERVER_CLOSED) return;
    if (is_held) {
        h1_in_use(&conn->in, h1_server_loop(c), head_len);
        rest = SLICE_NONE;
    }
    if (!has_body || !s->events) {
        /* The start of the next request, or a body that nobody wants. */
        if (!h1_in_hold(&conn->in, h1_server_loop(c), rest, LOOP_HOLD_BYTES))
            h1_server_stop(c, END_NO_MEMORY);
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
    struct loop *l = h1_server_loop(c);
    struct h1_in *in = &c->request->conn.in;
    struct block *held = in->hold;
    *in = (struct h1_in){ 0 }; /* another client's request may be read in this memory next */
    c->has_started = c->is_reading = false;
    h1_server_rest(c); /* there is nothing of one */
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
    struct h1_conn *conn = &c->request->conn;
    if (!c->has_started) c->http.client.head_started_ns = h1_server_loop(c)->now_ns;
    switch (h1_parse_request(&conn->in.progress, bytes, conn->limits, fields, &head, &framing, &head_len,
                             &fault)) {
    case H1_MORE:
        /* The clock runs from the first byte; a head that is whole at once never sets it. */
        if (!c->has_started) loop_arm(h1_server_loop(c), &c->http.timer, c->http.service->header_timeout_ms);
        c->has_started = true;
        if (!is_held && !h1_in_hold(&conn->in, h1_server_loop(c), bytes, BLOCK_MAX))
            h1_server_close(c, false);
        return;
    case H1_BAD:
        if (is_http2(c, bytes)) {
            become_http2(c, bytes);
            return;
        }
        conn->in.progress = (struct h1_progress){ 0 };
        h1_server_tell_fault(c, &(struct http_fault){ fault.reason, fault.detail, 0 }, bytes);
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
    struct loop *l = h1_server_loop(c);
    size_t got = 0;
    if (bug_if(H1_SERVER, l->is_scratch_busy)) return IO_AGAIN; /* what lies there is being worked off */
    enum io io = transport_recv(&c->http.transport, l->scratch, LOOP_HOLD_BYTES, &got);
    if (io != IO_OK) return io;
    if (!h1_server_begin_request(c)) {
        c->http.end = END_NO_MEMORY;
        return IO_FAIL;
    }
    struct h1_in *in = &c->request->conn.in;
    in->is_bulk = got == LOOP_HOLD_BYTES;
    *is_held = in->hold != NULL;
    *bytes = (struct slice){ l->scratch, got };
    if (!*is_held) return IO_OK;
    if (!h1_in_hold(in, l, *bytes, BLOCK_MAX)) return IO_FAIL;
    *bytes = h1_in_held(in);
    return IO_OK;
}

static void on_received(struct h1_server *c, struct slice bytes, bool is_held)
{
    struct loop *l = h1_server_loop(c);
    bool was_busy = loop_claim_scratch(l);
    on_head_bytes(c, bytes, is_held);
    loop_release_scratch(l, was_busy);
}

static void read_heads(struct h1_server *c)
{
    struct slice bytes = c->request ? h1_in_held(&c->request->conn.in) : SLICE_NONE;
    bool is_held = bytes.len > 0;
    if (is_held && !c->has_started) {
        on_head_bytes(c, bytes, true); /* pipelined */
        if (c->state != H1_SERVER_HEAD) return;
    }
    while (c->state == H1_SERVER_HEAD) {
        switch (receive_head(c, &bytes, &is_held)) {
        case IO_OK: on_received(c, bytes, is_held); break;
        case IO_AGAIN: h1_server_wait(c); return;
        case IO_EOF:
        case IO_FAIL: h1_server_close(c, false); return;
        }
    }
}

void h1_server_read_head(struct h1_server *c)
{
    c->is_reading = true;
    read_heads(c);
    c->is_reading = false;
    if (c->state == H1_SERVER_HEAD) h1_server_rest(c);
}
