/* proxy/tcp_route.h: which route a connection of a tcp listener takes that has several: by the name that its TLS hello asks for,
 * which is looked at and stays where it is; the server gets every byte as it came. */
#pragma once

#include "net/transport.h"
#include "proxy/route_set.h"

enum tcp_route_result { TCP_ROUTE_WAIT, TCP_ROUTE_FOUND, TCP_ROUTE_NONE };

/* `t` is an open plain transport of the client. WAIT: more has to come. NONE: *why, and a client that asked for a name is told by
 * an alert. */
enum tcp_route_result tcp_route_look(struct transport *t, const struct route_set *routes,
                                     const struct route **out, enum end_reason *why);
/* By the name that TLS was opened with, which ends here; "" for none. */
enum tcp_route_result tcp_route_of_name(const struct route_set *routes, struct slice name,
                                        const struct route **out, enum end_reason *why);
