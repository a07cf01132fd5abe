/* self/landlock.h: what of the file system weir gives up for good (landlock(7)): it changes no file in the system's own folders, and starts no
 * program from folders that are for data. Reading stays as it is. Before there is a second thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* As many as a configuration can name: 1,000 listeners, 64 sources of logs, and what there is once. */
#define LANDLOCK_PATHS_MAX 1100u

/* Folders, or files that may not be there yet, in which weir writes wherever they are: as the configuration names them. */
struct landlock_paths {
    const char *items[LANDLOCK_PATHS_MAX]; /* borrowed */
    uint32_t count;
};

/* For the calling thread, those that it starts from now on, and programs that it becomes or starts; sets no_new_privs. -1: the kernel does not do it, or one of the paths is in the root
 * itself, and err says so; no file has been given up then. */
MUST_CHECK int landlock_give_up(const struct landlock_paths *paths, struct err *err);
/* Of the kernel's rules; 0: it was started without them; -1: it has none. */
long landlock_version(void);
/* Whether landlock_give_up() has succeeded. */
bool landlock_is_in_force(void);
/* Whether something may be written at `path`, which need not be there, as far as that goes. Asks the file system; any thread. */
bool landlock_may_write(const char *path);
/* Of a folder of the system: "/etc". Pure. */
bool landlock_is_for_system(const char *top);
