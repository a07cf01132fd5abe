/* http/h1_server_steps.h: the parts of h1_server (h1_server.h) to each other, and to nobody else.
 *
 * h1_server.c: its beginning, its time-outs and ends, and what its owner asks; h1_server_head.c: from bytes to a request;
 * h1_server_stream.c: what the owner of its stream calls; h1_server_end.c: what follows a response. */
#pragma once

#include "http/h1_server.h"

static inline struct h1_request *h1_request_of(struct http_stream *s)
{
    return container_of(h1_conn_of(s), struct h1_request, conn);
}
static inline struct loop *h1_server_loop(const struct h1_server *c)
{
    return c->http.transport.loop;
}

/* h1_server.c */
/* What it needs for a request, if it has not got that; false: out of memory. */
MUST_CHECK bool h1_server_begin_request(struct h1_server *c);
/* It waits for a request of which nothing has come: what was needed for the last one is given back. */
void h1_server_rest(struct h1_server *c);
/* Nobody may have its stream. Twice is fine. */
void h1_server_close(struct h1_server *c, bool is_reset);
/* Whoever has its stream is told, and it ends with him. */
void h1_server_stop(struct h1_server *c, enum end_reason reason);
/* For the peer; or it ends, because the kernel does not take it. */
void h1_server_wait(struct h1_server *c);

/* h1_server_head.c */
void h1_server_read_head(struct h1_server *c);
/* What came, or did not, is no request: it is answered so. */
void h1_server_tell_fault(struct h1_server *c, const struct http_fault *fault, struct slice start);

/* h1_server_stream.c */
extern const struct http_stream_ops h1_server_stream_ops;
/* A client may close its side alone and still take the response (RFC 9112 9.6). */
bool h1_server_has_left(const struct h1_conn *conn);
void h1_server_tell_left(struct h1_conn *conn);

/* h1_server_end.c */
/* The response is out: on to the next request, or to the end. */
void h1_server_finish(struct h1_server *c);
/* The rest of an answered request, to its end: both sides keep the connection. */
void h1_server_discard(struct h1_server *c);
/* Whatever comes, until the client closes. */
void h1_server_linger(struct h1_server *c);
/* The time of a step of either is over: another one, or the end. */
void h1_server_clean_on(struct h1_server *c);
