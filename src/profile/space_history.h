/* profile/space_history.h: what was mapped in a process over the time for which it is sampled. An address belongs to the space
 * that held when it was seen: a process may become another program (execve), or unload a library and have another one at
 * its place. The sampler's thread. */
#pragma once

#include "stack/unwind.h"

#define SPACES_MAX 16u

struct space {
    struct modules *modules;
    struct unwind_space *unwind; /* NULL: by now nothing of that time is unwound any more */
    uint64_t since_ns;           /* of the monotonic clock */
};

struct space_history {
    pid_t pid; /* 0: this process */
    struct space items[SPACES_MAX];
    uint32_t count;
    uint32_t exec_count;    /* how often it became another program */
    uint32_t unnamed_count; /* how many of these were gone, or too many, before their files were looked at */
    struct unwind_budget budget;
    const _Atomic bool *stop;    /* ends what takes long */
    uint64_t looked_ns, wait_ns; /* when it was looked at last; how long before the next time */
};

/* -1: the process is gone, or may not be looked at. */
MUST_CHECK int space_history_open(struct space_history *h, pid_t pid, const _Atomic bool *stop,
                                  struct err *err);
void space_history_close(struct space_history *h);
/* The one of a time: its place. */
uint32_t space_history_at(const struct space_history *h, uint64_t time_ns);
/* Code was mapped, or may have been, at that time. True: there is more to be known. */
bool space_history_look(struct space_history *h, uint64_t time_ns);
/* The same where an address is not known: looks seldom where that finds nothing. */
bool space_history_look_for(struct space_history *h, uint64_t time_ns, uint64_t now_ns);
/* It became another program at that time; `is_over`: and again another one by now. */
void space_history_exec(struct space_history *h, uint64_t time_ns, bool is_over);
/* That the one that began last was over when it was looked at. */
void space_history_forget(struct space_history *h);
