#include "base/arena.h"

#include "base/bug.h"

void arena_init(struct arena *arena, struct block_pool *pool)
{
    *arena = (struct arena){ .pool = pool };
}

void arena_fini(struct arena *arena)
{
    while (arena->blocks) {
        struct block *b = arena->blocks;
        arena->blocks = b->next;
        block_put(arena->pool, b);
    }
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size = (size + 7) & ~(size_t)7;
    if (bug_if(ARENA, arena->blocks && arena->used > arena->blocks->cap)) return NULL;
    if (!arena->blocks || arena->blocks->cap - arena->used < size) {
        struct block *b = block_get(arena->pool, size);
        if (!b) return NULL;
        b->next = arena->blocks;
        arena->blocks = b;
        arena->used = 0;
    }
    void *p = arena->blocks->data + arena->used;
    arena->used += (uint32_t)size;
    return p;
}

struct slice arena_copy(struct arena *arena, struct slice s)
{
    if (bug_if(ARENA, s.len && !s.data)) return SLICE_NONE;
    char *p = arena_alloc(arena, s.len ? s.len : 1);
    if (!p) return SLICE_NONE;
    if (s.len) memcpy(p, s.data, s.len);
    return (struct slice){ p, s.len };
}
