/* profile/stack_copy.h: the registers of a thread of this process and the latest part of its stack, copied in a signal's handler so
 * that somebody else unwinds them later. */
#pragma once

#include <ucontext.h>

#include "profile/perf_event.h"
#include "stack/unwind.h"

struct stack_copy {
    struct unwind_registers regs;
    uint32_t len;
    uint8_t bytes[PERF_STACK_BYTES]; /* from regs.sp upwards */
};

/* Of the calling thread, as the handler was given it. Async-signal-safe. */
void stack_copy_take(struct stack_copy *c, const ucontext_t *at);
/* For struct unwind_memory; `copy` is a struct stack_copy. */
bool stack_copy_read(void *copy, uint64_t address, uint64_t *out);
