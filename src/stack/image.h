/* stack/image.h: a process as it was at one moment: its memory, mappings and threads, out of a core file (core_file.h) or of
 * a living process that is stopped (stopped.h). One thread's. Nothing in it is to be trusted. */
#pragma once

#include <signal.h>

#include "base/err.h"
#include "base/memory_view.h"
#include "base/text.h"
#include "stack/registers.h"

#define IMAGE_SEGMENTS_MAX 1000000u
#define IMAGE_THREADS_MAX 65536u
#define IMAGE_FILES_MAX 100000u

struct image_segment {
    uint64_t start, end;
    uint64_t offset, size; /* in the core file: the first `size` bytes of it are at `offset` */
    uint32_t flags;        /* PF_R, PF_W, PF_X of elf.h */
};

/* A file that is mapped. */
struct image_file {
    uint64_t start, end, offset; /* in bytes */
    char *path;                  /* owned */
    uint64_t first;              /* where the first mapping of that path begins */
};

struct image_thread {
    int32_t tid, signal; /* signal: 0: none */
    int32_t
        on_its_way; /* of a living thread: a signal that it was about to get when it was stopped; 0: none */
    struct user_regs_struct registers;
};

struct image {
    struct memory_view memory;      /* its context is the image: it must not be moved */
    struct image_segment *segments; /* by address */
    struct image_file *files;       /* by address, once they are sorted */
    struct image_thread *threads;   /* the one that crashed, or the first, comes first */
    uint32_t segment_count, file_count, thread_count;
    uint32_t segment_room, file_room, thread_room;
    int32_t pid;
    char program[17], arguments[81];
    siginfo_t info; /* why it died; si_signo 0: unknown */
    int fd;         /* of a core file; -1 */
};

void image_init(struct image *i);
void image_fini(struct image *i);
/* One more, zeroed; NULL with err at the bound or without memory. */
struct image_segment *image_add_segment(struct image *i, struct err *err);
struct image_thread *image_add_thread(struct image *i, struct err *err);
MUST_CHECK int image_add_file(struct image *i, const struct image_file *f, struct slice path,
                              struct err *err);
/* Once all are there: look-ups take no longer than their number's logarithm, however many a file says there are. */
void image_sort(struct image *i);
/* The one that has the address; NULL: none. */
const struct image_segment *image_segment_of(const struct image *i, uint64_t address);
/* The one that has the address; NULL: none. */
const struct image_file *image_file_of(const struct image *i, uint64_t address);
/* "weir+0x1234" by the mapped files: the offset is from where the file's first mapping begins; "?" without one. */
void image_print_address(const struct image *i, uint64_t address, struct text *out);
