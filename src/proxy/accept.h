/* proxy/accept.h: a listener on a worker: takes connections, asks the gate, and starts the protocol. */
#pragma once

#include "proxy/worker.h"

MUST_CHECK int accept_open(struct listener_worker *lw, struct worker *w, struct listener *l, struct err *err);
