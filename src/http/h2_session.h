/* http/h2_session.h: the parts of an HTTP/2 connection to each other, whichever side it is: what differs is its role.
 * h2_session.c: reading, floods, failing. h2_frames.c: what frames come to. h2_body.c: field blocks, bodies and trailers that
 * come. h2_stream.c: what a stream's owner calls. h2_tunnel.c: a stream that goes on as a transport. h2_out.c: what goes out.
 * h2_turn.c: how much of a turn is whose. With clients: h2_server.c, beginning, time-outs, ends, and h2_request.c, heads that
 * come; with servers: h2_client.c and h2_response.c. One loop's thread.
 *
 * What goes out is gathered in `out`, and leaves once at the end of the loop's turn; large payload goes at once, together
 * with what waits. Of a body nothing is taken that cannot go: its source keeps it. What is received is given to its stream;
 * what that does not take is held, within the stream's window, while frames of others go on. */
#pragma once

#include "http/h2_bytes.h"
#include "http/h2_frame.h"
#include "http/h2_head.h"
#include "http/h2_server.h"

#define H2_BUCKETS 32u
#define H2_URGENCIES 8u
#define H2_CLOSED_KEPT 64u /* streams whose end is remembered */

enum h2_state {
    H2_SESSION_PREFACE, /* a client's preface and SETTINGS are awaited */
    H2_SESSION_OPEN,
    H2_SESSION_FLUSH,  /* over: what is left goes out, streams end */
    H2_SESSION_LINGER, /* with a client: whatever comes, until it closes */
    H2_SESSION_KILLED, /* shut; whoever has its streams has yet to let go of them */
    H2_SESSION_CLOSED
};

struct h2_client;

struct h2_stream {
    struct http_stream stream; /* first */
    struct h2_session *session;
    struct h2_worker *worker;
    struct h2_stream *next; /* in its bucket */
    struct list link;       /* of session->streams */
    struct list turn;       /* of session->senders or flushers, or alone */
    struct loop_grave grave;
    uint32_t id; /* 0: of a request that has not been sent */
    int32_t send_window;
    int32_t receive_window; /* what the peer may still send */
    uint32_t window;        /* what receive_window is filled up to */
    uint32_t uncredited;    /* taken, and not told yet */
    uint32_t since_growth;
    uint32_t head_charge;   /* of session->held_heads */
    uint32_t allowance;     /* may be sent before others have their turn */
    uint64_t passed;        /* see http_stream_passed(), without what has come since */
    uint64_t passed_since;  /* of session->shared, while is_passed_over */
    uint64_t sent_at;       /* to a server: where its head lies among all bytes that went to it, */
    uint64_t sent_ns;       /* and since when */
    uint64_t rest_bytes;    /* of a request that is answered: thrown away */
    uint64_t expected;      /* still of the body, if it has_length; else UINT64_MAX */
    struct h2_bytes hold;   /* received and not taken */
    struct block *trailers; /* that came behind what is held */
    uint8_t urgency;        /* RFC 9218 4.1 */
    bool is_sequential;     /* 4.2: told that it is not incremental */
    bool is_new;            /* the service hears of it */
    bool is_served;         /* it is its turn to send */
    bool has_length;        /* content-length is known */
    bool has_ended;         /* the peer sends no more on it */
    bool is_told;           /* the owner knows of the end */
    bool is_blocked;        /* the owner did not take all */
    bool is_delivering;
    bool has_sent_end;
    bool is_reset;            /* by either side: nothing is to be sent any more */
    bool is_cancelled;        /* by the peer */
    bool is_refused;          /* by a server that has answered: no more of the request is to be sent */
    bool has_head;            /* of the response, the final one */
    bool is_paused;           /* interim responses wait */
    uint8_t method;           /* enum http_method of what was asked */
    bool is_gone;             /* its owner has let go of it */
    bool is_malformed;        /* its answer is followed by RST_STREAM */
    bool wants_window;        /* its own window stops it */
    bool is_passed_over;      /* others go before it */
    bool asks_tunnel;         /* of a server */
    bool awaits_settings;     /* its owner does, to know whether it may ask */
    bool is_tunnel;           /* it asks for one (RFC 8441), or is one: */
    struct transport *tunnel; /* where it went on; NULL: nowhere yet */
    struct loop_task tunnel_task;
};

/* What differs between the two sides. */
struct h2_role {
    bool sends_requests;
    const char *no_settings; /* a peer that does not begin with them */
    /* Ends, by what the peer did. */
    enum end_reason eof, reset, protocol, memory, continuations, body;
    enum end_reason floods[H2_FLOOD_COUNT];
    const char *eof_words;
    uint64_t (*write_timeout_ms)(const struct h2_session *s);
    uint64_t (*head_timeout_ms)(
        const struct h2_session *s); /* of a frame in pieces; 0: nobody's clock runs */
    /* Whether fields may come of a stream; false: the connection has been ended for it. */
    bool (*may_have_fields)(struct h2_session *s, uint32_t id);
    /* A whole field block of a stream that may have one. */
    void (*on_fields)(struct h2_session *s, uint32_t id, uint8_t flags, struct slice block);
    /* The peer breaks it off. */
    void (*on_reset)(struct h2_stream *st, uint32_t error);
    void (*on_goaway)(struct h2_session *s, uint32_t last, uint32_t error);
    /* NULL where all is well. */
    const char *(*on_settings)(struct h2_session *s, const struct h2_settings *before, bool is_first);
    void (*on_acked)(struct h2_session *s); /* a PING */
    void (*on_fail)(struct h2_session *s, enum end_reason reason, const char *detail);
    /* The stream is gone; nobody is told of anything by this. */
    void (*on_stream_gone)(struct h2_session *s);
    /* A turn's work is done; whatever has to end may end now. */
    void (*settle)(struct h2_session *s);
};

struct h2_session {
    const struct h2_role *role;
    struct h2_server *server; /* with a client */
    struct h2_client *client; /* with a server */
    struct h2_worker *worker;
    struct timer *timer;
    const struct h1_limits *head_limits; /* of the heads that come */
    struct transport *transport;
    struct loop *loop;
    const struct h2_limits *limits;
    struct h2_hpack hpack;
    struct loop_task task, flush_task;
    struct loop_grave grave;
    struct h2_stream *buckets[H2_BUCKETS];
    struct list streams;
    struct list senders[H2_URGENCIES]; /* that have more to send, and may */
    struct list flushers;              /* whose bytes wait in `out` */
    uint32_t stream_count;
    uint64_t shared;    /* bytes of bodies that were sent, for each stream that there was */
    uint8_t ready;      /* bits of senders that may have some */
    uint8_t flooded;    /* enum h2_flood + 1: that was too much, and the connection ends */
    bool is_near_flood; /* a quarter of that has come */
    uint8_t state;      /* enum h2_state */

    /* in */
    char head[H2_FRAME_HEAD + 1]; /* of the frame that comes, in pieces; and the length of its padding */
    uint8_t head_len;
    struct h2_frame frame;
    struct block *payload; /* of it, as far as it has come; not of DATA */
    uint32_t payload_len;
    uint32_t data_left, padding_left; /* of a DATA frame */
    struct h2_stream *data_stream;    /* whose it is; NULL: nobody's any more */
    struct block *fields;             /* of a head that goes on in CONTINUATION */
    uint32_t fields_len, continuations, fields_stream;
    uint8_t fields_flags;
    uint32_t preface_len;
    bool has_frame;         /* its head is whole */
    bool has_settings;      /* the peer's first have come */
    bool awaits_ack;        /* of the settings that were sent, once */
    bool has_announced;     /* to a client: that tunnels may be asked for (RFC 8441 3) */
    bool is_taken_back;     /* the request of this frame, by the very next one */
    uint32_t follows;       /* the stream of which body bytes come at once behind this frame; 0: none */
    struct h2_bytes unread; /* received, and for another turn */
    struct list wait;       /* of worker->waiting or worker->behind */
    uint64_t turn;          /* in which `work` was done */
    uint32_t work;          /* see h2_turn.c */
    bool is_served;         /* it has waited, and this is its turn */
    uint32_t last_id;       /* the client's latest stream, whichever side that is */
    int32_t receive_window;
    uint32_t window, uncredited;
    uint64_t received; /* bytes since its beginning */
    uint64_t held, held_heads;
    uint64_t grown;   /* by which windows of streams are larger than they began */
    uint32_t stalled; /* streams whose own window stops them */
    uint64_t head_started_ns;
    uint32_t floods[H2_FLOOD_COUNT];
    uint64_t floods_until_ms;
    uint32_t
        closed[H2_CLOSED_KEPT]; /* ids of streams, latest written at closed_at; the top bit: reset by us */
    uint32_t closed_at;

    /* out */
    struct h2_bytes out;
    struct h2_settings peer;
    int64_t send_window;
    uint64_t sent;     /* bytes that the transport took */
    uint64_t heard_ns; /* when the last ones came */
    bool is_driving;   /* in the middle of what has come, and of what is told */
    bool is_broken;    /* the transport is */
    bool is_leaving;   /* GOAWAY was sent, or is to be */
    bool has_left;     /* with the last stream that is served: goaway_id */
    uint32_t goaway_id;
    uint8_t end;       /* enum end_reason that it ends with; END_NONE: as it should */
    uint64_t lingered; /* bytes */

    /* Deadlines in loop milliseconds; 0: none. */
    uint64_t head_by_ms, idle_by_ms, write_by_ms, leave_by_ms, linger_by_ms;
    uint64_t rest_by_ms; /* what is left of requests that are answered is not waited for longer */
};

static inline struct h2_stream *h2_stream_of(struct http_stream *s)
{
    return container_of(s, struct h2_stream, stream);
}
static inline bool h2_is_live(const struct h2_session *s)
{
    return s->state == H2_SESSION_PREFACE || s->state == H2_SESSION_OPEN;
}
/* What is queued cannot go now. */
static inline bool h2_is_blocked(const struct h2_session *s)
{
    return !s->transport->is_writable || s->transport->holds_rest;
}

/* h2_session.c */
/* In zeroed memory but for `role`, `transport` and `limits`. -1: out of memory. */
MUST_CHECK int h2_session_init(struct h2_session *s, struct h2_worker *w);
/* The connection has failed: told to the peer by GOAWAY, to all streams by on_error. From the loop only, or from within
 * the parse. */
void h2_session_fail(struct h2_session *s, enum h2_error error, enum end_reason reason, const char *detail);
/* From the loop only. Their owners let go of them within this turn or the next. */
void h2_session_tell_all(struct h2_session *s, enum end_reason reason, const char *detail);
/* Nothing more is read: only what is queued has a time to be taken in. */
void h2_session_start_flush(struct h2_session *s);
/* Gives back all that it keeps for the peer, who hears no more. */
void h2_session_drop_all(struct h2_session *s);
/* Nobody refers to it any more: it is given back at the end of the turn. */
void h2_session_bury(struct h2_session *s);
/* Something is to be looked at that cannot be within a call. */
static inline void h2_session_look(struct h2_session *s)
{
    loop_defer(s->loop, &s->task);
}
void h2_session_arm(struct h2_session *s);
/* Reads, writes and settles. */
void h2_session_drive(struct h2_session *s);
/* One more that costs nothing; if that was too many, the connection fails once nobody is in the middle of it. */
void h2_session_count(struct h2_session *s, enum h2_flood flood);
/* So many useful bytes came or went. */
void h2_session_earn(struct h2_session *s, size_t bytes);
/* Memory is short, and somebody was refused for it. */
void h2_session_note_short(struct h2_session *s);
/* Bytes that end with it, about. */
uint64_t h2_session_held(const struct h2_session *s);
/* Blocks that it and its streams hold. */
uint32_t h2_session_blocks(const struct h2_session *s);

/* h2_server.c */
/* No more than these streams: the client is told. */
void h2_server_leave(struct h2_session *s);
/* No stream is open: for as long as a connection is kept so. */
void h2_server_idle(struct h2_session *s);
/* Nothing more is waited for of requests that are answered. */
void h2_server_end_rests(struct h2_session *s);
extern const struct http_stream_ops h2_server_stream_ops;

/* h2_request.c */
bool h2_request_may_have_fields(struct h2_session *s, uint32_t id);
void h2_request_fields(struct h2_session *s, uint32_t id, uint8_t flags, struct slice block);
/* The client takes it back. */
void h2_request_cancelled(struct h2_stream *st, uint32_t error);
/* RFC 9218 4: what it says of a stream's urgency. */
void h2_request_prioritise(struct h2_stream *st, struct slice value);

/* h2_response.c */
bool h2_response_may_have_fields(struct h2_session *s, uint32_t id);
void h2_response_fields(struct h2_session *s, uint32_t id, uint8_t flags, struct slice block);
/* The server breaks it off. */
void h2_response_reset(struct h2_stream *st, uint32_t error);
/* How it ends when its session does for `reason`; END_NONE: it does not, since all of it has come, and whoever takes it goes on. */
enum end_reason h2_response_end(struct h2_stream *st, enum end_reason reason);

/* h2_frames.c */
/* Works off what was received, frame by frame. What is left is for another turn: that many bytes at the end. */
MUST_CHECK size_t h2_frames_take(struct h2_session *s, struct slice bytes);

/* h2_turn.c */
void h2_turn_init(struct h2_worker *w);
/* What a client has sent has led to so much work; to fields of so many bytes. */
void h2_turn_charge(struct h2_session *s, uint32_t work);
void h2_turn_charge_fields(struct h2_session *s, uint64_t heard);
/* What the client makes of it is of no use to anybody: it comes behind all others. */
bool h2_turn_comes_behind(const struct h2_session *s);
/* May the next frame be worked off in this turn? */
bool h2_turn_may_go_on(struct h2_session *s);
/* It goes on when it is its turn. */
void h2_turn_wait(struct h2_session *s);
/* So much is to be received at a time. */
size_t h2_turn_read_bytes(struct h2_session *s);
/* Works off what was received, or keeps it. */
void h2_turn_take(struct h2_session *s, struct slice bytes);
/* Works off what was kept; false: not all of it. */
bool h2_turn_take_unread(struct h2_session *s);

/* h2_body.c */
struct h2_fields {
    struct h2_head head;
    struct http_field fields[HTTP_FIELDS_MAX + 1];
    struct block *memory; /* of the text; NULL: nothing is kept */
};
/* Decodes, which must be done whatever becomes of the stream (RFC 9113 4.3). False: the connection has failed. Else
 * f->memory is the caller's to give back. */
bool h2_fields_decode(struct h2_session *s, struct h2_fields *f, struct slice block, bool is_trailers,
                      bool is_kept);
/* Of a stream whose head has come. */
void h2_body_trailers(struct h2_stream *st, struct h2_head *head, uint8_t flags);
/* `bytes` of a DATA frame; ends: the last of the last. */
void h2_body_data(struct h2_stream *st, struct slice bytes, bool ends);
/* The owner has `len` bytes of it, or nobody wants them: the stream's window. */
void h2_body_took(struct h2_stream *st, size_t len);
/* Gives the owner what is held, and the end. */
void h2_body_deliver(struct h2_stream *st);
/* `len` bytes of a DATA frame have been received: the connection's window. */
void h2_body_received(struct h2_session *s, size_t len);
/* What was withheld of it is credited as soon as that may be. */
void h2_body_credit(struct h2_session *s);
/* Gives back what the stream holds. */
void h2_body_drop(struct h2_stream *st);

/* h2_stream.c */
struct h2_stream *h2_stream_find(const struct h2_session *s, uint32_t id);
/* Without an id yet. NULL: out of memory. */
struct h2_stream *h2_stream_new(struct h2_session *s, const struct http_stream *as);
/* It is open, and can be found. */
void h2_stream_number(struct h2_stream *st, uint32_t id);
/* What a stream's owner calls, on both sides. */
enum io h2_stream_send_body(struct http_stream *stream, const char *data, size_t len, unsigned flags,
                            size_t *taken);
enum io h2_stream_send_trailers(struct http_stream *stream, const struct http_field *fields, uint32_t count);
/* HEADERS; false: out of memory. */
bool h2_stream_send_fields(struct h2_stream *st, bool ends, const nghttp2_nv *fields, size_t count);
void h2_stream_send_reset(struct h2_stream *st, enum h2_error error);
/* Its owner has let go of it. by_us: frames of it that are still on their way are no fault of the peer's. */
void h2_stream_bury(struct h2_stream *st, bool by_us);
/* Nothing can be sent on it any more. */
/* See http_stream_room(): its own window and the connection's. */
size_t h2_stream_room(const struct http_stream *stream);
uint64_t h2_stream_passed(const struct http_stream *stream);
bool h2_stream_is_dead(const struct h2_stream *st);
/* Breaks a stream off for what the peer did. `reason`: what its owner is told. */
void h2_stream_fail(struct h2_stream *st, enum h2_error error, enum end_reason reason, const char *detail);
/* It may go on: in its turn. */
void h2_stream_wake(struct h2_stream *st);
/* All that wait and may go, most urgent first. */
void h2_streams_send(struct h2_session *s);
void h2_streams_flushed(struct h2_session *s);
/* Of a stream that has ended lately: whether it was we who broke it off. */
bool h2_session_was_reset(const struct h2_session *s, uint32_t id, bool *is_known);
/* The peer has broken it off as well: nothing of it is on its way any more. */
void h2_session_note_cancelled(struct h2_session *s, uint32_t id);
void h2_session_note_closed(struct h2_session *s, uint32_t id, bool by_us);

/* h2_tunnel.c */
/* That goes on as this transport; NULL: it is another transport. */
struct h2_stream *h2_tunnel_stream(const struct transport *t);
/* Of a request for a tunnel: what comes behind its head is held until it is one, or thrown away once it is refused. */
void h2_tunnel_await(struct h2_stream *st);
/* Of a tunnel: something is held, or it has ended. */
void h2_tunnel_came(struct h2_stream *st);
int h2_stream_detach(struct http_stream *stream, struct transport *to, struct block **held,
                     struct slice *bytes);

/* h2_out.c */
/* Frames behind what waits. False: out of memory; then the connection is broken. */
bool h2_out_frame(struct h2_session *s, enum h2_type type, uint8_t flags, uint32_t stream,
                  struct slice payload);
bool h2_out_bytes(struct h2_session *s, struct slice bytes);
bool h2_out_u32(struct h2_session *s, enum h2_type type, uint32_t stream, uint32_t value);
bool h2_out_goaway(struct h2_session *s, uint32_t last, enum h2_error error);
/* The first SETTINGS, and the connection's window beside them. */
bool h2_out_settings(struct h2_session *s, struct slice payload);
void h2_put_setting(char *to, enum h2_setting id, uint32_t value);
/* HEADERS and what continues them; their length in *bytes. */
bool h2_out_fields(struct h2_session *s, uint32_t stream, bool ends, const nghttp2_nv *fields, size_t count,
                   uint32_t *bytes);
/* As much of a body as may go: *taken. IO_FAIL: the connection is broken. */
enum io h2_out_data(struct h2_session *s, struct h2_stream *st, struct slice data, bool ends, size_t *taken);
/* Sends what waits. */
enum io h2_out_flush(struct h2_session *s);
