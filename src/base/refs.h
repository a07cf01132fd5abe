/* base/refs.h: references to an object that several threads hold. The last who puts his back frees it. */
#pragma once

#include <stdatomic.h>

#include "base/bug.h"

/* One more, taken from one that the caller has. Of an object that nobody holds it is a bug: it is freed already. */
#define refs_get(place, refs) \
    ((void)bug_if(place, !atomic_fetch_add_explicit((refs), 1, memory_order_relaxed)))

/* One less; true: it was the last. Whoever puts back what he does not have would free the object under somebody else: that is a
 * bug, and the object is leaked. */
#define refs_put(place, refs)                                                              \
    ({                                                                                     \
        uint32_t refs_before = atomic_fetch_sub_explicit((refs), 1, memory_order_acq_rel); \
        !bug_if(place, !refs_before) && refs_before == 1;                                  \
    })
