/* stack/stack.h: from registers and memory to the calls that led there. Async-signal-safe. */
#pragma once

#include "base/memory_view.h"
#include "stack/registers.h"

#define STACK_FRAMES_MAX 128u

/* Fills `pcs`, the innermost first, with at most `max`; returns how many. The first is where the thread stands, the others
 * are return addresses. */
typedef uint32_t stack_unwinder(const struct user_regs_struct *r, const struct memory_view *memory,
                                uint64_t *pcs, uint32_t max);

/* By the chain of frame pointers: weir's own code keeps them, libraries often do not. Each frame must lie above the last
 * and within 8 MiB of it, so that a chain that was overwritten ends. */
stack_unwinder stack_by_frame_pointers;
