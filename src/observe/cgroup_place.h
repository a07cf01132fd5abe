/* observe/cgroup_place.h: where cgroup v2 is, and the groups in it (cgroups(7)). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

#define CGROUP_PATH_MAX 1024u

/* Where cgroup v2 is mounted, out of PROC_ROOT/self/mountinfo: on hybrid hosts /sys/fs/cgroup/unified. `proc_root`: NULL
 * for "/proc". */
MUST_CHECK int cgroup_find_mount(const char *proc_root, char out[CGROUP_PATH_MAX], struct err *err);

/* Pure. The mount point in one line of mountinfo, its escapes undone; false: not of cgroup v2. */
bool cgroup_mount_parse(struct slice line, char out[CGROUP_PATH_MAX]);
