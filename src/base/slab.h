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

/* What a dead process, or one that is looked at from outside, has of the slab at `slab`: every place for an object, in use
 * or not, until `on_object` says false. Follows at most SLAB_SCAN_PAGES pages. Async-signal-safe. */
#define SLAB_SCAN_PAGES (1u << 17)
void slab_scan(const struct memory_view *m, uint64_t slab, bool (*on_object)(void *context, uint64_t address),
               void *context);
