/* main/run.h: a running weir: the control thread, from start to the end of the drain. */
#pragma once

#include "main/config.h"

/* Runs until SIGTERM or SIGINT and the drain that follows (a second one ends it at once). Returns an exit code of
 * sysexits.h; faults are told on stderr. `path` is its file's, which is read again
 * when a reload is asked for; NULL: it has none. `on_ready`, if given, is called once all listeners accept. */
int run(const struct config *config, const char *path, void (*on_ready)(const struct config *));
