#include "http/h1_client.h"

#include <errno.h>

#include "base/bug.h"

static void drive(struct h1_conn *conn);
static void tell(struct h1_client *c, enum end_reason reason, const char *detail, uint32_t number);
static const struct http_stream_ops stream_ops;

static const struct h1_role role = {
    .body_eof = END_RESPONSE_CUT,
    .body_reset = END_SERVER_RESET,
    .drive = drive,
};

static struct loop *loop_of(struct h1_client *c)
{
    return h1_conn_loop(&c->conn);
}

enum end_reason h1_client_connect_reason(const struct transport *t)
{
    if (t->fault) return (enum end_reason)t->fault;
    return end_reason_of_connect(t->saved_errno);
}

static void shut(struct h1_client *c, bool is_reset)
{
    loop_disarm(loop_of(c), &c->timer);
    h1_conn_retire(&c->conn, is_reset);
}

static void close_now(struct h1_client *c, bool is_reset)
{
    if (c->state == H1_CLIENT_CLOSED) return;
    if (bug_if(H1_CLIENT, c->conn.stream.events)) {
        tell(c, END_INTERNAL, NULL, 0); /* whoever holds the stream lets go of it, and closes it so */
        return;
    }
    c->closed_by_peer = c->conn.transport->has_hangup;
    c->state = H1_CLIENT_CLOSED;
    shut(c, is_reset);
    c->owner->on_closed(c);
}

static void tell(struct h1_client *c, enum end_reason reason, const char *detail, uint32_t number)
{
    struct http_fault fault = { .reason = reason, .detail = detail, .number = number };
    c->conn.is_persistent = false;
    if (c->conn.stream.events) c->conn.stream.events->on_error(&c->conn.stream, &fault);
}

static void open_connection(struct h1_client *c)
{
    switch (transport_open(c->conn.transport)) {
    case IO_OK:
        c->state = H1_CLIENT_BUSY;
        if (c->conn.stream.events) c->conn.stream.events->on_open(&c->conn.stream);
        return;
    case IO_AGAIN: c->conn.stream.overdue = c->transport.overdue; return;
    case IO_EOF:
    case IO_FAIL: tell(c, h1_client_connect_reason(&c->transport), c->transport.fault_words, 0); return;
    }
}

/* 101 only if it was asked for, and to a protocol that was (RFC 9110 15.2.2). */
static const char *why_unfit(const struct h1_client *c, const struct http_head *head)
{
    if (head->status != 101) return NULL;
    if (!c->asked_upgrade) return "a 101 (Switching Protocols) that nobody asked for";
    if (!head->upgrade.len) return "a 101 (Switching Protocols) that does not say to what";
    return NULL;
}

enum next { STOP, NEED_MORE, NEXT_HEAD };

/* The response that was read is over, and another is to come on the same connection. */
static bool has_next(struct h1_client *c)
{
    const struct h1_conn *conn = &c->conn;
    if (!c->owner->on_whole || conn->is_retired || !conn->stream.is_ended || !conn->stream.events)
        return false;
    return c->owner->on_whole(c);
}

/* `bytes` begin with the head. */
static enum next on_head(struct h1_client *c, struct slice bytes, bool is_held, uint32_t head_len,
                         struct http_head *head, const struct h1_framing *framing)
{
    struct h1_conn *conn = &c->conn;
    struct http_stream *s = &conn->stream;
    const char *unfit = why_unfit(c, head);
    if (unfit) {
        tell(c, END_BAD_RESPONSE, unfit, 0);
        return STOP;
    }
    bool is_final = head->status >= 200 || head->status == 101;
    if (bug_if(H1_CLIENT, head_len > bytes.len || c->has_head)) {
        tell(c, END_INTERNAL, NULL, 0);
        return STOP;
    }
    struct slice rest = { bytes.data + head_len, bytes.len - head_len };
    bool has_body = is_final && head->body != HTTP_BODY_NONE;
    if (is_final) {
        c->has_head = true;
        h1_body_init(&conn->in.body, head, framing, true);
        s->is_ended = !has_body;
        s->is_last = !framing->is_persistent;
        if (!framing->is_persistent || head->status == 101) conn->is_persistent = false;
        if (framing->keep_alive_s || framing->keep_alive_max != UINT32_MAX)
            c->owner->on_keep_alive(c, framing->keep_alive_s, framing->keep_alive_max);
    }
    /* What follows is kept first if it is not the body: a tunnel's first bytes go with the detached transport. */
    if (!is_held && !has_body && !h1_in_hold(&conn->in, loop_of(c), rest, LOOP_HOLD_BYTES)) {
        tell(c, END_NO_MEMORY, NULL, 0);
        return STOP;
    }
    s->held = (uint32_t)rest.len;
    if (is_held && head->status == 101) {
        /* The tunnel takes the rest; the head must outlive the move, so it is told first. */
        conn->in.begin += head_len;
        s->events->on_head(s, head, 0);
        return STOP;
    }
    conn->in.owes_more = has_body && rest.len;
    s->events->on_head(s, head, conn->in.owes_more ? HTTP_MORE : 0);
    if (conn->is_retired || !s->events) return STOP;
    if (is_held) {
        h1_in_use(&conn->in, loop_of(c), head_len);
        rest = SLICE_NONE;
    }
    if (has_body) h1_conn_pump(conn, rest);
    if (is_final) return has_next(c) ? NEXT_HEAD : STOP;
    return conn->is_blocked ? STOP : NEXT_HEAD;
}

static enum next on_head_bytes(struct h1_client *c, struct slice bytes, bool is_held)
{
    struct http_field fields[HTTP_FIELDS_MAX + 1];
    struct http_head head;
    struct h1_framing framing;
    struct h1_fault fault;
    uint32_t head_len = 0;
    struct h1_conn *conn = &c->conn;
    switch (h1_parse_response(&conn->in.progress, bytes, (enum http_method)c->method, conn->limits, fields,
                              &head, &framing, &head_len, &fault)) {
    case H1_MORE:
        if (is_held || h1_in_hold(&conn->in, loop_of(c), bytes, BLOCK_MAX)) return NEED_MORE;
        tell(c, END_NO_MEMORY, NULL, 0);
        return STOP;
    case H1_BAD: tell(c, fault.reason, fault.detail, (uint32_t)bytes.len); return STOP;
    case H1_DONE:
        conn->in.progress = (struct h1_progress){ 0 };
        return on_head(c, bytes, is_held, head_len, &head, &framing);
    }
    return STOP;
}

/* Receives behind what is held of the head, or into the scratch buffer. False: there is nothing to parse. */
static bool receive_head(struct h1_client *c, struct slice *bytes)
{
    struct h1_conn *conn = &c->conn;
    struct loop *l = loop_of(c);
    size_t got = 0;
    switch (transport_recv(conn->transport, l->scratch, h1_in_read_bytes(&conn->stream), &got)) {
    case IO_AGAIN: return false;
    case IO_EOF:
        tell(c, END_SERVER_CLOSED, conn->stream.has_received ? "in the middle of its response head" : NULL,
             0);
        return false;
    case IO_FAIL:
        tell(c, transport_fault(conn->transport, END_SERVER_RESET), conn->transport->fault_words, 0);
        return false;
    case IO_OK: break;
    }
    conn->stream.has_received = true;
    conn->in.is_bulk = got == LOOP_HOLD_BYTES;
    *bytes = (struct slice){ l->scratch, got };
    if (!conn->in.hold) return true;
    if (!h1_in_hold(&conn->in, l, *bytes, BLOCK_MAX)) {
        tell(c, END_NO_MEMORY, NULL, 0);
        return false;
    }
    *bytes = h1_in_held(&conn->in);
    return true;
}

/* The heads that are here, one behind another. */
static enum next parse_heads(struct h1_client *c, struct slice bytes)
{
    enum next next;
    do next = on_head_bytes(c, bytes, c->conn.in.hold != NULL);
    while (next == NEXT_HEAD && (bytes = h1_in_held(&c->conn.in)).len);
    return next;
}

static void read_head(struct h1_client *c)
{
    struct loop *l = loop_of(c);
    struct slice bytes;
    enum next next = NEXT_HEAD;
    bool was_busy = loop_claim_scratch(l);
    while (next != STOP && receive_head(c, &bytes)) next = parse_heads(c, bytes);
    loop_release_scratch(l, was_busy);
}

/* First what is held, then what comes. */
static void read_on(struct h1_client *c)
{
    struct slice held = h1_in_held(&c->conn.in);
    if (!held.len || parse_heads(c, held) != STOP) read_head(c);
}

static void pause(struct http_stream *s)
{
    h1_conn_of(s)->is_blocked = true;
}

static void resume(struct http_stream *s)
{
    struct h1_client *c = h1_client_of(s);
    if (c->conn.is_retired || c->conn.is_pumping || h1_conn_resumes_later(&c->conn)) return;
    if (c->has_head) {
        h1_conn_resume(s);
        if (has_next(c)) read_on(c);
        return;
    }
    if (c->conn.is_retired || !c->conn.is_blocked) return;
    c->conn.is_blocked = false;
    read_on(c);
}

static void drive(struct h1_conn *conn)
{
    struct h1_client *c = container_of(conn, struct h1_client, conn);
    if (c->state == H1_CLIENT_CONNECTING) {
        open_connection(c);
        return;
    }
    if (c->state == H1_CLIENT_IDLE) {
        /* A server that speaks unasked, or ends: either way this connection is of no more use. */
        close_now(c, false);
        return;
    }
    if (c->state != H1_CLIENT_BUSY || !conn->stream.events) return;
    /* A response may be there although sending failed: it is read first. */
    if (conn->transport->is_readable && !conn->stream.is_ended && !conn->is_blocked) {
        if (!c->has_head) {
            read_head(c);
        } else {
            h1_conn_pump(conn, SLICE_NONE);
            if (has_next(c)) read_on(c);
        }
    }
    if (c->state == H1_CLIENT_BUSY && conn->stream.events) h1_conn_write(conn);
}

static void on_ready(struct transport *t)
{
    struct h1_client *c = container_of(t, struct h1_client, transport);
    /* Idle and merely writable: the first report after connecting. */
    if (c->state == H1_CLIENT_IDLE && !transport_is_dead(t)) return;
    drive(&c->conn);
}

static enum io send_head(struct http_stream *s, const struct http_send *send, unsigned flags)
{
    struct h1_client *c = h1_client_of(s);
    struct h1_conn *conn = &c->conn;
    if (bug_if(H1_CLIENT, c->state != H1_CLIENT_BUSY)) return IO_FAIL; /* not open, nobody's or gone */
    c->method = (uint8_t)send->head->method;
    c->asked_upgrade = send->upgrade.len > 0;
    if (send->wants_close) conn->is_persistent = false;
    if (h1_out_request(&conn->out, loop_of(c), send) == IO_FAIL) {
        conn->transport->saved_errno = ENOMEM;
        return IO_FAIL;
    }
    if (flags & HTTP_MORE) {
        s->is_flushed = false;
        return IO_OK;
    }
    return h1_conn_sent(conn, h1_out_flush(&conn->out, conn->transport)) == IO_FAIL ? IO_FAIL : IO_OK;
}

/* Nothing came behind the response. A read that was filled to the last byte leaves that open: then the kernel is
 * asked, lest a second response, unasked for, is taken for the next request's. */
static bool is_drained(struct h1_conn *conn)
{
    char byte;
    size_t got = 0;
    if (conn->in.hold || conn->transport->has_hangup) return false;
    return transport_recv(conn->transport, &byte, 1, &got) == IO_AGAIN && !transport_is_dead(conn->transport);
}

static void release(struct http_stream *s)
{
    struct h1_client *c = h1_client_of(s);
    struct h1_conn *conn = &c->conn;
    if (conn->is_retired || bug_if(H1_CLIENT, c->state == H1_CLIENT_IDLE)) return; /* given back already */
    s->events = NULL;
    bool is_clean = c->state == H1_CLIENT_BUSY && conn->is_persistent && c->has_head && s->is_ended &&
                    conn->out.is_ended && h1_conn_is_flushed(conn) && is_drained(conn);
    if (!is_clean) {
        close_now(c, false);
        return;
    }
    c->state = H1_CLIENT_IDLE;
    conn->owes_resume = false;
    loop_cancel(&conn->task); /* whatever was to go on is over */
    c->idle_since_ns = loop_of(c)->now_ns;
    c->owner->on_idle(c);
}

static void reset(struct http_stream *s, enum end_reason reason)
{
    struct h1_client *c = h1_client_of(s);
    bool is_stale = http_is_break(reason) && s->is_reused && !s->has_received;
    s->events = NULL;
    if (is_stale && c->state == H1_CLIENT_BUSY && !bug_if(H1_CLIENT, c->leased_ns < c->idle_since_ns))
        c->owner->on_stale(c, c->leased_ns - c->idle_since_ns);
    close_now(c, true);
}

static int detach(struct http_stream *s, struct transport *to, struct block **held, struct slice *bytes)
{
    struct h1_client *c = h1_client_of(s);
    int result = h1_conn_detach(s, to, held, bytes);
    close_now(c, false);
    return result;
}

static void reach(const struct http_stream *s, struct http_reach *out)
{
    const struct h1_client *c = h1_client_of((struct http_stream *)(uintptr_t)s);
    h1_client_reach(c, out);
}

static const struct http_stream_ops stream_ops = {
    .send_head = send_head,
    .send_body = h1_conn_send_body,
    .send_trailers = h1_conn_send_trailers,
    .resume = resume,
    .pause = pause,
    .reset = reset,
    .release = release,
    .detach = detach,
    .reach = reach,
};

int h1_client_connect(struct h1_client *c, const struct h1_client_owner *owner, struct loop *l,
                      const struct address *to, const struct address *local, const struct h1_limits *limits)
{
    c->owner = owner;
    h1_conn_init(&c->conn, &c->transport, &role, limits);
    c->conn.stream.ops = &stream_ops;
    timer_init(&c->timer, NULL);
    if (transport_connect(&c->transport, l, to, local, on_ready) < 0) {
        c->state = H1_CLIENT_CLOSED;
        shut(c, false);
        return -1;
    }
    c->state = H1_CLIENT_CONNECTING;
    return 0;
}

int h1_client_take_over(struct h1_client *c, const struct h1_client_owner *owner, struct transport *from,
                        const struct h1_limits *limits)
{
    c->owner = owner;
    h1_conn_init(&c->conn, &c->transport, &role, limits);
    c->conn.stream.ops = &stream_ops;
    timer_init(&c->timer, NULL);
    if (transport_move(from, &c->transport, on_ready) < 0) {
        c->state = H1_CLIENT_CLOSED;
        shut(c, false);
        return -1;
    }
    c->state = H1_CLIENT_IDLE;
    return 0;
}

struct http_stream *h1_client_lease(struct h1_client *c)
{
    struct h1_conn *conn = &c->conn;
    /* Two would have one stream, and one of them the other's answer. */
    if (bug_if(H1_CLIENT, conn->stream.events || c->state >= H1_CLIENT_BUSY)) return NULL;
    /* What is left of the exchange before would be taken for a part of this one. */
    if (bug_if(H1_CLIENT, c->exchanges && (!h1_conn_is_flushed(conn) || conn->in.hold))) {
        close_now(c, true);
        return NULL;
    }
    conn->stream = (struct http_stream){
        .ops = &stream_ops, .is_flushed = true, .is_unprocessed = true, .is_reused = c->exchanges > 0
    };
    c->leased_ns = loop_of(c)->now_ns;
    conn->is_blocked = conn->wants_write = false;
    conn->out.is_ended = false;
    conn->transport->has_sent = false;
    conn->is_persistent = true;
    c->has_head = false;
    c->exchanges++;
    if (c->state == H1_CLIENT_IDLE) c->state = H1_CLIENT_BUSY;
    return &conn->stream;
}

void h1_client_expect(struct h1_client *c, enum http_method method)
{
    struct http_stream *s = &c->conn.stream;
    (void)bug_if(H1_CLIENT, !c->has_head || !s->is_ended); /* the response before is whole */
    s->is_ended = s->is_last = false;
    s->has_received = c->conn.in.hold != NULL;
    s->is_reused =
        false; /* it was not idle before: if it ends now, that says nothing of the server's patience */
    c->has_head = c->asked_upgrade = false;
    c->method = (uint8_t)method;
}

void h1_client_close(struct h1_client *c)
{
    close_now(c, false);
}

void h1_client_reach(const struct h1_client *c, struct http_reach *out)
{
    out->connections++;
    out->blocks += h1_conn_blocks(&c->conn);
    out->timers += timer_is_armed(&c->timer);
    out->descriptors += c->transport.io.fd >= 0;
}
