/* http/h1_parse.h: HTTP/1 heads, strict to RFC 9112 because this decides who can smuggle what.
 * Pure; parses in place, any worker. */
#pragma once

#include "base/end_reason.h"
#include "http/message.h"

enum h1_result { H1_DONE, H1_MORE, H1_BAD };

struct h1_limits {
    uint32_t head_max;  /* bytes of a whole head, its first line included; 64 KiB */
    uint32_t field_max; /* fields; 128. Room for this many must be in `fields` */
};

/* Where the parse of one head stands between calls. Zeroed at the start of each head. */
struct h1_progress {
    uint32_t line_start; /* of the first line not yet complete */
    uint32_t scanned;    /* bytes already looked at */
    uint8_t part;        /* of that line */
};

struct h1_fault {
    enum end_reason
        reason; /* BAD_REQUEST, HEAD_TOO_LARGE, TARGET_TOO_LONG, VERSION_NOT_SUPPORTED, …; for responses
                             * BAD_RESPONSE, RESPONSE_HEAD_TOO_LARGE */
    const char
        *detail; /* static: a clause that a person can act on: "a space before the colon of a field name" */
    uint32_t offset; /* of the byte at fault */
};

/* What only HTTP/1 knows of a message. */
struct h1_framing {
    bool is_chunked;
    bool is_persistent;      /* the sender keeps the connection (RFC 9112 9.3) */
    uint32_t keep_alive_s;   /* Keep-Alive: timeout=N of a response; 0 if not said */
    uint32_t keep_alive_max; /* likewise max=N; UINT32_MAX if not said */
};

/* Parses the head at the start of `bytes` (all of what has come so far for this message). On H1_DONE
 * `head`, whose slices point into `bytes` and whose fields are in the caller's array `fields`
 * (limits->field_max of room), and `head_len` are set. H1_MORE: call again with the same bytes and more
 * behind them (they may have moved). Work over all calls is linear in the bytes. The result is the same
 * however the bytes are cut. Empty lines before a request line are passed over (RFC 9112 2.2), at most
 * two.
 *
 * Sets is_dropped on Connection, on the fields that it names (never on Host, Content-Length or
 * Transfer-Encoding: naming those is a fault, but the last in a response), and on the hop-by-hop fields of
 * RFC 9110 7.6.1. Upgrade's value is in head->upgrade, of an HTTP/1.1 message with one such field. Without
 * an absolute target head->authority is Host's value.
 *
 * A fault of the bytes is reported at the first byte that cannot be, as soon as it is there; a fault of
 * what they mean, once the head is whole and without faults of the first kind. */
enum h1_result h1_parse_request(struct h1_progress *progress, struct slice bytes,
                                const struct h1_limits *limits, struct http_field *fields,
                                struct http_head *head, struct h1_framing *framing, uint32_t *head_len,
                                struct h1_fault *fault);

/* `to` is the method of the request it answers: HEAD, 1xx, 204, 304 have no body whatever they say (RFC
 * 9112 6.3); 101 has none either, what follows is the tunnel's. Without length or chunking a body lasts
 * until close. head->content_length is what Content-Length says, also if there is no body. */
enum h1_result h1_parse_response(struct h1_progress *progress, struct slice bytes, enum http_method to,
                                 const struct h1_limits *limits, struct http_field *fields,
                                 struct http_head *head, struct h1_framing *framing, uint32_t *head_len,
                                 struct h1_fault *fault);

/* The fields behind a chunked body, up to and with the empty line; as above. is_dropped is set on those of
 * RFC 9110 7.6.1 only. */
enum h1_result h1_parse_trailers(struct h1_progress *progress, struct slice bytes, bool is_response,
                                 const struct h1_limits *limits, struct http_field *fields, uint32_t *count,
                                 uint32_t *len, struct h1_fault *fault);
