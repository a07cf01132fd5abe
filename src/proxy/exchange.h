/* proxy/exchange.h: one request and its response, across every attempt: from a decoded head to its record. It is not
 * its connection: it knows two streams and nothing of what carries them. One worker's thread. */
#pragma once

#include "base/arena.h"
#include "net/resolver.h"
#include "pool/queue.h"
#include "proxy/attempt.h"
#include "proxy/pace.h"
#include "proxy/rate_table.h"
#include "proxy/worker.h"

enum exchange_state {
    EXCHANGE_ROUTE,
    EXCHANGE_AUTH,  /* who it is is being found out */
    EXCHANGE_DELAY, /* a rate limit holds it back */
    EXCHANGE_FILE,  /* the file that answers it is being looked for */
    EXCHANGE_RESOLVE,
    EXCHANGE_PICK,
    EXCHANGE_QUEUE,
    EXCHANGE_CONNECT,
    EXCHANGE_REQUEST,  /* the request is on its way to the server */
    EXCHANGE_ANSWER,   /* it is there, and nothing of the response is here */
    EXCHANGE_RESPONSE, /* the response is on its way to the client; the rest of the request may be beside it */
    EXCHANGE_TUNNEL,
    /* From here on nobody wants any more of the request. */
    EXCHANGE_REPLY, /* weir's own answer is on its way */
    EXCHANGE_FLUSH, /* the client is to take what is left of a response */
    EXCHANGE_DONE,
};

/* Of an attempt's request, which may be under way in several of these states. */
enum exchange_request {
    REQUEST_NONE,
    REQUEST_READING, /* the client is to send more of it */
    REQUEST_WRITING, /* the server is to take more of it */
    REQUEST_SENT,    /* all of it is with the server's stream */
    REQUEST_REFUSED, /* the server takes no more: it may have answered */
    REQUEST_UNWANTED /* what still comes of it is thrown away */
};

enum step { STEP_WAIT, STEP_GO };

#define EXCHANGE_TRIED_MAX 64u

struct compression;
struct exchange_auth;
struct exchange_egress;
struct exchange_hedge;
struct exchange_trace;
struct file_answer;
struct mirror;
struct split_variant;

struct exchange {
    struct worker *worker; /* first: what is live is told by it from what is idle in the slab (remains.h) */
    struct listener_worker *listener;
    struct http_stream *client;
    struct attempt attempt;       /* the one in hand, or the last */
    struct exchange_hedge *hedge; /* in the arena: one that goes on beside it; NULL: none */
    struct arena arena;
    struct timer timer;
    struct loop_grave grave;
    struct http_head head; /* copied into the arena; head.method_text.len is 0 if there was none */
    uint64_t connection_id;
    uint32_t connection_requests;
    struct tls_facts *tls; /* of the client's connection, one reference; NULL: it is plain */

    struct site_view
        *site; /* the configuration that it goes by; NULL: it asks nothing more (exchange_unpin()) */
    struct site *straggles; /* of which it was then; else NULL */
    const struct route_set *routes;
    const struct route *route;
    struct pool_worker *pool;
    struct pool_view *view;            /* NULL: before it has gone to a pool, and once it asks nothing more */
    const struct pool_conf *pool_conf; /* once there is a pool; so the next */
    const struct retry_conf *retry;    /* the route's, else the pool's */
    struct pool_waiter waiter;
    uint64_t hash;
    uint32_t tried[EXCHANGE_TRIED_MAX]; /* indexes in the view: failed, or found at their cap in this round */
    uint32_t tried_count;
    struct http_field *extra; /* in the arena: what forward_fields() adds */
    uint32_t extra_count;
    struct slice target;   /* rewritten; else empty */
    struct slice location; /* of a redirect; else empty */
    struct slice proof;    /* what a CA asks for (tls/challenges.h), which it gets; else empty */
    const struct split_variant *variant; /* NULL: no split */
    bool is_override;                    /* the variant was asked for: it says nothing of the split */
    uint8_t split_bucket;                /* of the unit that was assigned to the variant */
    struct server *named; /* by pin or cookie, as long as it has not failed; NULL: the method chooses */
    uint8_t named_reason; /* enum balance_reason */
    bool
        is_named_found; /* of a pool whose servers are found: no configuration holds `named`, but `view` does */
    bool has_current_cookie;        /* the client's sticky cookie need not be renewed if `named` answers */
    struct exchange_egress *egress; /* NULL: the pool's servers are where it goes */
    struct mirror *mirror;          /* its copy, NULL: none */
    struct slice upgrade;           /* the protocol that is asked for and allowed; else empty */
    const char *websocket_key; /* that is said for a client whose HTTP has none, in the arena; else NULL */
    struct tunnel *tunnel;
    struct file_answer *file;        /* in the arena: what the response comes from; NULL: a server */
    struct compression *compression; /* of the response, in the arena; NULL: it passes as it is */
    struct exchange_trace *trace;    /* exchange_trace.h; NULL: none */
    bool is_client_counted;          /* among its address's: see worker_client_closed() */
    const struct rate_limit
        *rate; /* the tightest that it has met, or that refused it; good while it has a site */
    struct rate_verdict rate_verdict;
    uint64_t resume_ms;         /* in state DELAY: when it may go on; 0: at once. */
    struct exchange_auth *auth; /* in the arena; NULL: nobody was asked who it is */
    struct ip peer;             /* who is connected; record.client is who is meant */
    struct loop_task end_task;
    uint8_t state;   /* enum exchange_state; written by exchange_enter() only */
    uint8_t request; /* enum exchange_request */
    uint8_t attempts;
    uint8_t retried_for;      /* enum pool_retry: why another attempt follows */
    uint8_t end;              /* enum end_reason that a local reply explains */
    bool is_again;            /* has had its turn in the queue, so far in vain */
    bool has_overflow_failed; /* a standby server did: no other is asked */
    bool wants_fresh;         /* once more to the same server: the reused connection was dead */
    bool was_replaced;        /* that happened already */
    bool is_retrying;         /* counted so in the pool's budget */
    bool was_hedged;          /* another was asked beside the one in hand, or could not be */
    bool is_informed;         /* a 1xx went out: no second attempt, but still an answer */
    bool is_behind;           /* the client is to take what has come before more of the response is read */
    bool is_watched;          /* the client's end is noticed at any time */
    bool is_cut;              /* the response ends in the middle, visibly */
    bool is_grpc;             /* the client speaks gRPC */
    bool has_own_deadline;    /* total_deadline_ms is the client's (grpc-timeout) */
    bool is_told_behind;      /* what `end` is, in trailers behind what had been sent */
    bool is_preflight;        /* a CORS preflight, which weir answers */
    uint8_t path_fault;       /* enum http_path_fault: of the target, which then is as it came */

    /* The request's body. */
    struct http_field *trailers; /* in the arena */
    uint32_t trailer_count;
    struct block *replay; /* its first bytes, to be sent again */
    uint32_t replay_len, replay_sent;
    uint64_t body_in;     /* payload taken from the client */
    bool request_ended;   /* the client's side of it is complete */
    bool request_follows; /* body bytes come within the same event */

    /* The response. */
    uint64_t body_out;
    uint16_t replaced;          /* status of the server's answer that a page stands for; 0: none does */
    bool is_last;               /* weir answers OPTIONS or TRACE itself: Max-Forwards is 0 */
    struct http_head *response; /* its fields, in the arena, if the access log shows any; else NULL */
    struct slice reply_body;    /* of a local reply: what is still to be sent */

    /* Loop milliseconds. Since when the request, and whatever else its state waits for, has not moved: how long that may
     * be is a table in exchange_deadline.c. */
    uint64_t request_since_ms, since_ms;
    struct pace request_pace, response_pace; /* of the client, while it is waited for */
    uint64_t total_deadline_ms, try_deadline_ms, hedge_ms, watch_ms; /* 0: none */

    /* How the last attempt failed, for whoever has to explain it. */
    const char *detail;
    uint32_t detail_number;
    uint64_t start_ns;
    struct flight_record record;
    const char *addresses[FLIGHT_ATTEMPTS]; /* of its attempts' servers, once there is no view to ask */
    char request_id[FLIGHT_REQUEST_ID_MAX + 1];
};

/* It came over TLS: its scheme is https. */
static inline bool exchange_is_secure(const struct exchange *x)
{
    return x->record.flags & FLIGHT_CLIENT_TLS;
}
/* The response is weir's own. */
static inline bool exchange_is_local(const struct exchange *x)
{
    return x->record.flags & FLIGHT_LOCAL_REPLY;
}
/* What a client's connection calls for a proxy's listener. */
void exchange_on_request(struct http_service *service, struct http_stream *s, struct http_head *head,
                         unsigned flags);
void exchange_on_fault(struct http_service *service, struct http_stream *s, const struct http_fault *fault,
                       struct slice start);
/* Sets the events of the attempt's stream. */
void exchange_listen_to_server(struct exchange *x);
/* Its tunnel has ended. */
void exchange_on_tunnel_end(struct exchange *x, enum end_reason reason);
/* Whose end is left to this task of a worker's loop; NULL: nobody's. */
const struct exchange *exchange_that_ends(const struct loop_task *t);
const char *exchange_state_name(enum exchange_state state);
/* Since when, in loop milliseconds, its client takes nothing of an answer that waits; 0: nothing waits for it. Not of tunnels. */
uint64_t exchange_stalled_since_ms(const struct exchange *x);
