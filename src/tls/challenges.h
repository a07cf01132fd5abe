/* tls/challenges.h: what a CA looks for on this host to be sure that a name is served here, for as long as it is to be found: as a
 * response of HTTP to who asks for a token (RFC 8555 8.3), or as a certificate to who speaks acme-tls/1 of TLS (RFC 8737). One
 * for the process: one thread sets it, all workers ask. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

#define TLS_CHALLENGE_ALPN "acme-tls/1"
/* Of an authorization: a token, a dot and the thumbprint of a key. */
#define TLS_AUTHORIZATION_ROOM 256u

/* Borrowed for the call. */
struct tls_challenge {
    bool is_tls; /* else of HTTP */
    const char *name, *token, *authorization;
};

struct tls_store;
struct tls_challenges;

/* Never NULL. */
struct tls_challenges *tls_challenges_new(void);
void tls_challenges_free(struct tls_challenges *c); /* NULL is fine */
/* These and no others, from now on. False: there is no memory for them, and those before stay; for none there always is. */
MUST_CHECK bool tls_challenges_set(struct tls_challenges *c, const struct tls_challenge *all, uint32_t count);
/* There are any: what is asked first, since most of the time there are none. */
bool tls_challenges_are_any(const struct tls_challenges *c);
/* False: nobody is to ask for that. */
bool tls_challenges_find_token(struct tls_challenges *c, struct slice token,
                               char out[TLS_AUTHORIZATION_ROOM]);
/* A store with the one certificate that is shown for a name, in any case: a reference of the caller's; NULL: there is none. */
struct tls_store *tls_challenges_find_name(struct tls_challenges *c, struct slice name);
