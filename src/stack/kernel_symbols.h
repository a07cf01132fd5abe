/* stack/kernel_symbols.h: names of the kernel's functions, from /proc/kallsyms, where it shows addresses (root, or
 * kernel.kptr_restrict = 0). Immutable once read. */
#pragma once

#include <stdint.h>

#include "base/slice.h"

struct kernel_symbols;

/* NULL: it shows none. */
struct kernel_symbols *kernel_symbols_read(const char *path);
void kernel_symbols_free(struct kernel_symbols *k); /* NULL is fine */
/* Without data: not known. */
struct slice kernel_symbols_find(const struct kernel_symbols *k, uint64_t pc);
