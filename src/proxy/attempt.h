/* proxy/attempt.h: one try at one server, by an exchange, a tcp session or a mirror's copy: what it holds there, what is put
 * down about it, and what the pool learns from it. One at a time for each owner; one worker's thread. */
#pragma once

#include "pool/pool_worker.h"
#include "record/flight.h"

struct attempt {
    struct pool_worker *pool;
    struct pool_view
        *view; /* the owner's, borrowed; NULL: it has let go of it, and nobody is told how long it took */
    struct flight_record
        *record; /* the owner's, where it is put down; NULL: it is a copy, of which nothing is counted */
    struct server *server;      /* counted in flight; NULL: none is in hand */
    struct http_stream *stream; /* NULL: none, or it went on as a tunnel */
    uint64_t start_ns;
    uint8_t end;       /* enum end_reason; END_NONE: it goes on */
    bool is_tunnel;    /* by attempt_enter(): the connection is the owner's */
    bool has_answered; /* the pool knows how long it took */
    bool is_reused;    /* the connection had been used before */
    bool is_hedge;     /* made beside another, which took long; set before it begins */
    uint8_t number;    /* in the record */
    uint16_t status;   /* of the answer */
};

/* Before the first; `pool`, `view` and `record` are set. */
static inline bool attempt_is_in_hand(const struct attempt *a)
{
    return a->server != NULL;
}

/* Begins one over a leased stream. LEASE_FULL: none has begun. LEASE_FAILED: it has ended already, for *why, and is
 * left. Else whoever begins it sets the stream's events. */
enum lease attempt_lease(struct attempt *a, struct server *s, enum balance_reason reason,
                         enum lease_need need, const struct pool_target *target, enum end_reason *why);
/* Begins one over a connection of the owner's; false: the server is full, and none has begun. */
MUST_CHECK bool attempt_enter(struct attempt *a, struct server *s, enum balance_reason reason);
/* Its new connection is open. */
void attempt_opened(struct attempt *a);
/* The response's head is here. */
void attempt_answered(struct attempt *a, uint16_t status);
/* It has failed for `reason`: if TLS with its server did not come about, the log says so, at most once a second of a worker.
 * `words`: what more is known, may be NULL; `mention`: of which request it is one (record/mention.h). Before attempt_end(). */
void attempt_say_tls_failed(const struct attempt *a, enum end_reason reason, const char *words,
                            const char *mention);
/* Another, made beside it or before it, has answered first: put down, and told the pool as a time that it has taken at least.
 * It has ended by that. */
void attempt_outrun(struct attempt *a);
/* What is kept of it; NULL: nothing, or none has begun. */
struct flight_attempt *attempt_kept(const struct attempt *a);
/* Puts down how it went, and tells the pool, once. */
void attempt_end(struct attempt *a, enum end_reason reason);
/* Gives the server back: the stream is released if all went well, else reset. */
void attempt_leave(struct attempt *a);
