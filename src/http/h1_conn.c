#include "http/h1_conn.h"

#include <errno.h>

#include "base/bug.h"

static void on_task(struct loop_task *t)
{
    struct h1_conn *c = container_of(t, struct h1_conn, task);
    if (bug_if(H1_CONN, c->is_retired)) return;
    if (c->owes_resume) {
        c->owes_resume = false;
        if (c->stream.events) http_stream_resume(&c->stream);
        if (c->is_retired) return;
    }
    c->role->drive(c);
}

bool h1_conn_resumes_later(struct h1_conn *c)
{
    if (!h1_conn_loop(c)->is_scratch_busy) return false;
    c->owes_resume = true;
    loop_defer(h1_conn_loop(c), &c->task);
    return true;
}

void h1_conn_init(struct h1_conn *c, struct transport *t, const struct h1_role *role,
                  const struct h1_limits *limits)
{
    c->transport = t;
    c->role = role;
    c->limits = limits;
    loop_task_init(&c->task, on_task);
    c->stream.is_flushed = true;
    c->is_persistent = true;
}

void h1_conn_renew(struct h1_conn *c)
{
    struct loop *l = h1_conn_loop(c);
    (void)bug_if(H1_CONN,
                 c->stream.events || c->in.hold || c->in.end || c->is_pumping || !h1_out_is_empty(&c->out));
    loop_cancel(&c->task);
    if (c->out.block) h1_out_clear(&c->out, l);
    c->in = (struct h1_in){ 0 };
    c->owes_resume = false;
}

enum io h1_conn_sent(struct h1_conn *c, enum io io)
{
    c->stream.is_flushed = h1_conn_is_flushed(c);
    c->stream.is_unprocessed = !c->transport->has_sent;
    if (io == IO_FAIL) c->stream.lacks_memory = c->transport->saved_errno == ENOMEM;
    if (io == IO_FAIL) return io;
    if (io == IO_AGAIN || !c->stream.is_flushed) {
        c->wants_write = true;
        if (!c->transport->is_writable && transport_wait(c->transport) < 0) return IO_FAIL;
    }
    return io;
}

enum io h1_conn_send_body(struct http_stream *s, const char *data, size_t len, unsigned flags, size_t *taken)
{
    struct h1_conn *c = h1_conn_of(s);
    *taken = 0;
    if (bug_if(H1_CONN, c->is_retired)) return IO_FAIL; /* what it would keep, nobody would put back */
    enum io io = h1_out_body(&c->out, c->transport, data, len, flags, taken);
    return h1_conn_sent(c, io);
}

enum io h1_conn_send_trailers(struct http_stream *s, const struct http_field *fields, uint32_t count)
{
    struct h1_conn *c = h1_conn_of(s);
    if (bug_if(H1_CONN, c->is_retired)) return IO_FAIL;
    return h1_conn_sent(c, h1_out_trailers(&c->out, c->transport, fields, count));
}

static void tell_error(struct h1_conn *c, enum end_reason reason, const char *detail)
{
    struct http_fault fault = { .reason = reason, .detail = detail };
    c->is_persistent = false;
    if (c->stream.events) c->stream.events->on_error(&c->stream, &fault);
}

bool h1_conn_write(struct h1_conn *c)
{
    if (!c->transport->is_writable || !c->wants_write) return true;
    enum io io = h1_out_flush(&c->out, c->transport);
    c->stream.is_unprocessed = !c->transport->has_sent;
    if (io == IO_FAIL) {
        tell_error(c, c->role->body_reset, "the connection broke while sending");
        return false;
    }
    c->stream.is_flushed = io == IO_OK;
    if (io != IO_OK) return true;
    c->wants_write = false;
    if (c->stream.events) c->stream.events->on_writable(&c->stream);
    return !c->is_retired;
}

bool h1_conn_pump(struct h1_conn *c, struct slice bytes)
{
    struct h1_fault fault = { .reason = END_NONE };
    if (bug_if(H1_CONN, c->is_retired)) return false; /* nothing comes of what is closed */
    if (bug_if(H1_CONN, c->is_pumping)) return true;  /* both would read into the one scratch buffer */
    c->is_blocked = false;
    c->is_pumping = true;
    struct loop *l = h1_conn_loop(c);
    bool was_busy = loop_claim_scratch(l);
    enum h1_pump got = h1_in_pump(&c->in, c->transport, &c->stream, bytes, c->limits, &fault);
    loop_release_scratch(l, was_busy);
    c->is_pumping = false;
    switch (got) {
    case H1_PUMP_DRY:
        if (transport_wait(c->transport) == 0) return true;
        tell_error(c, END_NO_DESCRIPTORS, "the event queue refused the connection");
        return false;
    case H1_PUMP_BLOCKED: c->is_blocked = true; return true;
    case H1_PUMP_YIELD: loop_defer(h1_conn_loop(c), &c->task); return true;
    case H1_PUMP_END: return true;
    case H1_PUMP_EOF: tell_error(c, c->role->body_eof, NULL); return false;
    case H1_PUMP_FAIL:
        tell_error(c, transport_fault(c->transport, c->role->body_reset), c->transport->fault_words);
        return false;
    case H1_PUMP_NO_MEMORY: tell_error(c, END_NO_MEMORY, NULL); return false;
    case H1_PUMP_BAD: tell_error(c, fault.reason, fault.detail); return false;
    case H1_PUMP_GONE: return false;
    }
    return false;
}

void h1_conn_resume(struct http_stream *s)
{
    struct h1_conn *c = h1_conn_of(s);
    if (s->is_ended || c->is_retired || !c->is_blocked || c->is_pumping || h1_conn_resumes_later(c)) return;
    h1_conn_pump(c, SLICE_NONE);
}

int h1_conn_detach(struct http_stream *s, struct transport *to, struct block **held, struct slice *bytes)
{
    struct h1_conn *c = h1_conn_of(s);
    bool was_detached = c->is_detached;
    s->events = NULL;
    c->is_detached = true;
    /* What waits would never be sent, and the peer would take what the next owner sends for it. */
    if (bug_if(H1_CONN, !h1_out_is_empty(&c->out) || c->is_retired || was_detached)) {
        transport_init_closed(to);
        *held = NULL;
        *bytes = SLICE_NONE;
        return -1;
    }
    /* A block that is left without bytes, because the head came in pieces, stays here. */
    if (!h1_in_held(&c->in).len) h1_in_clear(&c->in, h1_conn_loop(c));
    *held = c->in.hold;
    *bytes = h1_in_held(&c->in);
    c->in.hold = NULL;
    c->in.begin = c->in.end = 0;
    return transport_move(c->transport, to, NULL);
}

void h1_conn_shut(struct h1_conn *c, bool is_reset)
{
    struct loop *l = h1_conn_loop(c);
    loop_cancel(&c->task);
    h1_in_clear(&c->in, l);
    h1_out_clear(&c->out, l);
    transport_close(c->transport, is_reset);
}

void h1_conn_retire(struct h1_conn *c, bool is_reset)
{
    if (c->is_retired) return;
    c->is_retired = true;
    if (bug_if(H1_CONN, c->stream.events)) c->stream.events = NULL; /* the roles see to it before */
    h1_conn_shut(c, is_reset);
}
