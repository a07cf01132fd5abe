/* base/signal_stack.h: what every thread does at its beginning so that a crash in it can be told of: a stack of its own
 * for the handler, as the thread's may be what is used up, and faults unblocked. */
#pragma once

#include <signal.h>

/* SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS; ends with 0. */
extern const int signal_faults[];

/* For whoever starts a thread: blocks every signal but faults, and those by which it may be sampled (SIGPROF, profile/tick.h) or looked
 * at (SIGURG, profile/thread_look.h), in the calling thread, which the new one inherits; to be undone with pthread_sigmask(SIG_SETMASK,
 * before, NULL). */
void signal_block_all_but_faults(sigset_t *before);
/* For the thread itself. Without memory for it the thread goes on without. */
void signal_stack_open(void);
void signal_stack_close(void);

/* Touches every page of the calling thread's stack that it will use when at work, so that each is there for whoever copies
 * the stack: the kernel, for a profile, takes none that is not. Costs these 40 KiB. */
void signal_stack_touch(void);
