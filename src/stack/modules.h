/* stack/modules.h: what is mapped executable in a process, from /proc/PID/maps: each file once, by its first executable
 * mapping. Immutable once read, and shared by whoever holds it. */
#pragma once

#include <stdatomic.h>

#include "stack/elf_image.h"

#define MODULES_MAX 4096u
#define MADE_CODE_MAX 4096u

struct module {
    uint64_t start, limit, file_offset; /* of the executable mapping */
    uint64_t bias;                      /* address in memory less address in the file */
    uint64_t device, inode;
    char *path;                          /* as in maps, " (deleted)" left out; "[vdso]" */
    char build_id[ELF_BUILD_ID_MAX + 1]; /* "" if none, or it cannot be read */
    bool is_deleted;                     /* or replaced: the file of that name is another */
    bool has_bias;                       /* its ELF headers could be read */
};

/* Executable memory of no file: what a compiler within the process made (V8, a JVM). Adjacent ones are one. */
struct made_code {
    uint64_t start, limit;
};

struct modules {
    _Atomic uint32_t references;
    pid_t pid;              /* 0: this process */
    struct module *items;   /* by start */
    struct made_code *made; /* likewise */
    uint32_t count, made_count;
    /* Of another process, as it was when it was read: */
    int root;       /* its root directory (process_root.h); -1: not to be had */
    int32_t ns_pid; /* its number as it sees it itself, in its own namespace */
    uint32_t uid;   /* whom it acts as */
    char *program;  /* the path of what it runs; NULL: not known */
};

/* pid 0: this process. -1: it is gone, or may not be looked at. */
MUST_CHECK int modules_read(struct modules **out, pid_t pid, struct err *err);

enum modules_change {
    MODULES_SAME,  /* *out is not set */
    MODULES_MORE,  /* *out has what there was, gone or not, and what came */
    MODULES_OTHER, /* something lies where something else was: *out has what there is now */
};

/* What is mapped now, after `before`. SAME also where it cannot be read. */
enum modules_change modules_read_again(struct modules **out, const struct modules *before);
struct image;
/* The same of a process that is no more, out of what its core file says of mapped files. A file that is younger than the
 * core file has been replaced since, and is left out. */
MUST_CHECK int modules_of_image(struct modules **out, const struct image *image, struct err *err);
/* Of a process of which nothing is known; NULL: out of memory. */
struct modules *modules_none(pid_t pid);
/* One more holder. */
struct modules *modules_get(struct modules *m);
void modules_free(struct modules *m); /* the last one frees it; NULL is fine */
/* The one whose mapping holds pc; NULL. Signal-safe. */
const struct module *modules_find(const struct modules *m, uint64_t pc);
/* Whether code is mapped there, of a file or made. Signal-safe. */
bool modules_have_code(const struct modules *m, uint64_t pc);
/* Of the same file, at the same place. */
bool module_is_same(const struct module *a, const struct module *b);
/* Its file; of another process through its own root. -1: it cannot be opened, or is not the file that is mapped. The vDSO
 * is copied to *memory, to be freed after elf_close(). */
MUST_CHECK int module_open(const struct modules *m, const struct module *module, struct elf_image *image,
                           void **memory, struct err *err);
