/* What comes: heads become requests, DATA their bodies. */
#include "base/bug.h"
#include "http/h2_head.h"
#include "http/h2_session.h"

/* More than this is not held of all streams together before the connection's window is left to run dry. */
#define HELD_MAX (256u << 10)

/* heads */

struct fields {
    struct h2_head head;
    struct http_field fields[HTTP_FIELDS_MAX + 1];
    struct block *memory; /* of the text; NULL: nothing is kept */
};

/* Decodes, which must be done whatever becomes of the stream (RFC 9113 4.3). False: the connection has failed. */
static bool decode(struct h2_session *s, struct fields *f, struct slice block, bool is_trailers, bool is_kept)
{
    const struct h1_limits *limits = &s->server->http.service->limits;
    f->memory = is_kept ? block_get(&s->loop->blocks, h2_head_room(limits)) : NULL;
    f->head = (struct h2_head){ .limits = limits,
                                .fields = f->fields,
                                .is_trailers = is_trailers,
                                .fault = f->memory ? END_NONE : END_NO_MEMORY };
    if (f->memory) f->head.text = text_over(f->memory->data, h2_head_room(limits));
    enum h2_decoded got = h2_hpack_decode(&s->hpack, block, h2_head_add, &f->head);
    if (got == H2_DECODED) return true;
    block_put(&s->loop->blocks, f->memory);
    if (got == H2_DECODED_BAD)
        h2_session_fail(s, H2_COMPRESSION_ERROR, END_HTTP2_PROTOCOL, "a field block that cannot be decoded");
    else if (got == H2_DECODED_STOPPED)
        h2_session_fail(s, H2_ENHANCE_YOUR_CALM, END_HTTP2_MEMORY,
                        "a field block that decodes to several times the limit of a head");
    else
        h2_session_fail(s, H2_INTERNAL_ERROR, END_NO_MEMORY, NULL);
    return false;
}

static void refuse(struct h2_session *s, uint32_t id)
{
    h2_out_u32(s, H2_RST_STREAM, id, H2_REFUSED_STREAM);
    h2_session_note_closed(s, id, true);
    h2_session_count(s, H2_FLOOD_RESETS);
}

static bool has_room(const struct h2_session *s, const struct fields *f)
{
    return f->memory && s->stream_count < s->limits->streams && !block_pool_is_short(&s->loop->blocks) &&
           s->held_heads + f->head.size <= s->limits->memory_bytes / 2;
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

static void begin(struct h2_session *s, uint32_t id, struct fields *f, uint32_t block_len, bool ends)
{
    struct http_service *service = s->server->http.service;
    struct http_client *client = &s->server->http.client;
    struct http_head head;
    struct h2_stream *st = has_room(s, f) ? h2_stream_new(s, id) : NULL;
    if (!st) {
        refuse(s, id);
        return;
    }
    client->head_started_ns = s->head_started_ns ? s->head_started_ns : s->loop->now_ns;
    client->received = block_len;
    st->head_charge = (uint32_t)f->head.size;
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
        service->on_request(service, &st->stream, &head, s->follows == id ? HTTP_MORE : 0);
    }
    st->is_new = false;
    h2_session_earn(s, block_len);
}

/* trailers */

static void tell_end(struct h2_stream *st)
{
    st->is_told = st->stream.is_ended = true;
    st->stream.events->on_body(&st->stream, NULL, 0, HTTP_END);
}

/* Kept until what is before them is taken. Without memory they are lost, as they may be (RFC 9110 6.5.1). */
struct kept {
    uint32_t count;
    struct http_field fields[];
};

static void keep_trailers(struct h2_stream *st, const struct h2_head *head)
{
    size_t size = sizeof(struct kept) + head->count * sizeof(struct http_field);
    struct block *b = block_get(&st->session->loop->blocks, size + (size_t)head->size);
    if (!b) return;
    struct kept *kept = (struct kept *)(void *)b->data;
    struct text t = text_over(b->data + size, (size_t)head->size);
    kept->count = head->count;
    for (uint32_t i = 0; i < head->count; i++) {
        struct http_field *f = &kept->fields[i];
        *f = head->fields[i];
        f->name = text_put(&t, (struct slice){ f->name, f->name_len }).data;
        f->value = text_put(&t, (struct slice){ f->value, f->value_len }).data;
    }
    st->trailers = b;
}

static void tell_trailers(struct h2_stream *st)
{
    struct loop *l = st->session->loop;
    struct block *b = st->trailers;
    const struct kept *kept = (const struct kept *)(const void *)b->data;
    st->trailers = NULL;
    st->is_told = st->stream.is_ended = true;
    st->stream.events->on_trailers(&st->stream, kept->fields, kept->count);
    block_put(&l->blocks, b);
}

static void take_trailers(struct h2_stream *st, struct h2_head *head, uint8_t flags)
{
    if (st->has_ended) {
        h2_stream_fail(st, H2_STREAM_CLOSED, END_BAD_REQUEST_BODY, "fields behind the end of a request");
    } else if (!(flags & H2_END_STREAM)) {
        h2_stream_fail(st, H2_PROTOCOL_ERROR, END_BAD_REQUEST_BODY, "trailers that are not the end");
    } else if (head->fault && head->fault != END_NO_MEMORY) {
        h2_stream_fail(st, H2_PROTOCOL_ERROR, END_BAD_REQUEST_BODY, head->detail);
    } else if (st->has_length && st->expected) {
        h2_stream_fail(st, H2_PROTOCOL_ERROR, END_BAD_REQUEST_BODY, "a body shorter than content-length");
    } else {
        st->has_ended = true;
        /* A body of a known length has no place for them in HTTP/1. */
        if (head->count && !head->fault && !st->has_length) keep_trailers(st, head);
        if (!st->is_blocked) h2_request_deliver(st);
    }
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
    struct fields f;
    struct h2_stream *st = h2_stream_find(s, id);
    bool is_late = !st && id <= s->last_id;
    if (!st && !is_late) s->last_id = id;
    bool is_after = s->has_left && id > s->goaway_id;
    if (is_after && !is_late) h2_session_note_closed(s, id, true);
    bool is_ignored = is_late || is_after || (st && st->is_reset);
    if (!decode(s, &f, block, st != NULL, !is_ignored)) return;
    if (!is_ignored && st)
        take_trailers(st, &f.head, flags);
    else if (!is_ignored)
        begin(s, id, &f, (uint32_t)block.len + H2_FRAME_HEAD, flags & H2_END_STREAM);
    block_put(&s->loop->blocks, f.memory);
    s->head_started_ns = 0;
}

/* bodies */

void h2_request_credit(struct h2_session *s)
{
    if (s->held > HELD_MAX || s->uncredited < s->window / 2 || !h2_is_live(s)) return;
    s->receive_window += (int32_t)s->uncredited;
    h2_out_u32(s, H2_WINDOW_UPDATE, 0, s->uncredited);
    s->uncredited = 0;
}

void h2_request_received(struct h2_session *s, size_t len)
{
    s->uncredited += (uint32_t)len;
    h2_request_credit(s);
}

/* What its owner takes at once may come in larger stretches, as long as there is memory. */
static uint32_t growth(struct h2_stream *st)
{
    const struct h2_session *s = st->session;
    if (st->hold.len || st->window >= s->limits->window_bytes || budget_is_tight(s->loop->blocks.budget))
        return 0;
    st->since_growth += st->uncredited;
    if (st->since_growth < 2 * st->window) return 0;
    uint32_t left = s->limits->window_bytes - st->window;
    uint32_t more = left < st->window ? left : st->window;
    st->since_growth = 0;
    st->window += more;
    return more;
}

void h2_request_took(struct h2_stream *st, size_t len)
{
    st->uncredited += (uint32_t)len;
    if (st->has_ended || st->is_reset || st->uncredited < st->window / 2) return;
    uint32_t credit = st->uncredited + growth(st);
    st->uncredited = 0;
    st->receive_window += (int32_t)credit;
    h2_out_u32(st->session, H2_WINDOW_UPDATE, st->id, credit);
}

void h2_request_drop(struct h2_stream *st)
{
    struct h2_session *s = st->session;
    s->held -= st->hold.len;
    s->held_heads -= st->head_charge;
    st->head_charge = 0;
    h2_bytes_clear(&st->hold, s->loop);
    block_put(&s->loop->blocks, st->trailers);
    st->trailers = NULL;
    h2_request_credit(s);
}

static void hold(struct h2_stream *st, struct slice bytes)
{
    struct h2_session *s = st->session;
    if (!h2_bytes_put(&st->hold, s->loop, bytes)) {
        h2_stream_fail(st, H2_INTERNAL_ERROR, END_NO_MEMORY, NULL);
        return;
    }
    s->held += bytes.len;
    st->stream.held = (uint32_t)st->hold.len;
}

/* One stretch to the owner; how much he took. st->is_gone: he has let go of the stream. */
static size_t give(struct h2_stream *st, struct slice bytes, bool ends)
{
    size_t taken = st->stream.events->on_body(&st->stream, bytes.data, bytes.len, ends ? HTTP_END : 0);
    if (st->is_gone) return 0;
    if (bug_if(H2_SESSION, taken > bytes.len)) taken = bytes.len;
    if (ends && taken == bytes.len) st->is_told = st->stream.is_ended = true;
    st->is_blocked = taken < bytes.len;
    if (st->stream.events) h2_request_took(st, taken);
    return taken;
}

static void give_held(struct h2_stream *st)
{
    struct h2_session *s = st->session;
    while (st->hold.len && !st->is_blocked && st->stream.events) {
        struct slice front = h2_bytes_front(&st->hold);
        bool is_last = st->has_ended && front.len == st->hold.len && !st->trailers;
        size_t taken = give(st, front, is_last);
        if (st->is_gone) return;
        h2_bytes_drop(&st->hold, s->loop, taken);
        s->held -= taken;
        st->stream.held = (uint32_t)st->hold.len;
    }
    h2_request_credit(s);
}

void h2_request_deliver(struct h2_stream *st)
{
    if (st->is_delivering || st->is_told || st->is_reset || st->is_gone || !st->stream.events) return;
    st->is_delivering = true;
    st->is_blocked = false;
    give_held(st);
    st->is_delivering = false;
    if (st->is_gone || st->hold.len || !st->has_ended || st->is_told || !st->stream.events) return;
    if (st->trailers)
        tell_trailers(st);
    else
        tell_end(st);
}

void h2_request_data(struct h2_stream *st, struct slice bytes, bool ends)
{
    if (st->is_reset || st->has_ended) return;
    if (bytes.len > st->expected || (ends && st->has_length && bytes.len < st->expected)) { /* 8.1.1 */
        h2_stream_fail(st, H2_PROTOCOL_ERROR, END_BAD_REQUEST_BODY,
                       "a body of another length than content-length");
        return;
    }
    if (st->has_length) st->expected -= bytes.len;
    st->stream.has_received = true;
    st->has_ended = ends;
    if (!st->stream.events) return;
    if (st->hold.len || st->is_blocked || st->is_delivering) {
        hold(st, bytes);
        return;
    }
    if (!bytes.len) {
        if (ends) tell_end(st);
        return;
    }
    size_t taken = give(st, bytes, ends);
    if (st->is_gone || taken == bytes.len || st->is_reset) return;
    hold(st, (struct slice){ bytes.data + taken, bytes.len - taken });
}

void h2_request_cancelled(struct h2_stream *st)
{
    struct http_fault fault = { .reason = END_CLIENT_ABORT, .detail = "the client took its request back" };
    if (st->is_reset) return;
    if (!st->has_sent_end) h2_session_count(st->session, H2_FLOOD_RESETS);
    st->is_reset = st->has_ended = st->is_cancelled = true;
    if (st->stream.events) st->stream.events->on_error(&st->stream, &fault);
}
