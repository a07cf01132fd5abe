/* perf/mapping.h: another process's mappings, out of /proc/PID/smaps (proc(5)). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct mapping {
    uint64_t start, end, offset;
    bool can_read, can_write, can_execute, is_shared;
    bool is_file;     /* of a file system, with a path that begins with / */
    bool has_own;     /* private pages of its own: anonymous, or a file's that were written to */
    bool is_left_out; /* of core files: MADV_DONTDUMP, or a device's memory */
    char path[256];   /* cut; "[stack]", "[vdso]", empty */
};

struct mappings {
    struct mapping *items; /* by address */
    uint32_t count, room;
    char *maps; /* /proc/PID/maps as it was just before: whether it still holds */
};

/* -1: there is no such process, or it is another user's. */
MUST_CHECK int mappings_read(struct mappings *m, int32_t pid, struct err *err);
/* Whether the process has mapped or unmapped anything since. */
bool mappings_are_current(const struct mappings *m, int32_t pid);
/* From the text of an smaps file; for tests. */
MUST_CHECK int mappings_parse(struct mappings *m, struct slice smaps, struct err *err);
void mappings_fini(struct mappings *m);
