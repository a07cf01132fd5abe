/* http/h1_client.h: a connection to a server that speaks HTTP/1: one exchange at a time, then idle until the next.
 * Which server, how many, and for how long is the pool's business. One loop's thread. */
#pragma once

#include "http/h1_conn.h"

struct h1_client;

struct h1_client_owner {
    /* The exchange is over and the connection may carry another. */
    void (*on_idle)(struct h1_client *c);
    /* It has ended, while idle or after an exchange; retired already. */
    void (*on_closed)(struct h1_client *c);
    /* It was given to an exchange after so long, and had been closed by then, for all that can be seen. */
    void (*on_stale)(struct h1_client *c, uint64_t idle_ns);
    /* What the server says of its patience: Keep-Alive. */
    void (*on_keep_alive)(struct h1_client *c, uint32_t timeout_s, uint32_t max);
    /* A response is whole. True: another is to come on the same stream, for h1_client_expect() was called. NULL: the
     * stream's owner says when it is over. */
    bool (*on_whole)(struct h1_client *c);
};

enum h1_client_state { H1_CLIENT_CONNECTING, H1_CLIENT_IDLE, H1_CLIENT_BUSY, H1_CLIENT_CLOSED };

struct h1_client {
    struct transport transport; /* first */
    struct timer timer;         /* the owner's, as the next */
    struct loop_grave grave;
    struct h1_conn conn;
    const struct h1_client_owner *owner;
    uint8_t state;  /* enum h1_client_state */
    uint8_t method; /* enum http_method of the request in hand */
    bool has_head;  /* the final response's head has come */
    bool asked_upgrade, closed_by_peer;
    uint32_t exchanges; /* begun on it */
    uint64_t idle_since_ns, leased_ns;
};

/* Begins a connection in zeroed memory. -1: no descriptor or refused at once; transport.saved_errno says
 * which, and the connection is closed already (on_closed is not called). local: see transport_connect(). */
MUST_CHECK int h1_client_connect(struct h1_client *c, const struct h1_client_owner *owner, struct loop *l,
                                 const struct address *to, const struct address *local,
                                 const struct h1_limits *limits);
/* Likewise of a transport that is open, which it takes over. -1: no descriptor or no memory; it is closed then. */
MUST_CHECK int h1_client_take_over(struct h1_client *c, const struct h1_client_owner *owner,
                                   struct transport *from, const struct h1_limits *limits);
/* Gives the connection to one exchange. Events: on_open if it is still connecting. */
struct http_stream *h1_client_lease(struct h1_client *c);
/* What comes next on the stream answers another request, which went out already. Within on_whole. */
void h1_client_expect(struct h1_client *c, enum http_method method);
/* It can be leased. */
static inline bool h1_client_is_free(const struct h1_client *c)
{
    return c->state == H1_CLIENT_IDLE || (c->state == H1_CLIENT_CONNECTING && !c->exchanges);
}
/* Closes one that is idle. */
void h1_client_close(struct h1_client *c);
/* Adds what it holds. */
void h1_client_reach(const struct h1_client *c, struct http_reach *out);
/* What the transport's failure to open is called. */
enum end_reason h1_client_connect_reason(const struct transport *t);

static inline struct h1_client *h1_client_of(struct http_stream *s)
{
    return container_of(h1_conn_of(s), struct h1_client, conn);
}
