/* pool/upstream_kind.h: what a connection to a server can speak: a file each. For upstream_connect(). */
#pragma once

#include "pool/upstream.h"

/* Begins to connect, in zeroed memory whose `base` is filled in: sets base.ops, transport and timer. -1: the transport says
 * why, and the memory is buried. */
MUST_CHECK int upstream_h1_begin(struct upstream *u, const struct pool_target *target);
MUST_CHECK int upstream_h2_begin(struct upstream *u, const struct pool_target *target);
/* One that speaks HTTP/1, over the transport of `from`, which is open. NULL: out of memory, or no descriptor; then it is closed. */
struct upstream *upstream_h1_take_over(const struct upstream *from);
/* Of that memory. */
size_t upstream_h1_size(bool has_target);
size_t upstream_h2_size(void);
