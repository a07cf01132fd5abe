/* http/h1_conn.h: what an HTTP/1 connection is on either side: a transport, the two directions, one stream at a
 * time, and when to read and write. h1_server and h1_client embed it, have the transport, and add their roles. */
#pragma once

#include "http/h1_io.h"

struct h1_conn;

struct h1_role {
    /* A fault of the incoming body, as this side calls it. */
    enum end_reason body_eof, body_reset;
    void (*drive)(struct h1_conn *c); /* goes on wherever the connection stands */
};

struct h1_conn {
    struct transport *transport; /* in the object that this is embedded in */
    struct h1_in in;
    struct h1_out out;
    struct http_stream stream;
    struct loop_task task;
    const struct h1_role *role;
    const struct h1_limits *limits;
    bool is_blocked;  /* the stream's receiver did not take all */
    bool wants_write; /* on_writable is owed */
    bool is_pumping, is_retired;
    bool owes_resume;   /* the stream was resumed while the scratch buffer was another's */
    bool is_detached;   /* the transport went on elsewhere: the connection still counts */
    bool is_persistent; /* both messages so far let the connection live */
};

void h1_conn_init(struct h1_conn *c, struct transport *t, const struct h1_role *role,
                  const struct h1_limits *limits);
/* Once both messages are whole and it holds no bytes: as after h1_conn_init(), for another connection, too. */
void h1_conn_renew(struct h1_conn *c);
/* Sends what waits and tells the stream; false if the stream or the connection is gone. */
bool h1_conn_write(struct h1_conn *c);
/* Moves the incoming body on, `bytes` of the scratch buffer first; false if the stream is gone. */
bool h1_conn_pump(struct h1_conn *c, struct slice bytes);
/* Within what another connection has received: to be resumed once that is worked off, which the task sees to. */
bool h1_conn_resumes_later(struct h1_conn *c);
/* The stream's ops, the same for both sides. */
enum io h1_conn_send_body(struct http_stream *s, const char *data, size_t len, unsigned flags, size_t *taken);
enum io h1_conn_send_trailers(struct http_stream *s, const struct http_field *fields, uint32_t count);
void h1_conn_resume(struct http_stream *s);
/* Also where it fails (-1) the connection counts until its new owner, who closes `to`, has ended. */
int h1_conn_detach(struct http_stream *s, struct transport *to, struct block **held, struct slice *bytes);
/* After any direct use of `out`. */
enum io h1_conn_sent(struct h1_conn *c, enum io io);
/* Closes the transport and gives back all that the connection holds. The stream stands, for whoever still holds it; nothing
 * is told to it any more. Twice is fine. */
void h1_conn_shut(struct h1_conn *c, bool is_reset);
/* Shuts it. Nobody may hold the stream; the memory is the owner's, to be buried. Twice is fine. */
void h1_conn_retire(struct h1_conn *c, bool is_reset);

/* The blocks that it holds, besides its transport. */
static inline uint32_t h1_conn_blocks(const struct h1_conn *c)
{
    return (c->in.hold ? 1u : 0u) + (c->out.block ? 1u : 0u);
}
static inline struct h1_conn *h1_conn_of(struct http_stream *s)
{
    return container_of(s, struct h1_conn, stream);
}
/* All that was taken to be sent is the kernel's. */
static inline bool h1_conn_is_flushed(const struct h1_conn *c)
{
    return h1_out_is_empty(&c->out) && !c->transport->holds_rest;
}
static inline struct loop *h1_conn_loop(const struct h1_conn *c)
{
    return c->transport->loop;
}
