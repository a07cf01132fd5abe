/* proxy/forward.h: what weir adds to and takes from a request on its way: forwarding fields, request id, Via, Host. */
#pragma once

#include "proxy/exchange.h"

/* The client: the peer, or whom a trusted peer names (forwarded.h). */
struct ip forward_client(const struct route_set *l, const struct ip *peer, const struct http_head *head);
/* Keeps the client's X-Request-Id if there is one and it is 1 to 36 of [A-Za-z0-9._-], else makes one of 32 hex
 * digits: its trace's id, if there is one. */
void forward_request_id(struct exchange *x);
/* Who asks, and how: X-Forwarded-*, Forwarded, Via and X-Request-Id, as servers get them, for a request of weir's own about this
 * one, too. -1: out of memory. */
#define FORWARD_DESCRIBED_MAX 6u
int forward_describe(struct exchange *x, struct http_field *extra, uint32_t *n);
/* Marks fields of x->head that are replaced as dropped, and fills x->extra, whose values live in x->arena. Once an
 * exchange. -1: out of memory. */
int forward_fields(struct exchange *x);
/* The Host for a server, by its pool's policy; `asked`: the client's. */
struct slice forward_host(const struct pool_conf *conf, const struct server *s, struct slice asked);
/* Likewise for the exchange's, or what an egress route's request names. */
struct slice forward_authority(const struct exchange *x, const struct server *s);
/* How many more may pass OPTIONS or TRACE on (RFC 9110 7.6.2): the least of what is said; FORWARD_UNLIMITED if nothing
 * is, and for all other methods. */
#define FORWARD_UNLIMITED UINT64_MAX
uint64_t forward_max_forwards(const struct http_head *head);
/* How often weir stands in Via. */
uint32_t forward_hops(const struct http_head *head);
