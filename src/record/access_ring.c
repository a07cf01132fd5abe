#include "record/access_ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

char *access_ring_map(uint64_t size)
{
    int fd = memfd_create("access log", MFD_CLOEXEC);
    if (fd < 0) return NULL;
    char *base = MAP_FAILED;
    if (ftruncate(fd, (off_t)size) == 0)
        base = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bool is_mapped = base != MAP_FAILED;
    for (int i = 0; i < 2 && is_mapped; i++)
        is_mapped = mmap(base + (size_t)i * size, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
                         0) != MAP_FAILED;
    if (!is_mapped && base != MAP_FAILED) munmap(base, 2 * size);
    close(fd);
    return is_mapped ? base : NULL;
}
