/* What both sides of a connection have in common: reading, floods, failing. */
#include "http/h2_session.h"

#include <string.h>

#include "base/bug.h"

#define FLOOD_WINDOW_MS 10000u
/* A peer that has this much to take is not read from until it does. */
#define UNTAKEN_MAX (32u << 10)
/* Useful bytes that make up for one frame which is not. */
#define EARN_BYTES 4096u

/* ends */

static void bury(struct loop_grave *g)
{
    struct h2_session *s = container_of(g, struct h2_session, grave);
    /* Somebody would come to it when its memory is another's. */
    if (bug_if(H2_SESSION, !list_is_empty(&s->task.link) || !list_is_empty(&s->flush_task.link) ||
                               !list_is_empty(&s->wait))) {
        loop_cancel(&s->task);
        loop_cancel(&s->flush_task);
        list_remove(&s->wait);
    }
    slab_put(&s->worker->sessions, s);
}

void h2_session_bury(struct h2_session *s)
{
    (void)bug_if(H2_SESSION, s->stream_count || s->out.first || s->unread.first);
    loop_bury(s->loop, &s->grave, bury);
}

void h2_session_drop_all(struct h2_session *s)
{
    h2_bytes_clear(&s->out, s->loop);
    h2_bytes_clear(&s->unread, s->loop);
    list_remove(&s->wait);
    block_put(&s->loop->blocks, s->payload);
    block_put(&s->loop->blocks, s->fields);
    s->payload = s->fields = NULL;
    h2_hpack_close(&s->hpack);
    loop_cancel(&s->task);
    loop_cancel(&s->flush_task);
}

void h2_session_tell_all(struct h2_session *s, enum end_reason reason, const char *detail)
{
    struct list *next;
    for (struct list *at = s->streams.next; at != &s->streams; at = next) {
        struct h2_stream *st = container_of(at, struct h2_stream, link);
        next = at->next;
        if (!st->stream.events) continue;
        struct http_fault fault = { .reason = s->role->sends_requests ? h2_response_end(st, reason) : reason,
                                    .detail = detail };
        if (fault.reason) st->stream.events->on_error(&st->stream, &fault);
    }
}

void h2_session_start_flush(struct h2_session *s)
{
    (void)bug_if(H2_SESSION, s->state >= H2_SESSION_FLUSH); /* it goes one way */
    s->state = H2_SESSION_FLUSH;
    s->head_by_ms = s->idle_by_ms = s->leave_by_ms = s->rest_by_ms = 0;
}

void h2_session_fail(struct h2_session *s, enum h2_error error, enum end_reason reason, const char *detail)
{
    if (!h2_is_live(s)) return;
    if (!s->is_broken) h2_out_goaway(s, s->role->sends_requests ? 0 : s->last_id, error);
    h2_session_start_flush(s);
    s->role->on_fail(s, reason, detail);
    h2_session_tell_all(s, reason, detail);
    h2_session_look(s);
}

uint32_t h2_session_blocks(const struct h2_session *s)
{
    uint32_t blocks = s->out.blocks + s->unread.blocks + s->hpack.blocks + (s->payload != NULL) +
                      (s->fields != NULL);
    for (const struct list *at = s->streams.next; at != &s->streams; at = at->next) {
        const struct h2_stream *st = container_of(at, struct h2_stream, link);
        blocks += st->hold.blocks + (st->trailers != NULL);
    }
    return blocks;
}

/* What a stream holds beside bytes of its peer's: itself, its exchange, a head's memory, a connection to a server. */
#define STREAM_BYTES (8u << 10)
/* What a stream that its client does not take holds for longer than its time, and others could have: so it is reckoned for more. */
#define STALLED_BYTES (24u << 10)

uint64_t h2_session_held(const struct h2_session *s)
{
    return s->held + s->held_heads + s->out.len + s->unread.len + s->hpack.bytes + s->payload_len +
           s->fields_len + (uint64_t)s->stream_count * STREAM_BYTES + (uint64_t)s->stalled * STALLED_BYTES;
}

void h2_session_note_short(struct h2_session *s)
{
    struct http_service *service = s->server ? s->server->http.service : NULL;
    if (service && service->on_short) service->on_short(service, true);
}

/* time */

void h2_session_arm(struct h2_session *s)
{
    const uint64_t all[] = { s->head_by_ms,  s->idle_by_ms,   s->write_by_ms,
                             s->leave_by_ms, s->linger_by_ms, s->rest_by_ms };
    uint64_t first = UINT64_MAX;
    if (bug_if(H2_SESSION, s->state == H2_SESSION_CLOSED)) return; /* it may be buried by then */
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        if (all[i] && all[i] < first) first = all[i];
    /* One that is armed for earlier looks again then. */
    if (first == UINT64_MAX || (timer_is_armed(s->timer) && s->timer->deadline_ms <= first)) return;
    timer_arm(&s->loop->timers, s->timer, first);
}

/* floods */

void h2_session_count(struct h2_session *s, enum h2_flood flood)
{
    uint64_t now = loop_now_ms(s->loop);
    if (now >= s->floods_until_ms) {
        memset(s->floods, 0, sizeof(s->floods));
        s->floods_until_ms = now + FLOOD_WINDOW_MS;
        s->is_near_flood = false;
    }
    uint32_t limit = s->limits->floods[flood];
    if (++s->floods[flood] > limit / 4) s->is_near_flood = true;
    if (s->floods[flood] <= limit || s->flooded) return;
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
    static const char *const details[] = {
        [H2_FLOOD_RESETS] = "too many requests were taken back, refused or malformed",
        [H2_FLOOD_SETTINGS] = "too many SETTINGS frames",
        [H2_FLOOD_PINGS] = "too many PING frames",
        [H2_FLOOD_EMPTY] = "too many frames with nothing in them",
        [H2_FLOOD_WINDOWS] = "too many WINDOW_UPDATE frames for what was sent",
    };
    unsigned flood = s->flooded - 1u;
    if (bug_if(H2_SESSION, flood >= H2_FLOOD_COUNT)) return;
    h2_session_fail(s, H2_ENHANCE_YOUR_CALM, s->role->floods[flood], details[flood]);
}

/* reading and writing */

static void ended(struct h2_session *s, enum end_reason reason, const char *detail)
{
    s->is_broken = true;
    h2_session_fail(s, H2_NO_ERROR, reason, detail);
}

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
        if (!h2_turn_may_go_on(s) || !h2_turn_take_unread(s)) {
            h2_turn_wait(s);
            return;
        }
        if (s->flooded || !h2_is_live(s)) return;
        switch (transport_recv(s->transport, l->scratch, h2_turn_read_bytes(s), &got)) {
        case IO_OK: break;
        case IO_AGAIN:
            if (transport_wait(s->transport) < 0)
                h2_session_fail(s, H2_INTERNAL_ERROR, END_NO_DESCRIPTORS, NULL);
            return;
        case IO_EOF: ended(s, s->role->eof, s->role->eof_words); return;
        case IO_FAIL: {
            bool is_server = s->role->sends_requests;
            ended(s, is_server ? transport_fault(s->transport, s->role->reset) : s->role->reset,
                  is_server ? s->transport->fault_words : s->role->eof_words);
            return;
        }
        }
        (void)bug_if(H2_SESSION, !got); /* it would be asked for ever */
        moved += got;
        s->received += got;
        s->heard_ns = l->now_ns;
        bool was_busy = loop_claim_scratch(l);
        h2_turn_take(s, (struct slice){ l->scratch, got });
        loop_release_scratch(l, was_busy);
        if (s->flooded) end_flood(s);
    }
}

void h2_session_drive(struct h2_session *s)
{
    if (bug_if(H2_SESSION, s->state >= H2_SESSION_LINGER)) return; /* nothing is read of it, or sent */
    s->is_driving = true;
    if (s->write_by_ms && !h2_is_blocked(s)) h2_out_flush(s);
    read_all(s);
    if (!s->out.len || !h2_is_blocked(s)) h2_streams_flushed(s);
    h2_streams_send(s);
    if (s->flooded) end_flood(s);
    if (s->is_broken)
        h2_session_fail(s, H2_NO_ERROR, s->end ? (enum end_reason)s->end : s->role->reset, NULL);
    s->is_driving = false;
    s->role->settle(s);
}

static void on_task(struct loop_task *t)
{
    struct h2_session *s = container_of(t, struct h2_session, task);
    if (s->state < H2_SESSION_LINGER)
        h2_session_drive(s);
    else
        s->role->settle(s);
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

int h2_session_init(struct h2_session *s, struct h2_worker *w)
{
    s->worker = w;
    s->loop = s->transport->loop;
    s->peer = H2_SETTINGS_FIRST;
    s->send_window = s->receive_window = H2_WINDOW_FIRST;
    s->window = 2 * s->limits->window_bytes > H2_WINDOW_FIRST ? 2 * s->limits->window_bytes : H2_WINDOW_FIRST;
    loop_task_init(&s->task, on_task);
    loop_task_init(&s->flush_task, on_flush_task);
    list_init(&s->streams);
    list_init(&s->flushers);
    list_init(&s->wait);
    for (unsigned i = 0; i < H2_URGENCIES; i++) list_init(&s->senders[i]);
    return h2_hpack_open(&s->hpack, &w->memory);
}
