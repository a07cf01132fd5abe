#include "base/secret.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGES_BYTES ((size_t)16 << 10)

/* glibc keeps up to 7 free chunks of each size up to this in a cache of the thread, and overwrites those last. */
#define CACHED_BYTES_MAX 1040u
#define CACHED_CHUNKS 8u

struct secret_pages {
    struct secret_pages *next;
    size_t bytes, used; /* of all, this head included */
    char data[];
};

struct secret_store {
    struct secret_pages *pages; /* newest first */
};

struct secret_store *secret_store_new(void)
{
    return calloc(1, sizeof(struct secret_store));
}

static bool add_pages(struct secret_store *s, size_t bytes)
{
    bytes = (sizeof(struct secret_pages) + bytes + PAGES_BYTES - 1) / PAGES_BYTES * PAGES_BYTES;
    struct secret_pages *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return false;
    madvise(p, bytes, MADV_DONTDUMP);
    madvise(p, bytes, MADV_DONTFORK);
    if (mlock(p, bytes) < 0) {} /* beyond RLIMIT_MEMLOCK they may be swapped out: still better than none */
    p->bytes = bytes;
    p->used = sizeof(*p);
    p->next = s->pages;
    s->pages = p;
    return true;
}

const char *secret_copy(struct secret_store *s, struct slice text)
{
    if (!s) return NULL;
    bool has_room = s->pages && s->pages->bytes - s->pages->used > text.len;
    if (!has_room && !add_pages(s, text.len + 1)) return NULL;
    char *copy = (char *)s->pages + s->pages->used;
    if (text.len) memcpy(copy, text.data, text.len);
    s->pages->used += text.len + 1;
    return copy;
}

void secret_store_show(struct secret_store *s)
{
    for (struct secret_pages *p = s ? s->pages : NULL; p; p = p->next) madvise(p, p->bytes, MADV_DODUMP);
}

void secret_store_free(struct secret_store *s)
{
    if (!s) return;
    while (s->pages) {
        struct secret_pages *p = s->pages;
        size_t bytes = p->bytes;
        s->pages = p->next;
        explicit_bzero(p, bytes);
        munmap(p, bytes);
    }
    free(s);
}

void secret_wipe_begin(void)
{
    mallopt(M_PERTURB, 0x5a);
}

void secret_wipe_end(void)
{
    for (size_t size = 24; size <= CACHED_BYTES_MAX; size += 16) {
        void *chunks[CACHED_CHUNKS];
        for (unsigned i = 0; i < CACHED_CHUNKS; i++) {
            chunks[i] = malloc(size);
            if (chunks[i]) explicit_bzero(chunks[i], size);
        }
        for (unsigned i = 0; i < CACHED_CHUNKS; i++) free(chunks[i]);
    }
    mallopt(M_PERTURB, 0);
}
