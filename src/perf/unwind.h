/* perf/unwind.h: the return addresses of a stack, by tables prebuilt from .eh_frame, because frame pointers alone lose the
 * caller of a leaf that has none (gcc -O2, the C library). The space is made on one thread and immutable from then on;
 * unwind_stack() is async-signal-safe: no allocation, no lock, no errno. */
#pragma once

#include "perf/modules.h"

#define UNWIND_DEPTH_MAX 192u

struct unwind_registers {
    uint64_t ip, sp, bp; /* bp 0: not known */
};

struct unwind_memory {
    /* The word at an address of the process; false: it cannot be had. */
    bool (*read_word)(void *context, uint64_t address, uint64_t *out);
    void *context;
};

struct unwind_space;

/* `modules` is borrowed for the space's life. Modules that cannot be read are unwound by frame pointers. */
MUST_CHECK int unwind_space_new(struct unwind_space **out, const struct modules *modules, struct err *err);
void unwind_space_free(struct unwind_space *s); /* NULL is fine */
/* Bytes of all tables. */
size_t unwind_space_bytes(const struct unwind_space *s);

/* pcs[0] is regs->ip, the others are return addresses, or, under a signal's frame, where it came. Returns how many there
 * are, at least 1. Ends at max, at the outermost frame, at a pc of no module, when the stack does not grow, or at a
 * word that cannot be read. */
uint32_t unwind_stack(const struct unwind_space *s, const struct unwind_registers *regs,
                      const struct unwind_memory *memory, uint64_t *pcs, uint32_t max);
/* The same by frame pointers alone: for comparison. */
uint32_t unwind_by_frame_pointers(const struct unwind_registers *regs, const struct unwind_memory *memory,
                                  uint64_t *pcs, uint32_t max);
