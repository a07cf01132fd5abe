/* tls/https.h: requests of weir's own by HTTPS, to a CA or to whoever publishes keys, with libcurl, which is loaded when it is
 * needed first: a weir that asks nobody has nothing of it in its memory. One thread, which waits for the answer, but for
 * https_stop(). Who answers is verified; nobody is followed elsewhere. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct https;

enum https_method { HTTPS_GET, HTTPS_HEAD, HTTPS_POST };

/* Fields of an answer that are kept, and of which length at most; one that is longer is none. */
#define HTTPS_FIELDS_MAX 4u
#define HTTPS_FIELD_MAX 2048u

struct https_request {
    enum https_method method;
    const char *url;
    const char
        *ca; /* a file that verifies who answers in place of what the host trusts; NULL: the host does */
    const char *accept;              /* NULL: anything */
    const char *content_type, *body; /* of a POST */
    size_t len;
    const char *wanted[HTTPS_FIELDS_MAX]; /* names of fields; NULL: no more */
    size_t answer_max;                    /* bytes of the answer's body: more is no answer */
    uint32_t connect_ms, answer_ms;       /* answer_ms: for all of it */
};

/* As it came. */
struct https_response {
    int status;
    const char *fields[HTTPS_FIELDS_MAX]; /* of those wanted; NULL: it has no such field */
    uint64_t retry_after_s;               /* 0: it does not say */
    struct slice body;
};

MUST_CHECK int https_new(struct https **out, struct err *err);
void https_free(struct https *h); /* NULL is fine */
/* What came lives until the next request. -1: no answer came, for a reason in words. */
MUST_CHECK int https_ask(struct https *h, const struct https_request *rq, struct https_response *out,
                         struct err *err);
/* From now on nothing is asked, and what is under way ends at once. Any thread. */
void https_stop(struct https *h);
