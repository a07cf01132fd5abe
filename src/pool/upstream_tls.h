/* pool/upstream_tls.h: TLS towards the servers of a pool, as its configuration has it: over which connections it is put, who the
 * server has to be, and what is counted and said of handshakes. One worker's thread. */
#pragma once

#include "net/transport.h"
#include "pool/pool_worker.h"

/* Of the rules in force by which it is opened (tls/upstream.h); 0: connections are plain. */
uint64_t upstream_tls_print(const struct pool_worker *pw);
/* Whether a new connection speaks it. */
bool upstream_is_secure(const struct pool_worker *pw, const struct pool_target *target);
/* Puts it over `t`, whose connection to `s` or, in an egress pool, to the target was just begun. alpn: see tls/conn.h.
 * END_NONE, or why not: then `t` is as before, and to be closed. */
MUST_CHECK enum end_reason upstream_secure(struct pool_worker *pw, struct server *s,
                                           const struct pool_target *target, const char *alpn,
                                           struct transport *t);
/* What a server's certificate has to have; NULL: its address. */
const char *upstream_server_name(const struct tls_upstream *rules, const struct server *s);
/* To tell connections apart that were verified under different names. */
uint64_t upstream_host_hash(const struct pool_worker *pw, const struct pool_target *target);
