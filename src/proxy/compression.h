/* proxy/compression.h: a server's response on its way through an encoder. Part of an exchange, beside which it asks nothing of
 * the configuration once it has begun. One worker's thread.
 *
 * Backpressure is the exchange's own: while the client does not take what was made, nothing more is taken of the server. All of
 * a worker's compressions together have TURN_NS of each of the loop's turns; who does not get to it waits, first come, first
 * served, and so nobody else waits for them. */
#pragma once

#include "http/stream.h"
#include "net/timer.h"

struct encoder;
struct exchange;

struct compression {
    struct exchange *exchange;
    struct encoder *encoder; /* NULL: it is over */
    struct block *out;       /* what was made and not sent; NULL: nothing */
    uint32_t begin, end;     /* of it */
    struct list turn;        /* in the worker's `waiting`; else empty */
    struct timer pause;
    uint64_t taken, made; /* bytes */
    uint64_t fed_ms;
    const struct http_field *trailers; /* in the exchange's arena */
    uint32_t trailer_count;
    uint8_t coding;     /* enum coding */
    uint8_t owes;       /* enum encoder_op that was begun, or is to be: GO_ON: none */
    bool is_live;       /* each piece goes at once */
    bool is_served;     /* it is its turn */
    bool has_unflushed; /* the encoder may hold what the client could have */
    bool is_encoded;    /* the coding's end was made */
};

/* A response begins, of which `send` is to be sent: decides, and changes the fields that it changes. Most pass as they are. -1:
 * out of memory. */
int compression_begin(struct exchange *x, struct http_send *send);
/* As on_body. */
size_t compression_take(struct exchange *x, const char *data, size_t len, unsigned flags);
/* All of the body was taken, and these follow it. */
void compression_take_trailers(struct exchange *x, struct http_field *fields, uint32_t count);
/* The client takes more: true if it has all that was made, and more can be taken of the server. */
bool compression_go_on(struct exchange *x);
/* All of the server's response is here: what becomes of the server is of no interest any more. */
bool compression_has_all(const struct exchange *x);
/* For its timer: nothing has come for a while. */
void compression_flush_at_pause(struct compression *c);
/* Its encoder goes back. NULL is fine, and so is twice. */
void compression_end(struct exchange *x);
