#include "base/block.h"

#include <string.h>

#include "base/block_chunk.h"
#include "base/bug.h"
#include "base/count.h"
#include "base/poison.h"
#include "base/slab.h"

/* Of each kind, before it goes back to the system; while memory is short, enough for one request after the other. */
#define KEEP_BYTES (1u << 20)
#define KEEP_WHEN_TIGHT_BYTES (16u << 10)
/* What is gathered of a kind before it goes back; no more than a part of what may be kept otherwise. */
#define GATHER_BYTES (128u << 10)
#define GATHER_PART 4u
/* Of each kind, that go back in one call: some milliseconds of the system's time. */
#define SETTLE_MAX 512u

bool budget_take(struct budget *budget, uint64_t bytes)
{
    uint64_t before = atomic_fetch_add_explicit(&budget->used, bytes, memory_order_relaxed);
    if (before + bytes <= budget->limit) return true;
    atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
    return false;
}

void budget_give(struct budget *budget, uint64_t bytes)
{
    uint64_t before = atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
    /* Below none it would be over any limit, and everybody refused from now on. */
    if (bug_if(BLOCK, before < bytes))
        atomic_fetch_add_explicit(&budget->used, bytes - before, memory_order_relaxed);
}

void block_pool_init(struct block_pool *pool, struct budget *budget)
{
    *pool = (struct block_pool){ .budget = budget };
    list_init(&pool->slabs);
    list_init(&pool->stale);
    for (uint32_t c = 0; c < BLOCK_CLASSES; c++) list_init(&pool->chunks[c]);
}

static uint64_t share_bytes(const struct block_pool *pool)
{
    return pool->budget->limit / 64;
}

uint64_t block_pool_keep_bytes(const struct block_pool *pool)
{
    uint64_t share = share_bytes(pool);
    uint64_t most = budget_is_tight(pool->budget) ? KEEP_WHEN_TIGHT_BYTES : KEEP_BYTES;
    return share < most ? share : most;
}

static void release(struct block_pool *pool, struct block *b)
{
    budget_give(pool->budget, BLOCK_MIN << b->size_class);
    unpoison(b->data, b->cap);
    block_chunk_give(pool, b);
}

static struct block *pop_idle(struct block_pool *pool, uint32_t size_class)
{
    struct block *b = pool->idle[size_class];
    if (!b || bug_if(BLOCK, b->size_class != size_class)) return NULL;
    pool->idle[size_class] = b->next;
    pool->idle_count[size_class]--;
    pool->idle_bytes -= BLOCK_MIN << size_class;
    return b;
}

void block_pool_trim(struct block_pool *pool)
{
    struct block *b;
    for (uint32_t c = 0; c < BLOCK_CLASSES; c++)
        while ((b = pop_idle(pool, c))) release(pool, b);
    block_chunks_settle(pool);
    for (struct list *at = pool->slabs.next; at != &pool->slabs; at = at->next)
        slab_trim(container_of(at, struct slab, link));
}

void block_pool_fini(struct block_pool *pool)
{
    (void)bug_if(BLOCK, pool->live || !list_is_empty(&pool->slabs)); /* somebody still has of it */
    block_pool_trim(pool);
}

bool block_pool_take(struct block_pool *pool, uint64_t bytes)
{
    if (budget_take(pool->budget, bytes)) return true;
    block_pool_trim(pool);
    return budget_take(pool->budget, bytes);
}

bool block_pool_charge(struct block_pool *pool, uint64_t bytes)
{
    if (!block_pool_take(pool, bytes)) return false;
    pool->outside_bytes += bytes;
    return true;
}

void block_pool_refund(struct block_pool *pool, uint64_t bytes)
{
    if (bug_if(BLOCK, pool->outside_bytes < bytes)) bytes = pool->outside_bytes;
    pool->outside_bytes -= bytes;
    budget_give(pool->budget, bytes);
}

/* Of a kind, that may be kept. */
static uint64_t keep_count(const struct block_pool *pool, uint32_t size_class)
{
    uint64_t whole = BLOCK_MIN << size_class, keep = block_pool_keep_bytes(pool) / whole;
    if (budget_is_tight(pool->budget)) return keep;
    uint32_t most = pool->most[size_class], live = pool->live_count[size_class];
    if (pool->most_before[size_class] > most) most = pool->most_before[size_class];
    uint64_t again = most > live ? most - live : 0, share = share_bytes(pool) / whole;
    if (again > share) again = share;
    return again > keep ? again : keep;
}

void block_pool_settle(struct block_pool *pool)
{
    pool->has_excess = false;
    for (uint32_t c = 0; c < BLOCK_CLASSES; c++) {
        pool->most_before[c] = pool->most[c];
        pool->most[c] = pool->live_count[c];
        for (uint32_t i = 0; i < SETTLE_MAX && pool->idle_count[c] > keep_count(pool, c); i++)
            release(pool, pop_idle(pool, c));
        block_chunks_settle(pool);
        if (pool->idle_count[c] * (uint64_t)(BLOCK_MIN << c) > block_pool_keep_bytes(pool))
            pool->has_excess = true;
    }
}

static uint64_t idle_block_bytes(const struct block_pool *pool)
{
    uint64_t bytes = 0;
    for (uint32_t c = 0; c < BLOCK_CLASSES; c++) bytes += (uint64_t)pool->idle_count[c] * (BLOCK_MIN << c);
    return bytes;
}

uint64_t block_pool_drawn(const struct block_pool *pool)
{
    uint64_t bytes = pool->live_bytes + idle_block_bytes(pool) + pool->outside_bytes;
    for (const struct list *at = pool->slabs.next; at != &pool->slabs; at = at->next)
        bytes += slab_drawn(container_of(at, struct slab, link));
    return bytes;
}

uint64_t block_pool_find_idle(const struct block_pool *pool)
{
    uint64_t bytes = idle_block_bytes(pool);
    for (const struct list *at = pool->slabs.next; at != &pool->slabs; at = at->next)
        bytes += slab_idle(container_of(at, struct slab, link));
    return bytes;
}

static struct block *make(struct block_pool *pool, uint32_t size_class)
{
    size_t whole = (size_t)BLOCK_MIN << size_class;
    if (!block_pool_take(pool, whole)) return NULL;
    struct block *b = block_chunk_take(pool, size_class);
    if (!b) {
        budget_give(pool->budget, whole);
        return NULL;
    }
    b->cap = (uint32_t)(whole - sizeof(*b));
    b->size_class = size_class;
    return b;
}

/* So many of a kind are beyond what is kept that they go back. */
static bool is_batch(const struct block_pool *pool, uint32_t size_class, uint64_t beyond)
{
    uint64_t most = share_bytes(pool) / GATHER_PART;
    return (beyond + 1) * (BLOCK_MIN << size_class) > (most < GATHER_BYTES ? most : GATHER_BYTES);
}

/* Others may look. */
static void set_live_bytes(struct block_pool *pool, uint64_t bytes)
{
    __atomic_store_n(&pool->live_bytes, bytes, __ATOMIC_RELAXED);
}

struct block *block_get(struct block_pool *pool, size_t size)
{
    uint32_t c = 0;
    while (c < BLOCK_CLASSES && ((size_t)BLOCK_MIN << c) - sizeof(struct block) < size) c++;
    if (c == BLOCK_CLASSES) return NULL;
    struct block *b = pop_idle(pool, c);
    if (b)
        unpoison(b->data, b->cap);
    else if (!(b = make(pool, c)))
        return NULL;
    b->next = NULL;
    count_add(&pool->live, 1);
    set_live_bytes(pool, pool->live_bytes + (BLOCK_MIN << c));
    if (++pool->live_count[c] > pool->most[c]) pool->most[c] = pool->live_count[c];
    return b;
}

bool block_grow(struct block_pool *pool, struct block **b, uint32_t begin, uint32_t len, size_t more)
{
    struct block *old = *b;
    if (bug_if(BLOCK, old ? begin > old->cap || len > old->cap - begin : len > 0)) return false;
    if (old && old->cap - len >= more) {
        if (begin) memmove(old->data, old->data + begin, len);
        return true;
    }
    struct block *larger = more <= BLOCK_MAX ? block_get(pool, len + more) : NULL;
    if (!larger) return false;
    if (old && len) memcpy(larger->data, old->data + begin, len);
    block_put(pool, old);
    *b = larger;
    return true;
}

static void push_idle(struct block_pool *pool, struct block *b)
{
    poison(b->data, b->cap);
    b->next = pool->idle[b->size_class];
    pool->idle[b->size_class] = b;
    pool->idle_count[b->size_class]++;
    pool->idle_bytes += BLOCK_MIN << b->size_class;
}

static void give_back(struct block_pool *pool, uint32_t size_class, uint64_t keep)
{
    struct block *b;
    while (pool->idle_count[size_class] > keep && (b = pop_idle(pool, size_class))) release(pool, b);
    block_chunks_settle(pool);
}

void block_put(struct block_pool *pool, struct block *b)
{
    if (!b || bug_if(BLOCK, b->size_class >= BLOCK_CLASSES || !pool->live_count[b->size_class])) return;
    uint64_t whole = BLOCK_MIN << b->size_class;
    count_add(&pool->live, -1);
    set_live_bytes(pool, pool->live_bytes - whole);
    pool->live_count[b->size_class]--;
    push_idle(pool, b);
    if (pool->idle_count[b->size_class] * whole <= block_pool_keep_bytes(pool)) return;
    pool->has_excess = true;
    uint64_t keep = keep_count(pool, b->size_class), kept = pool->idle_count[b->size_class];
    if (kept > keep && is_batch(pool, b->size_class, kept - keep)) give_back(pool, b->size_class, keep);
}
