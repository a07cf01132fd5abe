/* What a stream's owner calls, and whose turn it is to send. */
#include <errno.h>

#include "base/bug.h"
#include "http/h2_head.h"
#include "http/h2_session.h"

/* While others wait, one stream sends this before it is their turn. */
#define ALLOWANCE (64u << 10)
#define URGENCY_DEFAULT 3u
/* A frame of less than this, where more was to be sent, is what a tiny window comes to. */
#define TINY 64u
#define TINY_WORK 2u /* see h2_turn.c */

static struct h2_stream **bucket_of(struct h2_session *s, uint32_t id)
{
    return &s->buckets[(id >> 1) % H2_BUCKETS];
}

struct h2_stream *h2_stream_find(const struct h2_session *s, uint32_t id)
{
    struct h2_stream *st = s->buckets[(id >> 1) % H2_BUCKETS];
    while (st && st->id != id) st = st->next;
    return st;
}

struct h2_stream *h2_stream_new(struct h2_session *s, const struct http_stream *as)
{
    struct h2_stream *st = bug_if(H2_SESSION, s->state >= H2_SESSION_FLUSH) ? NULL
                                                                            : slab_get(&s->worker->streams);
    if (!st) return NULL;
    st->session = s;
    st->worker = s->worker;
    st->send_window = (int32_t)s->peer.window;
    st->receive_window = H2_WINDOW_FIRST;
    st->window = H2_WINDOW_FIRST;
    st->urgency = URGENCY_DEFAULT;
    st->expected = UINT64_MAX;
    st->stream = *as;
    list_init(&st->turn);
    list_init(&st->link);
    list_push_back(&s->streams, &st->link);
    s->stream_count++;
    return st;
}

void h2_stream_number(struct h2_stream *st, uint32_t id)
{
    struct h2_stream **bucket = bucket_of(st->session, id);
    if (bug_if(H2_SESSION, st->id || !id || id > H2_STREAM_MAX)) return;
    st->id = id;
    st->next = *bucket;
    *bucket = st;
}

static void bury(struct loop_grave *g)
{
    struct h2_stream *st = container_of(g, struct h2_stream, grave);
    slab_put(&st->worker->streams, st);
}

/* Frames of it that are still on their way are no fault of the client's if we ended it. */
void h2_session_note_closed(struct h2_session *s, uint32_t id, bool by_us)
{
    s->closed[s->closed_at++ % H2_CLOSED_KEPT] = id | (by_us ? ~(uint32_t)H2_STREAM_MAX : 0);
}

bool h2_session_was_reset(const struct h2_session *s, uint32_t id, bool *is_known)
{
    *is_known = false;
    for (unsigned i = 0; i < H2_CLOSED_KEPT; i++) {
        if ((s->closed[i] & H2_STREAM_MAX) != id) continue;
        *is_known = true;
        return s->closed[i] > H2_STREAM_MAX;
    }
    return false;
}

void h2_session_note_cancelled(struct h2_session *s, uint32_t id)
{
    for (unsigned i = 0; i < H2_CLOSED_KEPT; i++)
        if ((s->closed[i] & H2_STREAM_MAX) == id) s->closed[i] = id;
}

static void forget_number(struct h2_stream *st, bool by_us)
{
    struct h2_stream **at = bucket_of(st->session, st->id);
    while (*at && *at != st) at = &(*at)->next;
    if (bug_if(H2_SESSION, !*at)) return;
    *at = st->next;
    h2_session_note_closed(st->session, st->id, by_us);
}

void h2_stream_bury(struct h2_stream *st, bool by_us)
{
    struct h2_session *s = st->session;
    if (bug_if(H2_SESSION, st->is_gone)) return;
    st->is_gone = true;
    st->stream.events = NULL;
    list_remove(&st->turn);
    list_remove(&st->link);
    if (!bug_if(H2_SESSION, s->stalled < st->wants_window)) s->stalled -= st->wants_window;
    st->wants_window = false;
    if (!bug_if(H2_SESSION, s->grown < st->window - H2_WINDOW_FIRST))
        s->grown -= st->window - H2_WINDOW_FIRST;
    if (st->id) forget_number(st, by_us);
    if (s->data_stream == st) s->data_stream = NULL;
    h2_body_drop(st);
    if (!bug_if(H2_SESSION, !s->stream_count)) s->stream_count--;
    loop_bury(s->loop, &st->grave, bury);
    s->role->on_stream_gone(s);
}

/* sending */

bool h2_stream_is_dead(const struct h2_stream *st)
{
    return st->is_reset || st->is_refused || st->session->is_broken ||
           st->session->state >= H2_SESSION_LINGER;
}

/* After all of it was taken. */
static void note_flushed(struct h2_stream *st)
{
    struct h2_session *s = st->session;
    st->stream.is_flushed = !s->out.len || !h2_is_blocked(s);
    list_remove(&st->turn);
    if (!st->stream.is_flushed) list_push_back(&s->flushers, &st->turn);
}

static void queue(struct h2_stream *st)
{
    struct h2_session *s = st->session;
    if (bug_if(H2_SESSION, st->is_gone || st->urgency >= H2_URGENCIES)) return;
    struct list *senders = &s->senders[st->urgency];
    list_remove(&st->turn);
    if (st->is_sequential && st->is_served)
        list_push_front(senders, &st->turn);
    else
        list_push_back(senders, &st->turn);
    s->ready |= (uint8_t)(1u << st->urgency);
    if (!h2_is_blocked(s) && s->send_window > 0) h2_session_look(s);
}

void h2_stream_wake(struct h2_stream *st)
{
    if (!st->wants_window || st->send_window <= 0) return;
    st->wants_window = false;
    if (!bug_if(H2_SESSION, !st->session->stalled)) st->session->stalled--;
    queue(st);
}

static void pass_over(struct h2_stream *st)
{
    if (!st->is_passed_over) st->passed_since = st->session->shared;
    st->is_passed_over = true;
}

static void have_turn(struct h2_stream *st)
{
    st->passed = h2_stream_passed(&st->stream);
    st->is_passed_over = false;
}

uint64_t h2_stream_passed(const struct http_stream *stream)
{
    const struct h2_stream *st = container_of(stream, struct h2_stream, stream);
    return st->passed + (st->is_passed_over ? st->session->shared - st->passed_since : 0);
}

size_t h2_stream_room(const struct http_stream *stream)
{
    const struct h2_stream *st = container_of(stream, struct h2_stream, stream);
    int64_t room = st->session->send_window < st->send_window ? st->session->send_window : st->send_window;
    return room > 0 ? (size_t)room : 0;
}

/* How much of `len` may go now; 0: it waits for its turn. */
static size_t may_send(struct h2_stream *st, size_t len)
{
    struct h2_session *s = st->session;
    if (st->send_window <= 0) {
        have_turn(st); /* and makes nothing of it */
        list_remove(&st->turn);
        s->stalled += !st->wants_window;
        st->wants_window = true;
        return 0;
    }
    bool has_rivals = s->ready && !st->is_sequential;
    if (s->send_window <= 0 || h2_is_blocked(s) || (s->ready && !st->is_served) ||
        (has_rivals && !st->allowance)) {
        pass_over(st);
        queue(st);
        return 0;
    }
    have_turn(st);
    size_t may = len;
    if (may > (size_t)st->send_window) may = (size_t)st->send_window;
    if ((int64_t)may > s->send_window) may = (size_t)s->send_window;
    if (has_rivals && may > st->allowance) may = st->allowance;
    if (may < TINY && may < len) {
        h2_session_count(s, H2_FLOOD_WINDOWS);
        h2_turn_charge(s, TINY_WORK);
    }
    return may;
}

enum io h2_stream_send_body(struct http_stream *stream, const char *data, size_t len, unsigned flags,
                            size_t *taken)
{
    struct h2_stream *st = h2_stream_of(stream);
    struct h2_session *s = st->session;
    bool ends = flags & HTTP_END;
    *taken = 0;
    if (bug_if(H2_SESSION, st->is_gone || !st->id) || h2_stream_is_dead(st)) return IO_FAIL;
    if (st->has_sent_end || (!len && !ends)) return IO_OK;
    do {
        size_t now = 0, may = len - *taken;
        if (may && !(may = may_send(st, may))) return IO_AGAIN;
        struct slice part = { data ? data + *taken : NULL, may };
        if (h2_out_data(s, st, part, ends && *taken + may == len, &now) == IO_FAIL) {
            stream->lacks_memory = s->end == END_NO_MEMORY;
            return IO_FAIL;
        }
        if (bug_if(H2_SESSION, now > may)) return IO_FAIL;
        *taken += now;
        if (!bug_if(H2_SESSION, !s->stream_count)) s->shared += now / s->stream_count;
        st->allowance -= now < st->allowance ? (uint32_t)now : st->allowance;
        /* A small message is whole, and no window's doing. */
        if (now >= TINY || now == len) h2_session_earn(s, now);
    } while (*taken < len);
    st->has_sent_end = ends;
    note_flushed(st);
    return IO_OK;
}

bool h2_stream_send_fields(struct h2_stream *st, bool ends, const nghttp2_nv *fields, size_t count)
{
    uint32_t bytes = 0;
    if (bug_if(H2_SESSION, st->is_gone || !st->id || st->has_sent_end))
        return false; /* nobody knows of what stream */
    if (!h2_out_fields(st->session, st->id, ends, fields, count, &bytes)) return false;
    st->stream.head_bytes += bytes;
    st->has_sent_end = ends;
    note_flushed(st);
    return true;
}

enum io h2_stream_send_trailers(struct http_stream *stream, const struct http_field *fields, uint32_t count)
{
    struct h2_stream *st = h2_stream_of(stream);
    struct h2_session *s = st->session;
    if (h2_stream_is_dead(st)) return IO_FAIL;
    if (st->has_sent_end) return IO_OK;
    struct block *b = block_get(&s->loop->blocks, h2_trailers_room(fields, count));
    size_t passing = b ? h2_trailers_put(fields, count, b->data) : 0;
    size_t none = 0;
    enum io io = IO_OK;
    if (passing) {
        if (!h2_stream_send_fields(st, true, (nghttp2_nv *)(void *)b->data, passing)) io = IO_FAIL;
    } else {
        io = h2_stream_send_body(stream, NULL, 0, HTTP_END,
                                 &none); /* without memory none pass, as none need */
    }
    block_put(&s->loop->blocks, b);
    return io;
}

/* turns */

static struct h2_stream *next_sender(struct h2_session *s)
{
    while (s->ready) {
        unsigned urgency = (unsigned)__builtin_ctz(s->ready);
        struct list *first = list_pop_front(&s->senders[urgency]);
        if (list_is_empty(&s->senders[urgency])) s->ready &= (uint8_t) ~(1u << urgency);
        if (first) return container_of(first, struct h2_stream, turn);
    }
    return NULL;
}

void h2_streams_send(struct h2_session *s)
{
    int64_t moved = 0;
    while (h2_is_live(s) && s->ready && !s->is_broken && !h2_is_blocked(s) && s->send_window > 0) {
        if (moved >= LOOP_TURN_BYTES) {
            h2_session_look(s); /* others have their turn first */
            return;
        }
        struct h2_stream *st = next_sender(s);
        if (!st) return;
        if (bug_if(H2_SESSION, st->is_gone || st->session != s)) continue;
        int64_t before = s->send_window;
        st->allowance = ALLOWANCE;
        st->is_served = true;
        st->stream.is_flushed = true;
        if (st->stream.events) st->stream.events->on_writable(&st->stream);
        st->is_served = false;
        moved += before - s->send_window;
    }
}

void h2_streams_flushed(struct h2_session *s)
{
    struct list now;
    if (list_is_empty(&s->flushers)) return;
    list_move(&now, &s->flushers);
    while (!list_is_empty(&now)) {
        struct h2_stream *st = container_of(list_pop_front(&now), struct h2_stream, turn);
        if (bug_if(H2_SESSION, st->is_gone)) continue;
        st->stream.is_flushed = true;
        if (st->stream.events) st->stream.events->on_writable(&st->stream);
    }
}

/* ends */

void h2_stream_send_reset(struct h2_stream *st, enum h2_error error)
{
    struct h2_session *s = st->session;
    st->is_reset = true;
    if (bug_if(H2_SESSION, !st->id)) return; /* it would be the connection's */
    if (s->state < H2_SESSION_LINGER && !s->is_broken) h2_out_u32(s, H2_RST_STREAM, st->id, error);
}

void h2_stream_fail(struct h2_stream *st, enum h2_error error, enum end_reason reason, const char *detail)
{
    struct http_fault fault = { .reason = reason, .detail = detail };
    if (st->is_reset) return;
    h2_session_count(st->session, H2_FLOOD_RESETS);
    h2_stream_send_reset(st, error);
    st->has_ended = true;
    h2_session_note_closed(st->session, st->id, true);
    if (st->stream.events) st->stream.events->on_error(&st->stream, &fault);
}
