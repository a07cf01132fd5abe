/* http/h1_io.h: the two directions of an HTTP/1 connection: framing out, and bytes in with what is held of them.
 * Shared by h1_server and h1_client. */
#pragma once

#include "http/h1_body.h"
#include "http/stream.h"

enum h1_out_mode { H1_OUT_NONE, H1_OUT_LENGTH, H1_OUT_CHUNKED, H1_OUT_CLOSE };

struct h1_out {
    struct block *block; /* bytes taken but not yet sent; NULL when there are none */
    uint32_t begin, end;
    uint32_t chunk_at, chunk_len; /* in block: the chunk that waits last, which may still grow; 0: none */
    uint8_t mode;                 /* enum h1_out_mode */
    bool is_ended;
    bool is_broken; /* what waits is not what was to be said: nothing goes out any more */
    uint64_t left;  /* LENGTH: of the body; CHUNKED: payload still owed to the chunk that is open */
};

struct h1_in {
    struct block *hold; /* bytes read but not yet used */
    uint32_t begin, end;
    struct h1_progress progress; /* of the head */
    struct h1_body body;
    bool is_bulk;   /* the last read was filled: look before taking, so that more can be moved at once */
    bool owes_more; /* the head went with HTTP_MORE, and nothing of the body was told yet */
};

/* Serialises a head in front of what waits; the body's framing follows from `send`. */
enum io h1_out_request(struct h1_out *out, struct loop *l, const struct http_send *send);
/* `to_1_0`: the client cannot take chunks; a body of unknown length then lasts until close. Sets *closes if the
 * connection must end with this response. */
enum io h1_out_response(struct h1_out *out, struct loop *l, const struct http_send *send, bool to_1_0,
                        bool *closes);
/* See http_send_body. Small pieces that wait are merged into one chunk; beyond 16 KiB nothing is kept, only offered to
 * the kernel. */
enum io h1_out_body(struct h1_out *out, struct transport *t, const char *data, size_t len, unsigned flags,
                    size_t *taken);
enum io h1_out_trailers(struct h1_out *out, struct transport *t, const struct http_field *fields,
                        uint32_t count);
/* IO_OK when nothing waits any more, in the transport neither. */
enum io h1_out_flush(struct h1_out *out, struct transport *t);
void h1_out_clear(struct h1_out *out, struct loop *l);

static inline bool h1_out_is_empty(const struct h1_out *out)
{
    return out->begin == out->end;
}

enum h1_pump {
    H1_PUMP_DRY,     /* wait for the peer */
    H1_PUMP_BLOCKED, /* the receiver did not take all: wait for resume */
    H1_PUMP_YIELD,   /* moved its share of this turn: come back */
    H1_PUMP_END,     /* the message is complete */
    H1_PUMP_EOF,     /* the peer closed first */
    H1_PUMP_FAIL,    /* reset */
    H1_PUMP_NO_MEMORY,
    H1_PUMP_BAD,  /* *fault */
    H1_PUMP_GONE, /* the stream was released meanwhile */
};

/* Delivers body bytes to s->events: first `bytes` (which lie in the scratch buffer and follow what is held: nothing
 * may be held then), or what is held, then what it receives. What is not taken is held. */
enum h1_pump h1_in_pump(struct h1_in *in, struct transport *t, struct http_stream *s, struct slice bytes,
                        const struct h1_limits *limits, struct h1_fault *fault);
/* So much is received at a time of what is for `s`: LOOP_HOLD_BYTES, but where its receiver could not take that, and then what
 * it could; never less than LOOP_LITTLE_BYTES. */
size_t h1_in_read_bytes(struct http_stream *s);
/* Keeps `bytes` behind what is held; false if memory is out or it would be over `max`. */
bool h1_in_hold(struct h1_in *in, struct loop *l, struct slice bytes, uint32_t max);
void h1_in_clear(struct h1_in *in, struct loop *l);

static inline struct slice h1_in_held(const struct h1_in *in)
{
    return in->hold ? (struct slice){ in->hold->data + in->begin, in->end - in->begin } : SLICE_NONE;
}
void h1_in_use(struct h1_in *in, struct loop *l, uint32_t len);
