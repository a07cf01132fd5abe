/* crash/core_write.h: a core file of a process that is held (stopped.h), as the kernel would write it: gdb opens it. */
#pragma once

#include "crash/stopped.h"

/* What the process has left out of core files (MADV_DONTDUMP) is left out here as well, and so is what is in files. `fd`
 * is an empty file, in which holes stand for memory that was never touched. Returns its size in *bytes. */
MUST_CHECK int core_write(const struct stopped *s, int fd, uint64_t *bytes, struct err *err);
/* How much memory of the process it would copy, at most. */
uint64_t core_write_size(const struct stopped *s);
