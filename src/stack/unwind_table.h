/* stack/unwind_table.h: how to leave a function, for each address of a module: rows made from .eh_frame (System V ABI,
 * AMD64 supplement 4.2.4; DWARF 5, 6.4) beforehand, so that a look-up is a binary search without allocation. Only what
 * compilers and libraries of x86-64 use is understood; other rules give rows that say so. Immutable once made; pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNWIND_ROWS_MAX (1u << 22)
#define UNWIND_FRAME_BYTES_MAX (64u << 20)

enum unwind_cfa {
    UNWIND_NONE,      /* no function, or a rule that is not understood */
    UNWIND_RSP,       /* cfa = rsp + offset */
    UNWIND_RBP,       /* cfa = rbp + offset */
    UNWIND_RBP_DEREF, /* cfa = *(rbp + offset): a realigned stack */
    UNWIND_PLT,       /* cfa = rsp + 8, + 8 more from byte `offset` of each 16 on */
    UNWIND_SIGNAL,    /* the kernel's frame: rip, rsp and rbp are in the ucontext at rsp */
    UNWIND_END,       /* the outermost frame: there is no return address */
};

/* Where the caller's rbp is. */
enum unwind_rbp {
    UNWIND_RBP_SAME,
    UNWIND_RBP_AT_CFA, /* *(cfa + rbp_offset) */
    UNWIND_RBP_AT_RBP, /* *(rbp + rbp_offset) */
};

struct unwind_row {
    uint32_t pc; /* from the table's base; it holds up to the next row */
    int32_t offset;
    int16_t rbp_offset;
    uint8_t cfa;     /* enum unwind_cfa */
    uint8_t rbp : 7; /* enum unwind_rbp */
    bool begins : 1; /* a function does, or a part of one that the compiler has put elsewhere */
};

struct unwind_table {
    uint64_t base; /* address in the file of pc 0 */
    struct unwind_row *rows;
    uint32_t count;
    bool is_cut; /* there was no room for all, or a part could not be read */
};

/* What tables may cost, counted down. A file is its maker's: without an end to it, it would be its maker who says for how
 * long, and with how much memory, it is looked at. */
struct unwind_budget {
    uint64_t steps; /* entries and instructions that are read */
    uint32_t rows;
};

/* `bytes` is .eh_frame, which is at `address` in its file; at least 8 zero bytes need not follow. Whatever it holds, the
 * table is usable, and the time is no more than linear in its size; false: out of memory. */
bool unwind_table_make(struct unwind_table *t, const uint8_t *bytes, size_t size, uint64_t address,
                       struct unwind_budget *budget);
void unwind_table_fini(struct unwind_table *t);
/* NULL: no row for it. Signal-safe. `pc`: an address in the file. */
const struct unwind_row *unwind_table_find(const struct unwind_table *t, uint64_t pc);
