/* proxy/accept.h: a listener on a worker: takes connections, asks the gate, and starts the protocol. */
#pragma once

#include "proxy/worker.h"

/* Takes over what its route set says to connections, those that are open too. */
void accept_use(struct listener_worker *lw);
/* Accepts at `fd` (taken, also where it fails), besides those that it accepts at already. */
MUST_CHECK int accept_open(struct listener_worker *lw, int fd, struct err *err);
