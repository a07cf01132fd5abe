/* pool/sticky.h: sticky sessions by a cookie. The cookie's value is a MAC (HMAC-SHA256, RFC 2104, cut to 128
 * bits) of pool and server under a secret: it names no server to whoever reads it, cannot be made for
 * another, and needs no cryptography per request, as each server's value is computed once
 * (docs/decisions/0006). Of several secrets the first signs, all are accepted, so secrets can be rotated.
 * Immutable, shared by all workers. */
#pragma once

#include "base/err.h"
#include "base/text.h"

struct roster;
struct server;

struct sticky;
struct sticky_conf;

/* conf and r, whose servers they are: borrowed. -1: out of memory, or libcrypto refuses. */
MUST_CHECK int sticky_new(struct sticky **out, const struct sticky_conf *conf, const struct roster *r,
                          struct err *err);
void sticky_free(struct sticky *s); /* NULL is fine */

/* Which server the cookie's value names; NULL: none, or it is not of our making. *is_current: it was signed
 * with the first secret. Constant in the number of servers. */
struct server *sticky_server(const struct sticky *s, struct slice value, bool *is_current);
/* Whether it may have its own clients' requests now: it is usable, or healthy and draining since less than
 * drain_ms. now_ms: of the loops' clock. */
bool sticky_may_take(const struct sticky *s, const struct server *server, uint64_t now_ms);
/* The whole value of Set-Cookie for this server, borrowed from `s`; empty if it is not of the roster. */
struct slice sticky_set_cookie(const struct sticky *s, const struct server *server);
