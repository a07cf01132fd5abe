/* crash/stopped.h: a living process, held still for as long as somebody looks at it (ptrace(2), PTRACE_SEIZE): no
 * signal is sent to it or taken from it, and it goes on as if nothing had been. Asks for the same user, or CAP_SYS_PTRACE. */
#pragma once

#include "observe/vm_area.h"
#include "stack/image.h"

struct stopped {
    struct image image; /* memory is read from the process itself */
    struct vm_areas areas;
    uint64_t stopped_ns; /* of the monotonic clock; 0: it is not stopped */
    uint64_t held_ns;    /* for how long it was, after stopped_resume() */
};

/* Stops every thread and reads registers and mappings. -1: nothing is stopped. */
MUST_CHECK int stopped_hold(struct stopped *s, int32_t pid, struct err *err);
/* Lets it go on; what was read stays, but for its memory. */
void stopped_resume(struct stopped *s);
/* After resuming it if it is still held. */
void stopped_fini(struct stopped *s);
