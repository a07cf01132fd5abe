#include "base/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define FIRST_BUCKETS 1024u

int names_init(struct names *n, struct err *err)
{
    size_t room = NAMES_MAX * sizeof(*n->by_id);
    void *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *n = (struct names){ .count = 1 };
    if (p == MAP_FAILED) return err_set(err, "cannot reserve room for names: %s", strerror(errno));
    madvise(p, room, MADV_NOHUGEPAGE); /* one name must not cost 2 MiB */
    n->by_id = p;
    n->buckets = calloc(FIRST_BUCKETS, sizeof(*n->buckets));
    n->bucket_count = FIRST_BUCKETS;
    if (n->buckets) return 0;
    names_fini(n);
    return err_set(err, "out of memory for names");
}

void names_fini(struct names *n)
{
    if (!n->by_id) return;
    for (uint32_t id = 1; id < n->count; id++) free((void *)(uintptr_t)n->by_id[id]);
    munmap((void *)n->by_id, NAMES_MAX * sizeof(*n->by_id));
    free(n->buckets);
    *n = (struct names){ 0 };
}

/* FNV-1a. Names come from the operator, not from clients. */
static uint32_t hash_of(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return (uint32_t)(hash ^ hash >> 32);
}

/* The text's bucket, or the free one where its id would stand. */
static uint32_t *find_name(const struct names *n, const char *text)
{
    uint32_t i = hash_of(text) & (n->bucket_count - 1);
    while (n->buckets[i] && strcmp(n->by_id[n->buckets[i]], text) != 0) i = (i + 1) & (n->bucket_count - 1);
    return &n->buckets[i];
}

static int grow_names(struct names *n)
{
    struct names bigger = *n;
    bigger.bucket_count *= 2;
    bigger.buckets = calloc(bigger.bucket_count, sizeof(*bigger.buckets));
    if (!bigger.buckets) return -1;
    for (uint32_t id = 1; id < n->count; id++) *find_name(&bigger, n->by_id[id]) = id;
    free(n->buckets);
    n->buckets = bigger.buckets;
    n->bucket_count = bigger.bucket_count;
    return 0;
}

uint32_t names_find(const struct names *n, const char *text)
{
    return *find_name(n, text);
}

uint32_t names_intern(struct names *n, const char *text)
{
    return names_intern_before(n, text, 0);
}

uint32_t names_intern_before(struct names *n, const char *text, uint32_t reserve)
{
    uint32_t *bucket = find_name(n, text);
    if (*bucket) return *bucket;
    if (n->count >= NAMES_MAX - reserve) return 0;
    if (n->count >= n->bucket_count / 2) {
        if (grow_names(n) < 0) return 0;
        bucket = find_name(n, text);
    }
    char *copy = strdup(text);
    if (!copy) return 0;
    uint32_t id = n->count;
    n->by_id[id] = copy;
    *bucket = id;
    __atomic_store_n(&n->count, id + 1, __ATOMIC_RELEASE);
    return id;
}
