/* proxy/introduction.h: a connection whose first bytes say who the client is (net/proxy_protocol.h). Until they are read it is
 * nobody's: it counts as a connection, holds no more than its descriptor, and has as long as a request's head may take. Then it
 * is accepted as if that client had connected, counted anew; or it is closed, and counted with the reason. One worker's thread. */
#pragma once

#include "proxy/worker.h"

struct introduction {
    struct transport transport; /* first */
    struct timer timer;
    struct list link; /* of the listener's */
    struct loop_grave grave;
    struct listener_worker *listener;
    struct address peer;
};

/* Takes `fd`, of a connection that is counted already, for worker_client_closed(); may end within the call. */
void introduction_start(struct listener_worker *lw, int fd, const struct address *peer);
void introduction_kill_all(struct listener_worker *lw, enum end_reason reason);
