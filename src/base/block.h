/* base/block.h: memory for bytes on the move. Each loop has a pool of blocks in a few sizes, all drawn on one
 * budget of the whole process. A block belongs to whoever got it; only its pool's thread may touch it. Unless the
 * budget says so, core files are without them.
 *
 * A pool keeps some of what is given back, so that the steady path neither calls the system nor touches the budget, which
 * all threads share: up to 1 MiB of each kind, and beyond that what was in use at the same time within the last two periods of
 * block_pool_settle(); a sixty-fourth of the budget at most, and next to nothing while memory is short. block_pool_trim() gives
 * all of it back. What is beyond that is gathered for a while and goes back in one: neighbours by one call of the system's. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"

/* Sizes of whole blocks: 4 KiB shifted by the class. The largest holds a 64 KiB head. */
#define BLOCK_MIN 4096u
#define BLOCK_CLASSES 6
#define BLOCK_MAX (BLOCK_MIN << (BLOCK_CLASSES - 1))

/* What blocks, connections and replay copies of all threads together may use, in bytes. */
struct budget {
    _Atomic uint64_t used;
    uint64_t limit;
    bool is_dumped; /* a core file shows what is in blocks; set before the first is made */
};

struct block {
    struct block *next; /* free list, or the owner's chain */
    uint32_t cap;       /* of data */
    uint32_t size_class;
    char data[];
};

struct block_pool {
    struct budget *budget;             /* borrowed */
    struct list chunks[BLOCK_CLASSES]; /* of block_chunk: those with room */
    struct list stale;                 /* of block_chunk: the system does not know yet what of them is free */
    struct block *idle[BLOCK_CLASSES];
    uint32_t idle_count[BLOCK_CLASSES];
    uint32_t live_count[BLOCK_CLASSES];                       /* handed out */
    uint32_t most[BLOCK_CLASSES], most_before[BLOCK_CLASSES]; /* of them at the same time, in a period */
    uint32_t live;                                            /* of all classes */
    bool has_excess; /* more is kept than has to be: block_pool_settle() is to be called in a while */
    uint64_t live_bytes;
    struct list slabs;   /* this thread's */
    uint64_t idle_bytes; /* drawn on the budget and used for nothing: idle blocks, the slabs' free places */
    uint64_t outside_bytes; /* drawn for what is neither: block_pool_charge() */
};

void block_pool_init(struct block_pool *pool, struct budget *budget);
/* Every block must have been put back. */
void block_pool_fini(struct block_pool *pool);
/* A block with room for `size` bytes; NULL if size is too large, the budget is used up or memory is out. */
struct block *block_get(struct block_pool *pool, size_t size);
void block_put(struct block_pool *pool, struct block *b); /* NULL is fine */
/* Room for `more` bytes behind the `len` bytes of *b that begin at `begin`: those are at its front then, and it is a
 * larger block if need be. *b may be NULL, with no bytes. False, and nothing has changed: as with block_get(). */
MUST_CHECK bool block_grow(struct block_pool *pool, struct block **b, uint32_t begin, uint32_t len,
                           size_t more);
/* Gives back what is kept, of blocks and of slabs: somebody else needs it. */
void block_pool_trim(struct block_pool *pool);
/* A period is over: what two of them had no use for goes back to the system, a few hundred blocks at a time. For whoever has a
 * clock; within a period a thread that uses and gives back the same again and again calls the system for none of it. */
void block_pool_settle(struct block_pool *pool);
/* So many bytes of a kind may be kept, whatever was in use. */
uint64_t block_pool_keep_bytes(const struct block_pool *pool);
/* budget_take() for the pool's own and its slabs: what is kept goes before anybody is refused. */
bool block_pool_take(struct block_pool *pool, uint64_t bytes);
/* Draws for what this thread has elsewhere (OpenSSL's, an encoder's, an answer): false if over the limit. And back. */
MUST_CHECK bool block_pool_charge(struct block_pool *pool, uint64_t bytes);
void block_pool_refund(struct block_pool *pool, uint64_t bytes);
/* All that this thread has drawn, by what it has: what it keeps without using it, too. */
uint64_t block_pool_drawn(const struct block_pool *pool);
/* What of it is kept and not used, looked for anew: as idle_bytes has it. */
uint64_t block_pool_find_idle(const struct block_pool *pool);

/* Takes and gives back bytes; false if over the limit. */
bool budget_take(struct budget *budget, uint64_t bytes);
void budget_give(struct budget *budget, uint64_t bytes);
/* At nine tenths nothing is kept that is not used. */
static inline bool budget_is_tight(const struct budget *budget)
{
    return atomic_load_explicit(&budget->used, memory_order_relaxed) > budget->limit / 10 * 9;
}
/* Four fifths of it are in use, but for what this thread keeps: it is about to be short. */
static inline bool block_pool_is_filling(const struct block_pool *pool)
{
    uint64_t used = atomic_load_explicit(&pool->budget->used, memory_order_relaxed);
    return used > pool->budget->limit / 5 * 4 + pool->idle_bytes;
}
/* This thread could have less than a tenth of it, with what it keeps: new work is to be refused. */
static inline bool block_pool_is_short(const struct block_pool *pool)
{
    uint64_t used = atomic_load_explicit(&pool->budget->used, memory_order_relaxed);
    return used > pool->budget->limit / 10 * 9 + pool->idle_bytes;
}
