/* auth/users.h: the users of one file in htpasswd's format: "name:hash" a line; empty lines and those that begin with `#` are
 * passed over. Immutable, shared by all threads. */
#pragma once

#include "base/err.h"
#include "base/slice.h"

struct users;

/* NULL with the sentence, which has the place and never a hash. A file without users is a mistake: it would let nobody pass. */
struct users *users_read(const char *path, struct err *err);
/* Likewise of its text, for users_read() and for tests. */
struct users *users_parse(const char *path, struct slice text, struct err *err);
void users_free(struct users *users); /* NULL is fine */
unsigned users_count(const struct users *users);
/* The hash of that user's password, terminated. Where there is no such user, somebody's, and *is_known is false: checking it
 * takes as long as it would for a user that there is, and the same name has always the same. `salt` is the process's, drawn. */
const char *users_hash(const struct users *users, struct slice name, unsigned long salt, bool *is_known);
