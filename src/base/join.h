/* base/join.h: waiting for a thread to end, but not for ever: one that waits for a disk may never do so. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Of a thread that was told to end. True: it has, and is joined. False: it has not within `wait_ms`; then all that it uses has to
 * stay, and it can be waited for again. */
MUST_CHECK bool join_within(pthread_t thread, uint32_t wait_ms);
