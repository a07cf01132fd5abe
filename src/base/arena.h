/* base/arena.h: memory that ends with its exchange: blocks of the loop's pool, filled from the front. */
#pragma once

#include "base/block.h"
#include "base/slice.h"

struct arena {
    struct block_pool *pool;
    struct block *blocks; /* newest first */
    uint32_t used;        /* of the newest */
};

void arena_init(struct arena *arena, struct block_pool *pool);
void arena_fini(struct arena *arena);
/* Aligned to 8, not zeroed; NULL when the budget is used up or size is over BLOCK_MAX. */
void *arena_alloc(struct arena *arena, size_t size);
/* A copy; data is NULL if there was no room (and len 0). */
struct slice arena_copy(struct arena *arena, struct slice s);
