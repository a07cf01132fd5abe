/* control/traffic_watch.h: looks each second at what workers have counted of listeners, routes, pools and servers, and keeps it
 * (metric/history.h). What it looks at is there anyway: no request costs more for it. It goes through thousands of servers
 * in pieces, so that the control thread stays free for others. Control thread. */
#pragma once

#include "metric/history.h"
#include "proxy/proxy.h"

struct traffic_watch;

/* Both are borrowed. memory_max: bytes that it may keep. */
MUST_CHECK int traffic_watch_new(struct traffic_watch **out, struct proxy *proxy, struct loop *loop,
                                 size_t memory_max, struct err *err);
/* Looks no more. NULL is fine, as for the next. */
void traffic_watch_stop(struct traffic_watch *w);
void traffic_watch_free(struct traffic_watch *w);
const struct history *traffic_watch_history(const struct traffic_watch *w); /* NULL of NULL */
