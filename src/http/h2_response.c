/* Heads that come of a server, and how it breaks off. */
#include "http/h2_session.h"

bool h2_response_may_have_fields(struct h2_session *s, uint32_t id)
{
    bool is_known = false;
    if (!(id & 1) || id > s->last_id) {
        h2_session_fail(s, H2_PROTOCOL_ERROR, s->role->protocol, "a response to what was not asked");
        return false;
    }
    /* Of a stream that was given up long ago it may still be on its way. */
    if (h2_stream_find(s, id) || h2_session_was_reset(s, id, &is_known) || !is_known) return true;
    h2_session_fail(s, H2_STREAM_CLOSED, s->role->protocol, "fields of a stream that is closed");
    return false;
}

static void fail(struct h2_stream *st, enum end_reason reason, const char *detail)
{
    bool is_ours = reason == END_NO_MEMORY;
    h2_stream_fail(st, is_ours ? H2_CANCEL : H2_PROTOCOL_ERROR, reason, detail);
}

/* More of them than the client takes are left out, as they may be (RFC 9110 15.2). */
static void tell_interim(struct h2_stream *st, struct http_head *head)
{
    h2_session_count(st->session, H2_FLOOD_EMPTY);
    if (!st->is_paused) st->stream.events->on_head(&st->stream, head, 0);
}

/* Nothing will be said in a tunnel that is not opened. */
static void end_request(struct h2_stream *st)
{
    size_t none = 0;
    (void)h2_stream_send_body(&st->stream, NULL, 0, HTTP_END, &none);
}

static void tell_final(struct h2_stream *st, struct http_head *head, bool ends)
{
    if (st->asks_tunnel) end_request(st);
    bool has_body = head->body != HTTP_BODY_NONE, follows = st->session->follows == st->id;
    st->has_head = true;
    st->has_ended = ends;
    st->has_length = head->body != HTTP_BODY_UNKNOWN;
    if (st->has_length) st->expected = head->content_length;
    st->is_told = st->stream.is_ended = !has_body;
    st->stream.events->on_head(&st->stream, head, has_body && follows ? HTTP_MORE : 0);
    if (ends && has_body && !st->is_gone) h2_body_deliver(st);
}

/* It is open (RFC 8441 5): as HTTP/1 would say it. */
static void tell_tunnel(struct h2_stream *st, struct http_head *head, bool ends)
{
    st->has_head = true;
    st->has_ended = ends;
    h2_tunnel_await(st);
    head->status = 101;
    head->reason = SLICE("Switching Protocols");
    head->upgrade = SLICE("websocket");
    head->body = HTTP_BODY_NONE;
    st->stream.events->on_head(&st->stream, head, 0);
}

static void take_head(struct h2_stream *st, struct h2_head *h, bool ends)
{
    struct http_head head;
    st->stream.has_received = true;
    enum end_reason fault = h2_head_finish_response(h, ends, (enum http_method)st->method, &head);
    if (fault)
        fail(st, fault, h->detail);
    else if (head.status < 200)
        tell_interim(st, &head);
    else if (st->asks_tunnel && head.status < 300)
        tell_tunnel(st, &head, ends);
    else
        tell_final(st, &head, ends);
}

void h2_response_fields(struct h2_session *s, uint32_t id, uint8_t flags, struct slice block)
{
    struct h2_fields f;
    struct h2_stream *st = h2_stream_find(s, id);
    bool is_ignored = !st || st->is_reset || !st->stream.events;
    if (!h2_fields_decode(s, &f, block, st && st->has_head, !is_ignored)) return;
    if (!is_ignored && st->has_head)
        h2_body_trailers(st, &f.head, flags);
    else if (!is_ignored)
        take_head(st, &f.head, flags & H2_END_STREAM);
    block_put(&s->loop->blocks, f.memory);
    h2_session_earn(s, block.len);
}

/* The response is whole, and the rest of the request not wanted (RFC 9113 8.1). */
static void refuse_rest(struct h2_stream *st)
{
    if (st->has_sent_end || st->is_refused) return;
    st->is_refused = true;
    if (st->stream.events) st->stream.events->on_writable(&st->stream);
}

enum end_reason h2_response_end(struct h2_stream *st, enum end_reason reason)
{
    if (st->is_tunnel || st->is_reset || !st->has_head) return reason;
    if (!st->has_ended) return reason == END_SERVER_CLOSED ? END_RESPONSE_CUT : reason;
    refuse_rest(st);
    return END_NONE;
}

void h2_response_reset(struct h2_stream *st, uint32_t error)
{
    struct http_fault fault = { .reason = END_SERVER_RESET, .detail = h2_error_name(error) };
    if (st->is_reset) return;
    st->stream.is_alone = true;
    if (st->has_ended) {
        refuse_rest(st);
        return;
    }
    if (error == H2_REFUSED_STREAM && !st->stream.has_received) { /* 8.7 */
        fault.reason = END_SERVER_REFUSED;
        st->stream.is_unprocessed = true;
    }
    st->is_reset = st->has_ended = st->is_cancelled = true;
    if (st->stream.events) st->stream.events->on_error(&st->stream, &fault);
}
