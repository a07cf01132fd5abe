#include "auth/users.h"

#include <stdlib.h>
#include <xxhash.h>

#include "auth/credentials.h"
#include "auth/password.h"
#include "base/secret.h"
#include "tls/small_file.h"

struct user {
    struct slice name;
    const char *hash; /* both in `memory` */
    unsigned line;
};

struct users {
    struct secret_store *memory;
    struct user *items; /* by name */
    unsigned count, room;
};

static int compare(const void *left, const void *right)
{
    struct slice a = ((const struct user *)left)->name, b = ((const struct user *)right)->name;
    size_t len = a.len < b.len ? a.len : b.len;
    int order = memcmp(a.data, b.data, len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int check_name(struct slice name, struct err *err)
{
    if (!name.len) return err_set(err, "the name before the colon is empty");
    if (name.len > CREDENTIALS_PART_MAX)
        return err_set(err, "a user's name may have %u bytes, this one has %zu", CREDENTIALS_PART_MAX,
                       name.len);
    if (name.data[0] == ' ' || name.data[name.len - 1] == ' ')
        return err_set(err, "a user's name has no blank at its end: in a header it would be another's");
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.data[i] < ' ' || name.data[i] == 0x7f)
            return err_set(err, "a user's name cannot have a control character");
    return 0;
}

static int add(struct users *u, struct slice name, struct slice hash, unsigned line)
{
    if (u->count == u->room) {
        unsigned room = u->room ? u->room * 2 : 64;
        struct user *items = realloc(u->items, room * sizeof(*items));
        if (!items) return -1;
        u->items = items;
        u->room = room;
    }
    struct user *one = &u->items[u->count];
    *one = (struct user){ .name = { secret_copy(u->memory, name), name.len },
                          .hash = secret_copy(u->memory, hash),
                          .line = line };
    if (!one->name.data || !one->hash) return -1;
    u->count++;
    return 0;
}

/* "name:hash", and further fields behind another colon, as `htpasswd` lets them stand. */
static int take_line(struct users *u, struct slice line, unsigned number, struct err *err)
{
    if (line.len && line.data[line.len - 1] == '\r') line.len--;
    line = slice_trim(line);
    if (!line.len || line.data[0] == '#') return 0;
    const char *colon = memchr(line.data, ':', line.len);
    if (!colon) return err_set(err, "a line is name:hash, as `htpasswd -B` writes it; this one has no colon");
    struct slice name = { line.data, (size_t)(colon - line.data) };
    struct slice hash = { colon + 1, line.len - name.len - 1 };
    const char *more = memchr(hash.data, ':', hash.len);
    if (more) hash.len = (size_t)(more - hash.data);
    if (check_name(name, err) < 0) return -1;
    if (password_hash_check(hash, err) < 0) {
        struct err why = *err;
        return err_set(err, "user \"%.*s\": %s", (int)name.len, name.data, why.text);
    }
    return add(u, name, hash, number) < 0 ? err_set(err, "out of memory for its users") : 0;
}

static int sort(struct users *u, const char *path, struct err *err)
{
    if (!u->count)
        return err_set(err, "%.300s has no user: nobody could pass; add one with `htpasswd -B`", path);
    qsort(u->items, u->count, sizeof(*u->items), compare);
    for (unsigned i = 1; i < u->count; i++) {
        const struct user *a = &u->items[i - 1], *b = &u->items[i];
        if (compare(a, b) == 0)
            return err_set(err, "%.300s:%u: user \"%.*s\" is there twice, in line %u as well", path,
                           a->line > b->line ? a->line : b->line, (int)a->name.len, a->name.data,
                           a->line < b->line ? a->line : b->line);
    }
    return 0;
}

static int parse(struct users *u, const char *path, struct slice text, struct err *err)
{
    unsigned number = 1;
    for (size_t at = 0; at < text.len; number++) {
        const char *end = memchr(text.data + at, '\n', text.len - at);
        size_t next = end ? (size_t)(end - text.data) + 1 : text.len;
        struct slice line = { text.data + at, next - at - (end != NULL) };
        at = next;
        if (take_line(u, line, number, err) < 0) return err_prefix(err, "%.300s:%u", path, number);
    }
    return sort(u, path, err);
}

struct users *users_parse(const char *path, struct slice text, struct err *err)
{
    struct users *u = calloc(1, sizeof(*u));
    if (!u) {
        err_set(err, "out of memory for the users of %.300s", path);
        return NULL;
    }
    u->memory = secret_store_new();
    if (parse(u, path, text, err) == 0) return u;
    users_free(u);
    return NULL;
}

struct users *users_read(const char *path, struct err *err)
{
    struct small_file file;
    struct file_stamp stamp;
    if (small_file_read(&file, path, &stamp, err) < 0) return NULL;
    struct users *u = users_parse(path, (struct slice){ file.text, file.len }, err);
    small_file_wipe(&file);
    return u;
}

void users_free(struct users *users)
{
    if (!users) return;
    secret_store_free(users->memory);
    free(users->items);
    free(users);
}

unsigned users_count(const struct users *users)
{
    return users->count;
}

const char *users_hash(const struct users *users, struct slice name, unsigned long salt, bool *is_known)
{
    const struct user key = { .name = name };
    const struct user *found = bsearch(&key, users->items, users->count, sizeof(key), compare);
    *is_known = found != NULL;
    if (found) return found->hash;
    return users->items[XXH3_64bits_withSeed(name.data, name.len, salt) % users->count].hash;
}
