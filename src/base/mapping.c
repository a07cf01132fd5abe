#include "base/mapping.h"

#include <stdint.h>
#include <sys/mman.h>

static void *map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* The kernel puts a mapping beside the last one, so all but the first are aligned already. */
void *mapping_new(size_t bytes)
{
    char *p = map(bytes);
    if (!p || (uintptr_t)p % bytes == 0) return p;
    munmap(p, bytes);
    p = map(2 * bytes);
    if (!p) return NULL;
    size_t before = (bytes - (uintptr_t)p % bytes) % bytes;
    if (before) munmap(p, before);
    munmap(p + before + bytes, bytes - before);
    return p + before;
}

bool mapping_free(void *mapping, size_t bytes)
{
    return munmap(mapping, bytes) == 0;
}
