/* A connection's beginning, reading, time-outs and ends. */
#include "http/h2_server.h"

#include <string.h>

#include "base/bug.h"
#include "http/h1_server.h"
#include "http/h2_session.h"

#define FLOOD_WINDOW_MS 10000u
/* A client that has this much to take is not read from until it does. */
#define UNTAKEN_MAX (32u << 10)
/* So long a client may take to say that it has heard of the end (RFC 9113 6.8). */
#define LEAVE_MS 1000u
/* What comes behind the end is thrown away, so that a reset does not destroy the end's reason on its way. */
#define LINGER_MS 5000u
#define LINGER_BYTES (1u << 20)
/* Useful bytes that make up for one frame which is not. */
#define EARN_BYTES 4096u

static const struct http_conn_ops conn_ops;

void h2_worker_init(struct h2_worker *w, struct loop *l)
{
    h2_memory_init(&w->memory, l);
    slab_init(&w->sessions, &l->blocks, sizeof(struct h2_session));
    slab_init(&w->streams, &l->blocks, sizeof(struct h2_stream));
}

void h2_worker_fini(struct h2_worker *w)
{
    if (!w->memory.loop) return;
    slab_fini(&w->sessions);
    slab_fini(&w->streams);
    h2_memory_fini(&w->memory);
}

static struct h2_server *server_of(const struct http_conn *http)
{
    return container_of((struct http_conn *)(uintptr_t)http, struct h2_server, http);
}

/* ends */

static void bury(struct loop_grave *g)
{
    struct h2_session *s = container_of(g, struct h2_session, grave);
    slab_put(&s->worker->sessions, s);
}

/* All that it keeps for the client, who hears no more. */
static void drop_all(struct h2_session *s)
{
    h2_bytes_clear(&s->out, s->loop);
    block_put(&s->loop->blocks, s->payload);
    block_put(&s->loop->blocks, s->fields);
    s->payload = s->fields = NULL;
    h2_hpack_close(&s->hpack);
    loop_cancel(&s->task);
    loop_cancel(&s->flush_task);
}

static void kill(struct h2_session *s, enum end_reason reason);

static void close_now(struct h2_session *s, bool is_reset)
{
    if (s->state == H2_SESSION_CLOSED) return;
    if (bug_if(H2_SESSION, s->stream_count)) {
        kill(s, END_INTERNAL);
        return;
    }
    s->state = H2_SESSION_CLOSED;
    drop_all(s);
    loop_bury(s->loop, &s->grave, bury);
    http_conn_end(&s->server->http, is_reset);
}

/* From the loop only. Their owners let go of them within this turn or the next. */
static void tell_all(struct h2_session *s, enum end_reason reason, const char *detail)
{
    struct http_fault fault = { .reason = reason, .detail = detail };
    struct list *next;
    for (struct list *at = s->streams.next; at != &s->streams; at = next) {
        struct h2_stream *st = container_of(at, struct h2_stream, link);
        next = at->next;
        if (st->stream.events) st->stream.events->on_error(&st->stream, &fault);
    }
}

/* Nothing more is read: only what is queued has a time to be taken in. */
static void start_flush(struct h2_session *s)
{
    s->state = H2_SESSION_FLUSH;
    s->head_by_ms = s->idle_by_ms = s->leave_by_ms = 0;
}

void h2_session_fail(struct h2_session *s, enum h2_error error, enum end_reason reason, const char *detail)
{
    struct http_conn *http = &s->server->http;
    if (!h2_is_live(s)) return;
    if (reason != END_CLIENT_ABORT) http->end = (uint8_t)reason;
    http->transport.fault_words = detail;
    if (!s->is_broken) h2_out_goaway(s, s->last_id, error);
    start_flush(s);
    tell_all(s, reason, detail);
    h2_session_look(s);
}

static void kill(struct h2_session *s, enum end_reason reason)
{
    if (s->state >= H2_SESSION_KILLED) return;
    tell_all(s, reason, NULL);
    tell_all(s, END_CLIENT_ABORT,
             NULL); /* an answer that the client does not take at once is not waited for */
    if (h2_is_live(s)) {
        h2_out_goaway(s, s->last_id, H2_NO_ERROR);
        h2_out_flush(s);
    }
    if (!s->stream_count) {
        close_now(s, false);
        return;
    }
    s->state = H2_SESSION_KILLED;
    drop_all(s);
    loop_disarm(s->loop, &s->server->http.timer);
    transport_close(s->transport, false);
}

static void start_linger(struct h2_session *s)
{
    if (s->is_broken || transport_shutdown(s->transport) != IO_OK) {
        close_now(s, s->is_broken);
        return;
    }
    drop_all(s);
    s->state = H2_SESSION_LINGER;
    s->head_by_ms = s->idle_by_ms = s->write_by_ms = s->leave_by_ms = 0;
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

void h2_session_arm(struct h2_session *s)
{
    const uint64_t all[] = { s->head_by_ms, s->idle_by_ms, s->write_by_ms, s->leave_by_ms, s->linger_by_ms };
    uint64_t first = UINT64_MAX;
    struct timer *t = &s->server->http.timer;
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        if (all[i] && all[i] < first) first = all[i];
    /* One that is armed for earlier looks again then. */
    if (first == UINT64_MAX || (timer_is_armed(t) && t->deadline_ms <= first)) return;
    timer_arm(&s->loop->timers, t, first);
}

void h2_session_idle(struct h2_session *s)
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
void h2_session_leave(struct h2_session *s)
{
    static const char ping[8] = "leaving";
    if (s->is_leaving || !h2_is_live(s)) return;
    s->is_leaving = true;
    h2_out_goaway(s, H2_STREAM_MAX, H2_NO_ERROR);
    h2_out_frame(s, H2_PING, 0, 0, (struct slice){ ping, sizeof(ping) });
    s->leave_by_ms = loop_now_ms(s->loop) + LEAVE_MS;
    h2_session_arm(s);
}

void h2_session_acked(struct h2_session *s)
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
    if (s->head_by_ms && now >= s->head_by_ms)
        h2_session_fail(s, H2_NO_ERROR, END_HEADER_TIMEOUT, NULL);
    else if ((s->idle_by_ms && now >= s->idle_by_ms) || (s->leave_by_ms && now >= s->leave_by_ms))
        leave_now(s);
    h2_session_arm(s);
}

void h2_session_stream_gone(struct h2_session *s)
{
    if (s->stream_count) return;
    if (s->state == H2_SESSION_KILLED) {
        close_now(s, false);
        return;
    }
    if (h2_is_live(s)) h2_session_idle(s);
    if (!h2_is_live(s) || s->has_left) h2_session_look(s);
}

/* floods */

void h2_session_count(struct h2_session *s, enum h2_flood flood)
{
    uint64_t now = loop_now_ms(s->loop);
    if (now >= s->floods_until_ms) {
        memset(s->floods, 0, sizeof(s->floods));
        s->floods_until_ms = now + FLOOD_WINDOW_MS;
    }
    if (++s->floods[flood] <= s->limits->floods[flood] || s->flooded) return;
    s->flooded = (uint8_t)(flood + 1);
    h2_session_look(s);
}

void h2_session_earn(struct h2_session *s, size_t bytes)
{
    static const uint8_t kinds[] = { H2_FLOOD_PINGS, H2_FLOOD_EMPTY, H2_FLOOD_WINDOWS };
    uint32_t earned = 2 + (uint32_t)(bytes / EARN_BYTES);
    for (size_t i = 0; i < sizeof(kinds); i++)
        s->floods[kinds[i]] -= earned < s->floods[kinds[i]] ? earned : s->floods[kinds[i]];
}

static void end_flood(struct h2_session *s)
{
    static const struct {
        enum end_reason reason;
        const char *detail;
    } ends[] = {
        [H2_FLOOD_RESETS] = { END_HTTP2_RESETS, "too many requests were taken back, refused or malformed" },
        [H2_FLOOD_SETTINGS] = { END_HTTP2_SETTINGS, "too many SETTINGS frames" },
        [H2_FLOOD_PINGS] = { END_HTTP2_PINGS, "too many PING frames" },
        [H2_FLOOD_EMPTY] = { END_HTTP2_EMPTY_FRAMES, "too many frames with nothing in them" },
        [H2_FLOOD_WINDOWS] = { END_HTTP2_WINDOWS, "too many WINDOW_UPDATE frames for what was sent" },
    };
    h2_session_fail(s, H2_ENHANCE_YOUR_CALM, ends[s->flooded - 1].reason, ends[s->flooded - 1].detail);
}

/* reading and writing */

static void read_all(struct h2_session *s)
{
    struct loop *l = s->loop;
    for (size_t moved = 0; h2_is_live(s) && !s->is_broken;) {
        size_t got = 0;
        if (s->out.len > UNTAKEN_MAX && h2_is_blocked(s)) return;
        if (moved >= LOOP_TURN_BYTES) {
            h2_session_look(s);
            return;
        }
        switch (transport_recv(s->transport, l->scratch, LOOP_HOLD_BYTES, &got)) {
        case IO_OK: break;
        case IO_AGAIN:
            if (transport_wait(s->transport) < 0)
                h2_session_fail(s, H2_INTERNAL_ERROR, END_NO_DESCRIPTORS, NULL);
            return;
        case IO_EOF:
        case IO_FAIL:
            s->is_broken = true;
            h2_session_fail(s, H2_NO_ERROR, END_CLIENT_ABORT, "the client closed its connection");
            return;
        }
        moved += got;
        h2_frames_take(s, (struct slice){ l->scratch, got });
        if (s->flooded) end_flood(s);
    }
}

/* What has become of it, once nobody is in the middle of it. */
static void settle(struct h2_session *s)
{
    if (s->flooded) end_flood(s);
    if (s->is_broken)
        h2_session_fail(s, H2_NO_ERROR, s->end ? (enum end_reason)s->end : END_CLIENT_ABORT, NULL);
    if (h2_is_live(s) && s->has_left && !s->stream_count) start_flush(s);
    if (s->state != H2_SESSION_FLUSH || s->stream_count) return;
    if (s->is_broken || h2_out_flush(s) != IO_AGAIN) start_linger(s);
}

static void drive(struct h2_session *s)
{
    if (s->state >= H2_SESSION_KILLED) return;
    if (s->state == H2_SESSION_LINGER) {
        linger(s);
        return;
    }
    if (s->write_by_ms && !h2_is_blocked(s)) h2_out_flush(s);
    read_all(s);
    if (!s->out.len || !h2_is_blocked(s)) h2_streams_flushed(s);
    h2_streams_send(s);
    settle(s);
}

static void on_ready(struct transport *t)
{
    drive(server_of(container_of(t, struct http_conn, transport))->session);
}

static void on_task(struct loop_task *t)
{
    drive(container_of(t, struct h2_session, task));
}

/* All that this turn has made, in one send. Nobody is told of anything now: the turn is over. */
static void on_flush_task(struct loop_task *t)
{
    struct h2_session *s = container_of(t, struct h2_session, flush_task);
    enum io io = h2_out_flush(s);
    if (io == IO_AGAIN && transport_wait(s->transport) < 0) s->is_broken = true;
    bool is_waited_for = !list_is_empty(&s->flushers) || s->state == H2_SESSION_FLUSH;
    if (s->is_broken || (io == IO_OK && is_waited_for)) h2_session_look(s);
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
    s->server = server;
    s->worker = service->h2;
    s->transport = &server->http.transport;
    s->loop = s->transport->loop;
    s->limits = &service->h2_limits;
    s->peer = H2_SETTINGS_FIRST;
    s->send_window = s->receive_window = H2_WINDOW_FIRST;
    loop_task_init(&s->task, on_task);
    loop_task_init(&s->flush_task, on_flush_task);
    list_init(&s->streams);
    list_init(&s->flushers);
    for (unsigned i = 0; i < H2_URGENCIES; i++) list_init(&s->senders[i]);
    if (h2_hpack_open(&s->hpack, &s->worker->memory) == 0) return s;
    slab_put(&s->worker->sessions, s);
    return NULL;
}

_Static_assert(sizeof(struct h2_server) <= offsetof(struct h1_server, state),
               "who spoke HTTP/1 there can still see that it does no more");

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
    s->window = 2 * s->limits->window_bytes > H2_WINDOW_FIRST ? 2 * s->limits->window_bytes : H2_WINDOW_FIRST;
    s->receive_window = (int32_t)s->window;
    h2_out_settings(s);
    h2_frames_take(s, bytes);
    drive(s);
}

void h2_server_begin(struct http_conn *http)
{
    h2_server_begin_with(http, SLICE_NONE);
}

/* as its owner has it */

static void conn_drain(struct http_conn *http)
{
    h2_session_leave(server_of(http)->session);
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

static void conn_reach(const struct http_conn *http, struct http_reach *out)
{
    const struct h2_session *s = server_of(http)->session;
    out->blocks += s->out.blocks + s->hpack.blocks + (s->payload != NULL) + (s->fields != NULL);
    for (const struct list *at = s->streams.next; at != &s->streams; at = at->next) {
        const struct h2_stream *st = container_of(at, struct h2_stream, link);
        out->blocks += st->hold.blocks + (st->trailers != NULL);
    }
}

static const struct http_conn_ops conn_ops = {
    .drain = conn_drain,
    .kill = conn_kill,
    .use = conn_use,
    .each_stream = conn_each_stream,
    .reach = conn_reach,
};
