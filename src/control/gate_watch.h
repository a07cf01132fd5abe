/* control/gate_watch.h: the files that say who may pass, of the configuration in force, while they change: the gates' address
 * blocks, users, keys. They are read on the jobs' thread, and asked from then on; connections and requests go on meanwhile. A
 * file with a mistake is said, and what was there before stays. Keys that somebody publishes are fetched (auth/key_fetcher.h). Control thread. */
#pragma once

#include "control/config.h"
#include "net/jobs.h"
#include "proxy/proxy.h"

struct gate_watch;

/* All are borrowed. */
MUST_CHECK int gate_watch_new(struct gate_watch **out, struct loop *loop, struct jobs *jobs,
                              struct proxy *proxy, struct err *err);
/* Another configuration is in force; borrowed until the next. */
void gate_watch_use(struct gate_watch *w, const struct config *config);
/* Looks no more; before jobs_stop(). */
void gate_watch_stop(struct gate_watch *w);
/* After that: whether nobody is left who fetches keys, within `wait_ms`. */
MUST_CHECK bool gate_watch_await_end(struct gate_watch *w, uint32_t wait_ms);
/* No worker runs any more, or none ever did. NULL is fine, for all three. */
void gate_watch_free(struct gate_watch *w);
