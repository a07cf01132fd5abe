/* coding/compress.h: whether a response is compressed, with which coding, and what that makes of its fields. Pure, any thread. */
#pragma once

#include "coding/compress_conf.h"
#include "http/message.h"

/* X(identifier, name, means): why a response passes as it is; the names are those of the metric. */
#define COMPRESS_VERDICTS(X)                                                 \
    X(YES, "none", "it is compressed")                                       \
    X(STATUS, "status", "its status: it has no body, or a part of one")      \
    X(ENCODED, "encoded", "the server has encoded it already")               \
    X(NO_TRANSFORM, "no_transform", "it is not to be changed, or is signed") \
    X(TYPE, "type", "its Content-Type is none of `types`")                   \
    X(SMALL, "small", "it is smaller than `least`")                          \
    X(SECRET, "secret", "it seems to be for one client alone")               \
    X(VERSION, "version", "the client speaks HTTP/1.0")                      \
    X(CLIENT, "client", "the client takes none of the algorithms")           \
    X(MEMORY, "memory", "there are as many responses being compressed as there is memory for")

enum compress_verdict {
#define X(id, name, means) COMPRESS_##id,
    COMPRESS_VERDICTS(X)
#undef X
        COMPRESS_VERDICT_COUNT
};

/* Some of a response's fields: the server's, and those that weir puts beside them. */
struct compress_fields {
    struct http_field *fields;
    uint32_t count;
};
#define COMPRESS_FIELDS 2u

struct compress_query {
    const struct compress_conf *conf;
    const struct http_head
        *request; /* its Accept-Encoding counts even where a rule takes it out for the server */
    struct compress_fields response[COMPRESS_FIELDS];
    uint64_t length;
    uint16_t status;
    bool has_length;
    bool has_certificate; /* the client has shown one */
};

struct compress_answer {
    enum compress_verdict verdict;
    bool varies;  /* by Accept-Encoding, whatever became of this one */
    bool is_live; /* text/event-stream: each piece goes at once */
    struct coding_wishes wishes;
    const struct http_field *etag; /* the first; NULL: none */
};

void compress_decide(const struct compress_query *q, struct compress_answer *out);
/* CODING_IDENTITY if none is left but those in `without` (bit by enum coding). */
enum coding compress_choose(const struct compress_query *q, const struct compress_answer *a, uint8_t without);
/* Whether Vary must be said. */
bool compress_lacks_vary(const struct compress_query *q);
/* Marks as dropped what is not true any more of a response that is encoded, trailers included: digests of its bytes, an offer of
 * ranges, and its entity tag, in whose place a weak one stands. */
void compress_drop_untrue(struct compress_fields f);
/* A strong entity tag (RFC 9110 8.8.3), which says that the bytes are the server's. */
bool compress_is_strong(struct slice etag);
/* The client has the response of this entity tag from weir, encoded: its If-None-Match names the tag as weak. */
bool compress_was_weakened(const struct http_head *request, struct slice etag);

const char *compress_verdict_name(enum compress_verdict v);
