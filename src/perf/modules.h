/* perf/modules.h: what is mapped executable in a process, from /proc/PID/maps: each file once, by its first executable
 * mapping. Immutable once read. */
#pragma once

#include "perf/elf_image.h"

#define MODULES_MAX 4096u

struct module {
    uint64_t start, limit, file_offset; /* of the executable mapping */
    uint64_t bias;                      /* address in memory less address in the file */
    uint64_t device, inode;
    char *path;                          /* as in maps, " (deleted)" left out; "[vdso]" */
    char build_id[ELF_BUILD_ID_MAX + 1]; /* "" if none, or it cannot be read */
    bool is_deleted;                     /* or replaced: the file of that name is another */
    bool has_bias;                       /* its ELF headers could be read */
};

struct modules {
    pid_t pid;            /* 0: this process */
    struct module *items; /* by start */
    uint32_t count;
};

/* pid 0: this process. -1: it is gone, or may not be looked at. */
MUST_CHECK int modules_read(struct modules **out, pid_t pid, struct err *err);
struct image;
/* The same of a process that is no more, out of what its core file says of mapped files. A file that is younger than the
 * core file has been replaced since, and is left out. */
MUST_CHECK int modules_of_image(struct modules **out, const struct image *image, struct err *err);
void modules_free(struct modules *m); /* NULL is fine */
/* The one whose mapping holds pc; NULL. Signal-safe. */
const struct module *modules_find(const struct modules *m, uint64_t pc);
/* Its file; of another process through its own root. -1: it cannot be opened, or is not the file that is mapped. The vDSO
 * is copied to *memory, to be freed after elf_close(). */
MUST_CHECK int module_open(const struct modules *m, const struct module *module, struct elf_image *image,
                           void **memory, struct err *err);
