/* observe/proc_file.h: a small file of /proc or of a cgroup as a text. */
#pragma once

#include <stddef.h>

#include "base/slice.h"

/* The first `cap` bytes of a file below an open directory (AT_FDCWD for a whole path), in `memory`. 0, or an errno. */
int proc_file_load(int directory, const char *path, char *memory, size_t cap, struct slice *out);
