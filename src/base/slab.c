#include "base/slab.h"

#include <assert.h>
#include <string.h>

#include "base/bug.h"
#include "base/count.h"
#include "base/mapping.h"
#include "base/poison.h"

#define SLAB_PAGE_BYTES 16384u

/* At the start of its mapping: an object's page is found from its address. */
struct slab_page {
    struct slab_page *next, *previous; /* of slab->pages */
    struct list link;                  /* of with_room or empty; alone while it is full */
    void *idle;                        /* each free place begins with the address of the next */
    uint32_t free_count;
    _Alignas(16) char objects[];
};

static struct slab_page *page_of(const void *object)
{
    return (struct slab_page *)((uintptr_t)object & ~(uintptr_t)(SLAB_PAGE_BYTES - 1));
}

static void *place(struct slab_page *page, const struct slab *slab, uint32_t index)
{
    return page->objects + (size_t)index * slab->object_size;
}

/* What of a page can be used. */
static uint64_t room(const struct slab *slab)
{
    return (uint64_t)slab->per_page * slab->object_size;
}

void slab_init(struct slab *slab, struct block_pool *pool, size_t object_size)
{
    size_t rounded = (object_size + 15) & ~(size_t)15;
    *slab = (struct slab){ .pool = pool,
                           .object_size = (uint32_t)rounded,
                           .per_page = (uint32_t)((SLAB_PAGE_BYTES - sizeof(struct slab_page)) / rounded) };
    assert(slab->per_page > 0);
    list_init(&slab->with_room);
    list_init(&slab->empty);
    list_push_back(&pool->slabs, &slab->link);
}

static struct slab_page *add_page(struct slab *slab)
{
    if (!block_pool_take(slab->pool, SLAB_PAGE_BYTES)) return NULL;
    struct slab_page *page = mapping_new(SLAB_PAGE_BYTES);
    if (!page) {
        budget_give(slab->pool->budget, SLAB_PAGE_BYTES);
        return NULL;
    }
    page->next = slab->pages;
    if (page->next) page->next->previous = page;
    slab->pages = page;
    count_add(&slab->page_count, 1);
    page->free_count = slab->per_page;
    for (uint32_t i = slab->per_page; i-- > 0;) {
        void **object = place(page, slab, i);
        *object = page->idle;
        page->idle = object;
        poison(object, slab->object_size);
    }
    slab->pool->idle_bytes += room(slab);
    list_push_front(&slab->empty, &page->link);
    slab->empty_count++;
    return page;
}

/* An empty one. False: the system does not take it. */
static bool drop_page(struct slab *slab, struct slab_page *page)
{
    struct slab_page *next = page->next, *previous = page->previous;
    if (bug_if(SLAB, page->free_count != slab->per_page || !slab->empty_count)) return false;
    list_remove(&page->link);
    unpoison(page, SLAB_PAGE_BYTES);
    if (!mapping_free(page, SLAB_PAGE_BYTES)) {
        for (uint32_t i = 0; i < slab->per_page; i++) poison(place(page, slab, i), slab->object_size);
        list_push_front(&slab->empty, &page->link);
        return false;
    }
    if (next) next->previous = previous;
    *(previous ? &previous->next : &slab->pages) = next;
    count_add(&slab->page_count, -1);
    slab->empty_count--;
    slab->pool->idle_bytes -= room(slab);
    budget_give(slab->pool->budget, SLAB_PAGE_BYTES);
    return true;
}

/* Those that were empty for the longest time first. */
static void keep_at_most(struct slab *slab, uint32_t count)
{
    while (slab->empty_count > count)
        if (!drop_page(slab, container_of(slab->empty.prev, struct slab_page, link))) return;
}

void slab_trim(struct slab *slab)
{
    keep_at_most(slab, 0);
}

uint64_t slab_drawn(const struct slab *slab)
{
    return (uint64_t)count_get(&slab->page_count) * SLAB_PAGE_BYTES; /* others may look */
}

/* By what each page says that it has: not by what is counted as live. */
uint64_t slab_idle(const struct slab *slab)
{
    uint64_t places = 0;
    for (const struct slab_page *page = slab->pages; page; page = page->next) places += page->free_count;
    return places * slab->object_size;
}

void slab_fini(struct slab *slab)
{
    (void)bug_if(SLAB, slab->live); /* what lives keeps its page */
    slab_trim(slab);
    list_remove(&slab->link);
}

static struct slab_page *page_with_room(struct slab *slab)
{
    if (!list_is_empty(&slab->with_room)) return container_of(slab->with_room.next, struct slab_page, link);
    if (!list_is_empty(&slab->empty)) return container_of(slab->empty.next, struct slab_page, link);
    return add_page(slab);
}

void *slab_get(struct slab *slab)
{
    struct slab_page *page = page_with_room(slab);
    /* A list that leads out of the page was written over by who had put his place back. */
    if (!page || bug_if(SLAB, !page->free_count || page_of(page->idle) != page)) return NULL;
    if (page->free_count == slab->per_page) {
        list_remove(&page->link);
        slab->empty_count--;
        list_push_front(&slab->with_room, &page->link);
    }
    if (--page->free_count == 0) list_remove(&page->link);
    void **object = page->idle;
    unpoison(object, slab->object_size);
    page->idle = *object;
    slab->pool->idle_bytes -= slab->object_size;
    count_add(&slab->live, 1);
    memset(object, 0, slab->object_size);
    return object;
}

void slab_put(struct slab *slab, void *object)
{
    struct slab_page *page = page_of(object);
    /* Twice: handed out twice, it would be two exchanges in one. Lost it is only memory. */
    if (bug_if(SLAB, !slab->live || page->free_count == slab->per_page)) return;
    count_add(&slab->live, -1);
    *(void **)object = page->idle;
    page->idle = object;
    poison(object, slab->object_size);
    slab->pool->idle_bytes += slab->object_size;
    if (page->free_count++ == 0) list_push_front(&slab->with_room, &page->link);
    if (page->free_count < slab->per_page) return;
    list_remove(&page->link);
    list_push_front(&slab->empty, &page->link);
    slab->empty_count++;
    /* One in any case: an object that comes and goes at the edge of a page must not call the system each time. */
    uint64_t keep = block_pool_keep_bytes(slab->pool) / SLAB_PAGE_BYTES;
    keep_at_most(slab, keep ? (uint32_t)keep : 1);
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
