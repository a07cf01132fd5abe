/* auth/password.h: hashes of passwords as crypt(3) has them, and whether one is of this password. */
#pragma once

#include "base/err.h"
#include "base/slice.h"

#define PASSWORD_HASH_MAX 160u

/* Taken are bcrypt ($2y$, $2b$, $2a$), yescrypt ($y$) and SHA-512 with rounds ($6$), complete, at a cost that a server can bear
 * when strangers ask. -1 with the sentence, which never has the hash in it. */
MUST_CHECK int password_hash_check(struct slice hash, struct err *err);
/* Takes as long as the hash was made to take: 50 ms to some seconds. Terminated texts; any thread. */
bool password_is(const char *hash, const char *password);
