/* A connection to a server: its beginning, its streams, its end. */
#include "http/h2_client.h"

#include <errno.h>

#include "base/bug.h"
#include "http/h1_client.h"
#include "http/h2_session.h"
#include "tls/conn.h"

/* Streams' numbers end, and the connection a little before. */
#define LAST_ID (H2_STREAM_MAX - 2)

static const struct h2_role role;

static struct h2_client *client_of(struct transport *t)
{
    return container_of(t, struct h2_client, transport);
}

/* ends */

static void close_now(struct h2_client *c, bool is_reset)
{
    struct h2_session *s = c->session;
    if (!s) return;
    c->session = NULL;
    c->closed_by_peer = c->transport.has_hangup;
    s->state = H2_SESSION_CLOSED;
    h2_session_drop_all(s);
    h2_session_bury(s);
    loop_disarm(s->loop, &c->timer);
    transport_close(&c->transport, is_reset);
    c->owner->on_closed(c);
}

static void leave(struct h2_client *c)
{
    if (c->is_leaving) return;
    c->is_leaving = true;
    c->owner->on_room(c);
}

/* What has become of it, once nobody is in the middle of it. */
static void settle(struct h2_session *s)
{
    struct h2_client *c = s->client;
    if (s->state == H2_SESSION_CLOSED || s->stream_count) return;
    if (c->is_opening) {
        close_now(c, false); /* nobody waits for it any more */
        return;
    }
    if (h2_is_live(s) && c->is_leaving) {
        h2_out_goaway(s, 0, H2_NO_ERROR);
        h2_session_start_flush(s);
    }
    if (s->state == H2_SESSION_FLUSH) {
        if (s->is_broken || h2_out_flush(s) != IO_AGAIN) close_now(c, false);
    } else if (c->is_busy) {
        c->is_busy = false;
        c->owner->on_idle(c);
    }
}

static void stream_gone(struct h2_session *s)
{
    struct h2_client *c = s->client;
    if (h2_is_live(s) && !c->is_leaving) c->owner->on_room(c);
    if (!s->is_driving) settle(s);
}

/* Whoever waits has to know whether the server can have seen his request. */
static void note_fail(struct h2_session *s, enum end_reason reason, const char *detail)
{
    (void)reason, (void)detail;
    for (struct list *at = s->streams.next; at != &s->streams; at = at->next) {
        struct h2_stream *st = container_of(at, struct h2_stream, link);
        /* Of one that can still be spoken to, what waits goes out before the last word: the server may act on it. */
        if (!st->id || (s->is_broken && s->sent <= st->sent_at)) st->stream.is_unprocessed = true;
    }
    leave(s->client);
}

/* RFC 9113 6.8: what is above `last` was not acted on, and what is not goes on. */
static void on_goaway(struct h2_session *s, uint32_t last, uint32_t error)
{
    struct http_fault fault = { .reason = END_SERVER_GOAWAY, .detail = h2_error_name(error) };
    struct list *next;
    h2_session_count(s, H2_FLOOD_EMPTY);
    leave(s->client);
    for (struct list *at = s->streams.next; at != &s->streams; at = next) {
        struct h2_stream *st = container_of(at, struct h2_stream, link);
        next = at->next;
        if (st->is_reset || (st->id && st->id <= last)) continue;
        st->is_reset = st->has_ended = true;
        st->stream.is_unprocessed = true;
        if (st->stream.events) st->stream.events->on_error(&st->stream, &fault);
    }
}

/* Whoever waits for that can go on. */
static void tell_settings(struct h2_session *s)
{
    struct list *next;
    for (struct list *at = s->streams.next; at != &s->streams; at = next) {
        struct h2_stream *st = container_of(at, struct h2_stream, link);
        next = at->next;
        if (!st->awaits_settings || !st->stream.events) continue;
        st->awaits_settings = false;
        st->stream.events->on_open(&st->stream);
    }
}

static const char *on_settings(struct h2_session *s, const struct h2_settings *before, bool is_first)
{
    if (s->peer.is_push_enabled) return "a server that allows to push"; /* 6.5.2 */
    if (is_first || s->peer.streams != before->streams) s->client->owner->on_room(s->client);
    if (is_first) tell_settings(s);
    return NULL;
}

static void on_acked(struct h2_session *s)
{
    h2_session_count(s, H2_FLOOD_PINGS); /* of none of ours */
}

static uint64_t write_timeout_ms(const struct h2_session *s)
{
    return s->client->write_timeout_ms;
}

/* Of what is awaited each exchange has its own clock. */
static uint64_t head_timeout_ms(const struct h2_session *s)
{
    (void)s;
    return 0;
}

static const struct h2_role role = {
    .sends_requests = true,
    .no_settings = "what came does not begin with SETTINGS: it is no HTTP/2",
    .eof = END_SERVER_CLOSED,
    .reset = END_SERVER_RESET,
    .protocol = END_SERVER_HTTP2,
    .memory = END_SERVER_HTTP2_FLOOD,
    .continuations = END_SERVER_HTTP2_FLOOD,
    .body = END_BAD_RESPONSE_BODY,
#define X(id, key, reason) .floods[H2_FLOOD_##id] = END_SERVER_HTTP2_FLOOD,
    H2_FLOODS(X)
#undef X
        .write_timeout_ms = write_timeout_ms,
    .head_timeout_ms = head_timeout_ms,
    .may_have_fields = h2_response_may_have_fields,
    .on_fields = h2_response_fields,
    .on_reset = h2_response_reset,
    .on_goaway = on_goaway,
    .on_settings = on_settings,
    .on_acked = on_acked,
    .on_fail = note_fail,
    .on_stream_gone = stream_gone,
    .settle = settle,
};

/* the beginning */

static void fail_to_open(struct h2_client *c, enum end_reason reason, const char *detail)
{
    struct h2_session *s = c->session;
    c->is_opening = false;
    s->is_broken = s->is_driving = true;
    h2_session_fail(s, H2_NO_ERROR, reason, detail);
    s->is_driving = false;
    settle(s);
}

static void say_settings(struct h2_session *s)
{
    char payload[2 * 6];
    h2_put_setting(payload, H2_SETTING_ENABLE_PUSH, 0);
    h2_put_setting(payload + 6, H2_SETTING_MAX_HEADER_LIST_SIZE, s->head_limits->head_max);
    if (h2_out_bytes(s, SLICE(H2_PREFACE))) h2_out_settings(s, (struct slice){ payload, sizeof(payload) });
}

static void opened(struct h2_client *c)
{
    struct h2_session *s = c->session;
    struct list *next;
    if (tls_conn_is(&c->transport) && !slice_equal(tls_conn_alpn(&c->transport), SLICE("h2"))) {
        enum end_reason fault = c->allows_http1 ? c->owner->on_http1(c) : END_SERVER_NO_HTTP2;
        if (fault != END_NONE) fail_to_open(c, fault, NULL);
        return;
    }
    c->is_opening = false;
    s->is_driving = true;
    c->owner->on_opened(c);
    say_settings(s);
    for (struct list *at = s->streams.next; at != &s->streams; at = next) {
        struct h2_stream *st = container_of(at, struct h2_stream, link);
        next = at->next;
        st->stream.overdue = END_NONE;
        if (st->stream.events) st->stream.events->on_open(&st->stream);
    }
    h2_session_drive(s);
}

/* Of a server that spoke HTTP/2 when they were leased: on a new connection they will be. */
static void refuse_rest(struct h2_session *s)
{
    struct http_fault fault = { .reason = END_SERVER_GOAWAY, .detail = "it speaks HTTP/1.1 now" };
    struct list *next;
    for (struct list *at = s->streams.next; at != &s->streams; at = next) {
        struct h2_stream *st = container_of(at, struct h2_stream, link);
        next = at->next;
        st->is_reset = st->has_ended = st->stream.is_unprocessed = true;
        if (st->stream.events) st->stream.events->on_error(&st->stream, &fault);
    }
}

void h2_client_go_on_as(struct h2_client *c, struct http_stream *to)
{
    struct h2_session *s = c->session;
    struct h2_stream *first = container_of(s->streams.next, struct h2_stream, link);
    if (bug_if(H2_SESSION, list_is_empty(&s->streams) || !first->stream.events)) { /* nobody goes on */
        http_stream_reset(to, END_INTERNAL);
        fail_to_open(c, END_INTERNAL, NULL);
        return;
    }
    c->is_leaving = s->is_driving = s->is_broken = true;
    first->stream.events->on_moved(&first->stream, to);
    h2_stream_bury(first, false);
    refuse_rest(s);
    s->is_driving = false;
    settle(s);
    to->events->on_open(to);
}

static void open_connection(struct h2_client *c)
{
    switch (transport_open(&c->transport)) {
    case IO_OK: opened(c); return;
    case IO_AGAIN:
        for (struct list *at = c->session->streams.next; at != &c->session->streams; at = at->next)
            container_of(at, struct h2_stream, link)->stream.overdue = c->transport.overdue;
        return;
    case IO_EOF:
    case IO_FAIL: fail_to_open(c, h1_client_connect_reason(&c->transport), c->transport.fault_words); return;
    }
}

static void on_ready(struct transport *t)
{
    struct h2_client *c = client_of(t);
    if (!c->session) return;
    if (c->is_opening)
        open_connection(c);
    else
        h2_session_drive(c->session);
}

static struct h2_session *session_new(struct h2_client *c, struct h2_worker *w,
                                      const struct h1_limits *head_limits)
{
    struct h2_session *s = slab_get(&w->sessions);
    if (!s) return NULL;
    s->role = &role;
    s->client = c;
    s->transport = &c->transport;
    s->timer = &c->timer;
    s->limits = &c->limits;
    s->head_limits = head_limits;
    s->state = H2_SESSION_OPEN;
    if (h2_session_init(s, w) < 0) {
        slab_put(&w->sessions, s);
        return NULL;
    }
    s->peer.is_push_enabled = false; /* by us */
    return s;
}

int h2_client_connect(struct h2_client *c, const struct h2_client_owner *owner, struct h2_worker *w,
                      const struct address *to, const struct address *local,
                      const struct h1_limits *head_limits)
{
    c->owner = owner;
    timer_init(&c->timer, NULL);
    if (transport_connect(&c->transport, w->memory.loop, to, local, on_ready) < 0) return -1;
    c->session = session_new(c, w, head_limits);
    if (!c->session) {
        transport_close(&c->transport, false);
        c->transport.saved_errno = ENOMEM;
        return -1;
    }
    c->is_opening = true;
    return 0;
}

/* as the pool has it */

uint32_t h2_client_room(const struct h2_client *c)
{
    const struct h2_session *s = c->session;
    if (!s || c->is_leaving || !h2_is_live(s) || s->is_broken || s->flooded || s->last_id >= LAST_ID)
        return 0;
    uint32_t allowed = s->has_settings || !c->streams_expected ? s->peer.streams : c->streams_expected;
    uint32_t most = s->limits->streams < allowed ? s->limits->streams : allowed;
    return most > s->stream_count ? most - s->stream_count : 0;
}

uint32_t h2_client_streams_allowed(const struct h2_client *c)
{
    return c->session && c->session->has_settings ? c->session->peer.streams : 0;
}

static const struct http_stream_ops stream_ops;

struct http_stream *h2_client_lease(struct h2_client *c)
{
    struct h2_session *s = c->session;
    if (bug_if(H2_SESSION, !h2_client_room(c)) || block_pool_is_short(&s->loop->blocks)) return NULL;
    struct http_stream as = { .ops = &stream_ops,
                              .is_flushed = true,
                              .is_unprocessed = true,
                              .is_reused = !c->is_opening,
                              .overdue = c->is_opening ? c->transport.overdue : END_NONE };
    struct h2_stream *st = h2_stream_new(s, &as);
    if (!st) return NULL;
    c->is_busy = true;
    return &st->stream;
}

void h2_client_close(struct h2_client *c)
{
    struct h2_session *s = c->session;
    if (!s) return;
    if (bug_if(H2_SESSION, s->stream_count)) {
        leave(c);
        return;
    }
    c->is_leaving = true;
    if (!c->is_opening && h2_is_live(s) && !s->is_broken && h2_out_goaway(s, 0, H2_NO_ERROR)) h2_out_flush(s);
    close_now(c, false);
}

void h2_client_look(struct h2_client *c)
{
    struct h2_session *s = c->session;
    if (!s || !s->write_by_ms) return;
    if (loop_now_ms(s->loop) < s->write_by_ms) {
        h2_session_arm(s);
        return;
    }
    s->is_broken = s->is_driving = true;
    h2_session_fail(s, H2_NO_ERROR, END_SEND_TIMEOUT, NULL);
    s->is_driving = false;
    settle(s);
}

void h2_client_reach(const struct h2_client *c, struct http_reach *out)
{
    out->connections++;
    out->blocks += c->session ? h2_session_blocks(c->session) : 0;
    out->timers += timer_is_armed(&c->timer);
    out->descriptors += c->transport.io.fd >= 0;
}

/* its streams, as their owners have them */

static bool send_request(struct h2_stream *st, const struct http_send *send)
{
    struct h2_session *s = st->session;
    struct slice scheme = tls_conn_is(s->transport) ? SLICE("https") : SLICE("http");
    bool is_whole = send->body == HTTP_BODY_NONE || (send->body == HTTP_BODY_LENGTH && !send->content_length);
    bool ends = is_whole && !send->upgrade.len;
    struct block *b = block_get(&s->loop->blocks, h2_head_fields_room(send));
    bool is_sent = b && h2_stream_send_fields(st, ends, (nghttp2_nv *)(void *)b->data,
                                              h2_head_put_request(send, scheme, b->data));
    block_put(&s->loop->blocks, b);
    return is_sent;
}

static enum io send_head(struct http_stream *stream, const struct http_send *send, unsigned flags)
{
    struct h2_stream *st = h2_stream_of(stream);
    struct h2_session *s = st->session;
    (void)flags; /* it leaves at the end of the turn, with what follows */
    if (h2_stream_is_dead(st) || st->id || !h2_is_live(s)) return IO_FAIL;
    if (bug_if(H2_SESSION, s->client->is_opening)) return IO_FAIL; /* it may turn out to speak HTTP/1 */
    s->last_id = s->last_id ? s->last_id + 2 : 1;
    h2_stream_number(st, s->last_id);
    st->method = (uint8_t)send->head->method;
    st->asks_tunnel = send->upgrade.len > 0;
    st->sent_at = s->sent + s->out.len;
    st->sent_ns = s->loop->now_ns;
    stream->is_unprocessed = false;
    if (send_request(st, send)) return IO_OK;
    stream->lacks_memory = true;
    return IO_FAIL;
}

static void pause(struct http_stream *stream)
{
    h2_stream_of(stream)->is_paused = true;
}

static void resume(struct http_stream *stream)
{
    struct h2_stream *st = h2_stream_of(stream);
    st->is_paused = false;
    if (st->has_head) h2_body_deliver(st);
}

static bool is_timeout(enum end_reason reason)
{
    return reason == END_FIRST_BYTE_TIMEOUT || reason == END_RESPONSE_TIMEOUT || reason == END_SEND_TIMEOUT;
}

/* Where nothing at all has come for most of that time others would wait in vain as well. */
static void judge(const struct h2_stream *st, enum end_reason reason)
{
    const struct h2_session *s = st->session;
    if (!is_timeout(reason) || !st->id) return;
    uint64_t waited_ns = s->loop->now_ns - st->sent_ns;
    if (s->loop->now_ns - s->heard_ns > waited_ns / 2) leave(s->client);
}

static void let_go(struct h2_stream *st)
{
    bool is_over = st->has_ended && st->has_sent_end;
    bool by_us = st->id && !st->is_reset && !st->is_refused && !is_over;
    if (by_us) h2_stream_send_reset(st, st->has_ended ? H2_NO_ERROR : H2_CANCEL);
    h2_stream_bury(st, by_us);
}

static void reset(struct http_stream *stream, enum end_reason reason)
{
    judge(h2_stream_of(stream), reason);
    let_go(h2_stream_of(stream));
}

static void release(struct http_stream *stream)
{
    let_go(h2_stream_of(stream));
}

static enum http_tunnels tunnels(struct http_stream *stream)
{
    struct h2_stream *st = h2_stream_of(stream);
    const struct h2_session *s = st->session;
    st->awaits_settings = !s->has_settings;
    if (!s->has_settings) return HTTP_TUNNELS_UNKNOWN;
    return s->peer.allows_tunnels ? HTTP_TUNNELS_YES : HTTP_TUNNELS_NO;
}

static void reach(const struct http_stream *stream, struct http_reach *out)
{
    const struct h2_stream *st = h2_stream_of((struct http_stream *)(uintptr_t)stream);
    if (st->session->streams.next == &st->link) h2_client_reach(st->session->client, out);
}

void h2_client_reach_by(const struct transport *tunnel, struct http_reach *out)
{
    const struct h2_stream *st = h2_tunnel_stream(tunnel);
    if (st) reach(&st->stream, out);
}

static const struct http_stream_ops stream_ops = {
    .send_head = send_head,
    .send_body = h2_stream_send_body,
    .send_trailers = h2_stream_send_trailers,
    .resume = resume,
    .pause = pause,
    .reset = reset,
    .release = release,
    .detach = h2_stream_detach,
    .tunnels = tunnels,
    .reach = reach,
};
