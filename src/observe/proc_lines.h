/* observe/proc_lines.h: the lines of a file of any length, in memory of a fixed size; a line that is longer than the memory
 * is cut to its beginning. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct proc_lines {
    int fd;       /* borrowed */
    char *memory; /* borrowed */
    size_t cap, at, len;
    bool is_at_end, is_passing_over; /* passing over: the rest of a line that was cut */
    int error;                       /* errno of a read that failed; 0: none */
};

void proc_lines_init(struct proc_lines *l, int fd, char *memory, size_t cap);
/* The next line, without its newline; lives until the next call. False at the end, or when `error` is set. */
bool proc_lines_next(struct proc_lines *l, struct slice *line);
