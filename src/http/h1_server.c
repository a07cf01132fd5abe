/* Its beginning, its time-outs and ends, and what its owner asks. */
#include <stdlib.h>

#include "base/bug.h"
#include "base/poison.h"
#include "http/h1_server_steps.h"

/* While weir drains, who has connected and asked for nothing yet has so long to do it. */
#define FIRST_REQUEST_MS 1000u
/* Of what requests need so many are kept by a worker: it spares those that follow each other the way to the slab and back. */
#define KEPT_MAX 32u

static void drive(struct h1_server *c);

static void drive_request(struct h1_conn *conn)
{
    drive(container_of(conn, struct h1_request, conn)->server);
}

static const struct h1_role role = {
    .body_eof = END_CLIENT_ABORT,
    .body_reset = END_CLIENT_ABORT,
    .drive = drive_request,
};

/* what a request needs */

void h1_worker_init(struct h1_worker *w, struct loop *l)
{
    *w = (struct h1_worker){ 0 };
    slab_init(&w->requests, &l->blocks, sizeof(struct h1_request));
}

void h1_worker_fini(struct h1_worker *w)
{
    while (w->kept) {
        struct h1_request *r = w->kept;
        w->kept = r->next;
        slab_put(&w->requests, r);
    }
    slab_fini(&w->requests);
}

static struct h1_request *request_new(struct h1_worker *w)
{
    struct h1_request *r = w ? slab_get(&w->requests) : calloc(1, sizeof(*r));
    if (!r) return NULL;
    h1_conn_init(&r->conn, NULL, &role, NULL);
    r->conn.stream.ops = &h1_server_stream_ops;
    r->worker = w;
    return r;
}

bool h1_server_begin_request(struct h1_server *c)
{
    struct h1_worker *w = c->http.service->h1;
    if (c->request) return true;
    struct h1_request *r = w ? w->kept : NULL;
    if (r) {
        w->kept = r->next;
        if (!bug_if(H1_SERVER, !w->kept_count)) w->kept_count--;
    } else if (!(r = request_new(w))) {
        return false;
    }
    r->conn.transport = &c->http.transport;
    r->conn.limits = &c->http.service->limits;
    r->server = c;
    c->request = r;
    return true;
}

static void bury_request(struct loop_grave *g)
{
    struct h1_request *r = container_of(g, struct h1_request, grave);
    /* Somebody would come to it when its memory is another's. */
    if (bug_if(H1_SERVER, !list_is_empty(&r->conn.task.link))) loop_cancel(&r->conn.task);
    (void)bug_if(H1_SERVER, r->conn.in.hold || r->conn.out.block || r->conn.stream.events);
    if (r->worker)
        slab_put(&r->worker->requests, r);
    else
        free(r);
}

/* Not where the slab poisons what nobody may touch any more. */
static bool has_room_for_one(const struct h1_worker *w)
{
    return !IS_ADDRESS_SANITIZED && w && w->kept_count < KEPT_MAX;
}

/* Who lets go of its stream may be called from within it: it stands until the end of the turn, or as long as it is kept. */
void h1_server_rest(struct h1_server *c)
{
    struct h1_request *r = c->request;
    if (!r || c->is_reading || c->has_started || r->conn.in.hold) return;
    struct h1_worker *w = r->worker;
    h1_conn_renew(&r->conn);
    c->request = NULL;
    if (!has_room_for_one(w)) {
        loop_bury(h1_server_loop(c), &r->grave, bury_request);
        return;
    }
    r->next = w->kept;
    w->kept = r;
    w->kept_count++;
}

/* ends */

void h1_server_close(struct h1_server *c, bool is_reset)
{
    struct h1_request *r = c->request;
    if (c->state == H1_SERVER_CLOSED) return;
    if (r && c->state == H1_SERVER_DISCARD) r->conn.stream.events = NULL; /* its own */
    if (bug_if(H1_SERVER, r && r->conn.stream.events)) {
        h1_server_stop(c, END_INTERNAL); /* it closes once whoever holds the stream lets go */
        return;
    }
    c->state = H1_SERVER_CLOSED;
    if (r) {
        h1_conn_retire(&r->conn, is_reset);
        loop_bury(h1_server_loop(c), &r->grave, bury_request);
    }
    http_conn_end(&c->http, is_reset);
}

void h1_server_wait(struct h1_server *c)
{
    if (transport_wait(&c->http.transport) < 0) h1_server_close(c, false);
}

static void drive_exchange(struct h1_server *c)
{
    if (bug_if(H1_SERVER, !c->request)) return;
    struct h1_conn *conn = &c->request->conn;
    if (!h1_conn_write(conn) || c->state != H1_SERVER_EXCHANGE) return;
    if (!conn->stream.events) return;
    if (!conn->stream.is_ended && !conn->is_blocked && conn->transport->is_readable)
        h1_conn_pump(conn, SLICE_NONE);
    else if (h1_server_has_left(conn))
        h1_server_tell_left(conn);
}

static void drive_flush(struct h1_server *c)
{
    if (bug_if(H1_SERVER, !c->request)) return;
    struct h1_conn *conn = &c->request->conn;
    if (conn->transport->is_writable && h1_out_flush(&conn->out, conn->transport) == IO_FAIL)
        h1_server_close(c, false);
    else if (h1_conn_is_flushed(conn))
        h1_server_finish(c);
}

static void drive(struct h1_server *c)
{
    switch ((enum h1_server_state)c->state) {
    case H1_SERVER_HEAD: h1_server_read_head(c); return;
    case H1_SERVER_EXCHANGE: drive_exchange(c); return;
    case H1_SERVER_FLUSH: drive_flush(c); return;
    case H1_SERVER_DISCARD: h1_server_discard(c); return;
    case H1_SERVER_LINGER: h1_server_linger(c); return;
    case H1_SERVER_KILLED:
    case H1_SERVER_CLOSED: return;
    }
}

static void on_ready(struct transport *t)
{
    drive(container_of(t, struct h1_server, http.transport));
}

static void on_timer(struct timer *t)
{
    struct h1_server *c = container_of(t, struct h1_server, http.timer);
    switch ((enum h1_server_state)c->state) {
    case H1_SERVER_HEAD:
        if (c->has_started && !bug_if(H1_SERVER, !c->request)) {
            h1_server_tell_fault(c, &(struct http_fault){ END_HEADER_TIMEOUT, NULL, 0 },
                                 h1_in_held(&c->request->conn.in));
            return;
        }
        h1_server_close(c, false);
        return;
    case H1_SERVER_EXCHANGE: /* the exchange has its own; this one was left from before it */
    case H1_SERVER_KILLED:
    case H1_SERVER_CLOSED: return;
    case H1_SERVER_FLUSH: h1_server_close(c, true); return;
    case H1_SERVER_DISCARD:
    case H1_SERVER_LINGER: h1_server_clean_on(c); return;
    }
}

static struct h1_server *h1_server_at(const struct http_conn *http)
{
    return container_of((struct http_conn *)(uintptr_t)http, struct h1_server, http);
}

static void h1_server_drain(struct http_conn *http)
{
    struct h1_server *c = h1_server_at(http);
    bool is_told = c->closes;
    c->closes = true;
    if (c->state != H1_SERVER_HEAD || c->has_started) return;
    /* A request that has come meanwhile is served; only a connection that is truly idle closes. */
    c->http.transport.is_readable = true;
    drive(c);
    if (c->state != H1_SERVER_HEAD || c->has_started || c->request) return;
    /* Whoever has connected to ask for the first time is about to, and was told of no close. */
    if (c->http.client.requests)
        h1_server_close(c, false);
    else if (!is_told && c->http.service->header_timeout_ms > FIRST_REQUEST_MS)
        loop_arm(h1_server_loop(c), &c->http.timer, FIRST_REQUEST_MS);
}

void h1_server_stop(struct h1_server *c, enum end_reason reason)
{
    struct http_stream *s = c->request ? &c->request->conn.stream : NULL;
    if (c->state == H1_SERVER_KILLED) return;
    if (s && s->events) {
        struct http_fault fault = { .reason = reason };
        s->events->on_error(s, &fault);
        /* An answer that the client does not take at once is not waited for. */
        fault.reason = END_CLIENT_ABORT;
        if (s->events) s->events->on_error(s, &fault);
    }
    if (!s || !s->events) {
        h1_server_close(c, false);
        return;
    }
    c->state = H1_SERVER_KILLED;
    loop_disarm(h1_server_loop(c), &c->http.timer);
    h1_conn_shut(&c->request->conn, false);
}

static void h1_server_kill(struct http_conn *http, enum end_reason reason)
{
    h1_server_stop(h1_server_at(http), reason);
}

/* Whoever begins a request and does not go on with it is as good as idle, but not quite. */
static enum http_conn_use h1_server_use(const struct http_conn *http)
{
    const struct h1_server *c = h1_server_at(http);
    switch ((enum h1_server_state)c->state) {
    case H1_SERVER_HEAD: return c->request ? HTTP_CONN_BEGINNING : HTTP_CONN_IDLE;
    case H1_SERVER_DISCARD:
    case H1_SERVER_LINGER: return HTTP_CONN_ENDING;
    case H1_SERVER_FLUSH: return HTTP_CONN_FLUSHING;
    case H1_SERVER_EXCHANGE:
    case H1_SERVER_KILLED:
    case H1_SERVER_CLOSED: break;
    }
    return HTTP_CONN_BUSY;
}

static uint64_t h1_server_since_ms(const struct http_conn *http)
{
    const struct h1_server *c = h1_server_at(http);
    if (c->has_started) return http->client.head_started_ns / NS_PER_MS;
    if (!http->client.requests) return http->client.accepted_ns / NS_PER_MS;
    return http_conn_since_timeout(http->timer.deadline_ms, http->service->keep_alive_timeout_ms);
}

static void h1_server_each_stream(struct http_conn *http,
                                  void (*on_stream)(void *context, struct http_stream *s), void *context)
{
    struct h1_request *r = h1_server_at(http)->request;
    struct http_stream *s = r ? &r->conn.stream : NULL;
    if (s && s->events && s->owner) on_stream(context, s); /* without an owner it is the connection's own */
}

static void h1_server_reach(const struct http_conn *http, struct http_reach *out)
{
    const struct h1_request *r = h1_server_at(http)->request;
    if (r) out->blocks += h1_conn_blocks(&r->conn);
}

static const struct http_conn_ops conn_ops = {
    .drain = h1_server_drain,
    .kill = h1_server_kill,
    .use = h1_server_use,
    .since_ms = h1_server_since_ms,
    .each_stream = h1_server_each_stream,
    .reach = h1_server_reach,
};

_Static_assert(sizeof(struct h1_server) >= sizeof(struct http_conn) + sizeof(void *), "it opens in there");

void h1_server_begin(struct http_conn *http)
{
    struct h1_server *c = h1_server_at(http);
    (void)bug_if(H1_SERVER, !http->transport.is_open);
    http->ops = &conn_ops;
    http->transport.on_ready = on_ready;
    http->timer.on_timer = on_timer; /* armed already: the first head has the time that is left */
    drive(c);
}

void h1_server_start(struct h1_server *c, struct http_service *service, struct loop *l, int fd,
                     const struct address *client, uint64_t id, struct list *among)
{
    http_conn_init(&c->http, service, l, fd, client, id, among);
    http_conn_open(&c->http, h1_server_begin);
}
