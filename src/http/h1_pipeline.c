#include "http/h1_pipeline.h"

#include "base/bug.h"

struct stream {
    struct http_stream http;      /* first */
    struct h1_pipeline *pipeline; /* NULL: nothing comes on it any more */
    struct list link;
    struct loop_grave grave;
    uint64_t begin, end; /* where its request lies in what was put in line */
    struct slab *slab;
    struct loop *loop;
    uint8_t method;
    bool is_left; /* nobody holds it: its response is thrown away */
};

static const struct http_stream_ops stream_ops;
static const struct http_stream_events connection_events;

static struct stream *stream_of(struct http_stream *s)
{
    return container_of(s, struct stream, http);
}

static struct stream *at(const struct list *link)
{
    return container_of(link, struct stream, link);
}

static struct stream *first_of(const struct h1_pipeline *p)
{
    return p->count ? at(p->streams.next) : NULL;
}

static struct h1_conn *conn_of(const struct h1_pipeline *p)
{
    return &p->client->conn;
}

static struct loop *loop_of(const struct h1_pipeline *p)
{
    return h1_conn_loop(conn_of(p));
}

/* Bytes of requests that were handed to the kernel. */
static uint64_t sent(const struct h1_pipeline *p)
{
    const struct h1_out *out = &conn_of(p)->out;
    uint32_t waiting = out->end - out->begin;
    return bug_if(H1_PIPELINE, waiting > p->put) ? 0 : p->put - waiting;
}

static void bury(struct loop_grave *g)
{
    struct stream *s = container_of(g, struct stream, grave);
    slab_put(s->slab, s);
}

static void give_back(struct stream *s)
{
    s->http.events = NULL;
    if (bug_if(H1_PIPELINE, s->pipeline)) return; /* leaked rather than freed in line */
    loop_bury(s->loop, &s->grave, bury);
}

static void take_out(struct h1_pipeline *p, struct stream *s)
{
    if (bug_if(H1_PIPELINE, s->pipeline != p || !p->count)) return;
    list_remove(&s->link);
    s->pipeline = NULL;
    p->count--;
}

/* In their order; each may lease anew from within: nothing here is theirs any more by then. */
static void tell_all(struct list *gone, const struct http_fault *fault)
{
    struct list *link;
    while ((link = list_pop_front(gone))) {
        struct stream *s = at(link);
        if (s->http.events)
            s->http.events->on_error(&s->http, fault);
        else
            give_back(s); /* nobody holds it any more */
    }
}

/* All behind the first `kept`. Their responses would come on this connection, which therefore ends with those kept. */
static uint32_t take_behind(struct h1_pipeline *p, uint32_t kept, bool is_unprocessed, struct list *gone)
{
    uint64_t out = sent(p);
    uint32_t count = 0;
    list_init(gone);
    while (p->count > kept) {
        struct stream *s = at(p->streams.prev);
        take_out(p, s);
        s->http.is_unprocessed = is_unprocessed || s->begin >= out;
        list_push_front(gone, &s->link);
        count++;
    }
    return count;
}

static const struct http_fault left_behind = { .reason = END_LEFT_BEHIND };

/* The connection is of no more use. */
static void end(struct h1_pipeline *p, const struct http_fault *fault)
{
    struct http_stream *whole = &conn_of(p)->stream;
    struct list first, behind;
    if (!p->count) return;
    first_of(p)->http.has_received = whole->has_received;
    first_of(p)->http.lacks_memory = whole->lacks_memory;
    uint32_t lost = take_behind(p, 1, false, &behind);
    (void)take_behind(p, 0, false, &first);
    /* One that had ended while it was idle says nothing of how the server takes pipelining. */
    bool was_stale = whole->is_reused && !whole->has_received;
    p->owner->on_loss(p, H1_PIPELINE_BROKEN, was_stale ? 0 : lost);
    http_stream_reset(whole, fault->reason);
    tell_all(&first, fault);
    tell_all(&behind, &left_behind);
}

/* Those behind the first `kept` go elsewhere; the connection ends with those. RFC 9112 9.6: whoever says that he closes
 * has not acted on what came after. */
static void part(struct h1_pipeline *p, uint32_t kept, enum h1_pipeline_loss why)
{
    struct list gone;
    conn_of(p)->is_persistent = false;
    uint32_t lost = take_behind(p, kept, why == H1_PIPELINE_CLOSED, &gone);
    p->owner->on_loss(p, why, lost);
    tell_all(&gone, &left_behind);
}

/* Whoever is first keeps others, or nobody, waiting: not for ever. */
static void watch(struct h1_pipeline *p)
{
    if (p->is_timed || !p->count || (p->count == 1 && !first_of(p)->is_left)) return;
    p->is_timed = true;
    loop_arm(loop_of(p), p->timer, p->patience_ms);
}

void h1_pipeline_look(struct h1_pipeline *p)
{
    p->is_timed = false;
    uint64_t since_ns = loop_of(p)->now_ns - p->first_ns;
    bool is_late = since_ns >= p->patience_ms * NS_PER_MS;
    if (is_late && p->count && first_of(p)->is_left)
        end(p, &left_behind);
    else if (is_late && p->count > 1)
        part(p, 1, H1_PIPELINE_HELD_UP);
    watch(p);
}

/* what the connection says */

static void on_open(struct http_stream *whole)
{
    struct h1_pipeline *p = whole->owner;
    struct stream *s = first_of(p);
    if (s && s->http.events && s->http.events->on_open) s->http.events->on_open(&s->http);
}

static void on_error(struct http_stream *whole, const struct http_fault *fault)
{
    end(whole->owner, fault);
}

static void on_head(struct http_stream *whole, struct http_head *head, unsigned flags)
{
    struct h1_pipeline *p = whole->owner;
    struct stream *s = first_of(p);
    if (bug_if(H1_PIPELINE, !s)) return;
    if (!s->end || s->end > sent(p)) {
        struct http_fault fault = { .reason = END_BAD_RESPONSE, .detail = "a response before its request" };
        end(p, &fault);
        return;
    }
    s->http.has_received = true;
    s->http.is_last = whole->is_last;
    if (s->http.events) s->http.events->on_head(&s->http, head, flags);
}

static size_t on_body(struct http_stream *whole, const char *data, size_t len, unsigned flags)
{
    struct h1_pipeline *p = whole->owner;
    struct stream *s = first_of(p);
    if (bug_if(H1_PIPELINE, !s) || !s->http.events) return len;
    size_t taken = s->http.events->on_body(&s->http, data, len, flags);
    if (taken < len) p->was_blocked = true;
    return taken;
}

static size_t may_take(struct http_stream *whole)
{
    struct stream *s = first_of(whole->owner);
    return s && s->http.events && s->http.events->may_take ? s->http.events->may_take(&s->http) : SIZE_MAX;
}

static void on_trailers(struct http_stream *whole, const struct http_field *fields, uint32_t count)
{
    struct stream *s = first_of(whole->owner);
    if (s && s->http.events) s->http.events->on_trailers(&s->http, fields, count);
}

/* Nothing waits for room: requests lie in line until there is some. */
static void on_writable(struct http_stream *whole)
{
    (void)whole;
}

static const struct http_stream_events connection_events = {
    .on_open = on_open,
    .on_head = on_head,
    .on_body = on_body,
    .may_take = may_take,
    .on_trailers = on_trailers,
    .on_error = on_error,
    .on_writable = on_writable,
};

static void begin_first(struct h1_pipeline *p)
{
    p->first_ns = loop_of(p)->now_ns;
    p->was_blocked = false;
}

bool h1_pipeline_whole(struct h1_pipeline *p)
{
    struct h1_conn *conn = conn_of(p);
    struct stream *s = first_of(p);
    if (!s) return false;
    bool is_kept = conn->is_persistent, is_timed = !p->was_blocked && !s->is_left;
    take_out(p, s);
    s->http.is_ended = true;
    if (s->is_left) give_back(s);
    if (is_kept) p->is_proven = true;
    if (is_timed) p->owner->on_answered(p, loop_of(p)->now_ns - p->first_ns);
    if (conn->stream.is_last) part(p, 0, H1_PIPELINE_CLOSED);
    if (!p->count) {
        p->is_timed = false;
        http_stream_release(&conn->stream); /* kept, or closed: as all messages allow */
        return false;
    }
    begin_first(p);
    h1_client_expect(p->client, (enum http_method)first_of(p)->method);
    watch(p);
    p->owner->on_room(p);
    return true;
}

/* sending */

static void send_all(struct loop_task *t)
{
    struct h1_pipeline *p = container_of(t, struct h1_pipeline, send_task);
    struct h1_conn *conn = conn_of(p);
    if (!p->count || conn->is_retired) return;
    if (h1_conn_sent(conn, h1_out_flush(&conn->out, conn->transport)) == IO_FAIL) {
        struct http_fault fault = { .reason = END_SEND_FAILED };
        end(p, &fault);
        return;
    }
    /* What its owner did not take before he left goes the way of the rest. */
    if (first_of(p)->is_left && conn->is_blocked) http_stream_resume(&conn->stream);
}

static enum io send_head(struct http_stream *http, const struct http_send *send, unsigned flags)
{
    struct stream *s = stream_of(http);
    struct h1_pipeline *p = s->pipeline;
    if (!p || bug_if(H1_PIPELINE, send->body != HTTP_BODY_NONE && send->content_length) ||
        bug_if(H1_PIPELINE, (flags & HTTP_MORE) || send->upgrade.len || s->end))
        return IO_FAIL;
    struct h1_out *out = &conn_of(p)->out;
    uint32_t before = out->end - out->begin;
    if (h1_out_request(out, loop_of(p), send) == IO_FAIL) {
        http->lacks_memory = true;
        return IO_FAIL;
    }
    s->begin = p->put;
    s->end = p->put += out->end - out->begin - before;
    s->method = (uint8_t)send->head->method;
    if (first_of(p) == s) p->client->method = s->method;
    loop_defer(loop_of(p), &p->send_task);
    return IO_OK;
}

/* There is no body. */
static enum io send_body(struct http_stream *s, const char *data, size_t len, unsigned flags, size_t *taken)
{
    (void)s, (void)data, (void)flags;
    *taken = 0;
    return len ? IO_FAIL : IO_OK;
}

static enum io send_trailers(struct http_stream *s, const struct http_field *fields, uint32_t count)
{
    (void)s, (void)fields, (void)count;
    return IO_FAIL;
}

static bool is_first(const struct stream *s)
{
    return s->pipeline && first_of(s->pipeline) == s;
}

static void pause(struct http_stream *http)
{
    struct stream *s = stream_of(http);
    if (is_first(s)) s->pipeline->client->conn.stream.ops->pause(&conn_of(s->pipeline)->stream);
}

static void resume(struct http_stream *http)
{
    struct stream *s = stream_of(http);
    if (is_first(s)) http_stream_resume(&conn_of(s->pipeline)->stream);
}

static void reset(struct http_stream *http, enum end_reason reason)
{
    struct stream *s = stream_of(http);
    struct h1_pipeline *p = s->pipeline;
    if (!p) {
        give_back(s);
        return;
    }
    s->is_left = true;
    http->events = NULL;
    if (!s->end && p->count > 1) { /* its request never was in line */
        take_out(p, s);
        give_back(s);
    } else if (p->count == 1 || end_reason_info(reason)->origin == ORIGIN_SERVER) {
        struct http_fault fault = { .reason = reason };
        end(p, &fault);
    } else { /* others wait: its response is thrown away when it comes, rather than theirs with it */
        watch(p);
        loop_defer(s->loop, &p->send_task);
    }
}

static void release(struct http_stream *http)
{
    reset(http, END_NONE);
}

/* Nobody who asks for another protocol gets a stream here. */
static int detach(struct http_stream *http, struct transport *to, struct block **held, struct slice *bytes)
{
    (void)bug_if(H1_PIPELINE, http->ops == &stream_ops);
    transport_init_closed(to);
    *held = NULL;
    *bytes = SLICE_NONE;
    reset(http, END_INTERNAL);
    return -1;
}

static void reach(const struct http_stream *http, struct http_reach *out)
{
    const struct stream *s = stream_of((struct http_stream *)(uintptr_t)http);
    if (is_first(s)) h1_client_reach(s->pipeline->client, out);
}

static const struct http_stream_ops stream_ops = {
    .send_head = send_head,
    .send_body = send_body,
    .send_trailers = send_trailers,
    .resume = resume,
    .pause = pause,
    .reset = reset,
    .release = release,
    .detach = detach,
    .reach = reach,
};

size_t h1_pipeline_stream_size(void)
{
    return sizeof(struct stream);
}

void h1_pipeline_init(struct h1_pipeline *p, struct h1_client *c, const struct h1_pipeline_owner *owner,
                      struct slab *slab, struct timer *timer)
{
    *p = (struct h1_pipeline){ .client = c, .owner = owner, .slab = slab, .timer = timer };
    list_init(&p->streams);
    loop_task_init(&p->send_task, send_all);
}

struct http_stream *h1_pipeline_lease(struct h1_pipeline *p)
{
    struct stream *s = slab_get(p->slab);
    if (!s) return NULL;
    s->slab = p->slab;
    s->loop = loop_of(p);
    if (!p->count) {
        struct http_stream *whole = h1_client_lease(p->client);
        if (!whole) {
            slab_put(p->slab, s);
            return NULL;
        }
        whole->events = &connection_events;
        whole->owner = p;
        p->put = 0;
        begin_first(p);
    }
    (void)bug_if(H1_PIPELINE, conn_of(p)->stream.owner != p); /* who answers would not be told of here */
    s->http = (struct http_stream){ .ops = &stream_ops,
                                    .is_flushed = true,
                                    .is_unprocessed = true,
                                    .is_reused = p->count || p->client->exchanges > 1 };
    s->pipeline = p;
    list_push_back(&p->streams, &s->link);
    p->count++;
    watch(p);
    return &s->http;
}

uint32_t h1_pipeline_room(const struct h1_pipeline *p, uint32_t depth)
{
    const struct h1_conn *conn = conn_of(p);
    bool may_go_on = p->is_proven && conn->is_persistent && !conn->is_blocked && !conn->transport->has_hangup;
    return may_go_on && p->count < depth ? depth - p->count : 0;
}

void h1_pipeline_fini(struct h1_pipeline *p)
{
    (void)bug_if(H1_PIPELINE, p->count); /* they wait for answers that never come */
    loop_cancel(&p->send_task);
}
