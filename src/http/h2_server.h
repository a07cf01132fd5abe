/* http/h2_server.h: a client's HTTP/2 connection (RFC 9113): by ALPN over TLS, or by prior knowledge. Its streams are
 * http_streams of the service that it is given. One loop's thread. */
#pragma once

#include "base/slab.h"
#include "http/h2_hpack.h"
#include "http/http_conn.h"

struct h2_session;

/* What a worker's connections share. */
struct h2_worker {
    struct h2_memory memory;
    struct slab sessions, streams;
    struct list waiting; /* sessions that have used up their part of a turn; see h2_turn.c */
    struct list behind;  /* likewise, of those that come behind all others */
    struct loop_task task;
    struct timer again; /* while those behind have no turn at all */
    uint64_t turn;      /* in which `work` was done */
    uint32_t work;
    uint32_t share;         /* of the one that is served now */
    uint64_t looked_ns;     /* when those behind were last thought of */
    uint64_t rest_ns;       /* as long as others have to be served before it is their turn again */
    bool has_served_behind; /* since looked_ns */
};

void h2_worker_init(struct h2_worker *w, struct loop *l);
/* Its connections are closed and buried. Of zeros: nothing. */
void h2_worker_fini(struct h2_worker *w);

/* In the place of a struct h1_server. */
struct h2_server {
    struct http_conn http; /* first */
    struct h2_session *session;
};

/* Speaks HTTP/2 on a connection that is open, with its service's h2; what is behind it is zeros. For http_conn_open(). */
void h2_server_begin(struct http_conn *http);
/* Likewise, of which `bytes` have been received already; borrowed. */
void h2_server_begin_with(struct http_conn *http, struct slice bytes);
/* Whether a connection that begins with `bytes` can only be meant so. */
bool h2_server_is_meant(struct slice bytes);

#define H2_SERVER_ALPN "\x02h2"
