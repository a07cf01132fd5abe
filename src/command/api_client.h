/* command/api_client.h: one question to the admin API of a running weir: over the HTTP layer that carries traffic, on a
 * loop of its own, within a time and 32 MiB. For commands: it waits. */
#pragma once

#include "base/text.h"
#include "command/api_target.h"
#include "http/message.h"

struct api_request {
    enum http_method method;
    const char *path;     /* with what is not allowed in a target written as %XX already */
    struct slice body;    /* JSON, unless is_text; empty: none */
    uint32_t wait_ms;     /* for something of the answer, and twelve times that for all of it; 0: 5 s */
    bool is_text;         /* the body may be something else than JSON */
    const char *if_match; /* an entity tag; NULL: whatever is in force */
    const char *type;     /* the media type that the answer is to have; NULL: application/json */
    bool keeps_problem;   /* with EX_DATAERR `body` has the problem (RFC 9457) in which weir says why */
};

/* Adds a name to a path or query, as RFC 3986 wants it there. */
void api_client_escape(struct text *t, const char *name);

/* EX_OK with the body of a 200, terminated, the caller's to free (`len` may be NULL); else *body is NULL, the sentence, and
 * EX_UNAVAILABLE: nobody answers, or not in time, or weir cannot now; EX_NOPERM: a token is missing or wrong;
 * EX_DATAERR: weir refuses the request, in its own words; EX_PROTOCOL: it is no weir that answers. */
MUST_CHECK int api_client_ask(const struct api_target *to, const struct api_request *rq, char **body,
                              size_t *len, struct err *err);

/* A GET whose answer has no end: `on_piece` gets what comes until it returns false or weir ends. EX_OK, or as above. */
MUST_CHECK int api_client_stream(const struct api_target *to, const char *path,
                                 bool (*on_piece)(void *context, struct slice piece), void *context,
                                 struct err *err);
