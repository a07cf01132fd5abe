/* stack/source_lines.h: addresses to lines of source, by libdw (elfutils), which is loaded on first use: weir that nobody
 * profiles does not carry it. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct source_lines;

/* Takes the descriptor. NULL: libdw is not there, or the file has no lines. */
struct source_lines *source_lines_new(int fd);
void source_lines_free(struct source_lines *l); /* NULL is fine */
/* `address` is in the file. *file lives as long as `l`. False: not known. */
bool source_lines_find(struct source_lines *l, uint64_t address, struct slice *file, uint32_t *line);
