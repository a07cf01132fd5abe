/* base/slab.h: objects of one size for one thread: connections, mostly. Taken from the heap in pages of many and
 * kept; zeroed when handed out. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/block.h"

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
