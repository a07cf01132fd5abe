/* http/message.h: an HTTP message's head, whatever version carried it. Slices are borrowed from memory that the
 * stream which delivered the head keeps until it is released. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* The most fields that a head may be allowed to have (listener `limits: {headers}`). */
#define HTTP_FIELDS_MAX 256

enum http_version { HTTP_VERSION_1_0, HTTP_VERSION_1_1, HTTP_VERSION_2 };

/* X(identifier, text, is_safe, is_idempotent): RFC 9110 9.2, RFC 5789. */
#define HTTP_METHODS(X)         \
    X(GET, "GET", 1, 1)         \
    X(HEAD, "HEAD", 1, 1)       \
    X(POST, "POST", 0, 0)       \
    X(PUT, "PUT", 0, 1)         \
    X(DELETE, "DELETE", 0, 1)   \
    X(CONNECT, "CONNECT", 0, 0) \
    X(OPTIONS, "OPTIONS", 1, 1) \
    X(TRACE, "TRACE", 1, 1)     \
    X(PATCH, "PATCH", 0, 0)

enum http_method {
#define X(id, text, safe, idempotent) HTTP_##id,
    HTTP_METHODS(X)
#undef X
        HTTP_OTHER /* any other token: neither safe nor idempotent */
};

/* Fields that weir looks at. The name is compared without case. */
#define HTTP_FIELDS(X)                            \
    X(HOST, "host")                               \
    X(CONNECTION, "connection")                   \
    X(KEEP_ALIVE, "keep-alive")                   \
    X(PROXY_CONNECTION, "proxy-connection")       \
    X(PROXY_AUTHENTICATE, "proxy-authenticate")   \
    X(PROXY_AUTHORIZATION, "proxy-authorization") \
    X(TE, "te")                                   \
    X(TRAILER, "trailer")                         \
    X(TRANSFER_ENCODING, "transfer-encoding")     \
    X(UPGRADE, "upgrade")                         \
    X(CONTENT_LENGTH, "content-length")           \
    X(EXPECT, "expect")                           \
    X(ACCEPT, "accept")                           \
    X(AUTHORIZATION, "authorization")             \
    X(CONTENT_TYPE, "content-type")               \
    X(DATE, "date")                               \
    X(ORIGIN, "origin")                           \
    X(REFERER, "referer")                         \
    X(SERVER, "server")                           \
    X(USER_AGENT, "user-agent")                   \
    X(VIA, "via")                                 \
    X(FORWARDED, "forwarded")                     \
    X(X_FORWARDED_FOR, "x-forwarded-for")         \
    X(X_FORWARDED_HOST, "x-forwarded-host")       \
    X(X_FORWARDED_PROTO, "x-forwarded-proto")     \
    X(X_REQUEST_ID, "x-request-id")               \
    X(WEIR_PIN, "weir-pin")                       \
    X(WEIR_PIN_TOKEN, "weir-pin-token")           \
    X(WEIR_SPLIT, "weir-split")

enum http_field_id {
    HTTP_FIELD_OTHER,
#define X(id, text) HTTP_FIELD_##id,
    HTTP_FIELDS(X)
#undef X
        HTTP_FIELD_COUNT
};

struct http_field {
    const char *name, *value; /* value without surrounding white space */
    uint32_t value_len;
    uint16_t name_len;
    uint8_t id;         /* enum http_field_id */
    uint8_t is_dropped; /* named in Connection, hop by hop, or taken out by a rule: not passed on */
};

enum http_body_kind {
    HTTP_BODY_NONE,
    HTTP_BODY_LENGTH,  /* content_length is known */
    HTTP_BODY_UNKNOWN, /* its end is seen when it comes */
};

struct http_head {
    enum http_version version;
    enum http_body_kind body;
    uint64_t content_length; /* HTTP_BODY_LENGTH */
    struct http_field *fields;
    uint32_t field_count;
    bool expects_continue; /* Expect: 100-continue */
    struct slice upgrade;  /* Upgrade's value if Connection names it; else empty */
    bool accepts_trailers; /* TE: trailers */

    /* Requests. `target` is in origin form ("/path?query") or "*"; an absolute-form target is split into scheme,
     * authority and target (RFC 9112 3.2.2: then Host is ignored and `authority` is what counts). Of one without a
     * path it may begin with "?": whoever copies it puts "/" before (RFC 9110 4.2.3). */
    enum http_method method;
    struct slice method_text, target, authority, scheme /* empty unless absolute form */;

    /* Responses. */
    uint16_t status;
    struct slice reason;
};

bool http_method_is_safe(enum http_method m);
bool http_method_is_idempotent(enum http_method m);
const char *http_method_name(enum http_method m); /* "GET"; "other" */
enum http_method http_method_of(struct slice text);
/* Fast: length and a few bytes decide before one comparison. */
enum http_field_id http_field_id_of(struct slice name);
const char *http_field_name(enum http_field_id id);
/* The first field of that id that is not dropped; NULL if there is none. */
const struct http_field *http_head_find(const struct http_head *head, enum http_field_id id);
/* True if there are two or more: then none of them is "the" value. */
bool http_head_has_several(const struct http_head *head, enum http_field_id id);
/* Likewise by name, without case, for any field. */
const struct http_field *http_head_find_name(const struct http_head *head, struct slice name);

static inline struct slice http_field_value(const struct http_field *f)
{
    return f ? (struct slice){ f->value, f->value_len } : SLICE_NONE;
}

/* "Not Found"; "" if unknown. */
const char *http_status_text(uint16_t status);
