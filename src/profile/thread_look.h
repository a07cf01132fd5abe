/* profile/thread_look.h: where one thread of this process is at this moment. One that sleeps in the kernel is looked at from outside,
 * and notices nothing; one that runs is sent SIGURG, whose handler copies its stack. */
#pragma once

#include <sys/types.h>

#include "stack/unwind.h"

/* How long a thread that runs may take to be given a processor and answer. */
#define THREAD_LOOK_MS 500u

/* Returns how many of `pcs` are known; 0: it has ended, or it took no notice. For a thread that is not `thread` itself and can wait; one asks at a
 * time, the others wait for it. The thread must have SIGURG unblocked (signal_block_all_but_faults() leaves it so). */
uint32_t thread_look(pid_t thread, const struct unwind_space *space, uint64_t *pcs, uint32_t max);
