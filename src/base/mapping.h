/* base/mapping.h: memory straight from the system, so that it goes back there when it is given back, whatever the heap
 * does. Aligned to its size: whose a place in it is, is found from the address. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Zeroes, that cost nothing until they are written; `bytes` is a power of two, a page at least. NULL: memory is out. */
void *mapping_new(size_t bytes);
/* False: the kernel refuses, which it does when a hole would be one mapping too many; all is as before. */
bool mapping_free(void *mapping, size_t bytes);
