/* proxy/mirror_route.h: what copies of a route's requests go by: where to, and what is counted of them. Part of a site. The copies:
 * proxy/mirror.h. */
#pragma once

#include <stdint.h>

#include "base/end_reason.h"
#include "base/err.h"

struct roster;
struct route_mirror_conf;
struct site;

/* What a route's mirror is at run time. Immutable but for the counters. */
struct mirror_route {
    const struct route_mirror_conf *conf;
    struct roster *pool;
    _Atomic uint32_t in_flight;            /* of all workers */
    uint32_t meter_ends[END_REASON_COUNT]; /* how copies ended; those that were not begun too */
    uint32_t meter_skipped_body, meter_skipped_busy, meter_skipped_unfinished;
    uint32_t meter_same, meter_differs; /* status, of those that both have one */
    uint32_t meter_copy_seconds, meter_original_seconds;
};

MUST_CHECK int mirror_route_new(struct mirror_route **out, struct site *site, const char *listener,
                                const char *route, const struct route_mirror_conf *conf, struct err *err);
void mirror_route_free(struct mirror_route *m); /* NULL is fine */
