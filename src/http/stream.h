/* http/stream.h: one side of one exchange, whatever version carries it. The codec (h1_server, h1_client) makes it;
 * whoever runs the exchange sets `events` and `owner`. One loop's thread.
 *
 * Calls never call back: what they could not do, they say. Events come from the loop only. Backpressure: on_body
 * returns how much was taken; the source keeps the rest (at most LOOP_HOLD_BYTES; beyond that it stays in the
 * kernel or behind a closed window) and stops reading until http_stream_resume(). Where the receiver can say beforehand
 * (may_take) that it takes next to nothing, a source of HTTP/1 reads LOOP_LITTLE_BYTES at a time. */
#pragma once

#include <stdint.h>

#include "base/bug.h"
#include "base/end_reason.h"
#include "http/message.h"
#include "net/transport.h"

enum {
    HTTP_MORE = 1, /* more follows within this same event: do not send yet */
    HTTP_END = 2,  /* nothing follows */
};

/* A head to send: what to pass on of `head`, and what to put beside it. Framing and connection fields are the
 * codec's own and never copied. */
struct http_send {
    const struct http_head *head; /* method and target, or status; fields that are not dropped */
    struct slice authority;       /* requests: the Host to send */
    struct slice target;          /* requests: in place of the head's; empty: the head's own */
    const struct http_field *extra;
    uint32_t extra_count;
    enum http_body_kind body;
    uint64_t content_length;
    struct slice upgrade; /* asks for, or grants, this protocol; else empty */
    bool wants_close;     /* this is the last exchange of the connection */
    bool is_early;        /* responses: what is still to come of the request is not wanted */
    bool is_bodiless;     /* responses to HEAD, 204, 304: `body` is only what is said */
};

struct http_fault {
    enum end_reason reason;
    const char *detail; /* static clause, may be NULL */
    uint32_t number;    /* what detail speaks of, if it needs one: bytes of an over-long head; else 0 */
};

/* What is known of a client's connection. */
/* tls/facts.h */
struct tls_facts;

struct http_client {
    struct ip ip; /* its address; ::1 on a unix socket */
    uint16_t port;
    bool is_secure; /* over TLS: its scheme is https */
    uint8_t
        refusal; /* enum end_reason: whatever is asked on it is answered with this; END_NONE: it is served */
    uint8_t version; /* enum http_version, HTTP_VERSION_2 if that is what it speaks; else each request says */
    bool is_counted; /* the service's own note */
    uint32_t requests;     /* begun on it, this one included */
    struct tls_facts *tls; /* what is known of TLS; borrowed of the connection; NULL: nothing */
    uint64_t id;           /* of the connection, unique in the process */
    uint64_t accepted_ns, head_started_ns; /* monotonic: of the current request's first byte */
    uint64_t received;                     /* bytes of the current request's head */
};

/* What is held by something, for who counts what can be reached (proxy/census.h). */
struct http_reach {
    uint64_t connections, blocks, timers, descriptors;
};

struct http_stream;

/* Whether a stream towards a server can be asked to become a tunnel. */
enum http_tunnels {
    HTTP_TUNNELS_YES,
    HTTP_TUNNELS_NO,
    HTTP_TUNNELS_UNKNOWN, /* the server has yet to say: on_open comes once more when it has */
};

struct http_stream_ops {
    enum io (*send_head)(struct http_stream *s, const struct http_send *head, unsigned flags);
    enum io (*send_body)(struct http_stream *s, const char *data, size_t len, unsigned flags, size_t *taken);
    enum io (*send_trailers)(struct http_stream *s, const struct http_field *fields, uint32_t count);
    void (*resume)(struct http_stream *s);
    void (*pause)(struct http_stream *s);  /* from a server; see http_stream_pause() */
    bool (*unsend)(struct http_stream *s); /* towards a client; see http_stream_unsend() */
    /* Towards a client; see http_stream_passed(). NULL: there is one stream at a time. */
    uint64_t (*passed)(const struct http_stream *s);
    /* Towards a client; see http_stream_room(). NULL: its kernel alone says so, when it is sent something. */
    size_t (*room)(const struct http_stream *s);
    void (*watch)(struct http_stream *s); /* towards a client; see http_stream_watch() */
    void (*reset)(struct http_stream *s, enum end_reason reason);
    void (*release)(struct http_stream *s);
    /* Hands the bare transport over (after a 101 or for CONNECT), with bytes that were read beyond the head. */
    int (*detach)(struct http_stream *s, struct transport *to, struct block **held, struct slice *bytes);
    /* From a server, whose version asks for tunnels in a way of its own, which proves that the request was understood; NULL: by
     * Upgrade, as HTTP/1 has it. */
    enum http_tunnels (*tunnels)(struct http_stream *s);
    /* From a server: adds what it holds, its connection if that has no other stream. */
    void (*reach)(const struct http_stream *s, struct http_reach *out);
};

struct http_stream_events {
    void (*on_open)(struct http_stream *s); /* towards a server: it may be sent to */
    /* Likewise, before on_open: the connection speaks another version, and `s` goes on as `to`, whose events and owner are to
     * be set. `s` is no more. */
    void (*on_moved)(struct http_stream *s, struct http_stream *to);
    void (*on_head)(struct http_stream *s, struct http_head *head,
                    unsigned flags); /* responses, 1xx included;
        * HTTP_MORE: body bytes follow at once; the head lives until the call returns */
    size_t (*on_body)(struct http_stream *s, const char *data, size_t len, unsigned flags);
    /* How much of a body could be taken now: of more than that, no more is read than costs little to hold. NULL: all that comes. */
    size_t (*may_take)(struct http_stream *s);
    void (*on_trailers)(struct http_stream *s, const struct http_field *fields,
                        uint32_t count);                                     /* ends the message */
    void (*on_error)(struct http_stream *s, const struct http_fault *fault); /* nothing comes after it */
    void (*on_writable)(struct http_stream *s);
};

struct http_stream {
    const struct http_stream_ops *ops;
    const struct http_stream_events *events; /* NULL: nobody listens */
    void *owner;
    const struct http_client *client; /* towards a client: what is known of it; else NULL */
    uint32_t held;                    /* bytes read that wait for resume */
    uint32_t head_bytes;              /* of the heads sent on it */
    bool is_flushed;                  /* nothing that was taken waits to be sent */
    bool is_ended;                    /* the incoming message is complete */
    bool has_received;                /* a byte of the incoming message came */
    bool
        is_unprocessed; /* of a request: the server cannot have acted on it: no byte was handed to the kernel, or it says so */
    bool is_reused;      /* not the connection's first exchange */
    bool is_alone;       /* broken off by the server, whose connection goes on: it was not dead */
    bool is_last;        /* the peer closes after this message */
    bool lacks_memory;   /* that is why sending failed */
    bool ends_at_hangup; /* towards a client, its owner's: one that sends no more is gone */
    uint8_t
        overdue; /* towards a server: enum end_reason of a time-out now, where it is more than a connection that is
                        waited for; else END_NONE */
};

/* Sends or keeps (bounded) the whole head. IO_OK, or IO_FAIL: the connection is broken or memory is out. */
static inline enum io http_send_head(struct http_stream *s, const struct http_send *head, unsigned flags)
{
    return s->ops->send_head(s, head, flags);
}
/* IO_OK: all taken; IO_AGAIN: *taken of it, on_writable will come; IO_FAIL. With HTTP_END the message is complete
 * once all is taken. With len 0 sends what waits. */
static inline enum io http_send_body(struct http_stream *s, const char *data, size_t len, unsigned flags,
                                     size_t *taken)
{
    enum io io = s->ops->send_body(s, data, len, flags, taken);
    if (bug_if(HTTP_CONN, *taken > len)) *taken = len; /* what is behind would be sent as well */
    return io;
}
/* Ends the message. */
static inline enum io http_send_trailers(struct http_stream *s, const struct http_field *fields,
                                         uint32_t count)
{
    return s->ops->send_trailers(s, fields, count);
}
/* Delivers what is held and reads on. Events come from within this one call. */
static inline void http_stream_resume(struct http_stream *s)
{
    s->ops->resume(s);
}
/* Within on_head of an interim response: no more of them until it is resumed. */
static inline void http_stream_pause(struct http_stream *s)
{
    s->ops->pause(s);
}
/* Takes back a head (and what follows it) of which no byte was handed to the kernel yet; false if one was. */
static inline bool http_stream_unsend(struct http_stream *s)
{
    return s->ops->unsend(s);
}
/* How many bytes the client has taken of its other streams, for each that it has, while those went before this one: it waits for its turn
 * then, and not for the client. Never becomes less. */
static inline uint64_t http_stream_passed(const struct http_stream *s)
{
    return s->ops->passed ? s->ops->passed(s) : 0;
}
/* What the client's windows leave room for. */
static inline size_t http_stream_room(const struct http_stream *s)
{
    return s->ops->room ? s->ops->room(s) : SIZE_MAX;
}
/* Wants to hear of the client's end even while nothing is read from or written to it. A connection's first exchange
 * does without, and with it without a system call, unless it takes long. */
static inline void http_stream_watch(struct http_stream *s)
{
    s->ops->watch(s);
}
/* Breaks the message off so that the peer sees it is cut, and releases. `reason`: why; END_NONE: it is of no more use. */
static inline void http_stream_reset(struct http_stream *s, enum end_reason reason)
{
    s->ops->reset(s, reason);
}
/* The connection broke, which an HTTP/1 server may have done before it saw the request. */
static inline bool http_is_break(enum end_reason reason)
{
    return reason == END_SERVER_CLOSED || reason == END_SERVER_RESET || reason == END_SEND_FAILED ||
           reason == END_LEFT_BEHIND || reason == END_SERVER_TLS_CUT || reason == END_SERVER_TLS_BROKEN;
}
/* The exchange is done with it: the codec keeps the connection or closes it, as both messages allow. */
static inline void http_stream_release(struct http_stream *s)
{
    s->ops->release(s);
}
