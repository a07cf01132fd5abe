/* control/hardening.h: what weir gives up for good before it serves anybody (self/system_calls.h, self/landlock.h), as its configuration
 * says, and what is said of it. Control thread, but for hardening_check(). */
#pragma once

#include "control/config.h"
#include "net/loop.h"
#include "proxy/proxy.h"

/* Before there is a second thread, by the configuration that weir begins with. What this kernel does not do is said, and weir goes on. */
void hardening_begin(const struct config *c);
/* -1: `c` has weir write where it cannot any more, and err says what helps. Asks the file system; any thread. */
MUST_CHECK int hardening_check(const struct config *c, struct err *err);

/* Says which system calls were refused. */
struct hardening_watch {
    struct loop_fd fd; /* first */
};
MUST_CHECK int hardening_watch_open(struct hardening_watch *w, struct proxy *proxy, struct loop *loop,
                                    struct err *err);
void hardening_watch_close(struct hardening_watch *w, struct loop *loop);
