/* auth/auth_file.h: a file that says who may pass (users, keys), or keys that somebody publishes, and what was made of it, which
 * workers ask. Another may come there when it has changed. Who asks holds nothing beyond the call, so what was there may be freed once every thread
 * that asks has been elsewhere. Part of a snapshot, whose arena owns it. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"

struct jwk_set;
struct key_source;
struct users;

struct auth_file_kind {
    const char *name; /* "users", "keys" */
    void *(*read)(const char *path, struct err *err);
    void (*free)(void *made);
    uint32_t (*count)(const void *made);
};
extern const struct auth_file_kind auth_file_users, auth_file_keys;

struct auth_file {
    const struct auth_file_kind *kind;
    const char *path;          /* or address; borrowed from the snapshot */
    struct key_source *source; /* where it is no file; NULL: it is */
    _Atomic(void *) made;      /* NULL: nothing has been fetched yet */
    uint64_t stamp;            /* of the file as it was read first (auth_file_stamp()) */
};

/* Reads it. NULL with the sentence. */
struct auth_file *auth_file_new(const struct auth_file_kind *kind, const char *path, struct err *err);
/* Keys that are fetched from there, of which there may be none yet. ca: see auth/key_source.h. */
struct auth_file *auth_file_of_url(const char *url, const char *ca);
/* What it has now. NULL with the sentence. */
void *auth_file_read(const struct auth_file *f, struct err *err);
void auth_file_free(struct auth_file *f); /* NULL is fine */
/* Of the file as it is now: where it is the same, reading again makes nothing new. 0: it is so young that it has to be read
 * again. */
uint64_t auth_file_stamp(const struct auth_file *f);
/* `made` is taken; what was there before is the caller's. */
void *auth_file_set(struct auth_file *f, void *made);
static inline const struct users *auth_file_get_users(const struct auth_file *f)
{
    return atomic_load_explicit(&((struct auth_file *)f)->made, memory_order_acquire);
}
/* NULL: they have not been fetched yet. */
static inline const struct jwk_set *auth_file_get_keys(const struct auth_file *f)
{
    return atomic_load_explicit(&((struct auth_file *)f)->made, memory_order_acquire);
}
