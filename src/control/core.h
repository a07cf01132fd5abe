/* control/core.h: lets the kernel write a core file when weir crashes, of the contents that the configuration names. */
#pragma once

#include "control/core_conf.h"

/* Raises RLIMIT_CORE as far as the hard limit allows, makes the process dumpable and sets its coredump_filter (core(5));
 * messages say where a core file will go and what stands against it. Nothing of it is fatal. To be called again after
 * privileges were dropped, which makes a process undumpable. conf NULL or not enabled: everything stays as it is. */
void core_prepare(const struct core_conf *conf);

/* What kernel.core_pattern does with a core file. */
enum core_target {
    CORE_TO_DIR,     /* a file in the directory of the process */
    CORE_TO_PATH,    /* a file at an absolute path */
    CORE_TO_PROGRAM, /* a program's standard input */
    CORE_TO_NOTHING
};
/* pattern: without the line's end. */
enum core_target core_target_of(const char *pattern);
