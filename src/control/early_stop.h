/* control/early_stop.h: SIGTERM and SIGINT while weir starts and waits for something: they are obeyed at once, also by the first
 * process of a container, for which the kernel does nothing that it does not do itself (pid_namespaces(7)). Control thread. */
#pragma once

#include "net/loop.h"

struct early_stop {
    struct loop_fd io;
    bool is_asked;
};

/* Both signals are blocked from now on, and stay so: those that come later are for whoever reads them next. */
MUST_CHECK int early_stop_open(struct early_stop *e, struct loop *l, struct err *err);
void early_stop_close(struct early_stop *e, struct loop *l);
