/* proxy/auth_call.h: a question to a service that decides who may pass: a request of weir's own with the fields of the one that waits
 * and what it asks for, without its body, to a server of a pool. It is asked once, never queued and never again: what cannot be
 * asked is not let pass. Part of its exchange, in whose arena it lies. One worker's thread. */
#pragma once

#include "auth/auth_conf.h"
#include "proxy/exchange.h"

/* More of an answer's body is not waited for. */
#define AUTH_CALL_BODY_MAX 65536u

struct auth_call {
    struct exchange *exchange;
    struct attempt attempt; /* its stream is NULL before and after */
    struct pool_view *view;
    struct loop_task end_task;
    struct http_head head; /* of the question */
    struct http_field *extra;
    uint32_t extra_count;
    uint32_t body_bytes;
    bool is_over;
    /* Of the answer: what there is of it is in the exchange's arena. */
    uint16_t status;
    struct http_field *fields;
    uint32_t field_count;
    /* Once, from the loop; `end` is END_OK where there is an answer. */
    void (*on_end)(struct exchange *x, enum end_reason end);
};

/* Zeroed memory but for on_end. END_NONE: it is asked; else why not, and on_end does not come. */
enum end_reason auth_call_begin(struct auth_call *c, struct exchange *x, const struct roster *pool,
                                const struct auth_forward_conf *conf);
/* on_end does not come any more; not from within its stream's events. */
void auth_call_end(struct auth_call *c);
