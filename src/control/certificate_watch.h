/* control/certificate_watch.h: says in the log which certificates of the configuration in force end soon, have ended, or are
 * not valid yet: at the start, after each change, and twice a day. Control thread. */
#pragma once

#include "net/loop.h"
#include "proxy/proxy.h"

struct certificate_watch {
    struct loop *loop;
    const struct proxy *proxy;
    struct timer timer;
};

void certificate_watch_init(struct certificate_watch *w, struct loop *loop, const struct proxy *proxy);
/* Looks now. */
void certificate_watch_look(struct certificate_watch *w);
/* Looks no more. */
void certificate_watch_stop(struct certificate_watch *w);
