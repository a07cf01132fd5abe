/* control/certificate_watch.h: the certificates of the configuration in force, while their files change: what is new in them is
 * served from the next handshake on, and what has a mistake is said, while the one before stays. Also says which end soon,
 * have ended, or are not valid yet: at the start, after each change, and twice a day. Control thread. */
#pragma once

#include "admin/certifier.h"
#include "control/config.h"
#include "net/jobs.h"
#include "proxy/proxy.h"

struct certificate_watch;

/* All are borrowed. */
MUST_CHECK int certificate_watch_new(struct certificate_watch **out, struct loop *loop, struct jobs *jobs,
                                     struct proxy *proxy, struct err *err);
/* Another configuration is in force; borrowed until the next. */
void certificate_watch_use(struct certificate_watch *w, const struct config *config);
struct certifier *certificate_watch_certifier(struct certificate_watch *w);
/* Nothing is asked of a CA any more: weir stops, or another goes on in its place. */
void certificate_watch_order_none(struct certificate_watch *w);
/* Looks no more; before jobs_stop(). */
void certificate_watch_stop(struct certificate_watch *w);
/* After that: whether nobody is left who asks a CA, within `wait_ms`. */
MUST_CHECK bool certificate_watch_await_end(struct certificate_watch *w, uint32_t wait_ms);
/* NULL is fine, for all three. */
void certificate_watch_free(struct certificate_watch *w);
