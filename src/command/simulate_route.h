/* command/simulate_route.h: a log's record as the request that it was, as far as the record tells: its key, and whether a
 * configuration's routes send it to a pool. One thread. */
#pragma once

#include "logs/entry.h"
#include "proxy/proxy.h"

struct simulate_route {
    const struct route_set *listener; /* NULL: routes are not asked */
    const struct pool *pool;
    struct route_scratch *scratch;
    char *canonical; /* memory of a request's path */
};

/* `listener`: NULL: the first that speaks HTTP; if there is none, every request goes to the pool. */
MUST_CHECK int simulate_route_open(struct simulate_route *r, const struct proxy *p, const struct pool *pool,
                                   const char *listener, struct err *err);
void simulate_route_close(struct simulate_route *r);
/* Sets *hash too, by the pool's key, or by the client where its method has none. */
bool simulate_route_takes(const struct simulate_route *r, const struct log_entry *e, uint64_t *hash);
