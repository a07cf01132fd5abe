#include "conf/arena.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/secret.h"

#define FIRST_BLOCK_BYTES ((size_t)4096)
#define LAST_BLOCK_BYTES ((size_t)256 << 10)

struct arena_block {
    struct arena_block *next;
    alignas(max_align_t) char data[];
};

/* Something that is more than memory. */
struct owned {
    struct owned *next;
    void *object;
    void (*drop)(void *object);
};

struct conf_arena {
    _Atomic uint32_t refs;
    struct arena_block *blocks; /* newest first */
    size_t used, cap;           /* of the newest */
    size_t next_bytes;
    struct secret_store *secrets; /* NULL: none yet */
    struct owned *owned;          /* newest first; in the arena itself */
};

/* calloc() that does not come back without memory: what is read here is needed to go on at all. */
static void *take(size_t size)
{
    void *p = calloc(1, size);
    if (p) return p;
    fputs("weir: out of memory while reading the configuration\n", stderr);
    exit(71); /* EX_OSERR */
}

struct conf_arena *conf_arena_new(void)
{
    struct conf_arena *arena = take(sizeof(*arena));
    arena->next_bytes = FIRST_BLOCK_BYTES;
    atomic_init(&arena->refs, 1);
    return arena;
}

struct conf_arena *conf_arena_get(struct conf_arena *arena)
{
    if (arena) atomic_fetch_add_explicit(&arena->refs, 1, memory_order_relaxed);
    return arena;
}

uint32_t conf_arena_refs(const struct conf_arena *arena)
{
    return atomic_load_explicit(&arena->refs, memory_order_acquire);
}

void conf_arena_free(struct conf_arena *arena)
{
    if (!arena || atomic_fetch_sub_explicit(&arena->refs, 1, memory_order_acq_rel) != 1) return;
    for (struct owned *o = arena->owned; o; o = o->next) o->drop(o->object);
    while (arena->blocks) {
        struct arena_block *b = arena->blocks;
        arena->blocks = b->next;
        free(b);
    }
    secret_store_free(arena->secrets);
    free(arena);
}

void *conf_arena_alloc(struct conf_arena *arena, size_t size)
{
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (!arena->blocks || arena->cap - arena->used < size) {
        size_t cap = arena->next_bytes > size ? arena->next_bytes : size;
        struct arena_block *b = take(sizeof(*b) + cap);
        b->next = arena->blocks;
        arena->blocks = b;
        arena->used = 0;
        arena->cap = cap;
        if (arena->next_bytes < LAST_BLOCK_BYTES) arena->next_bytes *= 2;
    }
    void *p = arena->blocks->data + arena->used;
    arena->used += size;
    return p;
}

const char *conf_arena_copy(struct conf_arena *arena, struct slice text)
{
    char *copy = conf_arena_alloc(arena, text.len + 1);
    if (text.len) memcpy(copy, text.data, text.len);
    return copy;
}

const char *conf_arena_copy_secret(struct conf_arena *arena, struct slice text)
{
    if (!arena->secrets) arena->secrets = secret_store_new();
    return secret_copy(arena->secrets, text);
}

void conf_arena_own(struct conf_arena *arena, void *object, void (*drop)(void *object))
{
    struct owned *o = conf_arena_alloc(arena, sizeof(*o));
    *o = (struct owned){ arena->owned, object, drop };
    arena->owned = o;
}

void conf_arena_show_secrets(struct conf_arena *arena)
{
    secret_store_show(arena->secrets);
}
