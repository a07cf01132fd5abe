/* command/perf_unit.h: the systemd unit that `weir perf --unit` watches: whom it has, what systemd says of it, what its cgroup
 * has used. One thread; blocks while systemctl answers. */
#pragma once

#include "command/perf_tables.h"
#include "observe/cgroup.h"
#include "observe/cgroup_pids.h"
#include "observe/unit.h"

struct perf_unit {
    struct unit unit;
    struct cgroup_sample first, latest;
    uint64_t restarts; /* when it was found */
    bool is_gone;      /* its cgroup is not there any more */
    struct notes notes;
};

MUST_CHECK int perf_unit_open(struct perf_unit *u, const char *name, struct err *err);
/* Its processes; `pids` is all 0 at first and the caller's to cgroup_pids_fini(). */
MUST_CHECK int perf_unit_pids(struct perf_unit *u, struct cgroup_pids *pids, struct err *err);
/* Once a second. */
void perf_unit_look(struct perf_unit *u);
/* At the end: what systemd says now. */
void perf_unit_look_closely(struct perf_unit *u);
/* "active (running), 1 restart since we look" */
void perf_unit_describe(const struct perf_unit *u, char *out, size_t size);
void perf_unit_add_table(const struct perf_unit *u, struct perf_tables *t);
