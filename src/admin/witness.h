/* admin/witness.h: what the audit trail is told of a call to the API: who asked for what, from where, and what came of it.
 * Control thread. */
#pragma once

#include "admin/audit.h"
#include "admin/router.h"
#include "http/stream.h"
#include "record/mention.h"

/* Where a call comes from, as far as its connection does not say it itself. */
struct call_from {
    bool is_reserved; /* all other connections are in use, and this one is there for health checks only */
    bool is_local;    /* over a unix socket, by this process of that user */
    unsigned uid;
    int pid;
};

struct witness {
    char what[AUDIT_WHAT_MAX], peer[64];
    char request_id[FLIGHT_REQUEST_ID_MAX + 1], trace_id[TRACE_ID_TEXT + 1]; /* that it showed; else empty */
    char mention[MENTION_MAX];
    uint32_t generation;  /* in force when it came */
    bool is_safe;         /* its method only looks */
    bool has_credentials; /* a token was shown, be it right or wrong */
};

void witness_begin(struct witness *w, const struct http_stream *s, const struct http_head *head,
                   const struct call_from *from, const struct proxy *proxy);
/* The answer is made; rq->route is NULL where none was let in. Nothing is noted of what only looks, unless it was with a wrong
 * token. `is_outcome`: the answer is what came of it, and not that nobody waits any more. */
void witness_end(const struct witness *w, const struct admin_request *rq, const struct answer *a,
                 bool is_outcome);
