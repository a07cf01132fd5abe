/* tls/upstream_conf.h: `tls:` of a pool, as decoded. Its files are read with the configuration: what `weir check` has seen is
 * what servers are verified by. */
#pragma once

#include "tls/tls_conf.h"

struct tls_upstream;

enum tls_verify { TLS_VERIFY_ON, TLS_VERIFY_OFF };

struct tls_upstream_conf {
    uint32_t verify;                          /* enum tls_verify */
    const char *ca;                           /* NULL: the system's */
    const char *name;                         /* NULL: each server's own */
    struct tls_certificate_conf *certificate; /* shown to servers that ask for one; NULL: none */
    uint32_t profile;                         /* enum tls_profile */
    struct tls_upstream *upstream; /* what is made of it; the arena's. NULL where something is at fault */
};

extern const struct conf_type tls_upstream_conf_type;

/* For a pool that speaks TLS without a word in the configuration: the system's CAs. NULL: none were found. The arena's. */
struct conf_arena;
struct tls_upstream *tls_upstream_by_default(struct conf_arena *arena);
/* What a certificate can be expected to have: a name with a dot in it, or an address. */
bool tls_name_can_be_verified(const char *name);
