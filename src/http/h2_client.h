/* http/h2_client.h: a connection to a server that speaks HTTP/2 (RFC 9113), by ALPN over TLS or by prior knowledge: many
 * exchanges at a time, each a stream. It can be leased while it is still opening: a stream's on_open comes then. Which server,
 * how many connections, and for how long is the pool's business. One loop's thread. */
#pragma once

#include "http/h1_parse.h"
#include "http/h2_server.h"

struct h2_client;

struct h2_client_owner {
    /* It is open: what is leased from now on can be sent to at once. */
    void (*on_opened)(struct h2_client *c);
    /* It is open, and HTTP/1.1 was agreed on by ALPN, which `allows_http1` lets be: h2_client_go_on_as() follows within this;
     * else what is returned is why not. */
    enum end_reason (*on_http1)(struct h2_client *c);
    /* More can be leased than a moment ago, or nothing any more: see h2_client_room(). */
    void (*on_room)(struct h2_client *c);
    /* No stream is left, and the connection may carry others. It may be closed within this. */
    void (*on_idle)(struct h2_client *c);
    /* It has ended; retired already. */
    void (*on_closed)(struct h2_client *c);
};

struct h2_client {
    struct transport transport; /* first */
    struct timer timer;         /* the owner's, who calls h2_client_look() when it is due, as the next */
    struct loop_grave grave;
    const struct h2_client_owner *owner;
    struct h2_session *session; /* NULL: it has ended */
    struct h2_limits limits;
    uint32_t
        streams_expected; /* that the server will allow, as long as it has not said how many; 0: not known */
    uint64_t write_timeout_ms;
    bool allows_http1; /* see on_http1 */
    bool is_opening;
    bool is_busy; /* something is leased, or was a moment ago */
    bool
        is_leaving; /* nothing more is leased: either side has said that it ends, or it is not trusted any more */
    bool closed_by_peer;
};

/* Begins a connection in zeroed memory but for `limits`, `streams_expected` and `write_timeout_ms`. -1: no descriptor, refused at once, or no
 * memory; transport.saved_errno says which, and the connection is closed already (on_closed is not called). local: see
 * transport_connect(). */
MUST_CHECK int h2_client_connect(struct h2_client *c, const struct h2_client_owner *owner,
                                 struct h2_worker *w, const struct address *to, const struct address *local,
                                 const struct h1_limits *head_limits);
/* How many exchanges more it can carry now. */
uint32_t h2_client_room(const struct h2_client *c);
/* How many streams the server allows; 0: it has not said so. */
uint32_t h2_client_streams_allowed(const struct h2_client *c);
/* A stream for one exchange, which h2_client_room() says that there is. NULL: out of memory. */
struct http_stream *h2_client_lease(struct h2_client *c);
/* Its transport has gone on elsewhere, and what was leased first does as `to`, which can be sent to. It ends once nothing else
 * is leased: others, of whose requests the server cannot have heard, are told so. */
void h2_client_go_on_as(struct h2_client *c, struct http_stream *to);
/* Closes one without streams. */
void h2_client_close(struct h2_client *c);
/* The timer is due. */
void h2_client_look(struct h2_client *c);
/* Adds what it holds. */
void h2_client_reach(const struct h2_client *c, struct http_reach *out);
/* Likewise of the connection that a tunnel towards a server is a stream of; nothing where it has one of its own. */
void h2_client_reach_by(const struct transport *tunnel, struct http_reach *out);

#define H2_CLIENT_ALPN "\x02h2"
