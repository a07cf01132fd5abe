/* observe/vm_area.h: another process's mappings, out of /proc/PID/smaps (proc(5)). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct vm_area {
    uint64_t start, end, offset;
    bool can_read, can_write, can_execute, is_shared;
    bool is_file;     /* of a file system, with a path that begins with / */
    bool has_own;     /* private pages of its own: anonymous, or a file's that were written to */
    bool is_left_out; /* of core files: MADV_DONTDUMP, or a device's memory */
    char path[256];   /* cut; "[stack]", "[vdso]", empty */
};

struct vm_areas {
    struct vm_area *items; /* by address */
    uint32_t count, room;
    char *maps; /* /proc/PID/maps as it was just before: whether it still holds */
};

/* -1: there is no such process, or it is another user's. */
MUST_CHECK int vm_areas_read(struct vm_areas *m, int32_t pid, struct err *err);
/* Whether the process has mapped or unmapped anything since. */
bool vm_areas_are_current(const struct vm_areas *m, int32_t pid);
/* From the text of an smaps file; for tests. */
MUST_CHECK int vm_areas_parse(struct vm_areas *m, struct slice smaps, struct err *err);
void vm_areas_fini(struct vm_areas *m);
