/* auth/jwt.h: whether a token is good (RFC 7519, as RFC 8725 advises), and what it says. Signed ones in compact form alone:
 * three parts, each base64url. Pure but for what was verified, which is remembered for a while. Any thread. */
#pragma once

#include "auth/auth_conf.h"
#include "auth/verified.h"
#include "base/text.h"

#define JWT_MAX 16384u
#define JWT_HEADER_MAX 2048u
#define JWT_VALUE_MAX 4096u
/* Of the memory that a check needs. */
#define JWT_ROOM(token_len) (3 * (token_len) + 64)

enum jwt_verdict {
    JWT_GOOD,
    JWT_BAD,    /* not accepted: 401 */
    JWT_DENIED, /* it is good, and not enough: 403 */
};

struct jwt_ask {
    const struct auth_jwt_conf *conf;
    const struct jwk_set *keys;
    struct slice token;
    struct verified *verified; /* NULL: nothing is remembered */
    uint64_t now_ms;           /* of the clock of `verified` */
    int64_t now_s;             /* since 1970 */
};

struct jwt_answer {
    enum jwt_verdict verdict;
    const char *detail; /* of what is not good: a static clause */
    bool was_remembered;
    bool lacks_key;                       /* BAD: it may be of a key that was published since */
    struct slice user;                    /* empty: it does not say */
    struct slice claims[AUTH_CLAIMS_MAX]; /* beside conf->claims; data NULL: it has none */
};

/* `memory`: at least JWT_ROOM(token.len), in which lies what the answer says. */
void jwt_check(const struct jwt_ask *ask, char *memory, struct jwt_answer *out);
