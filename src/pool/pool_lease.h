/* pool/pool_lease.h: who may use a server and how: a connection for one exchange, or the count of a tunnel. One worker's thread. */
#pragma once

#include "pool/pool_worker.h"

/* One exchange on one server: counted in flight until pool_unlease(), which comes after the stream's release.
 * target: borrowed for the call; NULL: the server itself, which is the usual case. With a target (egress
 * pools only, and there always: else LEASE_FAILED) the connection goes there from the server's address, and
 * only one to the same target is used again. */
enum lease pool_lease(struct pool_worker *pw, struct server *s, enum lease_need need,
                      const struct pool_target *target, struct http_stream **stream, enum end_reason *reason);
void pool_unlease(struct pool_worker *pw, struct server *s);
/* For tunnels: counts one in flight and one open connection, false at the cap; and back. */
MUST_CHECK bool pool_enter(struct pool_worker *pw, struct server *s);
void pool_leave(struct pool_worker *pw, struct server *s);
/* The connection of a lease went on as a tunnel: it is counted as open until this is called. */
void pool_connection_closed(struct pool_worker *pw, struct server *s);
