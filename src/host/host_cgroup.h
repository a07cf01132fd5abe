/* host/host_cgroup.h: the control groups that this process is in, for one controller, from its own up to
 * the highest that can be seen: each may have a limit, and the tightest holds. cgroup v2, v1 and the
 * hybrid of both. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "host/host_file.h"

struct host_cgroup {
    bool is_v2;
    size_t mount_len;         /* of `path`: where the hierarchy is mounted */
    char path[HOST_PATH_MAX]; /* below the root of the host */
};

/* The process's own group; false if there is none for `controller` ("cpu", "memory"). */
bool host_cgroup_find(const char *root, const char *controller, struct host_cgroup *out);
/* On to the parent; false at the top. */
bool host_cgroup_up(struct host_cgroup *g);
/* The text of a file in the group: at most size - 1 bytes; false if it cannot be read. */
bool host_cgroup_read(const char *root, const struct host_cgroup *g, const char *file, char *out,
                      size_t size);
