/* http/h1_server.h: a client's HTTP/1 connection: reads heads, keeps alive, goes through pipelined requests one by
 * one. Serves whatever service it is given: the proxy and the admin API alike. One loop's thread. */
#pragma once

#include "http/h1_conn.h"

struct h1_server;

struct http_client {
    struct ip ip; /* its address; ::1 on a unix socket */
    uint16_t port;
    uint64_t id;                           /* of the connection, unique in the process */
    uint32_t requests;                     /* begun on it, this one included */
    uint64_t accepted_ns, head_started_ns; /* monotonic: of the current request's first byte */
    uint64_t received;                     /* bytes of the current request's head */
    bool is_counted;                       /* the service's own note */
};

struct http_service {
    /* A request has come. The service sets s->events and s->owner before it returns; `head` lives until it returns.
     * HTTP_MORE: body bytes follow at once. */
    void (*on_request)(struct http_service *service, struct http_stream *s, struct http_head *head,
                       unsigned flags);
    /* What came is no request: the service answers on `s` (HTTP/1.1, then close). `start` is how it began. */
    void (*on_fault)(struct http_service *service, struct http_stream *s, const struct http_fault *fault,
                     struct slice start);
    /* The connection has ended: the service gives back what it counted and buries the memory. */
    void (*on_closed)(struct http_service *service, struct h1_server *c);
    struct h1_limits limits;
    uint64_t header_timeout_ms, keep_alive_timeout_ms, write_timeout_ms;
    bool is_draining; /* no request after the current one */
};

enum h1_server_state {
    H1_SERVER_HEAD,
    H1_SERVER_EXCHANGE,
    H1_SERVER_FLUSH,
    H1_SERVER_DISCARD, /* the rest of a request that was answered early, to its end */
    H1_SERVER_LINGER,  /* whatever comes, until it closes */
    H1_SERVER_KILLED,  /* shut; whoever has its stream has been told, and has yet to let go of it */
    H1_SERVER_CLOSED
};

struct h1_server {
    struct h1_conn conn; /* first: the owner's memory */
    struct http_service *service;
    struct http_client client;
    uint8_t state;                    /* enum h1_server_state */
    bool is_1_0, closes, has_started; /* a byte of the next head has come */
    bool is_upgrade;                  /* the request asked for one */
    bool awaits_continue;             /* the client waits for a 100, or does not send its body at all */
    uint8_t clean_steps;              /* of DISCARD and LINGER */
    uint64_t cleaned_bytes;           /* in this step */
};

/* Takes `fd`; `c` is zeroed memory of the caller's, and is put in the list `among`. Reads at once. */
void h1_server_start(struct h1_server *c, struct http_service *service, struct loop *l, int fd,
                     const struct address *client, uint64_t id, struct list *among);
/* An idle connection closes now, a busy one after its exchange (drain). */
void h1_server_drain(struct h1_server *c);
/* Ends it at once, whatever it is doing. A stream's owner is told by on_error(`reason`); until he lets go of the stream the
 * connection stays where it is, shut. Not from within an event of the stream. */
void h1_server_kill(struct h1_server *c, enum end_reason reason);
/* All in the list `among`. */
void h1_server_kill_all(struct list *among, enum end_reason reason);
static inline struct h1_server *h1_server_of(struct http_stream *s)
{
    return container_of(h1_conn_of(s), struct h1_server, conn);
}
