/* proxy/explain_request.h: the request that is to be explained, read as traffic is read: for explain.c alone. */
#pragma once

#include "http/path.h"
#include "proxy/explain.h"
#include "proxy/route_set.h"
#include "route/route.h"

#define EXPLAIN_URL_MAX 8192u

/* A request as it would have been read. */
struct explain_request {
    struct http_head head;
    struct http_field fields[HTTP_FIELDS_MAX + 1];
    struct text written;     /* its bytes, which the head points into */
    enum end_reason refusal; /* it is none that is served; END_NONE */
    const char *detail;      /* static, may be NULL */
    struct ip peer, client;  /* who is connected; who is meant, if the peer is trusted to say so */
    const struct route_set *listener;
    enum http_path_fault path_fault;
    struct slice target;                                             /* what the server is asked for */
    char canonical[3 * EXPLAIN_URL_MAX], rewritten[HTTP_TARGET_MAX]; /* memory of the two targets */
};

/* Fills zeroed memory; rq->written.data is the caller's to free, also where it fails (-1 with the sentence: it is none). */
MUST_CHECK int explain_request_read(const struct proxy *p, const struct explain_conf *conf,
                                    struct explain_request *rq, struct err *err);
