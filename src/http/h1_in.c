#include <errno.h>

#include "base/bug.h"
#include "http/h1_io.h"

void h1_in_clear(struct h1_in *in, struct loop *l)
{
    block_put(&l->blocks, in->hold);
    in->hold = NULL;
    in->begin = in->end = 0;
}

void h1_in_use(struct h1_in *in, struct loop *l, uint32_t len)
{
    if (bug_if(H1_IN, len > in->end - in->begin)) len = in->end - in->begin;
    in->begin += len;
    if (in->begin == in->end) h1_in_clear(in, l);
}

/* Room for `len` more bytes behind what is held; what is held moves to the front if need be. */
static bool make_room(struct h1_in *in, struct loop *l, uint32_t len)
{
    uint32_t held = in->end - in->begin;
    if (in->hold && in->hold->cap - in->end >= len) return true;
    if (!block_grow(&l->blocks, &in->hold, in->begin, held, len)) return false;
    in->begin = 0;
    in->end = held;
    return true;
}

bool h1_in_hold(struct h1_in *in, struct loop *l, struct slice bytes, uint32_t max)
{
    if (!bytes.len) return true;
    if (bug_if(H1_IN, in->begin > in->end)) return false;
    uint32_t held = in->end - in->begin;
    if (bytes.len > max || held > max - bytes.len) return false;
    if (!make_room(in, l, (uint32_t)bytes.len)) return false;
    memcpy(in->hold->data + in->end, bytes.data, bytes.len);
    in->end += (uint32_t)bytes.len;
    return true;
}

static size_t may_take(struct http_stream *s)
{
    return s->events && s->events->may_take ? s->events->may_take(s) : SIZE_MAX;
}

size_t h1_in_read_bytes(struct http_stream *s)
{
    size_t may = may_take(s);
    if (may >= LOOP_HOLD_BYTES) return LOOP_HOLD_BYTES;
    return may > LOOP_LITTLE_BYTES ? may : LOOP_LITTLE_BYTES;
}

/* One pass over bytes that are already here. */
struct pass {
    const struct h1_limits *limits;
    struct h1_fault *fault;
    struct slice bytes;
    uint32_t used; /* of bytes */
    bool had_trailers;
};

/* Hands one stretch of payload over. What is not taken is given back to the decoder, which is first set back to
 * where it stood right behind this stretch. */
static enum h1_pump hand_over(struct h1_in *in, struct http_stream *s, struct pass *p, struct slice data,
                              unsigned flags, const struct h1_body *behind)
{
    in->owes_more = false;
    if (bug_if(H1_IN, data.data < p->bytes.data || data.data + data.len > p->bytes.data + p->bytes.len)) {
        *p->fault = (struct h1_fault){ .reason = END_INTERNAL };
        return H1_PUMP_BAD;
    }
    size_t taken = s->events->on_body(s, data.data, data.len, flags);
    if (!s->events) return H1_PUMP_GONE;
    if (bug_if(H1_IN, taken > data.len)) taken = data.len;
    if (taken == data.len) return H1_PUMP_DRY;
    in->body = *behind;
    h1_body_untake(&in->body, data.len - taken);
    p->used = (uint32_t)(data.data - p->bytes.data) + (uint32_t)taken;
    return H1_PUMP_BLOCKED;
}

static unsigned flags_before(enum h1_body_event next)
{
    if (next == H1_BODY_EVENT_END) return HTTP_END;
    return next == H1_BODY_EVENT_DATA || next == H1_BODY_EVENT_TRAILERS ? HTTP_MORE : 0;
}

/* Decodes all that the receiver takes. One step is looked ahead, so that payload goes out together with the end
 * that follows it. */
static enum h1_pump pass_over(struct h1_in *in, struct http_stream *s, struct pass *p)
{
    struct http_field trailers[HTTP_FIELDS_MAX + 1];
    uint32_t trailer_count = 0;
    struct slice waiting = SLICE_NONE;
    struct h1_body behind = in->body;
    for (;;) {
        uint32_t used = 0;
        struct slice data = SLICE_NONE;
        struct slice rest = p->bytes;
        if (p->used) rest = (struct slice){ rest.data + p->used, rest.len - p->used };
        enum h1_body_event event = h1_body_step(&in->body, rest, p->limits, &used, &data, trailers,
                                                &trailer_count, p->fault);
        if (bug_if(H1_IN, used > rest.len)) {
            *p->fault = (struct h1_fault){ .reason = END_INTERNAL };
            return H1_PUMP_BAD;
        }
        bool is_told = waiting.len && event == H1_BODY_EVENT_END;
        if (waiting.len) {
            enum h1_pump got = hand_over(in, s, p, waiting, flags_before(event), &behind);
            if (got != H1_PUMP_DRY) return got;
            waiting = SLICE_NONE;
        }
        p->used += used;
        switch (event) {
        case H1_BODY_EVENT_DATA:
            waiting = data;
            behind = in->body;
            break;
        case H1_BODY_EVENT_TRAILERS:
            s->events->on_trailers(s, trailers, trailer_count);
            if (!s->events) return H1_PUMP_GONE;
            p->had_trailers = true;
            break;
        case H1_BODY_EVENT_END:
            if (!p->had_trailers && !is_told) s->events->on_body(s, NULL, 0, HTTP_END);
            return s->events ? H1_PUMP_END : H1_PUMP_GONE;
        case H1_BODY_EVENT_BAD: return H1_PUMP_BAD;
        case H1_BODY_EVENT_MORE: return H1_PUMP_DRY;
        }
    }
}

static enum h1_pump pump_bytes(struct h1_in *in, struct loop *l, struct http_stream *s, struct slice bytes,
                               const struct h1_limits *limits, struct h1_fault *fault)
{
    bool is_held = bytes.data == h1_in_held(in).data;
    struct pass p = { .limits = limits, .fault = fault, .bytes = bytes };
    enum h1_pump got = pass_over(in, s, &p);
    if (got == H1_PUMP_GONE) return got;
    if (is_held) {
        h1_in_use(in, l, p.used);
    } else if (!h1_in_hold(in, l, (struct slice){ bytes.data + p.used, bytes.len - p.used },
                           LOOP_HOLD_BYTES)) {
        return H1_PUMP_NO_MEMORY;
    }
    s->held = in->end - in->begin;
    if (got == H1_PUMP_END) s->is_ended = true;
    return got;
}

static enum h1_pump at_eof(struct h1_in *in, struct http_stream *s)
{
    if (h1_in_held(in).len || !h1_body_may_end(&in->body)) return H1_PUMP_EOF;
    if (bug_if(H1_IN, s->is_ended)) return H1_PUMP_END; /* its end was told */
    s->events->on_body(s, NULL, 0, HTTP_END);
    if (!s->events) return H1_PUMP_GONE;
    s->is_ended = true;
    return H1_PUMP_END;
}

/* Looks at `most` bytes of payload where the kernel keeps it, into the scratch buffer behind `read`, which was received before.
 * One byte more is asked for than the body still has: a look that came short says that nothing else is there. */
static enum io look(struct h1_in *in, struct transport *t, struct slice read, size_t most, size_t *seen)
{
    uint64_t left = h1_body_run(&in->body) - read.len;
    *seen = 0;
    if (bug_if(H1_IN, read.len > h1_body_run(&in->body))) return IO_AGAIN; /* a part of it is no payload */
    const char *end = t->loop->scratch + LOOP_SCRATCH_BYTES;
    size_t room = (size_t)(end - read.data) - read.len;
    if (room > most) room = most;
    return t->ops->peek(t, (char *)read.data + read.len, left < room ? (size_t)left + 1 : room, seen);
}

/* What was received and what was seen behind it goes on as one; of the latter only what was taken leaves the kernel. */
static enum h1_pump pump_seen(struct h1_in *in, struct transport *t, struct http_stream *s, struct slice read,
                              size_t seen, size_t *moved)
{
    uint64_t run = h1_body_run(&in->body);
    size_t len = run - read.len < seen ? (size_t)run : read.len + seen;
    bool is_last = in->body.state == H1_BODY_LENGTH && len == run;
    in->is_bulk = seen > LOOP_HOLD_BYTES;
    in->owes_more = false;
    size_t taken = s->events->on_body(s, read.data, len, is_last ? HTTP_END : 0);
    if (!s->events) return H1_PUMP_GONE;
    if (bug_if(H1_IN, taken > len)) taken = len;
    h1_body_skip(&in->body, taken);
    *moved += taken;
    if (taken > read.len && t->ops->drop(t, taken - read.len) != IO_OK) return H1_PUMP_FAIL;
    if (taken < len) {
        struct slice rest = { read.data + taken, taken < read.len ? read.len - taken : 0 };
        if (!h1_in_hold(in, t->loop, rest, LOOP_HOLD_BYTES)) return H1_PUMP_NO_MEMORY;
        s->held = (uint32_t)rest.len;
        t->is_readable = true; /* what was seen is still there, and no edge will say so */
        return H1_PUMP_BLOCKED;
    }
    s->held = 0;
    if (!is_last) return H1_PUMP_YIELD;
    s->is_ended = true;
    return H1_PUMP_END;
}

/* Bulk: nothing is received before it is known to be taken. */
static enum h1_pump pump_bulk(struct h1_in *in, struct transport *t, struct http_stream *s, size_t *moved)
{
    size_t most = may_take(s);
    struct slice none = { t->loop->scratch, 0 };
    size_t seen = 0;
    switch (look(in, t, none, most, &seen)) {
    case IO_AGAIN: return H1_PUMP_DRY;
    case IO_EOF: return at_eof(in, s);
    case IO_FAIL: return H1_PUMP_FAIL;
    case IO_OK: break;
    }
    return pump_seen(in, t, s, none, seen, moved);
}

/* The first read, which brought the head, was full, and what is left of its payload fits in behind it: then one send takes it
 * all. Of what is larger the first part goes at once: its receiver has something to do while the next is read. */
static bool may_join(const struct h1_in *in, const struct transport *t, struct slice bytes)
{
    const char *scratch = t->loop->scratch;
    bool is_scratch = bytes.len && bytes.data >= scratch && bytes.data < scratch + LOOP_HOLD_BYTES;
    uint64_t run = h1_body_run(&in->body);
    return in->is_bulk && is_scratch && t->is_readable && t->ops->peek && run > bytes.len &&
           run < LOOP_SCRATCH_BYTES - LOOP_HOLD_BYTES;
}

static enum h1_pump pump_joined(struct h1_in *in, struct transport *t, struct http_stream *s,
                                struct slice bytes, const struct h1_limits *limits, struct h1_fault *fault,
                                size_t *moved)
{
    size_t seen = 0;
    enum io io = look(in, t, bytes, SIZE_MAX, &seen);
    if (io == IO_OK) return pump_seen(in, t, s, bytes, seen, moved);
    enum h1_pump got = pump_bytes(in, t->loop, s, bytes, limits, fault);
    return got == H1_PUMP_DRY && io == IO_FAIL ? H1_PUMP_FAIL : got;
}

/* A read of ordinary size: behind what is held if the decoder left some (part of a trailer), else to the scratch
 * buffer. */
static enum h1_pump pump_some(struct h1_in *in, struct transport *t, struct http_stream *s,
                              const struct h1_limits *limits, struct h1_fault *fault, size_t *moved)
{
    char *to = t->loop->scratch;
    size_t room = h1_in_read_bytes(s);
    size_t got = 0;
    bool is_held = h1_in_held(in).len > 0;
    if (is_held) {
        /* Only trailers are held while the decoder waits for more, and those it bounds. */
        if (!make_room(in, t->loop, BLOCK_MIN / 2)) return H1_PUMP_NO_MEMORY;
        to = in->hold->data + in->end;
        room = in->hold->cap - in->end;
    }
    enum io io = transport_recv(t, to, room, &got);
    if (io == IO_AGAIN) return H1_PUMP_DRY;
    if (io == IO_EOF) return at_eof(in, s);
    if (io == IO_FAIL) return H1_PUMP_FAIL;
    *moved += got;
    in->is_bulk = got == LOOP_HOLD_BYTES;
    struct slice bytes = { to, got };
    if (is_held) {
        in->end += (uint32_t)got;
        bytes = h1_in_held(in);
    }
    enum h1_pump result = pump_bytes(in, t->loop, s, bytes, limits, fault);
    return result == H1_PUMP_DRY ? H1_PUMP_YIELD : result;
}

static enum h1_pump pump_all(struct h1_in *in, struct transport *t, struct http_stream *s, struct slice bytes,
                             const struct h1_limits *limits, struct h1_fault *fault)
{
    struct slice here = bytes.len ? bytes : h1_in_held(in);
    if (bug_if(H1_IN, bytes.len && h1_in_held(in).len)) {
        *fault = (struct h1_fault){ .reason = END_INTERNAL };
        return H1_PUMP_BAD;
    }
    size_t moved = 0;
    /* Also without bytes: the body may have none, and then this is its end. */
    if (here.len || h1_body_is_done(&in->body)) {
        enum h1_pump got = may_join(in, t, bytes) ? pump_joined(in, t, s, bytes, limits, fault, &moved)
                                                  : pump_bytes(in, t->loop, s, here, limits, fault);
        if (got != H1_PUMP_DRY && got != H1_PUMP_YIELD) return got;
    }
    while (moved < LOOP_TURN_BYTES) {
        if (!t->is_readable) return H1_PUMP_DRY;
        bool is_bulk = in->is_bulk && h1_body_run(&in->body) > LOOP_HOLD_BYTES && t->ops->peek &&
                       !h1_in_held(in).len && may_take(s) >= LOOP_HOLD_BYTES;
        enum h1_pump got = is_bulk ? pump_bulk(in, t, s, &moved) : pump_some(in, t, s, limits, fault, &moved);
        if (got != H1_PUMP_YIELD) return got;
    }
    return H1_PUMP_YIELD;
}

enum h1_pump h1_in_pump(struct h1_in *in, struct transport *t, struct http_stream *s, struct slice bytes,
                        const struct h1_limits *limits, struct h1_fault *fault)
{
    if (bug_if(H1_IN, !s->events)) return H1_PUMP_GONE;
    enum h1_pump got = pump_all(in, t, s, bytes, limits, fault);
    if (!in->owes_more) return got;
    in->owes_more = false;
    /* The head went with the word that more follows, and it was only framing: it shall not wait for the data. */
    if (got != H1_PUMP_DRY && got != H1_PUMP_YIELD) return got;
    s->events->on_body(s, NULL, 0, 0);
    return s->events ? got : H1_PUMP_GONE;
}
