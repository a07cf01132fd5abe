/* proxy/accept.h: a listener on a worker: takes connections, asks the gate, and starts the protocol. */
#pragma once

#include "proxy/worker.h"

/* Takes over what its route set says to connections, those that are open too. */
void accept_use(struct listener_worker *lw);
/* Goes on with `fd`, which is taken, also where it fails. */
MUST_CHECK int accept_open(struct listener_worker *lw, int fd, struct err *err);
