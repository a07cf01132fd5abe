/* tls/sessions.h: sessions with servers, to be resumed: the latest few of each, and a bounded number of all together, of whom
 * those go first whose server was asked longest ago. One loop's thread. */
#pragma once

#include <openssl/ssl.h>

#include "base/slab.h"
#include "net/loop.h"

#define TLS_SESSIONS_MAX 4096u
#define TLS_SESSIONS_EACH 4u
/* With the server's certificate, about: drawn on the budget, as it is outside of it. */
#define TLS_SESSION_BYTES 4096u
/* No session is resumed after this, whatever the server says: with it the server's certificate is verified anew. */
#define TLS_SESSION_LIFE_S (12 * 3600)

/* Which sessions are worth something to whom: those of one server, made by the same rules, under the same name. */
struct tls_session_key {
    uint64_t low, high;
};

#define TLS_SESSION_BUCKETS 256u

struct tls_sessions {
    struct loop *loop;
    struct slab entries;
    struct list buckets[TLS_SESSION_BUCKETS];
    struct list latest; /* of entry: the latest used first */
    uint32_t count;
};

void tls_sessions_init(struct tls_sessions *s, struct loop *l);
void tls_sessions_fini(struct tls_sessions *s);
/* NULL: none that is good. Else a reference of the caller's; one of TLS 1.3 is given once (RFC 8446 C.4). */
SSL_SESSION *tls_sessions_take(struct tls_sessions *s, const struct tls_session_key *key);
/* Keeps it, if it is worth it. False: no reference was taken. */
bool tls_sessions_keep(struct tls_sessions *s, const struct tls_session_key *key, SSL_SESSION *session);
/* The server wants to know nothing of them any more. */
void tls_sessions_forget(struct tls_sessions *s, const struct tls_session_key *key);
