/* pool/sticky.h: sticky sessions by a cookie. The cookie's value is a MAC (HMAC-SHA256, RFC 2104, cut to 128
 * bits) of pool and server under a secret: it names no server to whoever reads it, cannot be made for
 * another, and needs no cryptography per request, as each server's value is computed once
 * (docs/decisions/0006). Of several secrets the first signs, all are accepted, so secrets can be rotated.
 * Immutable, shared by all workers. */
#pragma once

#include "base/err.h"
#include "base/text.h"
#include "conf/field.h"

struct roster;
struct server;

#define STICKY_SECRET_MIN 16
#define STICKY_SECRETS_MAX 8

enum sticky_same_site { STICKY_LAX, STICKY_STRICT, STICKY_NONE };

/* `sticky: {cookie: weir, secrets: ["…"], max_age: 8h, drain: 10m}` */
struct sticky_conf {
    const char *cookie;
    struct conf_items secrets; /* const char *, of 16 bytes or more; CONF_SECRET */
    uint64_t max_age_ms;       /* 0: until the browser is closed */
    uint64_t drain_ms;         /* how long a draining server keeps its clients */
    const char *path, *domain; /* domain: NULL for the host alone */
    uint32_t same_site;        /* enum sticky_same_site */
    bool is_secure;            /* required with SameSite=None */
};

extern const struct conf_type sticky_conf_type;

struct sticky;

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
