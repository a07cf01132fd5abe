#include "self/start_pages.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include "observe/vm_area.h"

static bool is_unchanged(const struct vm_area *a)
{
    return a->is_file && !a->is_shared && !a->can_write && !a->has_own;
}

uint64_t start_pages_release(void)
{
    struct err err;
    struct vm_areas areas = { 0 };
    uint64_t released = 0;
    bool is_read = vm_areas_read(&areas, (int32_t)getpid(), &err) == 0;
    for (uint32_t i = 0; is_read && i < areas.count; i++) {
        const struct vm_area *a = &areas.items[i];
        uint64_t bytes = a->end - a->start;
        if (is_unchanged(a) && madvise((void *)(uintptr_t)a->start, bytes, MADV_DONTNEED) == 0)
            released += bytes;
    }
    vm_areas_fini(&areas);
    malloc_trim(0);
    return released;
}
