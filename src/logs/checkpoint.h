/* logs/checkpoint.h: a small file that is either as it was or as it is to be, whenever the machine stops. Blocks: for the
 * jobs thread or a source's own. */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

/* Writes <path>.new, syncs it, renames it over `path`, syncs the directory. */
MUST_CHECK int checkpoint_write(const char *path, struct slice bytes, struct err *err);
/* All of it, at most `max` bytes, terminated, for the caller to free. No such file: 0, and *out is NULL. */
MUST_CHECK int checkpoint_read(const char *path, size_t max, char **out, size_t *len, struct err *err);
