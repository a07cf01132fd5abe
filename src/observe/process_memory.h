/* observe/process_memory.h: where the memory of a process is: /proc/PID/smaps_rollup and smaps (proc(5); the kernel's
 * Documentation/filesystems/proc.rst). Both walk the page tables: some 10 ms for each GB, and the process waits meanwhile
 * where it maps or unmaps. For every ten seconds or so. Bytes all through. */
#pragma once

#include "observe/process_reader.h"

enum memory_kind {
    MEMORY_HEAP,      /* what brk(2) gave */
    MEMORY_STACK,     /* of the main thread; those of others are anonymous */
    MEMORY_ANONYMOUS, /* mmap without a file: large allocations, arenas, stacks of threads */
    MEMORY_TEXT,      /* code out of files */
    MEMORY_DATA,      /* other parts of files: constants, variables, what is mapped to be read */
    MEMORY_SHARED,    /* shared with others: shm, memfd, MAP_SHARED */
    MEMORY_HUGE,      /* hugetlbfs */
    MEMORY_KERNEL,    /* vdso, vvar and the like */
    MEMORY_KIND_COUNT
};

extern const char *const memory_kind_names[MEMORY_KIND_COUNT];

struct memory_sums {
    uint64_t mapped_bytes, resident_bytes;
    uint64_t proportional_bytes; /* PSS: of pages that n processes share, an nth */
    uint64_t private_dirty_bytes, swap_bytes;
    uint64_t huge_bytes;      /* transparent huge pages among the resident ones */
    uint64_t anonymous_bytes; /* resident, and not a file's contents */
    uint64_t mapping_count;   /* not in process_memory.total */
};

struct process_memory {
    struct memory_sums total;
    uint64_t proportional_anonymous_bytes, proportional_file_bytes,
        proportional_shared_bytes; /* 0: old kernel */
};

struct process_mappings {
    struct memory_sums kinds[MEMORY_KIND_COUNT];
};

/* False: not permitted, or the process has ended; a note says so. */
bool process_memory_read(struct process_reader *r, struct process_memory *out);
bool process_mappings_read(struct process_reader *r, struct process_mappings *out);

/* Pure; for the above and for tests. */
bool process_memory_parse(struct slice text, struct process_memory *out);
/* One line of smaps after another; between them, what mapping the line belongs to. All 0 at first but page_bytes. */
struct mapping_place {
    enum memory_kind kind;
    uint64_t mapped_bytes;
    uint64_t page_bytes; /* of ordinary pages */
};
void process_mappings_line(struct process_mappings *m, struct slice line, struct mapping_place *place);
