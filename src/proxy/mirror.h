/* proxy/mirror.h: copies of requests that go to another pool as well: fire and forget. A copy begins when the whole
 * original request is with its server; nobody waits for it, it is never retried or queued, and what it cannot have
 * at once (a server under its cap, memory, room for its body) it does without: then it is counted and dropped. Its
 * answer is read, thrown away, and compared with the original's by status and time. */
#pragma once

#include "proxy/exchange.h"

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

/* Draws whether this exchange is copied; sets x->mirror if it is. Its head is complete, and its route has a mirror. */
void mirror_begin(struct exchange *x);
/* Body bytes as the original's server takes them. */
void mirror_body(struct mirror *m, const char *data, size_t len);
/* The original is with its server as a whole: the copy goes. Again for each of its attempts: once. */
void mirror_request_ended(struct mirror *m);
/* The exchange ends; takes x->mirror from it. */
void mirror_original_ended(struct exchange *x);
/* Ends all of a worker's copies at once. */
void mirror_kill_all(struct worker *w);
/* What the worker's copies hold, one after the other. */
struct mirror_reach {
    const struct block *arena, *body; /* a chain; a block or NULL */
    const struct timer *timer;
    const struct attempt *attempt; /* its stream is NULL: not sent, or over */
    struct pool_view *view;        /* NULL: it has none yet, or any more */
    struct site_view *site;
};
void mirror_reach(const struct worker *w, void (*on_mirror)(void *context, const struct mirror_reach *m),
                  void *context);
