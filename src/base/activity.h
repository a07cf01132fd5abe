/* base/activity.h: what a thread is doing right now, for profiles: a few words that it writes at each change and that a
 * sampler reads. They lie on the thread's own stack, so that a copy of its stack has them as of that very moment. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

struct activity {
    _Atomic uint32_t listener, pool; /* ids of names; 0: none */
    _Atomic uint32_t phase;          /* the owner's number; 0: none */
    _Atomic uint32_t worker;         /* its number, from 1; 0: no worker */
};

static inline void activity_set(struct activity *a, uint32_t listener, uint32_t pool, uint32_t phase)
{
    atomic_store_explicit(&a->listener, listener, memory_order_relaxed);
    atomic_store_explicit(&a->pool, pool, memory_order_relaxed);
    atomic_store_explicit(&a->phase, phase, memory_order_relaxed);
}
