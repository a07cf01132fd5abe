#include "base/block.h"

#include <assert.h>

#include "base/block_chunk.h"
#include "base/count.h"
#include "base/poison.h"

/* How many idle blocks of a class are kept before they go back to the system: 1 MiB of each. */
static uint32_t keep_at_most(uint32_t size_class)
{
    return (1u << 20) / (BLOCK_MIN << size_class);
}

bool budget_take(struct budget *budget, uint64_t bytes)
{
    uint64_t before = atomic_fetch_add_explicit(&budget->used, bytes, memory_order_relaxed);
    if (before + bytes <= budget->limit) return true;
    atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
    return false;
}

void budget_give(struct budget *budget, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
}

void block_pool_init(struct block_pool *pool, struct budget *budget)
{
    *pool = (struct block_pool){ .budget = budget };
    for (uint32_t c = 0; c < BLOCK_CLASSES; c++) list_init(&pool->chunks[c]);
}

static void release(struct block_pool *pool, struct block *b)
{
    budget_give(pool->budget, BLOCK_MIN << b->size_class);
    unpoison(b->data, b->cap);
    block_chunk_give(pool, b);
}

void block_pool_fini(struct block_pool *pool)
{
    assert(pool->live == 0);
    for (uint32_t c = 0; c < BLOCK_CLASSES; c++) {
        while (pool->idle[c]) {
            struct block *b = pool->idle[c];
            pool->idle[c] = b->next;
            release(pool, b);
        }
        pool->idle_count[c] = 0;
    }
}

static struct block *make(struct block_pool *pool, uint32_t size_class)
{
    size_t whole = (size_t)BLOCK_MIN << size_class;
    if (!budget_take(pool->budget, whole)) return NULL;
    struct block *b = block_chunk_take(pool, size_class);
    if (!b) {
        budget_give(pool->budget, whole);
        return NULL;
    }
    b->cap = (uint32_t)(whole - sizeof(*b));
    b->size_class = size_class;
    return b;
}

struct block *block_get(struct block_pool *pool, size_t size)
{
    uint32_t c = 0;
    while (c < BLOCK_CLASSES && ((size_t)BLOCK_MIN << c) - sizeof(struct block) < size) c++;
    if (c == BLOCK_CLASSES) return NULL;
    struct block *b = pool->idle[c];
    if (b) {
        pool->idle[c] = b->next;
        pool->idle_count[c]--;
        unpoison(b->data, b->cap);
    } else if (!(b = make(pool, c))) {
        return NULL;
    }
    b->next = NULL;
    count_add(&pool->live, 1);
    pool->live_bytes += BLOCK_MIN << c;
    return b;
}

void block_put(struct block_pool *pool, struct block *b)
{
    if (!b) return;
    assert(pool->live > 0);
    count_add(&pool->live, -1);
    pool->live_bytes -= BLOCK_MIN << b->size_class;
    /* While memory is short none is kept: others may need it in another size, or on another thread. */
    if (pool->idle_count[b->size_class] >= keep_at_most(b->size_class) || budget_is_tight(pool->budget)) {
        release(pool, b);
        return;
    }
    poison(b->data, b->cap);
    b->next = pool->idle[b->size_class];
    pool->idle[b->size_class] = b;
    pool->idle_count[b->size_class]++;
}
