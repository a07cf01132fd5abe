/* http/h2_head.h: field lists of HTTP/2 as heads of messages and back (RFC 9113 8.2 and 8.3), strict because what passes
 * here is written on an HTTP/1 wire. Pure; any thread. */
#pragma once

#include "base/text.h"
#include "http/h1_parse.h"
#include "http/h2_hpack.h"
#include "http/stream.h"

/* A message's head, or trailers, while its fields come one by one. */
struct h2_head {
    const struct h1_limits *limits;
    struct text text;          /* names and values; the caller's memory, h2_head_room() of it */
    struct http_field *fields; /* room for limits->field_max + 1 */
    uint32_t count, cookies;
    uint64_t size;                                /* as it would be on an HTTP/1 wire, about */
    uint64_t heard;                               /* all that was decoded, kept or not */
    struct slice method, scheme, authority, path; /* of a request */
    struct slice protocol;                        /* of one that asks for a tunnel (RFC 8441 4) */
    struct slice status;                          /* of a response */
    struct slice priority;                        /* RFC 9218 5; empty: not said */
    bool is_response, is_trailers;
    bool allows_tunnels; /* it was said that they may be asked for */
    bool has_fields;     /* a field that is no pseudo-field has come */
    bool has_authority, has_length, has_expect, accepts_trailers;
    uint64_t content_length;
    const struct http_field *host;
    enum end_reason fault; /* the first; END_NONE */
    const char *detail;    /* of it */
};

/* What the text needs for heads within these limits, whose cookies may stand there twice. */
static inline size_t h2_head_room(const struct h1_limits *limits)
{
    size_t most = BLOCK_MAX - sizeof(struct block), twice = 2 * (size_t)limits->head_max;
    return twice < most ? twice : most;
}
/* For h2_hpack_decode(): false once more was heard than anybody could mean. */
bool h2_head_add(void *context, struct slice name, struct slice value);
/* Of a request: what it comes to, in *out, whose slices point into h->text; ends: no body follows. END_NONE, or the fault,
 * whose detail is h->detail. One for a WebSocket comes to what it is in HTTP/1: a GET with out->upgrade. */
enum end_reason h2_head_finish(struct h2_head *h, bool ends, struct http_head *out);

/* Likewise of a response to a request with this method. */
enum end_reason h2_head_finish_response(struct h2_head *h, bool ends, enum http_method asked,
                                        struct http_head *out);

/* What a head needs to be encoded: fields, and the memory for their names. */
size_t h2_head_fields_room(const struct http_send *send);
/* A response's: `memory` has that room; the fields are at its beginning. Their number. */
size_t h2_head_put(const struct http_send *send, char *memory);
/* A request's. */
size_t h2_head_put_request(const struct http_send *send, struct slice scheme, char *memory);
/* Likewise trailers. */
size_t h2_trailers_room(const struct http_field *fields, uint32_t count);
size_t h2_trailers_put(const struct http_field *fields, uint32_t count, char *memory);
