/* logs/rotation.h: the names that log rotation gives: access.log.1, access.log-20261123, access-20261123.log,
 * access.log.old. Pure. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"

#define ROTATION_NAME_MAX 255u

/* The name that a rotated file had when it was written: without the number, date or word that rotation added. A
 * name that looks like no rotated one is returned as it is. `out` is terminated. False if the name is longer than
 * ROTATION_NAME_MAX. */
MUST_CHECK bool rotation_base(struct slice name, char out[ROTATION_NAME_MAX + 1]);
/* By its name: .gz, .zst, .bz2, .xz, .lz4: what was in it has been read from the file that it was made of. */
bool rotation_is_packed(struct slice name);
