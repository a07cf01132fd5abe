/* auth/jwk.h: the keys that signatures of tokens are verified by: a JSON Web Key Set (RFC 7517), one such key, or public keys in
 * PEM. What is signed with is in no such file but of HMAC, whose key is a secret of both sides. Immutable, shared by all
 * threads. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

/* X(identifier, name, kind of key, digest): RFC 7518 3.1, RFC 8037 3.1. "none" is none of them. */
#define JWK_ALGORITHMS(X)        \
    X(HS256, "HS256", OCT, 256)  \
    X(HS384, "HS384", OCT, 384)  \
    X(HS512, "HS512", OCT, 512)  \
    X(RS256, "RS256", RSA, 256)  \
    X(RS384, "RS384", RSA, 384)  \
    X(RS512, "RS512", RSA, 512)  \
    X(PS256, "PS256", RSA, 256)  \
    X(PS384, "PS384", RSA, 384)  \
    X(PS512, "PS512", RSA, 512)  \
    X(ES256, "ES256", P256, 256) \
    X(ES384, "ES384", P384, 384) \
    X(ES512, "ES512", P521, 512) \
    X(EDDSA, "EdDSA", ED25519, 0)

enum jwk_algorithm {
#define X(id, name, kind, digest) JWK_##id,
    JWK_ALGORITHMS(X)
#undef X
        JWK_ALGORITHM_COUNT
};

#define JWK_KEYS_MAX 64u
#define JWK_SIGNATURE_MAX 1024u /* RSA with 8192 bits */

struct jwk_set;

/* JWK_ALGORITHM_COUNT: there is none of that name. */
enum jwk_algorithm jwk_algorithm_by_name(struct slice name);
const char *jwk_algorithm_name(enum jwk_algorithm a);

/* NULL with the sentence, which has the place. Keys of kinds that are not known, or that are for encryption, are passed over
 * (RFC 7517 5); where nothing is left that is a mistake. */
struct jwk_set *jwk_set_read(const char *path, struct err *err);
/* Likewise of its text, for jwk_set_read() and for tests. */
struct jwk_set *jwk_set_parse(const char *path, struct slice text, struct err *err);
void jwk_set_free(struct jwk_set *set); /* NULL is fine */
unsigned jwk_set_count(const struct jwk_set *set);
/* Differs for any two sets of this process: what was verified by one says nothing of another. */
uint64_t jwk_set_id(const struct jwk_set *set);

struct jwk;
/* So many are tried for one token at most, and so many of one kind may be without an id: old ones and new ones while they change. */
#define JWK_TRIES_MAX 8u
/* The keys that a token may be signed with: where any has this id those alone, else those that have none, which may be meant by any
 * (RFC 7515 4.1.4: PEM has no ids). A token without an id (data NULL) may be of any key of the kind. Returns how many there are; if
 * they are more than JWK_TRIES_MAX none is to be tried, so that it is not the order of the file that decides. The kind of the key
 * decides, so that no public key is ever taken for a secret (RFC 8725 2.1). */
unsigned jwk_find(const struct jwk_set *set, enum jwk_algorithm a, struct slice id,
                  const struct jwk *found[JWK_TRIES_MAX]);
/* 20 µs to some hundred; allocates. */
bool jwk_verifies(const struct jwk *key, enum jwk_algorithm a, struct slice signed_text,
                  struct slice signature);
