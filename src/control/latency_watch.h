/* control/latency_watch.h: keeps up with how long servers take to begin their answers, in pools where somebody goes by it
 * (pool/latency.h): once a second, in pieces, so that the control thread stays free for others. Control thread. */
#pragma once

#include "proxy/proxy.h"

struct latency_watch;

/* Both are borrowed. */
MUST_CHECK int latency_watch_new(struct latency_watch **out, struct proxy *proxy, struct loop *loop,
                                 struct err *err);
/* Looks no more. NULL is fine, as for the next. */
void latency_watch_stop(struct latency_watch *w);
void latency_watch_free(struct latency_watch *w);
