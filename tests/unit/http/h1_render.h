/* What an HTTP/1 parser makes of some bytes, as one line of text, so that two results are the same if
 * their lines are. Every piece handed to a parser lies in memory of exactly its size: a sanitizer sees a
 * byte read too far. */
#pragma once

#include "base/text.h"
#include "http/h1_body.h"

struct h1_play {
    const struct h1_limits *limits;
    size_t first, step; /* pieces end after `first` bytes and then every `step`: UINT32_MAX: all at once */
    bool is_response;
    enum http_method to; /* responses */
};

/* "GET /path host=a.example keep |Host: a.example -Connection: x", or "BAD 17 bad_request: why", or
 * "MORE". */
void h1_render_head(struct text *out, struct slice bytes, const struct h1_play *play);

/* The body that `head` and `framing` announce: "[payload] END 17 |Name: value", "[payload] BAD 17 ...", or
 * "[payload] MORE". */
void h1_render_body(struct text *out, struct slice bytes, const struct http_head *head,
                    const struct h1_framing *framing, const struct h1_play *play);
