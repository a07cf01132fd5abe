/* base/count.h: a number that one thread changes and others may look at. */
#pragma once

#include <stdint.h>

static inline void count_add(uint32_t *counter, int32_t change)
{
    uint32_t now = __atomic_load_n(counter, __ATOMIC_RELAXED);
    __atomic_store_n(counter, now + (uint32_t)change, __ATOMIC_RELAXED);
}

static inline uint32_t count_get(const uint32_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}
