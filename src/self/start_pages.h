/* self/start_pages.h: what only the start needed of this process's program, libraries and heap. Pages of files that are mapped, have been
 * looked at and are not written to stay counted as the process's until the system is short of memory: most of a megabyte and a half of program, and as
 * much of libraries, reads configurations, makes tables and is not called again. They come back from the page cache when they are. */
#pragma once

#include <stdint.h>

/* Lets go of them, and of the heap's free pages: bytes of mappings that were let go of, in use or not; 0 where /proc/self/smaps cannot be read. Mappings that
 * somebody has written to are left alone: relocated constants, and programs with a debugger's breakpoints or a tracer's probes. Once, from
 * any thread. */
uint64_t start_pages_release(void);
