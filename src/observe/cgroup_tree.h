/* observe/cgroup_tree.h: walking a tree of cgroups, a directory at a time. One thread. */
#pragma once

#include <stdbool.h>

#include "observe/cgroup_place.h"

#define CGROUP_DEPTH_MAX 32u
#define CGROUP_VISITS_MAX 65536u

struct cgroup_visitor {
    /* `path`: of the group; `name`: its last part. False: enough. */
    bool (*visit)(void *context, const char *path, const char *name);
    void *context;
};

enum cgroup_walk {
    CGROUP_WALK_DONE,
    CGROUP_WALK_STOPPED, /* by visit() */
    CGROUP_WALK_CUT,     /* deeper or larger than the bounds: not all was seen */
    CGROUP_WALK_FAILED,  /* `path` cannot be opened: errno */
};

/* `path` itself first, then what is below it. */
enum cgroup_walk cgroup_walk(const char *path, const struct cgroup_visitor *visitor);
