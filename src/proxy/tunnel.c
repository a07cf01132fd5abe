#include "proxy/tunnel.h"

#include <sys/socket.h>

#include "base/bug.h"

enum flow { FLOW_WAIT, FLOW_YIELD, FLOW_RESET_FROM, FLOW_RESET_TO, FLOW_NO_MEMORY, FLOW_BUG };

/* What became of a side that failed. */
static enum end_reason reset_reason(const struct tunnel *t, unsigned side)
{
    const struct transport *transport = &t->halves[side].transport;
    return transport_fault(transport, side == TUNNEL_CLIENT ? END_CLIENT_RESET : END_SERVER_RESET);
}

static struct tunnel_half *other(struct tunnel *t, const struct tunnel_half *h)
{
    return h == &t->halves[0] ? &t->halves[1] : &t->halves[0];
}

static void end(struct tunnel *t, enum end_reason reason, bool resets_client, bool resets_server)
{
    if (t->is_ended) return;
    t->is_ended = true;
    loop_disarm(t->loop, &t->timer);
    loop_cancel(&t->task);
    for (int i = 0; i < 2; i++) {
        struct tunnel_half *h = &t->halves[i];
        block_put(&t->loop->blocks, h->hold);
        h->hold = NULL;
        h->begin = h->end = 0;
    }
    transport_close(&t->halves[TUNNEL_CLIENT].transport, resets_client);
    transport_close(&t->halves[TUNNEL_SERVER].transport, resets_server);
    t->on_end(t, reason);
}

static void drop_held(struct tunnel *t, struct tunnel_half *h, size_t len)
{
    if (bug_if(TUNNEL, len > h->end - h->begin)) len = h->end - h->begin;
    h->begin += (uint32_t)len;
    if (h->begin < h->end) return;
    block_put(&t->loop->blocks, h->hold);
    h->hold = NULL;
    h->begin = h->end = 0;
}

static enum flow send_held(struct tunnel *t, struct tunnel_half *from, struct transport *to)
{
    while (from->begin < from->end) {
        struct iovec iov = { from->hold->data + from->begin, from->end - from->begin };
        size_t sent = 0;
        enum io io = transport_send(to, &iov, 1, &sent);
        if (io == IO_FAIL) return FLOW_RESET_TO;
        if (io == IO_AGAIN) return FLOW_WAIT;
        from->bytes += sent;
        drop_held(t, from, sent);
    }
    return FLOW_YIELD;
}

/* What the receiver did not take at once is kept: at most LOOP_HOLD_BYTES. */
static enum flow hold(struct tunnel *t, struct tunnel_half *from, const char *data, size_t len)
{
    /* What is held goes first: else bytes would be lost, or come in another order. */
    if (bug_if(TUNNEL, from->hold || len > LOOP_HOLD_BYTES)) return FLOW_BUG;
    from->hold = block_get(&t->loop->blocks, len);
    if (!from->hold) return FLOW_NO_MEMORY;
    memcpy(from->hold->data, data, len);
    from->begin = 0;
    from->end = (uint32_t)len;
    return FLOW_WAIT;
}

static enum flow received_end(struct tunnel_half *from, enum io io)
{
    if (io == IO_AGAIN) return FLOW_WAIT;
    if (io == IO_FAIL) return FLOW_RESET_FROM;
    from->is_eof = true;
    return FLOW_WAIT;
}

static enum flow move_some(struct tunnel *t, struct tunnel_half *from, struct transport *to, size_t *moved)
{
    size_t got = 0;
    enum io io = transport_recv(&from->transport, t->loop->scratch, LOOP_HOLD_BYTES, &got);
    if (io != IO_OK) return received_end(from, io);
    struct iovec iov = { t->loop->scratch, got };
    size_t sent = 0;
    io = transport_send(to, &iov, 1, &sent);
    if (io == IO_FAIL) return FLOW_RESET_TO;
    from->bytes += sent;
    *moved += got;
    from->is_bulk = got == LOOP_HOLD_BYTES;
    return sent < got ? hold(t, from, t->loop->scratch + sent, got - sent) : FLOW_YIELD;
}

/* Bulk: only what the receiver took leaves the kernel, so much can be moved at once and nothing is held. */
static enum flow move_bulk(struct tunnel *t, struct tunnel_half *from, struct transport *to, size_t *moved)
{
    struct transport *source = &from->transport;
    size_t got = 0;
    enum io io = source->ops->peek(source, t->loop->scratch, LOOP_SCRATCH_BYTES, &got);
    if (io != IO_OK) return received_end(from, io);
    struct iovec iov = { t->loop->scratch, got };
    size_t sent = 0;
    io = transport_send(to, &iov, 1, &sent);
    if (io == IO_FAIL) return FLOW_RESET_TO;
    if (sent && source->ops->drop(source, sent) != IO_OK) return FLOW_RESET_FROM;
    from->bytes += sent;
    *moved += sent;
    from->is_bulk = got > LOOP_HOLD_BYTES;
    if (sent == got) return FLOW_YIELD;
    source->is_readable = true; /* the rest is still there, and no edge will say so */
    return FLOW_WAIT;
}

static enum flow flow(struct tunnel *t, struct tunnel_half *from)
{
    struct transport *to = &other(t, from)->transport;
    /* Bytes are where there is a block, and what lies in the scratch buffer is nobody else's. */
    if (bug_if(TUNNEL, !from->hold != (from->begin == from->end) || t->loop->is_scratch_busy))
        return FLOW_BUG;
    if (from->begin < from->end) {
        enum flow got = send_held(t, from, to);
        if (got != FLOW_YIELD) return got;
    }
    size_t moved = 0;
    while (!from->is_eof) {
        if (moved >= LOOP_TURN_BYTES) return FLOW_YIELD;
        if (!from->transport.is_readable || !to->is_writable) return FLOW_WAIT;
        bool is_bulk = from->is_bulk && from->transport.ops->peek;
        enum flow got = is_bulk ? move_bulk(t, from, to, &moved) : move_some(t, from, to, &moved);
        if (moved) t->last_ms = loop_now_ms(t->loop);
        if (got != FLOW_YIELD && !from->is_eof) return got;
    }
    return FLOW_WAIT;
}

static void set_timer(struct tunnel *t)
{
    if (bug_if(TUNNEL, t->is_ended)) return; /* it may be buried by then */
    bool is_half = t->halves[0].is_done || t->halves[1].is_done;
    uint64_t at = t->last_ms + (is_half ? t->timeouts.half_closed_ms : t->timeouts.idle_ms);
    if (t->total_deadline_ms && t->total_deadline_ms < at) at = t->total_deadline_ms;
    timer_arm(&t->loop->timers, &t->timer, at);
}

static void on_timer(struct timer *timer)
{
    struct tunnel *t = container_of(timer, struct tunnel, timer);
    if (bug_if(TUNNEL, t->is_ended)) return;
    uint64_t now = loop_now_ms(t->loop);
    bool is_half = t->halves[0].is_done || t->halves[1].is_done;
    if (t->total_deadline_ms && now >= t->total_deadline_ms)
        end(t, END_TOTAL_TIMEOUT, true, true);
    else if (now >= t->last_ms + (is_half ? t->timeouts.half_closed_ms : t->timeouts.idle_ms))
        end(t, is_half ? END_HALF_CLOSED_TIMEOUT : END_IDLE_TIMEOUT, true, true);
    else
        set_timer(t);
}

/* Moves one direction on; false if the tunnel has ended. */
static bool run_half(struct tunnel *t, struct tunnel_half *from)
{
    if (from->is_done) return true;
    bool is_client = from == &t->halves[TUNNEL_CLIENT];
    switch (flow(t, from)) {
    case FLOW_WAIT: break;
    case FLOW_YIELD: loop_defer(t->loop, &t->task); break;
    case FLOW_RESET_FROM:
        end(t, reset_reason(t, is_client ? TUNNEL_CLIENT : TUNNEL_SERVER), true, true);
        return false;
    case FLOW_RESET_TO:
        end(t, reset_reason(t, is_client ? TUNNEL_SERVER : TUNNEL_CLIENT), true, true);
        return false;
    case FLOW_NO_MEMORY: end(t, END_NO_MEMORY, true, true); return false;
    case FLOW_BUG: end(t, END_INTERNAL, true, true); return false;
    }
    if (from->is_eof && from->begin == from->end) {
        from->is_done = true;
        t->last_ms = loop_now_ms(t->loop);
        if (!other(t, from)->is_done) transport_shutdown(&other(t, from)->transport);
    }
    return true;
}

/* Both have said their last: over, once what the transports took is out. False if it has ended. */
static bool end_if_done(struct tunnel *t)
{
    bool is_flushed = true;
    if (!t->halves[0].is_done || !t->halves[1].is_done) return true;
    for (int i = 0; i < 2; i++) {
        enum io io = transport_flush(&t->halves[i].transport);
        if (io != IO_OK) is_flushed = false;
        if (io != IO_FAIL) continue;
        end(t, i == TUNNEL_CLIENT ? END_CLIENT_RESET : END_SERVER_RESET, true, true);
        return false;
    }
    if (is_flushed) end(t, END_OK, false, false);
    return !is_flushed;
}

/* What a client that has said its last gives up cannot be read any more. Of a unix socket a hang-up alone is no reset: its
 * other end is closed, in order. A server that resets so late has said all, and whoever sends to it hears of it. */
static bool has_given_up(const struct tunnel *t, unsigned side)
{
    const struct transport *transport = &t->halves[side].transport;
    int error = 0;
    socklen_t len = sizeof(error);
    if (side != TUNNEL_CLIENT || !t->halves[side].is_done) return false;
    if (transport->io.fd < 0) return true;
    return getsockopt(transport->io.fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error;
}

/* Whether one side is broken beyond what reading shows. */
static bool is_reset(const struct tunnel *t, unsigned side)
{
    const struct transport *transport = &t->halves[side].transport;
    if (!transport->is_broken || transport->is_shut) return false;
    return !transport->is_readable || has_given_up(t, side);
}

static void run(struct tunnel *t)
{
    if (t->is_ended) return;
    if (!run_half(t, &t->halves[TUNNEL_CLIENT]) || !run_half(t, &t->halves[TUNNEL_SERVER])) return;
    if (!end_if_done(t)) return;
    for (int i = 0; i < 2; i++) {
        if (transport_wait(&t->halves[i].transport) == 0) continue;
        end(t, END_NO_DESCRIPTORS, true, true);
        return;
    }
    /* Broken without a byte to read: a reset after a FIN shows in no other way. */
    for (unsigned i = 0; i < 2; i++) {
        if (!is_reset(t, i)) continue;
        end(t, reset_reason(t, i), true, true);
        return;
    }
    set_timer(t);
}

static void on_task(struct loop_task *task)
{
    run(container_of(task, struct tunnel, task));
}

void tunnel_on_ready_client(struct transport *transport)
{
    run(container_of(transport, struct tunnel, halves[TUNNEL_CLIENT].transport));
}

void tunnel_on_ready_server(struct transport *transport)
{
    run(container_of(transport, struct tunnel, halves[TUNNEL_SERVER].transport));
}

void tunnel_set_timeouts(struct tunnel *t, const struct tunnel_timeouts *timeouts)
{
    t->timeouts = *timeouts;
    t->total_deadline_ms = timeouts->total_ms ? t->last_ms + timeouts->total_ms : 0;
}

void tunnel_init(struct tunnel *t, struct loop *l, const struct tunnel_timeouts *timeouts,
                 void (*on_end)(struct tunnel *, enum end_reason), void *owner)
{
    t->loop = l;
    t->on_end = on_end;
    t->owner = owner;
    t->last_ms = loop_now_ms(l);
    tunnel_set_timeouts(t, timeouts);
    timer_init(&t->timer, on_timer);
    loop_task_init(&t->task, on_task);
    list_init(&t->link);
    transport_init_closed(&t->halves[0].transport);
    transport_init_closed(&t->halves[1].transport);
}

void tunnel_start(struct tunnel *t)
{
    /* Two open ends, or none to begin with. */
    if (bug_if(TUNNEL,
               transport_is_closed(&t->halves[0].transport) || transport_is_closed(&t->halves[1].transport)))
        end(t, END_INTERNAL, true, true);
    if (t->loop->is_scratch_busy)
        loop_defer(t->loop, &t->task); /* the answer that opened it lies there, and others behind it */
    else
        run(t);
}

void tunnel_kill(struct tunnel *t, enum end_reason reason)
{
    end(t, reason, false, false);
}
