/* What frames come to. */
#include <string.h>

#include "base/bug.h"
#include "http/h2_session.h"

/* RFC 9218 7.1 */
#define PRIORITY_UPDATE 0x10
#define PREFACE_LEN (sizeof(H2_PREFACE) - 1)

static void fail(struct h2_session *s, enum h2_error error, const char *detail)
{
    h2_session_fail(s, error, s->role->protocol, detail);
}

/* A stream that is not open yet: nothing but HEADERS and PRIORITY may come of it (5.1). */
static bool is_idle(const struct h2_session *s, uint32_t id)
{
    return !(id & 1) || id > s->last_id;
}

/* fields */

static void drop_fields(struct h2_session *s)
{
    block_put(&s->loop->blocks, s->fields);
    s->fields = NULL;
    s->fields_len = s->fields_stream = s->continuations = 0;
}

static bool keep_fields(struct h2_session *s, struct slice bytes)
{
    uint32_t max = s->head_limits->head_max;
    if (s->fields_len + bytes.len > (max > H2_PAYLOAD_MAX ? max : H2_PAYLOAD_MAX)) {
        h2_session_fail(s, H2_ENHANCE_YOUR_CALM, s->role->continuations,
                        "a field block over the limit of a head");
        return false;
    }
    if (!block_grow(&s->loop->blocks, &s->fields, 0, s->fields_len, bytes.len)) {
        h2_session_fail(s, H2_INTERNAL_ERROR, END_NO_MEMORY, NULL);
        return false;
    }
    memcpy(s->fields->data + s->fields_len, bytes.data, bytes.len);
    s->fields_len += (uint32_t)bytes.len;
    return true;
}

static void on_headers(struct h2_session *s, const struct h2_frame *f, struct slice payload)
{
    struct h2_content content;
    if (bug_if(H2_SESSION, s->fields)) drop_fields(s); /* one block is whole before another begins */
    if (!h2_frame_content(f, payload, &content)) {
        fail(s, H2_PROTOCOL_ERROR, "a HEADERS frame that is shorter than its padding and priority");
    } else if (content.depends_on == f->stream) {
        fail(s, H2_PROTOCOL_ERROR, "a stream that depends on itself");
    } else if (!s->role->may_have_fields(s, f->stream)) {
        return;
    } else if (f->flags & H2_END_HEADERS) {
        s->role->on_fields(s, f->stream, f->flags, content.bytes);
    } else if (keep_fields(s, content.bytes)) {
        s->fields_stream = f->stream;
        s->fields_flags = f->flags;
    }
}

static void on_continuation(struct h2_session *s, const struct h2_frame *f, struct slice payload)
{
    if (++s->continuations > s->limits->continuations) {
        h2_session_fail(s, H2_ENHANCE_YOUR_CALM, s->role->continuations,
                        "a head in too many CONTINUATION frames");
        return;
    }
    if (!payload.len) h2_session_count(s, H2_FLOOD_EMPTY);
    if (!keep_fields(s, payload) || !(f->flags & H2_END_HEADERS)) return;
    struct block *fields = s->fields;
    if (bug_if(H2_SESSION, !s->fields_stream)) return;
    struct slice block = { fields->data, s->fields_len };
    uint32_t id = s->fields_stream;
    s->fields = NULL;
    drop_fields(s);
    s->role->on_fields(s, id, s->fields_flags, block);
    block_put(&s->loop->blocks, fields);
}

/* data */

/* Of a stream that nobody has any more. */
static void note_late_data(struct h2_session *s, const struct h2_frame *f)
{
    bool is_known;
    /* It was on its way. */
    if (h2_session_was_reset(s, f->stream, &is_known) || (s->role->sends_requests && !is_known)) return;
    h2_out_u32(s, H2_RST_STREAM, f->stream, H2_STREAM_CLOSED);
    h2_session_count(s, H2_FLOOD_RESETS);
}

static struct h2_stream *stream_of_data(struct h2_session *s, const struct h2_frame *f)
{
    struct h2_stream *st = h2_stream_find(s, f->stream);
    if (!st || st->is_cancelled) {
        note_late_data(s, f);
    } else if (st->is_reset) {
        return NULL;
    } else if (s->role->sends_requests && !st->has_head) {
        h2_stream_fail(st, H2_PROTOCOL_ERROR, s->role->body, "data before the head of a response");
    } else if (st->has_ended) {
        h2_stream_fail(st, H2_STREAM_CLOSED, s->role->body, "data behind the end of a message");
    } else if ((int64_t)f->len > st->receive_window) {
        h2_stream_fail(st, H2_FLOW_CONTROL_ERROR, s->role->body, "data beyond the stream's window");
    } else {
        st->receive_window -= (int32_t)f->len;
        return st;
    }
    return NULL;
}

/* The head of a DATA frame, and `padding` bytes behind its payload of which one more stands before it; -1: no padding. */
static void begin_data(struct h2_session *s, int padding)
{
    const struct h2_frame *f = &s->frame;
    uint32_t overhead = padding < 0 ? 0 : (uint32_t)padding + 1;
    (void)bug_if(H2_SESSION, !s->has_frame || s->data_left || s->padding_left); /* within another one */
    s->has_frame = false;
    s->follows = 0; /* here it is */
    if (is_idle(s, f->stream)) {
        fail(s, H2_PROTOCOL_ERROR, "data of a stream that is not open");
        return;
    }
    if (overhead > f->len) {
        fail(s, H2_PROTOCOL_ERROR, "a DATA frame that is shorter than its padding");
        return;
    }
    if ((int64_t)f->len > s->receive_window) {
        h2_session_fail(s, H2_FLOW_CONTROL_ERROR, s->role->protocol, "data beyond the connection's window");
        return;
    }
    s->receive_window -= (int32_t)f->len;
    s->data_stream = stream_of_data(s, f);
    s->data_left = f->len - overhead;
    s->padding_left = padding < 0 ? 0 : (uint32_t)padding;
    if (padding >= 0) h2_body_received(s, 1);
    if (overhead && s->data_stream) h2_body_took(s->data_stream, overhead);
    if (s->data_left >= 64) h2_session_earn(s, s->data_left);
    if (s->data_left) return;
    if (!(f->flags & H2_END_STREAM))
        h2_session_count(s, H2_FLOOD_EMPTY);
    else if (s->data_stream)
        h2_body_data(s->data_stream, SLICE_NONE, true);
}

static void take_data(struct h2_session *s, struct slice *bytes)
{
    uint32_t left = s->data_left ? s->data_left : s->padding_left;
    size_t now = bytes->len < left ? bytes->len : left;
    struct slice here = { bytes->data, now };
    bytes->data += now;
    bytes->len -= now;
    if (!s->data_left) {
        s->padding_left -= (uint32_t)now;
        h2_body_received(s, now);
        return;
    }
    s->data_left -= (uint32_t)now;
    h2_body_received(s, now);
    if (bug_if(H2_SESSION,
               s->data_stream && (s->data_stream->is_gone || s->data_stream->id != s->frame.stream)))
        s->data_stream = NULL; /* it would be another's body */
    bool ends = (s->frame.flags & H2_END_STREAM) && !s->data_left;
    if (s->data_stream) h2_body_data(s->data_stream, here, ends);
}

/* the others */

static void on_rst_stream(struct h2_session *s, const struct h2_frame *f, struct slice payload)
{
    struct h2_stream *st = h2_stream_find(s, f->stream);
    if (bug_if(H2_SESSION, payload.len < 4)) return; /* the frame's head was checked */
    if (is_idle(s, f->stream))
        fail(s, H2_PROTOCOL_ERROR, "a RST_STREAM of a stream that is not open");
    else if (st)
        s->role->on_reset(st, h2_read_u32(payload.data));
    else
        h2_session_note_cancelled(s, f->stream);
}

/* 6.9.2: all streams' windows move by the difference. */
static bool move_windows(struct h2_session *s, uint32_t before)
{
    int64_t by = (int64_t)s->peer.window - before;
    if (!by) return true;
    for (struct list *at = s->streams.next; at != &s->streams; at = at->next) {
        struct h2_stream *st = container_of(at, struct h2_stream, link);
        if (st->send_window + by > H2_WINDOW_MAX) return false;
        st->send_window += (int32_t)by;
        h2_stream_wake(st);
    }
    return true;
}

static void on_settings(struct h2_session *s, const struct h2_frame *f, struct slice payload)
{
    struct h2_fault fault;
    struct h2_settings before = s->peer;
    if (f->flags & H2_ACK) {
        if (!s->awaits_ack) fail(s, H2_PROTOCOL_ERROR, "settings are acknowledged that were not sent");
        s->awaits_ack = false;
        return;
    }
    h2_session_count(s, H2_FLOOD_SETTINGS);
    if (!h2_settings_read(&s->peer, payload, &fault)) {
        fail(s, fault.error, fault.detail);
        return;
    }
    if (!move_windows(s, before.window)) {
        fail(s, H2_FLOW_CONTROL_ERROR, "a window of 2^31 or more");
        return;
    }
    if (s->peer.header_table_bytes != before.header_table_bytes &&
        h2_hpack_resize(&s->hpack, s->peer.header_table_bytes) < 0) {
        h2_session_fail(s, H2_INTERNAL_ERROR, END_NO_MEMORY, NULL);
        return;
    }
    h2_out_frame(s, H2_SETTINGS, H2_ACK, 0, SLICE_NONE);
    bool is_first = !s->has_settings;
    s->has_settings = true;
    const char *wrong = s->role->on_settings(s, &before, is_first);
    if (wrong) fail(s, H2_PROTOCOL_ERROR, wrong);
}

static void on_window_update(struct h2_session *s, const struct h2_frame *f, struct slice payload)
{
    if (bug_if(H2_SESSION, payload.len < 4)) return;
    uint32_t by = h2_read_u32(payload.data) & H2_WINDOW_MAX;
    struct h2_stream *st = f->stream ? h2_stream_find(s, f->stream) : NULL;
    h2_session_count(s, H2_FLOOD_WINDOWS);
    if (f->stream && is_idle(s, f->stream)) {
        fail(s, H2_PROTOCOL_ERROR, "a WINDOW_UPDATE of a stream that is not open");
    } else if (!f->stream) {
        if (!by || s->send_window + by > H2_WINDOW_MAX)
            fail(s, by ? H2_FLOW_CONTROL_ERROR : H2_PROTOCOL_ERROR,
                 "a WINDOW_UPDATE by nothing, or by too much");
        else
            s->send_window += by;
    } else if (st && (!by || (int64_t)st->send_window + by > H2_WINDOW_MAX)) {
        h2_stream_fail(st, by ? H2_FLOW_CONTROL_ERROR : H2_PROTOCOL_ERROR, s->role->body,
                       "a WINDOW_UPDATE by nothing, or by too much");
    } else if (st) {
        st->send_window += (int32_t)by;
        h2_stream_wake(st);
    }
}

static void on_priority(struct h2_session *s, const struct h2_frame *f, struct slice payload)
{
    h2_session_count(s, H2_FLOOD_EMPTY);
    if (payload.len != 5)
        fail(s, H2_FRAME_SIZE_ERROR, "a PRIORITY frame that is not five bytes long");
    else if ((h2_read_u32(payload.data) & H2_STREAM_MAX) == f->stream)
        fail(s, H2_PROTOCOL_ERROR, "a stream that depends on itself");
}

static void on_other(struct h2_session *s, const struct h2_frame *f, struct slice payload)
{
    h2_session_count(s, H2_FLOOD_EMPTY);
    if (f->type != PRIORITY_UPDATE || f->stream || payload.len < 4) return;
    struct h2_stream *st = h2_stream_find(s, h2_read_u32(payload.data) & H2_STREAM_MAX);
    if (st) h2_request_prioritise(st, (struct slice){ payload.data + 4, payload.len - 4 });
}

static void on_frame(struct h2_session *s, const struct h2_frame *f, struct slice payload)
{
    if (bug_if(H2_SESSION, payload.len != f->len)) return; /* it is whole */
    switch (f->type) {
    case H2_HEADERS: on_headers(s, f, payload); return;
    case H2_CONTINUATION: on_continuation(s, f, payload); return;
    case H2_PRIORITY: on_priority(s, f, payload); return;
    case H2_RST_STREAM: on_rst_stream(s, f, payload); return;
    case H2_SETTINGS: on_settings(s, f, payload); return;
    case H2_PING:
        if (f->flags & H2_ACK) {
            s->role->on_acked(s);
        } else {
            h2_session_count(s, H2_FLOOD_PINGS);
            h2_out_frame(s, H2_PING, H2_ACK, 0, payload);
        }
        return;
    case H2_WINDOW_UPDATE: on_window_update(s, f, payload); return;
    case H2_GOAWAY:
        s->role->on_goaway(s, h2_read_u32(payload.data) & H2_STREAM_MAX, h2_read_u32(payload.data + 4));
        return;
    default: on_other(s, f, payload); return;
    }
}

/* bytes */

/* Whether a frame of this head may come now. */
static bool may_come(struct h2_session *s, const struct h2_frame *f)
{
    struct h2_fault fault;
    if (!s->has_settings && (f->type != H2_SETTINGS || (f->flags & H2_ACK))) {
        fail(s, H2_PROTOCOL_ERROR, s->role->no_settings);
        return false;
    }
    bool continues = f->type == H2_CONTINUATION && f->stream == s->fields_stream;
    if (s->fields_stream ? !continues : f->type == H2_CONTINUATION) {
        fail(s, H2_PROTOCOL_ERROR, "a field block that is not continued, or a CONTINUATION of none");
        return false;
    }
    if (h2_frame_check(f, &fault)) return true;
    fail(s, fault.error, fault.detail);
    return false;
}

/* The clock of a head runs from its first byte. */
static void note_part(struct h2_session *s)
{
    uint64_t timeout_ms = s->role->head_timeout_ms(s);
    if (s->head_by_ms || !timeout_ms) return;
    s->head_started_ns = s->loop->now_ns;
    s->head_by_ms = loop_now_ms(s->loop) + timeout_ms;
    h2_session_arm(s);
}

static void note_whole(struct h2_session *s)
{
    if (!s->fields_stream) s->head_by_ms = 0;
}

/* A frame's head, whole at once or in pieces. False: more is needed, or it may not come. */
static bool take_head(struct h2_session *s, struct slice *bytes)
{
    if (bug_if(H2_SESSION, s->head_len >= H2_FRAME_HEAD)) s->head_len = 0;
    size_t missing = H2_FRAME_HEAD - s->head_len;
    size_t now = bytes->len < missing ? bytes->len : missing;
    const char *head = bytes->data;
    if (s->head_len || now < missing) {
        memcpy(s->head + s->head_len, bytes->data, now);
        head = s->head;
    }
    bytes->data += now;
    bytes->len -= now;
    if (now < missing) {
        s->head_len += (uint8_t)now;
        note_part(s);
        return false;
    }
    s->head_len = 0;
    h2_turn_charge(s, 1);
    s->frame = h2_frame_read(head);
    s->has_frame = may_come(s, &s->frame);
    return s->has_frame;
}

/* Whether what is behind a HEADERS frame is body of its stream, which goes on together with the head; or takes it back. */
static uint32_t look_ahead(struct h2_session *s, const struct h2_frame *f, struct slice bytes)
{
    s->is_taken_back = false;
    if (f->type != H2_HEADERS || bytes.len <= H2_FRAME_HEAD) return 0;
    struct h2_frame next = h2_frame_read(bytes.data);
    s->is_taken_back = next.type == H2_RST_STREAM && next.stream == f->stream && next.len == 4;
    bool is_body = next.type == H2_DATA && next.stream == f->stream && !(next.flags & H2_PADDED) &&
                   next.len && next.len <= H2_PAYLOAD_MAX && !(f->flags & H2_END_STREAM);
    return is_body ? f->stream : 0;
}

static void take_payload(struct h2_session *s, struct slice *bytes)
{
    const struct h2_frame f = s->frame;
    if (bug_if(H2_SESSION, s->payload_len > f.len)) s->payload_len = 0;
    size_t missing = f.len - s->payload_len;
    size_t now = bytes->len < missing ? bytes->len : missing;
    struct slice payload = { bytes->data, now };
    if (!now && missing) {
        note_part(s);
        return;
    }
    if (s->payload_len || now < missing) {
        if (!block_grow(&s->loop->blocks, &s->payload, 0, s->payload_len, now)) {
            h2_session_fail(s, H2_INTERNAL_ERROR, END_NO_MEMORY, NULL);
            return;
        }
        memcpy(s->payload->data + s->payload_len, bytes->data, now);
        s->payload_len += (uint32_t)now;
        payload = (struct slice){ s->payload->data, s->payload_len };
    }
    bytes->data += now;
    bytes->len -= now;
    if (now < missing) {
        note_part(s);
        return;
    }
    struct block *kept = s->payload;
    s->payload = NULL;
    s->payload_len = 0;
    s->has_frame = false;
    s->follows = look_ahead(s, &f, *bytes);
    if (f.type == H2_HEADERS && !(f.flags & H2_END_HEADERS)) note_part(s);
    on_frame(s, &f, payload);
    note_whole(s);
    block_put(&s->loop->blocks, kept);
}

static void take_frame(struct h2_session *s, struct slice *bytes)
{
    if (!s->has_frame && !take_head(s, bytes)) return;
    if (s->frame.type != H2_DATA) {
        take_payload(s, bytes);
        return;
    }
    note_whole(s);
    if (!(s->frame.flags & H2_PADDED)) {
        begin_data(s, -1);
    } else if (!s->frame.len) {
        fail(s, H2_FRAME_SIZE_ERROR, "a DATA frame without the length of its padding");
    } else if (bytes->len) {
        int padding = (uint8_t)bytes->data[0];
        bytes->data++;
        bytes->len--;
        begin_data(s, padding);
    }
}

static void take_preface(struct h2_session *s, struct slice *bytes)
{
    if (bug_if(H2_SESSION, s->preface_len >= PREFACE_LEN)) return;
    size_t missing = PREFACE_LEN - s->preface_len;
    size_t now = bytes->len < missing ? bytes->len : missing;
    if (memcmp(bytes->data, &H2_PREFACE[s->preface_len], now) != 0) {
        fail(s, H2_PROTOCOL_ERROR, "what came is not HTTP/2");
        return;
    }
    s->preface_len += (uint32_t)now;
    bytes->data += now;
    bytes->len -= now;
    if (s->preface_len == PREFACE_LEN) s->state = H2_SESSION_OPEN;
}

/* Nothing has begun of which the rest is to follow within this turn. */
static bool is_between_frames(const struct h2_session *s)
{
    return s->state == H2_SESSION_OPEN && !s->has_frame && !s->head_len && !s->data_left &&
           !s->padding_left && !s->follows;
}

size_t h2_frames_take(struct h2_session *s, struct slice bytes)
{
    /* A frame without payload is done with when its head is there. */
    while ((bytes.len || (s->has_frame && !s->frame.len)) && h2_is_live(s) && !s->flooded) {
        if (is_between_frames(s) && !h2_turn_may_go_on(s)) return bytes.len;
        if (s->state == H2_SESSION_PREFACE)
            take_preface(s, &bytes);
        else if (s->data_left || s->padding_left)
            take_data(s, &bytes);
        else
            take_frame(s, &bytes);
    }
    return 0;
}
