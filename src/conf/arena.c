#include "conf/arena.h"

#include <stdalign.h>
#include <stdatomic.h>
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
    bool is_short;
    struct secret_store *secrets; /* NULL: none yet */
    struct owned *owned;          /* newest first; in the arena itself */
};

struct conf_arena *conf_arena_new(void)
{
    struct conf_arena *arena = calloc(1, sizeof(*arena));
    if (!arena) return NULL;
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
    if (!arena) return NULL;
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (!arena->blocks || arena->cap - arena->used < size) {
        size_t cap = arena->next_bytes > size ? arena->next_bytes : size;
        struct arena_block *b = calloc(1, sizeof(*b) + cap);
        if (!b) {
            arena->is_short = true;
            return NULL;
        }
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
    return conf_arena_slice(arena, text).data;
}

struct slice conf_arena_slice(struct conf_arena *arena, struct slice text)
{
    char *copy = conf_arena_alloc(arena, text.len + 1);
    if (!copy) return SLICE("");
    if (text.len) memcpy(copy, text.data, text.len);
    return (struct slice){ copy, text.len };
}

const char *conf_arena_copy_secret(struct conf_arena *arena, struct slice text)
{
    if (!arena) return "";
    if (!arena->secrets) arena->secrets = secret_store_new();
    const char *copy = secret_copy(arena->secrets, text);
    if (!copy) arena->is_short = true;
    return copy ? copy : "";
}

bool conf_arena_own(struct conf_arena *arena, void *object, void (*drop)(void *object))
{
    struct owned *o = conf_arena_alloc(arena, sizeof(*o));
    if (!o) {
        drop(object);
        return false;
    }
    *o = (struct owned){ arena->owned, object, drop };
    arena->owned = o;
    return true;
}

void conf_arena_show_secrets(struct conf_arena *arena)
{
    secret_store_show(arena->secrets);
}

bool conf_arena_is_short(const struct conf_arena *arena)
{
    return !arena || arena->is_short;
}

void conf_arena_set_short(struct conf_arena *arena)
{
    if (arena) arena->is_short = true;
}
