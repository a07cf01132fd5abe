#include "base/block_chunk.h"

#include <sys/mman.h>

#include "base/bug.h"
#include "base/mapping.h"
#include "base/poison.h"

#define CHUNK_BYTES ((size_t)1 << 20)
#define HEADER_BYTES ((size_t)4096)
#define BLOCKS_MAX 255u
#define WORDS (BLOCKS_MAX / 64 + 1)

/* At the start of its mapping, which is aligned to its size: a block's chunk is found from its address. */
struct block_chunk {
    struct list link;  /* among the pool's chunks with room */
    struct list stale; /* pool->stale, if there is one that is */
    uint32_t size_class, block_count, free_count;
    uint64_t is_free[WORDS], is_stale[WORDS]; /* the latter: the system does not know it */
};

static struct block_chunk *chunk_of(const struct block *b)
{
    return (struct block_chunk *)((uintptr_t)b & ~(uintptr_t)(CHUNK_BYTES - 1));
}

static struct block *block_at(struct block_chunk *c, uint32_t index)
{
    return (struct block *)(void *)((char *)c + HEADER_BYTES + ((size_t)index * BLOCK_MIN << c->size_class));
}

static uint32_t index_of(const struct block_chunk *c, const struct block *b)
{
    size_t offset = (size_t)((const char *)b - (const char *)c) - HEADER_BYTES;
    return (uint32_t)(offset / ((size_t)BLOCK_MIN << c->size_class));
}

static struct block_chunk *chunk_new(struct block_pool *pool, uint32_t size_class)
{
    struct block_chunk *c = mapping_new(CHUNK_BYTES);
    if (!c) return NULL;
    madvise(c, CHUNK_BYTES, MADV_NOHUGEPAGE); /* a block must not cost 2 MiB */
    if (!pool->budget->is_dumped) madvise(c, CHUNK_BYTES, MADV_DONTDUMP);
    list_init(&c->stale);
    c->size_class = size_class;
    c->block_count = c->free_count = (uint32_t)((CHUNK_BYTES - HEADER_BYTES) /
                                                ((size_t)BLOCK_MIN << size_class));
    for (uint32_t i = 0; i < c->block_count; i++) c->is_free[i / 64] |= UINT64_C(1) << i % 64;
    poison((char *)c + HEADER_BYTES, CHUNK_BYTES - HEADER_BYTES);
    list_push_front(&pool->chunks[size_class], &c->link);
    return c;
}

struct block *block_chunk_take(struct block_pool *pool, uint32_t size_class)
{
    struct list *with_room = &pool->chunks[size_class];
    struct block_chunk *c = list_is_empty(with_room)
                                ? chunk_new(pool, size_class)
                                : container_of(with_room->next, struct block_chunk, link);
    if (!c) return NULL;
    uint32_t word = 0;
    while (word < WORDS && !c->is_free[word]) word++;
    if (bug_if(BLOCK, word == WORDS || !c->free_count)) return NULL; /* it is among those with room */
    uint32_t index = word * 64 + (uint32_t)__builtin_ctzll(c->is_free[word]);
    c->is_free[word] &= c->is_free[word] - 1;
    if (--c->free_count == 0) list_remove(&c->link);
    unpoison(block_at(c, index), (size_t)BLOCK_MIN << size_class);
    return block_at(c, index);
}

static bool has_bit(const uint64_t *words, uint32_t index)
{
    return words[index / 64] >> index % 64 & 1;
}

void block_chunk_give(struct block_pool *pool, struct block *b)
{
    struct block_chunk *c = chunk_of(b);
    uint32_t index = index_of(c, b);
    /* Twice, or none of it: its memory may be somebody else's by now. */
    if (bug_if(BLOCK, index >= c->block_count || has_bit(c->is_free, index))) return;
    c->is_free[index / 64] |= UINT64_C(1) << index % 64;
    c->is_stale[index / 64] |= UINT64_C(1) << index % 64;
    if (c->free_count++ == 0) list_push_front(&pool->chunks[c->size_class], &c->link);
    if (list_is_empty(&c->stale)) list_push_front(&pool->stale, &c->stale);
}

/* Tells the system of a stretch from `first` on. The first block behind it. */
static uint32_t tell_stretch(struct block_chunk *c, uint32_t first)
{
    uint32_t end = first;
    for (; end < c->block_count && has_bit(c->is_stale, end); end++)
        c->is_stale[end / 64] &= ~(UINT64_C(1) << end % 64);
    size_t bytes = (size_t)(end - first) * (BLOCK_MIN << c->size_class);
    madvise(block_at(c, first), bytes, MADV_DONTNEED);
    poison(block_at(c, first), bytes);
    return end;
}

static bool unmap(struct block_chunk *c)
{
    list_remove(&c->link);
    unpoison(c, CHUNK_BYTES);
    return mapping_free(c, CHUNK_BYTES);
}

void block_chunks_settle(struct block_pool *pool)
{
    struct list *at;
    while ((at = list_pop_front(&pool->stale))) {
        struct block_chunk *c = container_of(at, struct block_chunk, stale);
        struct list *with_room = &pool->chunks[c->size_class];
        if (c->free_count == c->block_count) {
            if (unmap(c)) continue;
            poison((char *)c + HEADER_BYTES, CHUNK_BYTES - HEADER_BYTES);
            list_push_front(with_room, &c->link);
        }
        for (uint32_t i = 0; i < c->block_count;) i = has_bit(c->is_stale, i) ? tell_stretch(c, i) : i + 1;
    }
}
