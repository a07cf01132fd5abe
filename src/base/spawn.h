/* base/spawn.h: what every program that weir starts begins with. Any thread. */
#pragma once

#include <spawn.h>

/* Whatever the caller blocks or ignores, the program begins with neither. 0 or an errno. */
int spawn_set_signals(posix_spawnattr_t *attributes);
