/* observe/cgroup.h: a group of processes of cgroup v2: what it uses (the kernel's
 * Documentation/admin-guide/cgroup-v2.rst). On hosts that still have the controllers of v1 the v2 tree has groups and CPU
 * time but no memory, I/O or process figures: those are noted as missing. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "observe/notes.h"
#include "observe/pressure.h"

#define CGROUP_UNLIMITED UINT64_MAX

enum cgroup_known {
    CGROUP_KNOWS_CPU = 1u << 0,
    CGROUP_KNOWS_MEMORY = 1u << 1,
    CGROUP_KNOWS_IO = 1u << 2,
    CGROUP_KNOWS_TASKS = 1u << 3,
};

struct cgroup_cpu {
    uint64_t usage_ns, user_ns, system_ns;
    uint64_t periods, throttled_periods, throttled_ns; /* of cpu.max */
};

struct cgroup_memory {
    uint64_t current_bytes, peak_bytes, limit_bytes; /* limit: CGROUP_UNLIMITED; peak 0: not known */
    uint64_t anonymous_bytes, file_bytes, shared_bytes, kernel_bytes, socket_bytes, slab_bytes;
    uint64_t minor_and_major_faults, major_faults;
    uint64_t high_events, limit_events, oom_events, oom_kills; /* memory.events */
};

struct cgroup_io {
    uint64_t read_bytes, write_bytes, reads, writes; /* of all devices */
};

struct cgroup_sample {
    uint64_t time_ns; /* CLOCK_MONOTONIC */
    uint32_t known;   /* enum cgroup_known; what is not among them stands as 0 */
    struct cgroup_cpu cpu;
    struct cgroup_memory memory;
    struct cgroup_io io;
    uint64_t task_count, task_limit;
    struct pressure_set pressure;
};

/* The group in the directory `path`. What is missing is noted; an error: there is no such group. */
MUST_CHECK int cgroup_read(const char *path, struct cgroup_sample *out, struct notes *notes, struct err *err);

/* Pure. One line of io.stat, a device, added to `sum`. */
bool cgroup_io_parse(struct slice line, struct cgroup_io *sum);
