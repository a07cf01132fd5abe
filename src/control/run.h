/* control/run.h: a running weir: the control thread, from start to the end of the drain. */
#pragma once

#include "control/config.h"

struct heritage;
struct start;

struct run_setup {
    const struct config *config;
    const char *path;    /* of its file, which is read again when a reload is asked for; NULL: it has none */
    struct start *start; /* what is kept of configurations; NULL: nothing */
    struct heritage *
        heritage; /* what this process was given; NULL: it neither takes over from another nor is taken over from */
    void (*on_ready)(const struct config *); /* called once all listeners accept; may be NULL */
};

/* Runs until SIGTERM or SIGINT and the drain that follows (a second one ends it at once). Returns an exit code of
 * sysexits.h; faults are told on stderr. */
int run(const struct run_setup *setup);
