/* proxy/mirror.h: copies of requests that go to another pool as well: fire and forget. A copy begins when the whole
 * original request is with its server; nobody waits for it, it is never retried or queued, and what it cannot have
 * at once (a server under its cap, memory, room for its body) it does without: then it is counted and dropped. Its
 * answer is read, thrown away, and compared with the original's by status and time. */
#pragma once

#include "proxy/exchange.h"
#include "proxy/mirror_route.h"

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
