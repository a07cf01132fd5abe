/* Heads that come of a client. */
#include "http/h2_session.h"

/* Of heads, what may be kept in any case. */
#define HEADS_FREE (16u << 10)

static void refuse(struct h2_session *s, uint32_t id)
{
    h2_out_u32(s, H2_RST_STREAM, id, H2_REFUSED_STREAM);
    h2_session_note_closed(s, id, true);
    h2_session_count(s, H2_FLOOD_RESETS);
}

/* Of a head that is kept: names and values, and where they are. */
static uint32_t charge_of(const struct h2_head *h)
{
    return (uint32_t)(h->size + h->count * sizeof(struct http_field));
}

/* What the heads in hand may come to. References to a table make much of a few bytes: that is what they are for, and as long
 * as there is memory, it is welcome. Once half of it is in use, what is kept beyond what was sent is a few KiB each. */
static uint64_t heads_max(const struct h2_session *s)
{
    const struct budget *b = s->loop->blocks.budget;
    uint64_t most = s->limits->memory_bytes / 2, paid = HEADS_FREE + s->received;
    bool is_half_used = atomic_load_explicit(&b->used, memory_order_relaxed) > b->limit / 2;
    return is_half_used && paid < most ? paid : most;
}

/* What is left of requests that are answered keeps nobody out. */
static bool has_room(struct h2_session *s, const struct h2_fields *f)
{
    if (s->stream_count >= s->limits->streams && s->rest_by_ms) h2_server_end_rests(s);
    if (!f->memory || block_pool_is_short(&s->loop->blocks)) {
        h2_session_note_short(s);
        return false;
    }
    return s->stream_count < s->limits->streams && s->held_heads + charge_of(&f->head) <= heads_max(s);
}

/* Its client has taken it back before anybody could see it: nobody needs to begin. */
static void pass_over(struct h2_session *s, uint32_t id)
{
    h2_session_note_closed(s, id, false);
    h2_session_count(s, H2_FLOOD_RESETS);
}

void h2_request_prioritise(struct h2_stream *st, struct slice value)
{
    struct slice rest = value, member;
    st->is_sequential = true;
    while (slice_next_element(&rest, &member)) {
        if (member.len == 3 && memcmp(member.data, "u=", 2) == 0 && member.data[2] >= '0' &&
            member.data[2] < '0' + (char)H2_URGENCIES)
            st->urgency = (uint8_t)(member.data[2] - '0');
        if (slice_equal(member, SLICE("i")) || slice_equal(member, SLICE("i=?1"))) st->is_sequential = false;
    }
}

/* What is wrong with it is answered in HTTP's words, as in HTTP/1; of a request that is malformed the stream is broken off
 * behind that (RFC 9113 8.1.1). */
static void answer_fault(struct h2_session *s, struct h2_stream *st, const struct h2_head *head)
{
    struct http_service *service = s->server->http.service;
    struct http_fault fault = { .reason = head->fault, .detail = head->detail };
    st->is_malformed = head->fault == END_BAD_REQUEST;
    if (st->is_malformed) h2_session_count(s, H2_FLOOD_RESETS);
    service->on_fault(service, &st->stream, &fault, head->path);
}

static struct h2_stream *stream_new(struct h2_session *s, uint32_t id)
{
    struct http_client *client = &s->server->http.client;
    struct http_stream as = {
        .ops = &h2_server_stream_ops, .client = client, .is_flushed = true, .is_reused = client->requests > 0
    };
    struct h2_stream *st = h2_stream_new(s, &as);
    if (!st) return NULL;
    h2_stream_number(st, id);
    client->requests++;
    s->idle_by_ms = 0;
    return st;
}

static void begin(struct h2_session *s, uint32_t id, struct h2_fields *f, uint32_t block_len, bool ends)
{
    struct http_service *service = s->server->http.service;
    struct http_client *client = &s->server->http.client;
    struct http_head head;
    if (s->is_taken_back) {
        pass_over(s, id);
        return;
    }
    struct h2_stream *st = has_room(s, f) ? stream_new(s, id) : NULL;
    if (!st) {
        refuse(s, id);
        return;
    }
    client->head_started_ns = s->head_started_ns ? s->head_started_ns : s->loop->now_ns;
    client->received = block_len;
    st->head_charge = charge_of(&f->head);
    s->held_heads += st->head_charge;
    if (f->head.priority.len) h2_request_prioritise(st, f->head.priority);
    st->has_ended = ends;
    enum end_reason fault = h2_head_finish(&f->head, ends, &head);
    st->is_told = st->stream.is_ended = ends;
    st->is_new = true;
    if (fault) {
        answer_fault(s, st, &f->head);
    } else {
        if (head.body == HTTP_BODY_LENGTH) st->expected = head.content_length;
        st->has_length = head.body == HTTP_BODY_LENGTH;
        if (head.upgrade.len) h2_tunnel_await(st);
        service->on_request(service, &st->stream, &head, s->follows == id ? HTTP_MORE : 0);
    }
    st->is_new = false;
    h2_session_earn(s, block_len);
}

bool h2_request_may_have_fields(struct h2_session *s, uint32_t id)
{
    const struct h2_stream *st = h2_stream_find(s, id);
    bool is_known = false;
    if (!(id & 1)) {
        h2_session_fail(s, H2_PROTOCOL_ERROR, END_HTTP2_PROTOCOL, "a stream that a client cannot open");
        return false;
    }
    if (!st && id <= s->last_id && !h2_session_was_reset(s, id, &is_known)) {
        h2_session_fail(s, is_known ? H2_STREAM_CLOSED : H2_PROTOCOL_ERROR, END_HTTP2_PROTOCOL,
                        "fields of a stream that is closed");
        return false;
    }
    if (st && st->is_cancelled) {
        h2_session_fail(s, H2_STREAM_CLOSED, END_HTTP2_PROTOCOL,
                        "fields of a stream that its client has reset");
        return false;
    }
    return true;
}

void h2_request_fields(struct h2_session *s, uint32_t id, uint8_t flags, struct slice block)
{
    struct h2_fields f;
    struct h2_stream *st = h2_stream_find(s, id);
    bool is_late = !st && id <= s->last_id;
    if (!st && !is_late) s->last_id = id;
    bool is_after = s->has_left && id > s->goaway_id;
    if (is_after && !is_late) h2_session_note_closed(s, id, true);
    bool is_ignored = is_late || is_after || (st && st->is_reset);
    if (!h2_fields_decode(s, &f, block, st != NULL, !is_ignored)) return;
    if (!is_ignored && st)
        h2_body_trailers(st, &f.head, flags);
    else if (!is_ignored)
        begin(s, id, &f, (uint32_t)block.len + H2_FRAME_HEAD, flags & H2_END_STREAM);
    block_put(&s->loop->blocks, f.memory);
    s->head_started_ns = 0;
}

void h2_request_cancelled(struct h2_stream *st, uint32_t error)
{
    (void)error;
    struct http_fault fault = { .reason = END_CLIENT_ABORT, .detail = "the client took its request back" };
    if (st->is_reset) return;
    if (!st->has_sent_end) h2_session_count(st->session, H2_FLOOD_RESETS);
    st->is_reset = st->has_ended = st->is_cancelled = true;
    if (st->stream.events) st->stream.events->on_error(&st->stream, &fault);
}
