/* net/datagram_transport.h: a transport over a connected socket for datagrams, for whoever talks with one peer: each send() is
 * one datagram, each recv() is one, which may be empty, and the end of none. What others send does not come; what ICMP says of
 * the peer is an IO_FAIL of whatever comes next, with ECONNREFUSED in saved_errno where nobody has the port. One loop's thread. */
#pragma once

#include "net/transport.h"

/* It is open at once: nothing is said to the peer. 0, or -1 with saved_errno: no descriptor, no route, … */
MUST_CHECK int datagram_transport_connect(struct transport *t, struct loop *l, const struct address *to,
                                          void (*on_ready)(struct transport *));
