/* http/h1_value.h: the values of the few fields that decide where an HTTP/1 message ends and whom it is
 * for. Pure. */
#pragma once

#include "http/h1_parse.h"

enum h1_authority {
    H1_AUTHORITY_OK,
    H1_AUTHORITY_NO_HOST,
    H1_AUTHORITY_USERINFO,
    H1_AUTHORITY_BAD_BYTE,
    H1_AUTHORITY_BAD_IPV6,
    H1_AUTHORITY_BAD_PORT,
    H1_AUTHORITY_NO_PORT,
    H1_AUTHORITY_COUNT
};

/* uri-host [ ":" port ] of RFC 3986, without userinfo (RFC 9110 4.2.4) and without ",". */
enum h1_authority h1_authority_check(struct slice authority, bool needs_port);

/* Sets target, scheme and authority from the target as it came, which is not empty; method is set. An
 * authority that the target does not have is left as it is. NULL, or what is wrong. */
const char *h1_target_set(struct http_head *head, struct slice target);

/* 1*DIGIT, up to INT64_MAX; false if it is anything else. */
bool h1_length_read(struct slice value, uint64_t *length);

/* What all Transfer-Encoding fields of a message say together. */
struct h1_codings {
    bool is_final_chunked; /* the last coding so far is "chunked" */
    bool has_others, is_malformed, is_repeated /* something follows a "chunked" */;
};

void h1_codings_add(struct h1_codings *codings, struct slice value);

/* Takes the next element off a list in which quotes mean nothing: connection options are tokens, and
 * whoever took a quoted comma for part of an option would miss a field's name. Trimmed, may be empty;
 * false when none is left. */
bool h1_next_option(struct slice *rest, struct slice *option);

/* timeout= and max= of a Keep-Alive field; what is malformed says nothing. */
void h1_keep_alive_read(struct slice value, struct h1_framing *framing);
