/* observe/process_limits.h: the resource limits of a process that matter to servers: /proc/PID/limits (getrlimit(2)). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define PROCESS_UNLIMITED UINT64_MAX

struct process_limit {
    uint64_t soft, hard; /* PROCESS_UNLIMITED */
};

struct process_limits {
    struct process_limit files, processes, core_bytes, address_space_bytes, locked_bytes, stack_bytes;
};

/* Pure. False: a limit is missing. */
bool process_limits_parse(struct slice text, struct process_limits *out);
