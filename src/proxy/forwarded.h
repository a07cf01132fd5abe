/* proxy/forwarded.h: who the client is and how it asked, by X-Forwarded-* and Forwarded (RFC 7239), read once and said
 * alike in both. Pure. */
#pragma once

#include "base/text.h"
#include "proxy/route_set.h"

/* True if the peer may speak for others (listener `trust`). */
bool forwarded_is_trusted(const struct route_set *l, const struct ip *peer);

/* More of a chain is not looked at: it would be made up. The nearest are kept. */
#define FORWARDED_NODES_MAX 64u

/* What a request has gone through, the outermost first, and what its client asked for. Borrowed from the head. */
struct forwarded {
    struct slice
        nodes[FORWARDED_NODES_MAX]; /* as they came: addresses, with ports or brackets, or anything else */
    uint32_t count;
    bool is_by_forwarded; /* X-Forwarded-For is missing: they are Forwarded's */
    struct ip client;     /* the last node that is not trusted, or the peer */
    struct slice proto;   /* its connection's if nobody says otherwise: "https" over TLS, else "http" */
    struct slice host;    /* the request's own likewise; may be empty */
};

/* Only a trusted peer is believed. X-Forwarded-For wins over Forwarded: who writes the one and passes the other on as
 * the client had it is usual. */
void forwarded_read(const struct route_set *l, const struct ip *peer, bool is_secure,
                    const struct http_head *head, struct forwarded *out);

/* Room that forwarded_print() needs for each of its texts. */
size_t forwarded_room(const struct forwarded *f);
/* The values of X-Forwarded-For and Forwarded with `peer` behind them. */
void forwarded_print(const struct forwarded *f, const struct ip *peer, struct text *x_forwarded_for,
                     struct text *forwarded);
