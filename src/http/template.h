/* http/template.h: text made from a request: literal text and sources in braces.
 *
 *     {client} {host} {path} {query} {target} {method} {scheme} {request_id} {user} {header:NAME} {cookie:NAME} {arg:NAME}
 *
 * "{{" and "}}" are braces themselves. Where a single source is all that is meant (the key of a hash, the unit of a
 * split), its name alone will do: "header:X-User". A source that the request does not have is empty.
 *
 * Fixed in size, so that a row of the configuration can hold one. Immutable once parsed. */
#pragma once

#include "base/address.h"
#include "base/err.h"
#include "base/text.h"
#include "conf/field.h"
#include "http/message.h"

#define HTTP_TEMPLATE_PARTS_MAX 16u
#define HTTP_TEMPLATE_TEXT_MAX 480u

enum http_source {
    HTTP_SOURCE_TEXT, /* literal */
    HTTP_SOURCE_CLIENT,
    HTTP_SOURCE_HOST,   /* in lower case, without the port; none if longer than HTTP_SOURCE_SCRATCH */
    HTTP_SOURCE_PATH,   /* as it came, without the query */
    HTTP_SOURCE_QUERY,  /* without the question mark */
    HTTP_SOURCE_TARGET, /* path and query as they came */
    HTTP_SOURCE_METHOD,
    HTTP_SOURCE_SCHEME,
    HTTP_SOURCE_REQUEST_ID,
    HTTP_SOURCE_USER,   /* who it is, once that was asked (auth); else none */
    HTTP_SOURCE_HEADER, /* all fields of that name that are not dropped: a list (RFC 9110 5.3) */
    HTTP_SOURCE_COOKIE, /* RFC 6265 4.2: the first of that name */
    HTTP_SOURCE_ARG,    /* the first query argument of that name, as it came */
};

struct http_template_part {
    uint8_t source;   /* enum http_source */
    uint16_t at, len; /* in text: the literal, or the name */
};

struct http_template {
    uint8_t count; /* 0: always empty */
    struct http_template_part parts[HTTP_TEMPLATE_PARTS_MAX];
    uint16_t text_len;
    char text[HTTP_TEMPLATE_TEXT_MAX]; /* as it was written */
};

struct http_template_input {
    const struct http_head *head; /* borrowed */
    const struct ip *client;      /* borrowed; whoever is meant, not necessarily the peer */
    struct slice request_id;
    struct slice user; /* who it is; data NULL: nobody was asked */
    bool is_secure;    /* it came over TLS */
};

/* Reads "text {source} text". -1 with the sentence: an unknown source, an open brace, a control character, too long or
 * of too many pieces (each doubled brace ends one). */
MUST_CHECK int http_template_parse(struct slice text, struct http_template *out, struct err *err);
/* The same, but text without braces must be the name of one source. */
MUST_CHECK int http_template_parse_source(struct slice text, struct http_template *out, struct err *err);
bool http_template_asks(const struct http_template *t, enum http_source source);
/* A source by its word, "client", "header"; false: there is none. */
bool http_source_named(struct slice word, enum http_source *out);
/* "client"; "" for literal text. */
const char *http_source_word(enum http_source source);
/* Whether the source is of one name, like header:NAME, and whether that may be its name. */
bool http_source_takes_name(enum http_source source);
bool http_source_may_name(enum http_source source, struct slice name);
/* As it was written. */
void http_template_print(const struct http_template *t, struct text *out);
/* Adds the text. out->is_cut tells what did not fit. False: it has sources, and the request has none of them; then
 * nothing is added. */
bool http_template_expand(const struct http_template *t, const struct http_template_input *in,
                          struct text *out);
#define HTTP_SOURCE_SCRATCH 256u
/* One source's values, one a call; *at is 0 at first. False when none is left. Borrowed from the head, or written to
 * `scratch`. Several are one list: ", " belongs between them. */
bool http_source_next(enum http_source source, struct slice name, const struct http_template_input *in,
                      char scratch[HTTP_SOURCE_SCRATCH], uint32_t *at, struct slice *value);
/* The first of them. data is NULL if the request has none. */
struct slice http_source_value(enum http_source source, struct slice name,
                               const struct http_template_input *in, char scratch[HTTP_SOURCE_SCRATCH]);
/* If the template is one source and nothing else, and has no more than one value: that value, else SLICE_NONE and
 * *is_single false. */
struct slice http_template_single(const struct http_template *t, const struct http_template_input *in,
                                  char scratch[HTTP_SOURCE_SCRATCH], bool *is_single);

/* The target's path, and what follows its question mark; data is NULL if there is none. */
struct slice http_target_path(struct slice target);
struct slice http_target_query(struct slice target);
/* Of all Cookie fields, quotes included, names compared with case; of a query, the first argument of that (decoded)
 * name, its value as it came, empty without an equals sign. data is NULL if there is none of that name. */
struct slice http_cookie_value(const struct http_head *head, struct slice name);
/* All cookies of that name, in order: a browser sends the one with the longest path first, which need not be the latest
 * (RFC 6265 5.4). Zeroed but for head and name at first; false when none is left. */
struct http_cookies {
    const struct http_head *head;
    struct slice name, rest;
    uint32_t next; /* field */
};
bool http_cookies_next(struct http_cookies *walk, struct slice *value);
struct slice http_query_value(struct slice query, struct slice name);
/* Takes the next argument off a query: "name=value", both as they came. False when none is left. */
bool http_query_next(struct slice *query, struct slice *name, struct slice *value);
/* Whether a name or value of a query, decoded as forms are ("+" is a space), is `plain`. */
bool http_query_is(struct slice encoded, struct slice plain);

/* A redirect's target that names a host wherever its form needs one: not "https:///path", not nothing. */
bool http_location_is_whole(struct slice location);

/* CUSTOM types of rows: struct http_template, of text with sources; of one source or such text. */
extern const struct conf_type http_template_type, http_source_type;
