/* profile/heap.h: memory by who took it: one allocation for each HEAP_PERIOD_BYTES on average is noted with its stack, chosen
 * at random in proportion to its size, as Go's and tcmalloc's profilers do. weir's own malloc() and its kin (heap_malloc.c)
 * call this; between samples that costs a subtraction. Any thread. Not in sanitized builds, which have an allocator of
 * their own. */
#pragma once

#include "base/err.h"
#include "profile/profile.h"

#define HEAP_PERIOD_BYTES (512u << 10)

bool heap_is_sampled(void);

/* alloc_objects, alloc_space, inuse_objects, inuse_space of each stack, scaled from what was sampled. `shows_allocs`: the
 * first two are shown first. The caller frees *out. */
MUST_CHECK int heap_profile(struct profile **out, bool shows_allocs, struct err *err);

/* Estimates of the bytes in use by place of the stacks' table, whose places stay: for a later heap_grown(). How many. */
#define HEAP_SITES_MAX 8192u
uint32_t heap_in_use(uint64_t bytes[HEAP_SITES_MAX]);
/* By how much each stack's bytes in use have grown since: one value, inuse_space; those that have not are left out. The
 * caller frees *out. */
MUST_CHECK int heap_grown(const uint64_t *since, uint32_t count, struct profile **out, struct err *err);

/* The allocator's side. */
extern __thread int64_t heap_left_bytes; /* until the next sample */
void heap_on_sample(void *allocated, size_t size);
extern uint8_t heap_marks[];
#define HEAP_MARKS 65536u
static inline uint32_t heap_mark_of(const void *p)
{
    return (uint32_t)(((uintptr_t)p >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 48);
}
void heap_on_free(const void *freed);
