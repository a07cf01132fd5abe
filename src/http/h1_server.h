/* http/h1_server.h: a client's HTTP/1 connection: reads heads, keeps alive, goes through pipelined requests one by
 * one. Serves whatever service it is given: the proxy and the admin API alike. One loop's thread. */
#pragma once

#include "base/slab.h"
#include "http/h1_conn.h"
#include "http/http_conn.h"

enum h1_server_state {
    H1_SERVER_HEAD,
    H1_SERVER_EXCHANGE,
    H1_SERVER_FLUSH,
    H1_SERVER_DISCARD, /* the rest of a request that was answered early, to its end */
    H1_SERVER_LINGER,  /* whatever comes, until it closes */
    H1_SERVER_KILLED,  /* shut; whoever has its stream has been told, and has yet to let go of it */
    H1_SERVER_CLOSED
};

/* What a connection has only while there is something of a request, from its first byte until the response is out: most
 * connections are idle most of the time. */
struct h1_request {
    struct h1_conn conn;
    struct h1_server *server;
    struct h1_worker *worker; /* whose it is; NULL: the heap's */
    struct h1_request *next;  /* among those that are kept */
    struct loop_grave grave;
    bool is_1_0;
    bool is_upgrade;        /* it asked for one */
    bool may_run_ahead;     /* its client may send in another protocol before it knows of the answer */
    bool awaits_continue;   /* the client waits for a 100, or does not send its body at all */
    uint8_t clean_steps;    /* of DISCARD and LINGER */
    uint64_t cleaned_bytes; /* in this step */
};

struct h1_server {
    struct http_conn http;      /* first */
    struct h1_request *request; /* NULL: it is idle; once it is closed, nobody's */
    uint8_t state;              /* enum h1_server_state */
    bool closes;
    bool has_started; /* a byte of the next head has come */
    bool is_reading;  /* heads, one after the other: what one needs is kept for the next */
};

/* What the connections of one thread share. */
struct h1_worker {
    struct slab requests;
    struct h1_request *kept; /* that were needed a moment ago, and may be taken as they are */
    uint32_t kept_count;     /* a few */
};

void h1_worker_init(struct h1_worker *w, struct loop *l);
void h1_worker_fini(struct h1_worker *w);

/* Speaks HTTP/1 on a connection that is open and part of a struct h1_server; reads at once. For http_conn_open(). */
void h1_server_begin(struct http_conn *http);
/* A plain connection, from its start: see http_conn_init(). */
void h1_server_start(struct h1_server *c, struct http_service *service, struct loop *l, int fd,
                     const struct address *client, uint64_t id, struct list *among);
