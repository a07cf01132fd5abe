/* control/split_watch.h: looks at the guards of splits, one after the other, and lets them move (proxy/split_steering.h). What they
 * have done, and people, is kept in the folder of `state:`, so that a restart neither begins a ramp anew nor undoes a
 * rollback; it holds as long as the configuration deals the split's units as it did. Control thread. */
#pragma once

#include "proxy/proxy.h"

struct jobs;
struct split_watch;

/* All are borrowed. `folder`: what was kept there is taken up again; -1: nothing is kept. */
MUST_CHECK int split_watch_new(struct split_watch **out, struct proxy *proxy, struct loop *loop,
                               struct jobs *jobs, int folder, struct err *err);
/* The folder is this process's own from now on: it writes there. `is_new`: another process wrote there until now, which is
 * taken up. */
void split_watch_own(struct split_watch *w, int folder, bool is_new);
/* Another configuration is in force. */
void split_watch_follow(struct split_watch *w);
/* Looks no more, and keeps what was not kept yet: then the folder may be another process's. NULL is fine, as for the next. */
void split_watch_stop(struct split_watch *w);
void split_watch_free(struct split_watch *w);
