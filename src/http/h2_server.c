/* A client's connection: its beginning, time-outs and ends. */
#include "http/h2_server.h"

#include <string.h>

#include "base/bug.h"
#include "http/h1_server.h"
#include "http/h2_session.h"

/* So long a client may take to say that it has heard of the end (RFC 9113 6.8). */
#define LEAVE_MS 1000u
/* What comes behind the end is thrown away, so that a reset does not destroy the end's reason on its way. */
#define LINGER_MS 5000u
#define LINGER_BYTES (1u << 20)
/* The rest of a request that is answered is thrown away for so long, and as much of it. */
#define REST_MS 3000u
#define REST_BYTES (1u << 20)
static const struct http_conn_ops conn_ops;

void h2_worker_init(struct h2_worker *w, struct loop *l)
{
    h2_memory_init(&w->memory, l);
    slab_init(&w->sessions, &l->blocks, sizeof(struct h2_session));
    slab_init(&w->streams, &l->blocks, sizeof(struct h2_stream));
    h2_turn_init(w);
}

void h2_worker_fini(struct h2_worker *w)
{
    if (!w->memory.loop) return;
    loop_cancel(&w->task);
    loop_disarm(w->memory.loop, &w->again);
    slab_fini(&w->sessions);
    slab_fini(&w->streams);
    h2_memory_fini(&w->memory);
}

static struct h2_server *server_of(const struct http_conn *http)
{
    return container_of((struct http_conn *)(uintptr_t)http, struct h2_server, http);
}

/* ends */

static void kill(struct h2_session *s, enum end_reason reason);

static void close_now(struct h2_session *s, bool is_reset)
{
    if (s->state == H2_SESSION_CLOSED) return;
    if (bug_if(H2_SESSION, s->stream_count)) {
        kill(s, END_INTERNAL);
        return;
    }
    s->state = H2_SESSION_CLOSED;
    h2_session_drop_all(s);
    h2_session_bury(s);
    http_conn_end(&s->server->http, is_reset);
}

static void kill(struct h2_session *s, enum end_reason reason)
{
    if (s->state >= H2_SESSION_KILLED) return;
    h2_session_tell_all(s, reason, NULL);
    /* An answer that the client does not take at once is not waited for. */
    h2_session_tell_all(s, END_CLIENT_ABORT, NULL);
    if (h2_is_live(s)) {
        h2_out_goaway(s, s->last_id, reason == s->role->memory ? H2_ENHANCE_YOUR_CALM : H2_NO_ERROR);
        h2_out_flush(s);
    }
    if (!s->stream_count) {
        close_now(s, false);
        return;
    }
    s->state = H2_SESSION_KILLED;
    h2_session_drop_all(s);
    loop_disarm(s->loop, &s->server->http.timer);
    transport_close(s->transport, false);
}

static void start_linger(struct h2_session *s)
{
    (void)bug_if(H2_SESSION, s->stream_count); /* they would never hear of it */
    if (s->is_broken || transport_shutdown(s->transport) != IO_OK) {
        close_now(s, s->is_broken);
        return;
    }
    h2_session_drop_all(s);
    s->state = H2_SESSION_LINGER;
    s->head_by_ms = s->idle_by_ms = s->write_by_ms = s->leave_by_ms = s->rest_by_ms = 0;
    s->linger_by_ms = loop_now_ms(s->loop) + LINGER_MS;
    h2_session_arm(s);
    h2_session_look(s);
}

static void linger(struct h2_session *s)
{
    while (s->lingered < LINGER_BYTES) {
        size_t got = 0;
        enum io io = transport_recv(s->transport, s->loop->scratch, LOOP_SCRATCH_BYTES, &got);
        if (io == IO_AGAIN && transport_wait(s->transport) == 0) return;
        if (io != IO_OK) break;
        s->lingered += got;
    }
    close_now(s, false);
}

/* time */

void h2_server_idle(struct h2_session *s)
{
    s->idle_by_ms = loop_now_ms(s->loop) + s->server->http.service->keep_alive_timeout_ms;
    h2_session_arm(s);
}

static void leave_now(struct h2_session *s)
{
    if (s->has_left || !h2_is_live(s)) return;
    s->is_leaving = s->has_left = true;
    s->goaway_id = s->last_id;
    s->idle_by_ms = s->leave_by_ms = 0;
    h2_out_goaway(s, s->goaway_id, H2_NO_ERROR);
    h2_session_look(s);
}

/* First without a last stream, so that none is lost that is on its way; the real one once the client is sure to know. */
void h2_server_leave(struct h2_session *s)
{
    static const char ping[8] = "leaving";
    if (s->is_leaving || !h2_is_live(s)) return;
    s->is_leaving = true;
    h2_out_goaway(s, H2_STREAM_MAX, H2_NO_ERROR);
    h2_out_frame(s, H2_PING, 0, 0, (struct slice){ ping, sizeof(ping) });
    s->leave_by_ms = loop_now_ms(s->loop) + LEAVE_MS;
    h2_session_arm(s);
}

static void acked(struct h2_session *s)
{
    if (s->is_leaving) leave_now(s);
}

static void on_timer(struct timer *t)
{
    struct h2_session *s = server_of(container_of(t, struct http_conn, timer))->session;
    uint64_t now = loop_now_ms(s->loop);
    if (s->linger_by_ms && now >= s->linger_by_ms) {
        close_now(s, false);
        return;
    }
    if (s->write_by_ms && now >= s->write_by_ms) {
        s->is_broken = true;
        h2_session_fail(s, H2_NO_ERROR, END_WRITE_TIMEOUT, NULL);
        h2_session_look(s);
        return;
    }
    if (s->rest_by_ms && now >= s->rest_by_ms) h2_server_end_rests(s);
    if (s->head_by_ms && now >= s->head_by_ms)
        h2_session_fail(s, H2_NO_ERROR, END_HEADER_TIMEOUT, NULL);
    else if ((s->idle_by_ms && now >= s->idle_by_ms) || (s->leave_by_ms && now >= s->leave_by_ms))
        leave_now(s);
    h2_session_arm(s);
}

static void stream_gone(struct h2_session *s)
{
    if (s->stream_count) return;
    if (s->state == H2_SESSION_KILLED) {
        close_now(s, false);
        return;
    }
    if (h2_is_live(s)) h2_server_idle(s);
    if (!h2_is_live(s) || s->has_left) h2_session_look(s);
}

/* as its session's role has it */

static void note_fail(struct h2_session *s, enum end_reason reason, const char *detail)
{
    struct http_conn *http = &s->server->http;
    if (reason != END_CLIENT_ABORT) http->end = (uint8_t)reason;
    http->transport.fault_words = detail;
}

/* What has become of it, once nobody is in the middle of it. */
static void settle(struct h2_session *s)
{
    if (s->state >= H2_SESSION_KILLED) return;
    if (s->state == H2_SESSION_LINGER) {
        linger(s);
        return;
    }
    if (h2_is_live(s) && s->has_left && !s->stream_count) h2_session_start_flush(s);
    if (s->state != H2_SESSION_FLUSH || s->stream_count) return;
    if (s->is_broken || h2_out_flush(s) != IO_AGAIN) start_linger(s);
}

static uint64_t write_timeout_ms(const struct h2_session *s)
{
    return s->server->http.service->write_timeout_ms;
}

static uint64_t head_timeout_ms(const struct h2_session *s)
{
    return s->server->http.service->header_timeout_ms;
}

/* There are no streams of ours. */
static void on_goaway(struct h2_session *s, uint32_t last, uint32_t error)
{
    (void)last, (void)error;
    h2_session_count(s, H2_FLOOD_EMPTY);
}

static const char *on_settings(struct h2_session *s, const struct h2_settings *before, bool is_first)
{
    (void)before;
    if (is_first && !s->stream_count) h2_server_idle(s);
    return NULL;
}

static const struct h2_role role = {
    .no_settings = "a client that does not begin with SETTINGS",
    .eof = END_CLIENT_ABORT,
    .reset = END_CLIENT_ABORT,
    .protocol = END_HTTP2_PROTOCOL,
    .memory = END_HTTP2_MEMORY,
    .continuations = END_HTTP2_CONTINUATIONS,
    .body = END_BAD_REQUEST_BODY,
#define X(id, key, reason) .floods[H2_FLOOD_##id] = reason,
    H2_FLOODS(X)
#undef X
        .eof_words = "the client closed its connection",
    .write_timeout_ms = write_timeout_ms,
    .head_timeout_ms = head_timeout_ms,
    .may_have_fields = h2_request_may_have_fields,
    .on_fields = h2_request_fields,
    .on_reset = h2_request_cancelled,
    .on_goaway = on_goaway,
    .on_settings = on_settings,
    .on_acked = acked,
    .on_fail = note_fail,
    .on_stream_gone = stream_gone,
    .settle = settle,
};

static void on_ready(struct transport *t)
{
    struct h2_session *s = server_of(container_of(t, struct http_conn, transport))->session;
    if (s->state < H2_SESSION_LINGER)
        h2_session_drive(s);
    else
        settle(s);
}

/* the beginning */

bool h2_server_is_meant(struct slice bytes)
{
    struct slice preface = SLICE(H2_PREFACE);
    size_t len = bytes.len < preface.len ? bytes.len : preface.len;
    return len >= 4 && memcmp(bytes.data, preface.data, len) == 0;
}

static struct h2_session *session_new(struct h2_server *server)
{
    struct http_service *service = server->http.service;
    struct h2_session *s = slab_get(&service->h2->sessions);
    if (!s) return NULL;
    s->role = &role;
    s->server = server;
    s->transport = &server->http.transport;
    s->timer = &server->http.timer;
    s->limits = &service->h2_limits;
    s->head_limits = &service->limits;
    if (h2_session_init(s, service->h2) == 0) return s;
    slab_put(&s->worker->sessions, s);
    return NULL;
}

_Static_assert(sizeof(struct h2_server) <= offsetof(struct h1_server, state),
               "who spoke HTTP/1 there can still see that it does no more");

static void say_settings(struct h2_session *s)
{
    char payload[3 * 6];
    s->has_announced = s->limits->allows_tunnels;
    h2_put_setting(payload, H2_SETTING_MAX_CONCURRENT_STREAMS, s->limits->streams);
    h2_put_setting(payload + 6, H2_SETTING_MAX_HEADER_LIST_SIZE, s->head_limits->head_max);
    h2_put_setting(payload + 12, H2_SETTING_ENABLE_CONNECT_PROTOCOL, 1);
    h2_out_settings(s, (struct slice){ payload, s->has_announced ? sizeof(payload) : 12 });
}

void h2_server_begin_with(struct http_conn *http, struct slice bytes)
{
    struct h2_server *server = server_of(http);
    struct h2_session *s = session_new(server);
    if (!s) {
        http->end = END_NO_MEMORY;
        http_conn_end(http, false);
        return;
    }
    server->session = s;
    http->ops = &conn_ops;
    http->transport.on_ready = on_ready;
    http->timer.on_timer = on_timer;
    http->client.version = HTTP_VERSION_2;
    s->head_by_ms = http->timer.deadline_ms; /* armed already: the preface has the time that is left */
    say_settings(s);
    h2_turn_take(s, bytes);
    h2_session_drive(s);
}

void h2_server_begin(struct http_conn *http)
{
    h2_server_begin_with(http, SLICE_NONE);
}

/* its streams, as their owners have them */

static enum io send_head(struct http_stream *stream, const struct http_send *send, unsigned flags)
{
    struct h2_stream *st = h2_stream_of(stream);
    struct h2_session *s = st->session;
    (void)flags; /* it leaves at the end of the turn, with what follows */
    if (h2_stream_is_dead(st)) return IO_FAIL;
    bool is_final = send->head->status >= 200;
    bool ends = is_final && (send->is_bodiless || send->body == HTTP_BODY_NONE ||
                             (send->body == HTTP_BODY_LENGTH && !send->content_length));
    struct block *b = block_get(&s->loop->blocks, h2_head_fields_room(send));
    bool is_sent = b &&
                   h2_stream_send_fields(st, ends, (nghttp2_nv *)(void *)b->data, h2_head_put(send, b->data));
    block_put(&s->loop->blocks, b);
    if (!is_sent) {
        stream->lacks_memory = true;
        return IO_FAIL;
    }
    if (is_final && s->server->http.service->is_draining) h2_server_leave(s);
    return IO_OK;
}

static enum h2_error error_of(const struct h2_stream *st, enum end_reason reason)
{
    if (st->is_new) return H2_REFUSED_STREAM; /* nobody has acted on it */
    switch (end_reason_info(reason)->origin) {
    case ORIGIN_NONE:
    case ORIGIN_CLIENT: return H2_CANCEL;
    case ORIGIN_WEIR:
    case ORIGIN_SERVER:
    case ORIGIN_CONFIG: break;
    }
    return H2_INTERNAL_ERROR;
}

static void reset(struct http_stream *stream, enum end_reason reason)
{
    struct h2_stream *st = h2_stream_of(stream);
    bool by_us = !st->is_reset;
    if (by_us && !(st->has_sent_end && st->has_ended)) h2_stream_send_reset(st, error_of(st, reason));
    h2_stream_bury(st, by_us);
}

static void let_go(struct h2_stream *st)
{
    bool by_us = !st->is_reset && (!st->has_ended || !st->has_sent_end || st->is_malformed);
    if (by_us) {
        enum h2_error error = st->has_sent_end ? H2_NO_ERROR
                                               : H2_INTERNAL_ERROR; /* 8.1: the rest is not wanted */
        h2_stream_send_reset(st, st->is_malformed ? H2_PROTOCOL_ERROR : error);
    }
    h2_stream_bury(st, by_us);
}

/* The rest of a request that is answered. RST_STREAM(NO_ERROR) may follow the answer at once (8.1), but curl before 8 takes
 * the answer away from whoever asked if the two come together: so what comes is thrown away for a while, as with HTTP/1. */

static size_t rest_on_body(struct http_stream *stream, const char *data, size_t len, unsigned flags)
{
    struct h2_stream *st = h2_stream_of(stream);
    (void)data;
    st->rest_bytes += len;
    if (flags & HTTP_END || st->rest_bytes > REST_BYTES) let_go(st);
    return len;
}

static void rest_on_trailers(struct http_stream *stream, const struct http_field *fields, uint32_t count)
{
    (void)fields, (void)count;
    let_go(h2_stream_of(stream));
}

static void rest_on_error(struct http_stream *stream, const struct http_fault *fault)
{
    (void)fault;
    let_go(h2_stream_of(stream));
}

static void rest_on_writable(struct http_stream *stream)
{
    (void)stream;
}

static const struct http_stream_events rest_events = { .on_body = rest_on_body,
                                                       .on_trailers = rest_on_trailers,
                                                       .on_error = rest_on_error,
                                                       .on_writable = rest_on_writable };

void h2_server_end_rests(struct h2_session *s)
{
    struct list *next;
    s->rest_by_ms = 0;
    for (struct list *at = s->streams.next; at != &s->streams; at = next) {
        struct h2_stream *st = container_of(at, struct h2_stream, link);
        next = at->next;
        if (st->stream.events == &rest_events) let_go(st);
    }
}

static void release(struct http_stream *stream)
{
    struct h2_stream *st = h2_stream_of(stream);
    struct h2_session *s = st->session;
    bool has_rest = st->has_sent_end && !st->has_ended && !st->is_reset && !st->is_malformed;
    if (!has_rest || !h2_is_live(s) || s->is_broken) {
        let_go(st);
        return;
    }
    st->stream.events = &rest_events;
    st->stream.owner = NULL;
    if (!bug_if(H2_SESSION, s->held_heads < st->head_charge))
        s->held_heads -= st->head_charge; /* nobody looks at it any more */
    st->head_charge = 0;
    if (!s->rest_by_ms) s->rest_by_ms = loop_now_ms(s->loop) + REST_MS;
    h2_session_arm(s);
    h2_body_deliver(st);
}

static void resume(struct http_stream *stream)
{
    h2_body_deliver(h2_stream_of(stream));
}

/* HTTP/2 cannot take back what is encoded: both tables have moved on. */
static bool unsend(struct http_stream *stream)
{
    (void)stream;
    return false;
}

/* The connection is always read. */
static void watch(struct http_stream *stream)
{
    (void)stream;
}

const struct http_stream_ops h2_server_stream_ops = {
    .send_head = send_head,
    .send_body = h2_stream_send_body,
    .send_trailers = h2_stream_send_trailers,
    .resume = resume,
    .unsend = unsend,
    .passed = h2_stream_passed,
    .room = h2_stream_room,
    .watch = watch,
    .reset = reset,
    .release = release,
    .detach = h2_stream_detach,
};

/* as its owner has it */

static void conn_drain(struct http_conn *http)
{
    h2_server_leave(server_of(http)->session);
}

static void conn_kill(struct http_conn *http, enum end_reason reason)
{
    kill(server_of(http)->session, reason);
}

static enum http_conn_use conn_use(const struct http_conn *http)
{
    const struct h2_session *s = server_of(http)->session;
    switch ((enum h2_state)s->state) {
    case H2_SESSION_PREFACE: return HTTP_CONN_BEGINNING;
    case H2_SESSION_OPEN:
        if (s->stream_count) return HTTP_CONN_BUSY;
        return s->head_by_ms ? HTTP_CONN_BEGINNING : HTTP_CONN_IDLE;
    case H2_SESSION_FLUSH: return s->stream_count ? HTTP_CONN_BUSY : HTTP_CONN_FLUSHING;
    case H2_SESSION_LINGER: return HTTP_CONN_ENDING;
    case H2_SESSION_KILLED:
    case H2_SESSION_CLOSED: break;
    }
    return HTTP_CONN_BUSY;
}

static uint64_t conn_since_ms(const struct http_conn *http)
{
    const struct h2_session *s = server_of(http)->session;
    if (s->head_by_ms && s->head_started_ns) return s->head_started_ns / NS_PER_MS;
    if (!s->idle_by_ms) return http->client.accepted_ns / NS_PER_MS;
    return http_conn_since_timeout(s->idle_by_ms, http->service->keep_alive_timeout_ms);
}

static void conn_each_stream(struct http_conn *http, void (*on_stream)(void *context, struct http_stream *s),
                             void *context)
{
    struct h2_session *s = server_of(http)->session;
    struct list *next;
    for (struct list *at = s->streams.next; at != &s->streams; at = next) {
        struct h2_stream *st = container_of(at, struct h2_stream, link);
        next = at->next;
        if (st->stream.events && st->stream.owner) on_stream(context, &st->stream);
    }
}

static uint64_t conn_held(const struct http_conn *http)
{
    const struct h2_session *s = server_of(http)->session;
    return s->state < H2_SESSION_KILLED ? h2_session_held(s) : 0;
}

static bool conn_is_of_no_use(const struct http_conn *http)
{
    const struct h2_session *s = server_of(http)->session;
    return s->state < H2_SESSION_KILLED && h2_turn_comes_behind(s);
}

static void conn_reach(const struct http_conn *http, struct http_reach *out)
{
    const struct h2_session *s = server_of(http)->session;
    out->blocks += h2_session_blocks(s);
}

static const struct http_conn_ops conn_ops = {
    .drain = conn_drain,
    .kill = conn_kill,
    .use = conn_use,
    .since_ms = conn_since_ms,
    .each_stream = conn_each_stream,
    .held = conn_held,
    .is_of_no_use = conn_is_of_no_use,
    .reach = conn_reach,
};
