/* control/server_watch.h: what the control thread decides of servers: it takes in what speaks against them, lets those that
 * were ejected come back, gives warming ones more weight, and tells the workers each time. */
#pragma once

#include "proxy/proxy.h"

struct server_watch;

/* Both are borrowed. */
MUST_CHECK int server_watch_new(struct server_watch **out, struct proxy *proxy, struct loop *loop,
                                struct err *err);
/* Looks no more. NULL is fine. */
void server_watch_free(struct server_watch *w);
void server_watch_evidence(struct server_watch *w, struct server *s, enum server_evidence evidence);
/* The state of `s` has changed by somebody else's word: the workers are told. `watch` is the server_watch. */
void server_watch_changed(void *watch, struct server *s);
/* Some may have been out from the beginning: looks after them. */
void server_watch_ejected(struct server_watch *w);
/* Another configuration is in force, or the first: looks after warming servers if there are pools that warm up. */
void server_watch_warm_ups(struct server_watch *w);
