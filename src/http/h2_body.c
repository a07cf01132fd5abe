/* What comes of a stream, on both sides: field blocks, bodies, trailers. */
#include "base/bug.h"
#include "http/h2_session.h"

/* Windows of streams towards servers grow by so many whole ones of all streams together. */
#define GROWTHS_MAX 8u

/* field blocks */

bool h2_fields_decode(struct h2_session *s, struct h2_fields *f, struct slice block, bool is_trailers,
                      bool is_kept)
{
    const struct h1_limits *limits = s->head_limits;
    f->memory = is_kept ? block_get(&s->loop->blocks, h2_head_room(limits)) : NULL;
    f->head = (struct h2_head){ .limits = limits,
                                .fields = f->fields,
                                .is_trailers = is_trailers,
                                .is_response = s->role->sends_requests,
                                .allows_tunnels = s->has_announced,
                                .fault = f->memory ? END_NONE : END_NO_MEMORY };
    if (f->memory) f->head.text = text_over(f->memory->data, h2_head_room(limits));
    enum h2_decoded got = h2_hpack_decode(&s->hpack, block, h2_head_add, &f->head);
    h2_turn_charge_fields(s, f->head.heard);
    if (got == H2_DECODED) return true;
    block_put(&s->loop->blocks, f->memory);
    if (got == H2_DECODED_BAD)
        h2_session_fail(s, H2_COMPRESSION_ERROR, s->role->protocol, "a field block that cannot be decoded");
    else if (got == H2_DECODED_STOPPED)
        h2_session_fail(s, H2_ENHANCE_YOUR_CALM, s->role->memory,
                        "a field block that decodes to several times the limit of a head");
    else
        h2_session_fail(s, H2_INTERNAL_ERROR, END_NO_MEMORY, NULL);
    return false;
}

/* trailers */

static void tell_end(struct h2_stream *st)
{
    if (bug_if(H2_SESSION, st->is_told || st->hold.len)) return; /* an end comes once, and last */
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
    if (bug_if(H2_SESSION, st->trailers)) return;
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
    (void)bug_if(H2_SESSION, st->is_told || st->hold.len);
    st->trailers = NULL;
    st->is_told = st->stream.is_ended = true;
    st->stream.events->on_trailers(&st->stream, kept->fields, kept->count);
    block_put(&l->blocks, b);
}

void h2_body_trailers(struct h2_stream *st, struct h2_head *head, uint8_t flags)
{
    if (st->has_ended) {
        h2_stream_fail(st, H2_STREAM_CLOSED, st->session->role->body, "fields behind the end of a message");
    } else if (st->is_tunnel) { /* 8.5 */
        h2_stream_fail(st, H2_PROTOCOL_ERROR, st->session->role->body, "fields in a tunnel");
    } else if (!(flags & H2_END_STREAM)) {
        h2_stream_fail(st, H2_PROTOCOL_ERROR, st->session->role->body, "trailers that are not the end");
    } else if (head->fault && head->fault != END_NO_MEMORY) {
        h2_stream_fail(st, H2_PROTOCOL_ERROR, st->session->role->body, head->detail);
    } else if (st->has_length && st->expected) {
        h2_stream_fail(st, H2_PROTOCOL_ERROR, st->session->role->body, "a body shorter than content-length");
    } else {
        st->has_ended = true;
        /* A body of a known length has no place for them in HTTP/1. */
        if (head->count && !head->fault && !st->has_length) keep_trailers(st, head);
        if (!st->is_blocked) h2_body_deliver(st);
    }
}

/* bodies */

/* Streams to a server are of many clients, and none of them waits for another: what is held of them is bounded by the
 * streams' own windows, which open only as their readers take. What a client holds of this worker's memory is its own doing,
 * and bounded for all of its streams together: beyond that its connection's window runs dry. */
static bool holds_enough(const struct h2_session *s)
{
    return !s->role->sends_requests && s->held > s->limits->memory_bytes;
}

void h2_body_credit(struct h2_session *s)
{
    if (holds_enough(s) || s->uncredited < s->window / 2 || !h2_is_live(s)) return;
    if (bug_if(H2_SESSION, (int64_t)s->receive_window + s->uncredited > H2_WINDOW_MAX)) return;
    s->receive_window += (int32_t)s->uncredited;
    h2_out_u32(s, H2_WINDOW_UPDATE, 0, s->uncredited);
    s->uncredited = 0;
}

void h2_body_received(struct h2_session *s, size_t len)
{
    s->uncredited += (uint32_t)len;
    h2_body_credit(s);
}

/* By how much the windows of all streams together may have grown: one can always become as large as it may. */
static uint64_t grown_max(const struct h2_session *s)
{
    uint64_t window = s->limits->window_bytes, half = s->limits->memory_bytes / 2;
    if (s->role->sends_requests) return GROWTHS_MAX * window;
    return half > window ? half : window;
}

/* What its owner takes at once may come in larger stretches, as long as there is memory. */
static uint32_t growth(struct h2_stream *st)
{
    struct h2_session *s = st->session;
    if (st->hold.len || st->window >= s->limits->window_bytes || budget_is_tight(s->loop->blocks.budget))
        return 0;
    st->since_growth += st->uncredited;
    if (st->since_growth < 2 * st->window) return 0;
    uint32_t left = s->limits->window_bytes - st->window;
    uint32_t more = left < st->window ? left : st->window;
    st->since_growth = 0;
    if (s->grown + more > grown_max(s)) return 0;
    s->grown += more;
    st->window += more;
    return more;
}

void h2_body_took(struct h2_stream *st, size_t len)
{
    st->uncredited += (uint32_t)len;
    if (st->has_ended || st->is_reset || st->uncredited < st->window / 2) return;
    uint32_t credit = st->uncredited + growth(st);
    st->uncredited = 0;
    if (bug_if(H2_SESSION, (int64_t)st->receive_window + credit > (int64_t)st->window)) return;
    st->receive_window += (int32_t)credit;
    h2_out_u32(st->session, H2_WINDOW_UPDATE, st->id, credit);
}

void h2_body_drop(struct h2_stream *st)
{
    struct h2_session *s = st->session;
    if (!bug_if(H2_SESSION, s->held < st->hold.len)) s->held -= st->hold.len;
    if (!bug_if(H2_SESSION, s->held_heads < st->head_charge)) s->held_heads -= st->head_charge;
    st->head_charge = 0;
    h2_bytes_clear(&st->hold, s->loop);
    block_put(&s->loop->blocks, st->trailers);
    st->trailers = NULL;
    h2_body_credit(s);
}

static void hold(struct h2_stream *st, struct slice bytes)
{
    struct h2_session *s = st->session;
    if (!h2_bytes_put(&st->hold, s->loop, bytes)) {
        h2_stream_fail(st, H2_INTERNAL_ERROR, END_NO_MEMORY, NULL);
        return;
    }
    s->held += bytes.len;
    (void)bug_if(H2_SESSION, st->hold.len > st->window); /* what nobody takes opens no window */
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
    if (st->stream.events) h2_body_took(st, taken);
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
        if (!bug_if(H2_SESSION, taken > s->held)) s->held -= taken;
        st->stream.held = (uint32_t)st->hold.len;
    }
    h2_body_credit(s);
}

void h2_body_deliver(struct h2_stream *st)
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

void h2_body_data(struct h2_stream *st, struct slice bytes, bool ends)
{
    if (bug_if(H2_SESSION, st->is_gone) || st->is_reset || st->has_ended) return;
    if (bytes.len > st->expected || (ends && st->has_length && bytes.len < st->expected)) { /* 8.1.1 */
        h2_stream_fail(st, H2_PROTOCOL_ERROR, st->session->role->body,
                       "a body of another length than content-length");
        return;
    }
    if (st->has_length) st->expected -= bytes.len;
    st->stream.has_received = true;
    st->has_ended = ends;
    if (!st->stream.events || st->is_told) return;
    if (st->hold.len || st->is_blocked || st->is_delivering) {
        hold(st, bytes);
        if (st->tunnel) h2_tunnel_came(st);
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
