/* What goes out: frames behind one another, and payload beside them. */
#include <errno.h>
#include <string.h>

#include "base/bug.h"
#include "http/h2_session.h"

/* Payload up to this is copied behind what waits, for one send at the turn's end; more goes at once, from where it lies. */
#define COPY_MAX (8u << 10)
/* From so much on what waits goes before the turn's end. */
#define GATHER_MAX (64u << 10)
#define PIECES_MAX 24
/* Of one stretch: its frames' heads, and as many pieces of payload. */
#define FRAMES_MAX (LOOP_SCRATCH_BYTES / H2_PAYLOAD_MAX)

static void broke(struct h2_session *s, enum end_reason reason)
{
    if (!s->is_broken) s->end = (uint8_t)reason;
    s->is_broken = true;
    h2_session_look(s);
}

/* Room behind what waits, which goes at the end of the turn. */
static char *room(struct h2_session *s, size_t len)
{
    if (s->is_broken || s->state >= H2_SESSION_LINGER) return NULL;
    if (s->out.len + len > s->limits->memory_bytes) { /* whose peer has not taken all that */
        broke(s, s->role->memory);
        return NULL;
    }
    char *at = h2_bytes_room(&s->out, s->loop, len);
    if (!at) {
        broke(s, END_NO_MEMORY);
        return NULL;
    }
    if (list_is_empty(&s->flush_task.link)) loop_at_end(s->loop, &s->flush_task);
    return at;
}

bool h2_out_bytes(struct h2_session *s, struct slice bytes)
{
    char *at = room(s, bytes.len);
    if (!at) return false;
    memcpy(at, bytes.data, bytes.len);
    h2_bytes_add(&s->out, bytes.len);
    return true;
}

bool h2_out_frame(struct h2_session *s, enum h2_type type, uint8_t flags, uint32_t stream,
                  struct slice payload)
{
    if (bug_if(H2_SESSION, payload.len > H2_PAYLOAD_MAX || stream > H2_STREAM_MAX)) return false;
    char *at = room(s, H2_FRAME_HEAD + payload.len);
    if (!at) return false;
    struct h2_frame f = { (uint32_t)payload.len, (uint8_t)type, flags, stream };
    h2_frame_write(at, &f);
    if (payload.len) memcpy(at + H2_FRAME_HEAD, payload.data, payload.len);
    h2_bytes_add(&s->out, H2_FRAME_HEAD + payload.len);
    return true;
}

bool h2_out_u32(struct h2_session *s, enum h2_type type, uint32_t stream, uint32_t value)
{
    char payload[4];
    h2_write_u32(payload, value);
    return h2_out_frame(s, type, 0, stream, (struct slice){ payload, sizeof(payload) });
}

bool h2_out_goaway(struct h2_session *s, uint32_t last, enum h2_error error)
{
    char payload[8];
    h2_write_u32(payload, last);
    h2_write_u32(payload + 4, error);
    return h2_out_frame(s, H2_GOAWAY, 0, 0, (struct slice){ payload, sizeof(payload) });
}

void h2_put_setting(char *to, enum h2_setting id, uint32_t value)
{
    to[0] = 0;
    to[1] = (char)id;
    h2_write_u32(to + 2, value);
}

bool h2_out_settings(struct h2_session *s, struct slice payload)
{
    s->receive_window = (int32_t)s->window;
    if (!h2_out_frame(s, H2_SETTINGS, 0, 0, payload)) return false;
    s->awaits_ack = true;
    return s->window <= H2_WINDOW_FIRST || h2_out_u32(s, H2_WINDOW_UPDATE, 0, s->window - H2_WINDOW_FIRST);
}

/* The block of `len` bytes lies behind room for one frame's head: makes room for those of CONTINUATIONs and writes all. */
static size_t cut_fields(char *at, size_t len, uint8_t flags, uint32_t stream)
{
    size_t frames = len ? (len + H2_PAYLOAD_MAX - 1) / H2_PAYLOAD_MAX : 1;
    for (size_t i = frames; i-- > 0;) {
        size_t here = i + 1 == frames ? len - i * H2_PAYLOAD_MAX : H2_PAYLOAD_MAX;
        char *to = at + i * (H2_FRAME_HEAD + H2_PAYLOAD_MAX);
        if (i) memmove(to + H2_FRAME_HEAD, at + H2_FRAME_HEAD + i * H2_PAYLOAD_MAX, here);
        struct h2_frame f = { .len = (uint32_t)here,
                              .type = i ? H2_CONTINUATION : H2_HEADERS,
                              .flags = (uint8_t)((i ? 0 : flags) | (i + 1 == frames ? H2_END_HEADERS : 0)),
                              .stream = stream };
        h2_frame_write(to, &f);
    }
    return len + frames * H2_FRAME_HEAD;
}

bool h2_out_fields(struct h2_session *s, uint32_t stream, bool ends, const nghttp2_nv *fields, size_t count,
                   uint32_t *bytes)
{
    size_t bound = h2_hpack_bound(&s->hpack, fields, count);
    char *at = room(s, bound + (bound / H2_PAYLOAD_MAX + 1) * H2_FRAME_HEAD);
    if (!at) return false;
    int64_t len = h2_hpack_encode(&s->hpack, at + H2_FRAME_HEAD, bound, fields, count);
    if (len < 0) {
        broke(s, END_NO_MEMORY); /* the two tables differ from now on */
        return false;
    }
    if (bug_if(H2_SESSION, (size_t)len > bound)) len = (int64_t)bound;
    *bytes = (uint32_t)cut_fields(at, (size_t)len, ends ? H2_END_STREAM : 0, stream);
    h2_bytes_add(&s->out, *bytes);
    return true;
}

static void note_rest(struct h2_session *s, bool has_moved)
{
    if (!s->out.len && !s->transport->holds_rest) {
        s->write_by_ms = 0;
    } else if (has_moved || !s->write_by_ms) {
        s->write_by_ms = loop_now_ms(s->loop) + s->role->write_timeout_ms(s);
        h2_session_arm(s);
    }
}

enum io h2_out_flush(struct h2_session *s)
{
    struct iovec iov[PIECES_MAX];
    bool has_moved = false;
    if (s->is_broken) return IO_FAIL;
    while (s->out.len && !h2_is_blocked(s)) {
        int count = h2_bytes_pieces(&s->out, iov, PIECES_MAX);
        size_t sent = 0;
        if (transport_send(s->transport, iov, count, &sent) == IO_FAIL) {
            broke(s, s->role->reset);
            return IO_FAIL;
        }
        if (bug_if(H2_SESSION, sent > s->out.len)) sent = (size_t)s->out.len;
        h2_bytes_drop(&s->out, s->loop, sent);
        s->sent += sent;
        has_moved |= sent > 0;
    }
    enum io io = s->out.len ? IO_AGAIN : transport_flush(s->transport);
    if (io == IO_FAIL) broke(s, s->role->reset);
    note_rest(s, has_moved);
    return io;
}

/* One frame behind what waits. */
static bool put_data(struct h2_session *s, struct h2_stream *st, struct slice data, bool ends)
{
    return h2_out_frame(s, H2_DATA, ends ? H2_END_STREAM : 0, st->id, data);
}

struct stretch {
    struct iovec iov[PIECES_MAX + 2 * FRAMES_MAX];
    char heads[FRAMES_MAX][H2_FRAME_HEAD];
    int count, first; /* of iov; where the frames begin */
};

/* What waits, and `data` in frames behind it. */
static void lay_out(struct h2_session *s, struct h2_stream *st, struct slice data, bool ends,
                    struct stretch *to)
{
    to->count = to->first = h2_bytes_pieces(&s->out, to->iov, PIECES_MAX);
    for (size_t at = 0, i = 0; at < data.len; at += H2_PAYLOAD_MAX, i++) {
        size_t len = data.len - at < H2_PAYLOAD_MAX ? data.len - at : H2_PAYLOAD_MAX;
        bool is_last = at + len == data.len;
        if (bug_if(H2_SESSION, i >= FRAMES_MAX)) return;
        struct h2_frame f = { (uint32_t)len, H2_DATA, ends && is_last ? H2_END_STREAM : 0, st->id };
        h2_frame_write(to->heads[i], &f);
        to->iov[to->count++] = (struct iovec){ to->heads[i], H2_FRAME_HEAD };
        to->iov[to->count++] = (struct iovec){ (char *)(uintptr_t)data.data + at, len };
    }
}

/* `sent` bytes of the frames are out: the rest of the one that has begun is kept, those behind it were never there. */
static bool keep_begun(struct h2_session *s, const struct stretch *st, size_t sent, size_t *taken)
{
    *taken = 0;
    for (int i = st->first; i < st->count; i += 2) {
        size_t payload = st->iov[i + 1].iov_len;
        if (!sent) return true;
        *taken += payload;
        if (sent >= H2_FRAME_HEAD + payload) {
            sent -= H2_FRAME_HEAD + payload;
            continue;
        }
        for (int k = i; k < i + 2; k++) {
            size_t gone = sent < st->iov[k].iov_len ? sent : st->iov[k].iov_len;
            struct slice rest = { (char *)st->iov[k].iov_base + gone, st->iov[k].iov_len - gone };
            sent -= gone;
            if (rest.len && !h2_bytes_put(&s->out, s->loop, rest)) return false;
        }
        return true;
    }
    return !bug_if(H2_SESSION, sent); /* of what was never given */
}

static enum io send_direct(struct h2_session *s, struct h2_stream *st, struct slice data, bool ends,
                           size_t *taken)
{
    struct stretch stretch;
    if (s->out.blocks > PIECES_MAX && h2_out_flush(s) == IO_FAIL) return IO_FAIL;
    if (h2_is_blocked(s) || s->out.blocks > PIECES_MAX) return IO_AGAIN;
    lay_out(s, st, data, ends, &stretch);
    size_t waiting = (size_t)s->out.len, sent = 0;
    if (transport_send(s->transport, stretch.iov, stretch.count, &sent) == IO_FAIL) {
        broke(s, s->role->reset);
        return IO_FAIL;
    }
    s->sent += sent;
    size_t before = sent < waiting ? sent : waiting;
    if (before) h2_bytes_drop(&s->out, s->loop, before);
    if (!keep_begun(s, &stretch, sent - before, taken)) {
        broke(s, END_NO_MEMORY);
        return IO_FAIL;
    }
    note_rest(s, sent > 0);
    return IO_OK;
}

enum io h2_out_data(struct h2_session *s, struct h2_stream *st, struct slice data, bool ends, size_t *taken)
{
    *taken = 0;
    if (s->is_broken) return IO_FAIL;
    if (!data.len) return put_data(s, st, data, ends) ? IO_OK : IO_FAIL;
    if (h2_is_blocked(s)) return IO_AGAIN;
    if (data.len > LOOP_SCRATCH_BYTES) data.len = LOOP_SCRATCH_BYTES, ends = false;
    if (data.len <= COPY_MAX && s->out.len + data.len <= GATHER_MAX) {
        if (!put_data(s, st, data, ends)) return IO_FAIL;
        *taken = data.len;
    } else if (send_direct(s, st, data, ends, taken) == IO_FAIL) {
        return IO_FAIL;
    }
    if (bug_if(H2_SESSION, *taken > data.len || (int64_t)*taken > s->send_window)) return IO_FAIL;
    st->send_window -= (int32_t)*taken;
    s->send_window -= (int64_t)*taken;
    return IO_OK;
}
