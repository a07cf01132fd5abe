/* proxy/upgrade.h: an exchange that turns into a tunnel: Upgrade (RFC 9110 7.8), WebSocket above all. */
#pragma once

#include "proxy/exchange.h"

struct route_conf;
struct tunnel;

/* The first protocol that the request asks for and the route lets pass (`upgrade:`, websocket unless it says
 * otherwise); empty if none. `conf` may be NULL. */
struct slice upgrade_allowed(const struct http_head *head, const struct route_conf *conf);
/* The client speaks HTTP/2, and asks for a WebSocket (RFC 8441): there is no request that could go on without one. */
bool upgrade_is_over_http2(const struct exchange *x);
/* It cannot be had where the request has been led to. */
bool upgrade_is_refused(const struct exchange *x);
/* It depends on what the server in hand has yet to say. */
bool upgrade_awaits_word(const struct exchange *x);
/* For the server in hand, to whom the request is about to go. NULL: all is well; else why it cannot go there. */
const char *upgrade_prepare(struct exchange *x);
/* Why a server's answer is none to what it was asked; NULL: it is one. */
const char *upgrade_why_unfit(const struct exchange *x, const struct http_head *head);
/* Passes the server's 101 on. -1: the client is gone, or memory is out. */
int upgrade_begin(struct exchange *x, struct http_head *head);
/* The 101 is out: both transports go on as x->tunnel. -1: out of memory. */
int upgrade_start(struct exchange *x);
/* What ends the tunnels that came of exchanges: by it they are told from those of tcp listeners. */
void upgrade_on_tunnel_end(struct tunnel *t, enum end_reason reason);
