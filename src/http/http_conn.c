#include "http/http_conn.h"

#include "base/bug.h"

/* While it opens: the memory is the later speaker's, who begins with zeros. */
struct opening {
    struct http_conn http; /* first */
    void (*begin)(struct http_conn *c);
};

static void fail_to_open(struct http_conn *c, enum end_reason reason)
{
    (void)bug_if(HTTP_CONN, c->end != END_NONE || c->transport.is_open);
    c->end = (uint8_t)reason;
    http_conn_end(c, false);
}

static void go_on_opening(struct http_conn *c)
{
    struct opening *o = container_of(c, struct opening, http);
    void (*begin)(struct http_conn *) = o->begin;
    if (bug_if(HTTP_CONN, !begin)) return; /* it speaks already, in this memory */
    switch (transport_open(&c->transport)) {
    case IO_OK:
        o->begin = NULL;
        begin(c); /* with what is left of the time */
        return;
    case IO_AGAIN:
        if (transport_wait(&c->transport) < 0) fail_to_open(c, END_NO_DESCRIPTORS);
        return;
    case IO_EOF:
    case IO_FAIL:
        fail_to_open(c, c->transport.fault ? (enum end_reason)c->transport.fault : END_CLIENT_ABORT);
        return;
    }
}

static void on_opening_ready(struct transport *t)
{
    go_on_opening(container_of(t, struct http_conn, transport));
}

static void on_opening_timer(struct timer *t)
{
    fail_to_open(container_of(t, struct http_conn, timer), END_HEADER_TIMEOUT);
}

/* Its first request is on its way: it is served, and is the last. */
static void opening_drain(struct http_conn *c)
{
    (void)c;
}

static enum http_conn_use opening_use(const struct http_conn *c)
{
    (void)c;
    return HTTP_CONN_BEGINNING;
}

static uint64_t opening_since_ms(const struct http_conn *c)
{
    return c->client.accepted_ns / NS_PER_MS;
}

static void opening_each_stream(struct http_conn *c, void (*on_stream)(void *context, struct http_stream *s),
                                void *context)
{
    (void)c, (void)on_stream, (void)context;
}

static void opening_reach(const struct http_conn *c, struct http_reach *out)
{
    (void)c, (void)out;
}

static const struct http_conn_ops opening_ops = {
    .drain = opening_drain,
    .kill = fail_to_open,
    .use = opening_use,
    .since_ms = opening_since_ms,
    .each_stream = opening_each_stream,
    .reach = opening_reach,
};

void http_conn_init(struct http_conn *c, struct http_service *service, struct loop *l, int fd,
                    const struct address *client, uint64_t id, struct list *among)
{
    c->ops = &opening_ops;
    c->service = service;
    c->client.ip = address_ip(client);
    c->client.port = address_port(client);
    c->client.id = id;
    c->client.accepted_ns = l->now_ns;
    transport_init_accepted(&c->transport, l, fd, client->sa.any.sa_family == AF_UNIX, on_opening_ready);
    timer_init(&c->timer, on_opening_timer);
    list_init(&c->link);
    list_push_back(among, &c->link);
    loop_arm(l, &c->timer, service->header_timeout_ms);
}

void http_conn_open(struct http_conn *c, void (*begin)(struct http_conn *c))
{
    if (c->transport.is_open) {
        begin(c);
        return;
    }
    container_of(c, struct opening, http)->begin = begin;
    go_on_opening(c);
}

void http_conn_kill_all(struct list *among, enum end_reason reason)
{
    struct list *next;
    for (struct list *at = among->next; at != among; at = next) {
        next = at->next; /* those whose streams are held stay */
        http_conn_kill(http_conn_at(at), reason);
        if (list_is_empty(next)) next = among->next; /* it ended with this one */
    }
}

void http_conn_reach(const struct http_conn *c, struct http_reach *out)
{
    out->connections++;
    out->timers += timer_is_armed(&c->timer);
    out->descriptors += c->transport.io.fd >= 0;
    c->ops->reach(c, out);
}

void http_conn_end(struct http_conn *c, bool is_reset)
{
    if (bug_if(HTTP_CONN, list_is_empty(&c->link))) return;
    list_remove(&c->link);
    loop_disarm(c->transport.loop, &c->timer);
    transport_close(&c->transport, is_reset);
    c->service->on_closed(c->service, c);
}
