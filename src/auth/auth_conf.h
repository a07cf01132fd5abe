/* auth/auth_conf.h: who may pass by what they show (a password, a token, what another service says of the request), as
 * configured: of a listener or of a route. Part of a snapshot. */
#pragma once

#include "auth/auth_file.h"
#include "conf/field.h"

struct auth_basic_conf {
    const char *users; /* a file */
    struct auth_file *file;
    uint64_t keep_ms; /* for how long a password that was right is taken without being hashed again */
};

/* `claims: {sub: X-User}`, `require: {scope: admin}` */
struct auth_claim_conf {
    const char *name, *field;
};
struct auth_require_conf {
    const char *name, *value;
};

#define AUTH_CLAIMS_MAX 16u
#define AUTH_COPY_MAX 16u

struct auth_jwt_conf {
    const char *keys; /* a file, or an address of https */
    const char *ca;   /* of that address: a file; NULL: the host says */
    struct auth_file *file;
    const char *issuer;         /* NULL: any */
    struct conf_items audience; /* const char *; "*": any */
    uint64_t leeway_ms;
    const char *user;             /* the claim that says who it is */
    struct conf_items claims;     /* struct auth_claim_conf */
    struct conf_items require;    /* struct auth_require_conf */
    struct conf_items algorithms; /* uint32_t: enum jwk_algorithm; none: all that fit a key */
    bool may_last;                /* tokens without `exp` */
};

struct auth_forward_conf {
    const char *pool, *path;
    struct conf_items copy; /* const char *: fields of the answer that the server gets */
    const char *user;       /* the field of the answer that says who it is; NULL: it does not say */
    uint64_t timeout_ms;
};

enum auth_asks { AUTH_ASKS_EVERYBODY, AUTH_ASKS_NOBODY };

struct auth_conf {
    uint32_t asks; /* enum auth_asks */
    struct auth_basic_conf *basic;
    struct auth_jwt_conf *jwt;
    struct auth_forward_conf *forward;
    const char *realm;
    const char *header;      /* in which servers are told who it is; "" : in none */
    struct conf_items allow; /* const char *: who may pass of those that are known; none: all */
    bool passes;             /* Authorization goes to the server */
};

extern const struct conf_type auth_conf_type;

/* The fields that are weir's word of who somebody is: no client's own of that name passes. `each` for each, several times if
 * need be; `auth` NULL: none. */
void auth_conf_each_field(const struct auth_conf *auth, void (*each)(void *context, const char *name),
                          void *context);
/* NULL: it asks nobody, or there is none. */
static inline const struct auth_conf *auth_that_asks(const struct auth_conf *auth)
{
    return auth && auth->asks == AUTH_ASKS_EVERYBODY ? auth : NULL;
}
