/* proxy/choose.h: what a request leads to: whether it is served at all, its route, its split's variant, its pool, and
 * the server that it names by pin or cookie. Decided from the head and the run-time objects alone; nothing is counted or changed, so that
 * `explain` asks the very same question. */
#pragma once

#include "auth/auth_conf.h"
#include "base/end_reason.h"
#include "proxy/route_set.h"

struct choose_request {
    const struct http_head *head;    /* its path is canonical */
    enum http_path_fault path_fault; /* or, with a fault, as it came */
    struct ip peer, client;          /* who is connected; who is meant */
    struct slice request_id;
    const struct slice *user;      /* who it is; NULL: nobody has asked */
    bool is_secure;                /* it came over TLS */
    struct route_scratch *scratch; /* the caller's; for regular expressions */
    uint64_t now_ms;               /* of the loop's clock */
    uint32_t worker;               /* that asks, from 1; 0: the control thread */
};

enum choose_split_reason {
    CHOOSE_NO_SPLIT,
    CHOOSE_BY_UNIT,
    CHOOSE_BY_CLIENT,  /* the request has no unit: its client's address stands in */
    CHOOSE_BY_OVERRIDE /* the request names the variant, and may */
};

struct maintenance_conf;

struct choose_result {
    enum end_reason refusal; /* END_NONE: none */
    const char *detail;      /* of the refusal; static, may be NULL */
    const struct auth_conf
        *auth; /* who it is must be known first: what comes behind the route is not decided. NULL: not so */
    struct route_choice match;
    const struct route *route;           /* NULL: none matches */
    const struct split_variant *variant; /* NULL: no split */
    enum choose_split_reason split_reason;
    struct split_seat seat;     /* CHOOSE_BY_UNIT, CHOOSE_BY_CLIENT */
    struct roster *pool;        /* NULL: the route answers by itself */
    struct server *named;       /* NULL: the pool's method chooses */
    enum balance_reason reason; /* of `named`: BALANCE_PINNED, BALANCE_STICKY */
    bool has_current_cookie;    /* the sticky cookie names `named`, signed with the first secret */
    bool is_preflight;          /* asked for the sake of another request, which `route` is of (cors.h) */
    bool has_hash;
    uint64_t hash; /* of the method's key */
};

void choose(const struct route_set *l, const struct choose_request *rq, struct choose_result *out);

/* The maintenance that keeps this client out, of the listener or the route (NULL: it takes none); NULL: none does. */
const struct maintenance_conf *choose_maintenance(const struct route_set *l, const struct route *r,
                                                  const struct ip *client);
/* How large the body of a request may be that takes the route; `r` NULL: it takes none. */
uint64_t choose_body_limit(const struct route_set *l, const struct route *r);
/* How much room the target needs that a route's rewriting makes of this one. */
size_t choose_target_room(struct slice target);
/* Makes *target what the server is asked for, in `out` if it is not the same; `r` has a rewriting. END_NONE, or why
 * it is refused. */
enum end_reason choose_target(const struct route_set *l, const struct route *r, struct route_scratch *scratch,
                              struct slice *target, struct text *out);

/* "unit", "client", "override"; "" for CHOOSE_NO_SPLIT. */
const char *choose_split_reason_name(enum choose_split_reason reason);
