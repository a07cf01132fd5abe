/* observe/command_output.h: what another program writes, within a time and a size. Blocks: never on an event loop. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

/* Runs argv[0], found in PATH unless it is a path, in the locale C with nothing to read. What it writes to its standard
 * output goes into `memory`; what does not fit is not read. After limit_ms it is killed, which is an error, as is a status
 * other than 0. */
MUST_CHECK int command_output(char *const argv[], uint32_t limit_ms, char *memory, size_t cap,
                              struct slice *out, struct err *err);
