/* base/block_chunk.h: where blocks come from: mappings of 1 MiB, each of blocks of one size, apart from everything else
 * so that payload can be left out of core files as a whole (MADV_DONTDUMP). A pool's thread only. */
#pragma once

#include "base/block.h"

/* A block that costs no memory until it is written, or NULL when memory is out. */
struct block *block_chunk_take(struct block_pool *pool, uint32_t size_class);
/* It is free. Its memory is the system's again with the next block_chunks_settle(), which costs a call for each stretch of
 * neighbours: before that nothing else may be asked of the pool's chunks. */
void block_chunk_give(struct block_pool *pool, struct block *b);
void block_chunks_settle(struct block_pool *pool);
