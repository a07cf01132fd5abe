/* base/count.h: a number that one thread changes and others may look at. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/bug.h"

static inline void count_add(uint32_t *counter, int32_t change)
{
    uint32_t now = __atomic_load_n(counter, __ATOMIC_RELAXED);
    __atomic_store_n(counter, now + (uint32_t)change, __ATOMIC_RELAXED);
}

static inline uint32_t count_get(const uint32_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* One more of what this thread alone changes. */
static inline void count_own(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* One less of what was counted before. Never below none, which would be more than any limit allows, for ever. */
#define count_less(place, counter)                                         \
    do {                                                                   \
        if (!bug_if(place, !count_get(counter))) count_add((counter), -1); \
    } while (0)

/* The same of a number that several threads change. */
#define count_less_shared(place, counter)                                                   \
    do {                                                                                    \
        if (bug_if(place, !atomic_fetch_sub((counter), 1))) atomic_fetch_add((counter), 1); \
    } while (0)
