/* crash/crash.h: what weir says when it crashes: a summary on stderr and in a file, written with write(2) alone, after
 * which the signal has its usual way and the core file, if there is to be one, comes. One per process, as signal
 * handlers are: what they need is kept in static memory, filled before they are set. */
#pragma once

#include "base/err.h"
#include "stack/stack.h"

struct crash_conf {
    const char *version; /* borrowed for ever */
    bool is_lean;        /* the core is to show nothing of payload: vector registers of the thread included */
    const char *dir; /* for the summary "crash.PID.txt", and where a core file goes unless kernel.core_pattern
                            says otherwise; NULL: no file, and the core goes where the process is */
};

/* Where a summary goes, line by line. */
struct crash_out;
/* The line that is being made, to add to. */
struct text *crash_line(struct crash_out *out);
void crash_line_end(struct crash_out *out);

/* Sets the handlers and gives the calling thread a stack for them; other threads call signal_stack_open(). -1: `dir` cannot
 * be used; the handlers are set nevertheless, without it. */
MUST_CHECK int crash_install(const struct crash_conf *conf, struct err *err);
/* Undoes it. */
void crash_uninstall(void);
/* Instead of stack_by_frame_pointers(). Must be async-signal-safe. */
void crash_set_unwinder(stack_unwinder *unwind);
/* What the owner has to say after the stack: async-signal-safe, and reading through `memory` only. NULL: nothing. Should
 * it fault nevertheless, what follows is still written. */
void crash_set_story(void (*tell)(const void *context, const struct memory_view *memory,
                                  struct crash_out *out),
                     const void *context);
