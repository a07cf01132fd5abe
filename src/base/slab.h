/* base/slab.h: objects of one size for one thread: connections, mostly. Taken from the heap in pages of many and
 * kept; zeroed when handed out. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/block.h"
#include "base/memory_view.h"

struct slab {
    struct budget *budget;
    struct slab_page *pages;
    void *idle;
    uint32_t object_size, per_page;
    uint32_t live;
};

void slab_init(struct slab *slab, struct budget *budget, size_t object_size);
void slab_fini(struct slab *slab);
/* NULL when the budget is used up or memory is out. */
void *slab_get(struct slab *slab);
void slab_put(struct slab *slab, void *object);

/* What a dead process, or one that is looked at from outside, has of the slab at `slab` of objects of that size: every place
 * for an object once, in use or not, until `on_object` says false. Follows at most `pages_max` pages; pages that follow each
 * other in circles are each looked at once. Async-signal-safe. */
void slab_scan(const struct memory_view *m, uint64_t slab, size_t object_size, uint32_t pages_max,
               bool (*on_object)(void *context, uint64_t address), void *context);
