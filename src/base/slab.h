/* base/slab.h: objects of one size for one thread: connections, mostly. Taken from the system in pages of many, zeroed
 * when handed out. A page that nobody uses any more is kept for a while, as blocks are (block.h), then goes back. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/block.h"
#include "base/memory_view.h"

struct slab {
    struct block_pool *pool; /* its thread's; borrowed */
    struct list link;        /* of pool->slabs */
    struct slab_page *pages; /* all of them */
    struct list with_room;   /* of slab_page: some places are free */
    struct list empty;       /* of slab_page: all are, the latest used first */
    uint32_t object_size, per_page;
    uint32_t page_count, empty_count;
    uint32_t live;
};

void slab_init(struct slab *slab, struct block_pool *pool, size_t object_size);
void slab_fini(struct slab *slab);
/* NULL when the budget is used up or memory is out. */
void *slab_get(struct slab *slab);
/* From now on nobody may touch it: under AddressSanitizer who does is found. */
void slab_put(struct slab *slab, void *object);
/* Gives the pages back of which nothing is used. */
void slab_trim(struct slab *slab);
/* Bytes drawn on the budget; and those of them that are places for objects and hold none. */
uint64_t slab_drawn(const struct slab *slab);
uint64_t slab_idle(const struct slab *slab);

/* What a dead process, or one that is looked at from outside, has of the slab at `slab` of objects of that size: every place
 * for an object once, in use or not, until `on_object` says false. Follows at most `pages_max` pages; pages that follow each
 * other in circles are each looked at once. Async-signal-safe. */
void slab_scan(const struct memory_view *m, uint64_t slab, size_t object_size, uint32_t pages_max,
               bool (*on_object)(void *context, uint64_t address), void *context);
