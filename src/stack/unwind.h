/* stack/unwind.h: the return addresses of a stack, by tables prebuilt from .eh_frame, because frame pointers alone lose the
 * caller of a leaf that has none (gcc -O2, the C library). The space is made on one thread and immutable from then on;
 * unwind_stack() is async-signal-safe: no allocation, no lock, no errno. */
#pragma once

#include <stdatomic.h>

#include "stack/modules.h"
#include "stack/unwind_table.h"

#define UNWIND_DEPTH_MAX 192u
/* What the tables of one process may cost: about two seconds and 200 MB. A browser of 300 MB of code needs a fifth. */
#define UNWIND_PRESET_BUDGET ((struct unwind_budget){ 256u << 20, 16u << 20 })

struct unwind_registers {
    uint64_t ip, sp, bp;
    bool has_no_bp; /* it is not known; 0 that is known ends a chain */
};

struct unwind_memory {
    /* The word at an address of the process; false: it cannot be had. */
    bool (*read_word)(void *context, uint64_t address, uint64_t *out);
    void *context;
    uint64_t
        *unknown; /* NULL, or where an address is put at which a walk ends because no code is known there */
};

struct unwind_space;

/* Modules that cannot be read, and those beyond the budget, are unwound by frame pointers. */
struct unwind_space_options {
    const struct modules *modules; /* borrowed for the space's life */
    struct unwind_space *earlier;  /* NULL, or one whose tables are taken for modules that both have */
    struct unwind_budget *budget;  /* NULL: the preset */
    const _Atomic bool *stop;      /* NULL, or looked at before each module: true ends it early */
};

MUST_CHECK int unwind_space_make(struct unwind_space **out, const struct unwind_space_options *o,
                                 struct err *err);
/* With nothing but modules. */
MUST_CHECK int unwind_space_new(struct unwind_space **out, const struct modules *modules, struct err *err);
void unwind_space_free(struct unwind_space *s); /* NULL is fine */
/* Rows and bytes of all tables. */
uint32_t unwind_space_rows(const struct unwind_space *s);

/* pcs[0] is regs->ip, the others are return addresses, or, under a signal's frame, where it came. Returns how many there
 * are, at least 1. Ends at max, at the outermost frame, at a pc of no module, when the stack does not grow, or at a
 * word that cannot be read. */
uint32_t unwind_stack(const struct unwind_space *s, const struct unwind_registers *regs,
                      const struct unwind_memory *memory, uint64_t *pcs, uint32_t max);
/* The same by frame pointers alone: for comparison. */
uint32_t unwind_by_frame_pointers(const struct unwind_registers *regs, const struct unwind_memory *memory,
                                  uint64_t *pcs, uint32_t max);
