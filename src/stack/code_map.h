/* stack/code_map.h: names of code that a process made at run time, which a compiler within it writes to /tmp/perf-PID.map as
 * perf(1) wants it (node --perf-basic-prof, a JVM's Compiler.perfmap, DOTNET_PerfMapEnabled): lines of start and size
 * in hexadecimal digits and a name. What was made later lies over what was there before. Anybody may write to /tmp: only a
 * file of the process's own user or of root is taken, through the process's own root directory. Immutable once read. */
#pragma once

#include "stack/modules.h"

#include "base/slice.h"

#define CODE_MAP_BYTES_MAX (64u << 20) /* of a larger file the end */
#define CODE_MAP_ENTRIES_MAX (1u << 20)

struct code_map;

/* -1: there is none, or it may not be trusted; err says which. Not of this process itself. */
MUST_CHECK int code_map_read(struct code_map **out, const struct modules *m, struct err *err);
/* Takes `text`, which is malloc()ed; -1: out of memory. */
MUST_CHECK int code_map_parse(struct code_map **out, char *text, size_t len, struct err *err);
void code_map_free(struct code_map *c); /* NULL is fine */
/* Without data: there is no name for it. Bytes that would steer a terminal are question marks. */
struct slice code_map_find(const struct code_map *c, uint64_t address);
