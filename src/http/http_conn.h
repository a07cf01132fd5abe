/* http/http_conn.h: a client's connection as its owner has it, whatever it speaks: in a list, drained, killed, looked into.
 *
 * It is one object from accept to its end. First it opens, which a plain transport has done already and another may take
 * several turns for; then it speaks HTTP of some version, in the same place: the event queue knows the transport by its
 * address and need not be told. Whoever speaks embeds it, first, and sets `ops` and the transport's on_ready to its own.
 * One loop's thread. */
#pragma once

#include "http/h1_parse.h"
#include "http/h2_limits.h"
#include "http/stream.h"

struct http_conn;
struct h1_worker;
struct h2_worker;

struct http_service {
    /* A request has come. The service sets s->events and s->owner before it returns; `head` lives until it returns.
     * HTTP_MORE: body bytes follow at once. */
    void (*on_request)(struct http_service *service, struct http_stream *s, struct http_head *head,
                       unsigned flags);
    /* What came is no request: the service answers on `s` (HTTP/1.1, then close). `start` is how it began. */
    void (*on_fault)(struct http_service *service, struct http_stream *s, const struct http_fault *fault,
                     struct slice start);
    /* The connection has ended: the service gives back what it counted and buries the memory. */
    void (*on_closed)(struct http_service *service, struct http_conn *c);
    /* Somebody on the connection was refused for want of memory, or will be soon (not `is_refused`) while what is of no use to
     * anybody goes on. NULL: nobody needs to know. */
    void (*on_short)(struct http_service *service, bool is_refused);
    struct h1_limits limits;
    struct h1_worker *h1; /* NULL: what HTTP/1 needs for a request is the heap's, where connections are few */
    struct h2_worker *h2; /* NULL: HTTP/2 is not spoken */
    struct h2_limits h2_limits;
    /* header: until it is open and the first head is whole, and for each later head from its first byte. */
    uint64_t header_timeout_ms, keep_alive_timeout_ms, write_timeout_ms;
    bool is_draining; /* no request after the current one */
    bool keeps_idle;  /* though it drains: a connection goes on until a response has said that it will not */
};

/* What it is about, that first of which least is lost if it ends. */
enum http_conn_use {
    HTTP_CONN_IDLE,
    HTTP_CONN_BEGINNING, /* it opens, or a part of a request's head has come */
    HTTP_CONN_ENDING,    /* what is left of an answered request is thrown away */
    HTTP_CONN_FLUSHING,  /* the response is on its way out */
    HTTP_CONN_BUSY       /* somebody works on a request */
};

struct http_conn_ops {
    /* One that is idle closes now, a busy one after what it is doing. */
    void (*drain)(struct http_conn *c);
    void (*kill)(struct http_conn *c, enum end_reason reason); /* see http_conn_kill() */
    enum http_conn_use (*use)(const struct http_conn *c);
    /* Of one that is idle or beginning: since when, in loop milliseconds. */
    uint64_t (*since_ms)(const struct http_conn *c);
    /* Those streams that the service has; it may let go of them meanwhile. */
    void (*each_stream)(struct http_conn *c, void (*on_stream)(void *context, struct http_stream *s),
                        void *context);
    /* Bytes that it holds, about, but for what is read of servers for it: by whom memory would be had if it ended. NULL: not
     * worth it, it has a request at a time. */
    uint64_t (*held)(const struct http_conn *c);
    /* What it has under way is of no use to anybody, as far as one can tell (http/h2_turn.c). NULL: one cannot. */
    bool (*is_of_no_use)(const struct http_conn *c);
    /* Adds what it holds besides its transport and timer. */
    void (*reach)(const struct http_conn *c, struct http_reach *out);
};

struct http_conn {
    struct transport transport; /* first */
    struct timer timer;
    struct list link; /* the list that it was started in */
    struct loop_grave grave;
    const struct http_conn_ops *ops;
    struct http_service *service;
    struct http_client client;
    bool is_detached; /* its transport went on elsewhere: the connection still counts */
    uint8_t end;      /* enum end_reason: why it was never open, or could not go on; else END_NONE */
    uint32_t round;   /* its owner's note: the last round that came by (proxy/round.h) */
};

/* Takes `fd`; `c` is zeroed memory of the caller's, and is put in the list `among`. The transport is a plain one: another
 * is put over it before http_conn_open(). */
void http_conn_init(struct http_conn *c, struct http_service *service, struct loop *l, int fd,
                    const struct address *client, uint64_t id, struct list *among);
/* Opens the transport, for as long as a head may take, and then begin(c): at once if it is open already. The memory behind
 * `c` is zeros then as it was. */
void http_conn_open(struct http_conn *c, void (*begin)(struct http_conn *c));

/* When a time-out began that is over at `until_ms`. */
static inline uint64_t http_conn_since_timeout(uint64_t until_ms, uint64_t timeout_ms)
{
    return until_ms > timeout_ms ? until_ms - timeout_ms : 0;
}

static inline void http_conn_drain(struct http_conn *c)
{
    c->ops->drain(c);
}
/* Ends it at once, whatever it is doing. A stream's owner is told by on_error(`reason`); until he lets go of the stream the
 * connection stays where it is, shut. Not from within an event of the stream. */
static inline void http_conn_kill(struct http_conn *c, enum end_reason reason)
{
    c->ops->kill(c, reason);
}
/* All in the list `among`. */
void http_conn_kill_all(struct list *among, enum end_reason reason);
/* What of it is at work, for who counts what can be reached. Adds. */
void http_conn_reach(const struct http_conn *c, struct http_reach *out);

static inline struct http_conn *http_conn_at(const struct list *link)
{
    return (struct http_conn *)((uintptr_t)link - offsetof(struct http_conn, link));
}
/* For ops: out of its list, with nothing under way any more; the service hears of it last. Twice is a bug. */
void http_conn_end(struct http_conn *c, bool is_reset);
