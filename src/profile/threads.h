/* profile/threads.h: the threads of a process and where each of them is right now. */
#pragma once

#include "profile/profile.h"
#include "stack/symbolizer.h"
#include "stack/unwind.h"

#define THREADS_MAX 4096u

struct thread_stack {
    uint32_t thread;
    char name[32], state; /* state: as /proc says it: R, S, D, … */
    uint32_t depth;       /* 0: it runs, or may not be looked at */
    uint64_t pcs[UNWIND_DEPTH_MAX];
};

struct threads {
    struct modules *modules;
    struct symbolizer *symbolizer;
    struct thread_stack *items;
    uint32_t count;
};

/* pid 0: this process. Takes some milliseconds: for the jobs' thread. */
MUST_CHECK int threads_read(struct threads **out, pid_t pid, struct err *err);
void threads_free(struct threads *t); /* NULL is fine */
/* One sample for each, with the label `thread`; the first type is the number of threads. */
void threads_add(struct threads *t, struct profile *p);
