/* net/offer.h: a weir's word that others of the same user may share a port of its own: a listening socket in the abstract
 * namespace, named by the address, at which it hands out duplicates of its listening sockets. So two processes take from the
 * same backlogs, and neither's end loses anything. The names are as much the network namespace's as the port is.
 *
 * The name can be taken by anybody: whoever asks believes only what listens for its own user, and whoever offers answers
 * only its own user. Control thread. */
#pragma once

#include "net/loop.h"
#include "net/socket_store.h"

/* So many weirs at most can offer the same address at a time. */
#define OFFER_SLOTS 8u

struct offer;
struct socket_set;

/* `set` is borrowed until offer_close(). -1: all of its names are taken. Not for unix paths. */
MUST_CHECK int offer_open(struct offer **out, struct loop *l, const struct socket_set *set, struct err *err);
void offer_close(struct offer *o); /* NULL is fine */
/* Somebody has been given duplicates. */
bool offer_is_taken(const struct offer *o);
/* Asks whoever offers that address for its sockets: true if there are some in `into` now. Waits at most OFFER_WAIT_MS for
 * each. */
#define OFFER_WAIT_MS 500u
bool offer_ask(const struct address *address, bool is_udp, struct socket_store *into);
