#include "base/slab.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "base/poison.h"

#define SLAB_PAGE_BYTES 16384u

struct slab_page {
    struct slab_page *next;
    _Alignas(16) char objects[];
};

void slab_init(struct slab *slab, struct budget *budget, size_t object_size)
{
    size_t rounded = (object_size + 15) & ~(size_t)15;
    *slab = (struct slab){ .budget = budget,
                           .object_size = (uint32_t)rounded,
                           .per_page = (uint32_t)((SLAB_PAGE_BYTES - sizeof(struct slab_page)) / rounded) };
    assert(slab->per_page > 0);
}

void slab_fini(struct slab *slab)
{
    assert(slab->live == 0);
    while (slab->pages) {
        struct slab_page *page = slab->pages;
        slab->pages = page->next;
        budget_give(slab->budget, SLAB_PAGE_BYTES);
        unpoison(page, SLAB_PAGE_BYTES);
        free(page);
    }
    slab->idle = NULL;
}

static int add_page(struct slab *slab)
{
    if (!budget_take(slab->budget, SLAB_PAGE_BYTES)) return -1;
    struct slab_page *page = malloc(SLAB_PAGE_BYTES);
    if (!page) {
        budget_give(slab->budget, SLAB_PAGE_BYTES);
        return -1;
    }
    page->next = slab->pages;
    slab->pages = page;
    for (uint32_t i = 0; i < slab->per_page; i++) {
        void **object = (void **)(void *)(page->objects + (size_t)i * slab->object_size);
        *object = slab->idle;
        slab->idle = object;
        poison(object, slab->object_size);
    }
    return 0;
}

void *slab_get(struct slab *slab)
{
    if (!slab->idle && add_page(slab) < 0) return NULL;
    void **object = slab->idle;
    if (!object) return NULL;
    unpoison(object, slab->object_size);
    slab->idle = *object;
    count_add(&slab->live, 1);
    memset(object, 0, slab->object_size);
    return object;
}

void slab_put(struct slab *slab, void *object)
{
    assert(slab->live > 0);
    count_add(&slab->live, -1);
    *(void **)object = slab->idle;
    slab->idle = object;
    poison(object, slab->object_size);
}

/* 0: there is none, or it cannot be read. */
static uint64_t page_after(const struct memory_view *m, uint64_t page)
{
    uint64_t next = 0;
    if (!page || !memory_read_member(m, page, struct slab_page, next, &next)) return 0;
    return next;
}

/* How many there are, each once: if the list leads back into itself (Floyd's tortoise and hare), those before the circle and
 * those of it. */
static uint32_t count_pages(const struct memory_view *m, uint64_t first, uint32_t max)
{
    uint64_t slow = first, fast = first;
    uint32_t count = 0;
    for (bool is_even = false; fast && count < max; is_even = !is_even) {
        fast = page_after(m, fast);
        count++;
        if (!is_even) continue;
        slow = page_after(m, slow);
        if (fast == slow) break;
    }
    if (!fast || fast != slow) return count;
    uint32_t before = 0, within = 1;
    for (slow = first; slow != fast && before < max; before++) {
        slow = page_after(m, slow);
        fast = page_after(m, fast);
    }
    for (fast = page_after(m, slow); fast != slow && within < max; within++) fast = page_after(m, fast);
    return before + within < max ? before + within : max;
}

void slab_scan(const struct memory_view *m, uint64_t slab, size_t object_size, uint32_t pages_max,
               bool (*on_object)(void *context, uint64_t address), void *context)
{
    struct slab s;
    if (!memory_read(m, slab, &s, sizeof(s)) || s.object_size != ((object_size + 15) & ~(size_t)15) ||
        s.per_page > SLAB_PAGE_BYTES / s.object_size)
        return;
    uint64_t page = (uintptr_t)s.pages;
    for (uint32_t left = count_pages(m, page, pages_max); left && page; left--, page = page_after(m, page)) {
        for (uint32_t i = 0; i < s.per_page; i++) {
            uint64_t object = page + offsetof(struct slab_page, objects) + (uint64_t)i * s.object_size;
            if (!on_object(context, object)) return;
        }
    }
}
