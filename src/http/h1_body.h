/* http/h1_body.h: where an HTTP/1 body ends: Content-Length, chunked, or the connection's end. Pure; in
 * place. */
#pragma once

#include "http/h1_parse.h"

enum h1_body_state {
    H1_BODY_LENGTH,
    H1_BODY_CHUNK_SIZE,
    H1_BODY_CHUNK_EXTENSION,
    H1_BODY_CHUNK_SIZE_LF,
    H1_BODY_CHUNK_DATA,
    H1_BODY_CHUNK_CR,
    H1_BODY_CHUNK_LF,
    H1_BODY_TRAILERS,
    H1_BODY_UNTIL_CLOSE,
    H1_BODY_DONE,
};

struct h1_body {
    uint64_t remaining; /* of the body (LENGTH) or the chunk */
    struct h1_progress trailer_progress;
    uint32_t line_bytes; /* of the chunk-size line so far: bounded */
    uint8_t state;       /* enum h1_body_state */
    uint8_t digits;
    bool is_response; /* which end reason a fault has */
};

void h1_body_init(struct h1_body *b, const struct http_head *head, const struct h1_framing *framing,
                  bool is_response);

enum h1_body_event {
    H1_BODY_EVENT_MORE,     /* all of `bytes` that can be used is used: come back with more */
    H1_BODY_EVENT_DATA,     /* *data: payload within `bytes` */
    H1_BODY_EVENT_TRAILERS, /* *trailers and *trailer_count: before the end, only if there are any */
    H1_BODY_EVENT_END,
    H1_BODY_EVENT_BAD, /* *fault */
};

/* One step over `bytes`; *used: how many are done with (framing and payload alike). Payload is counted in
 * `used` when it is delivered; to take less of it, see h1_body_untake(). In the trailer section partial
 * input stays unused and must be presented again with more behind it (at most limits->head_max bytes).
 * `trailers` has room for limits->field_max. Forbidden trailer fields (routing, hop by hop, …: RFC 9110
 * 6.5.1) get is_dropped; those of framing are a fault. */
enum h1_body_event h1_body_step(struct h1_body *b, struct slice bytes, const struct h1_limits *limits,
                                uint32_t *used, struct slice *data, struct http_field *trailers,
                                uint32_t *trailer_count, struct h1_fault *fault);

/* Whether a field may stand behind a body at all; h1_body_step() drops the others. */
bool h1_body_may_trail(struct slice name);

/* Gives back the last `len` bytes of the payload that the last DATA event delivered: they come again. */
void h1_body_untake(struct h1_body *b, uint64_t len);

/* For bulk: how many of the next bytes on the wire are surely plain payload; UINT64_MAX until close. */
uint64_t h1_body_run(const struct h1_body *b);
/* `len` ≤ h1_body_run() bytes of payload were moved without being looked at. */
void h1_body_skip(struct h1_body *b, uint64_t len);

/* The sender closed: true if that is where the body ends. */
bool h1_body_may_end(const struct h1_body *b);

static inline bool h1_body_is_done(const struct h1_body *b)
{
    return b->state == H1_BODY_DONE;
}
