#include "auth/auth_file.h"

#include <stdlib.h>
#include <xxhash.h>

#include "auth/jwk.h"
#include "auth/key_source.h"
#include "auth/users.h"
#include "tls/small_file.h"

static void *read_users(const char *path, struct err *err)
{
    return users_read(path, err);
}
static void free_users(void *made)
{
    users_free(made);
}
static uint32_t count_users(const void *made)
{
    return users_count(made);
}

static void *read_keys(const char *path, struct err *err)
{
    return jwk_set_read(path, err);
}
static void free_keys(void *made)
{
    jwk_set_free(made);
}
static uint32_t count_keys(const void *made)
{
    return jwk_set_count(made);
}

const struct auth_file_kind auth_file_users = { "users", read_users, free_users, count_users };
const struct auth_file_kind auth_file_keys = { "keys", read_keys, free_keys, count_keys };

uint64_t auth_file_stamp(const struct auth_file *f)
{
    if (f->source) return key_source_number(f->source) + 1;
    struct file_stamp stamp = file_stamp_take(f->path);
    return stamp.is_fresh ? 0 : XXH3_64bits(&stamp, sizeof(stamp)) | 1;
}

struct auth_file *auth_file_new(const struct auth_file_kind *kind, const char *path, struct err *err)
{
    struct auth_file *f = calloc(1, sizeof(*f));
    if (!f) {
        err_set(err, "there is no memory for %.300s", path);
        return NULL;
    }
    f->kind = kind;
    f->path = path;
    f->stamp = auth_file_stamp(f); /* before it is read */
    void *made = kind->read(path, err);
    atomic_init(&f->made, made);
    if (made) return f;
    free(f);
    return NULL;
}

struct auth_file *auth_file_of_url(const char *url, const char *ca)
{
    struct err err; /* that nothing is there yet is no mistake */
    struct auth_file *f = calloc(1, sizeof(*f));
    if (!f) return NULL;
    f->kind = &auth_file_keys;
    f->path = url;
    f->source = key_source_get(url, ca);
    if (!f->source) {
        free(f);
        return NULL;
    }
    f->stamp = auth_file_stamp(f);
    atomic_init(&f->made, key_source_read(f->source, &err));
    return f;
}

void *auth_file_read(const struct auth_file *f, struct err *err)
{
    return f->source ? key_source_read(f->source, err) : f->kind->read(f->path, err);
}

void auth_file_free(struct auth_file *f)
{
    if (!f) return;
    key_source_put(f->source);
    f->kind->free(atomic_load_explicit(&f->made, memory_order_relaxed));
    free(f);
}

void *auth_file_set(struct auth_file *f, void *made)
{
    return atomic_exchange_explicit(&f->made, made, memory_order_acq_rel);
}
