/* observe/cgroup_pids.h: the processes of a cgroup and of all below it: cgroup.procs. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "observe/notes.h"

#define CGROUP_PIDS_MAX 65536u

struct cgroup_pids {
    int32_t *pids; /* owned; upwards, each once */
    uint32_t count, cap;
};

void cgroup_pids_fini(struct cgroup_pids *p);
/* All processes of the group and of those below it; `out` is all 0 at first. At most CGROUP_PIDS_MAX. */
MUST_CHECK int cgroup_pids_read(const char *path, struct cgroup_pids *out, struct notes *notes,
                                struct err *err);
