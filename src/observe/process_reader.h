/* observe/process_reader.h: one process, held by its directory in /proc. A number that the kernel gives to another process
 * later is not mistaken for it: the directory stays that of the process that was opened. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "observe/notes.h"

#define PROCESS_PATH_MAX 512u
#define PROCESS_SCRATCH 65536u

/* What a process is known by: its number and when it began, in clock ticks since the machine did. */
struct process_identity {
    int32_t pid;
    uint64_t start_ticks;
};

struct process_thread;

struct process_reader {
    struct process_identity identity;
    struct notes notes; /* what was refused so far */
    char root[PROCESS_PATH_MAX];
    char exe[PROCESS_PATH_MAX]; /* "": not permitted, or a thread of the kernel */
    int directory;              /* fd of root/PID */
    uint64_t ns_per_tick, page_bytes;
    bool is_live;  /* root is this machine's /proc, so that system calls speak of the same process */
    char *scratch; /* PROCESS_SCRATCH bytes, owned */
    struct process_thread *earlier; /* of the sample before, by tid; owned */
    uint32_t earlier_count;
};

/* `proc_root`: NULL for "/proc". */
MUST_CHECK int process_reader_open(struct process_reader *r, int32_t pid, const char *proc_root,
                                   struct err *err);
void process_reader_close(struct process_reader *r);
/* An error that says whether it ended or was replaced; 0 while it runs. */
MUST_CHECK int process_reader_check(struct process_reader *r, struct err *err);

/* For the files that read one part of a process. */

/* The text of a file below the process's directory, cut at PROCESS_SCRATCH; lives until the next call. False: it is not
 * there or not permitted, which is noted as what is missing ("I/O figures"), except where the process has ended. */
bool process_reader_text(struct process_reader *r, const char *path, const char *what, struct slice *out);
/* A file that is longer: its descriptor, for the caller to close, or -1. */
int process_reader_open_file(struct process_reader *r, const char *path, const char *what);
/* Whether what was opened still has its directory. */
bool process_reader_is_there(const struct process_reader *r);
/* Notes why `what` is missing, unless it is because the process has ended. */
void process_reader_note(struct process_reader *r, const char *what, int error);
