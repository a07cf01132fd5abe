/* profile/sampler.h: what the threads of a process are doing, sampled by the kernel: on the CPU at a rate of CPU time, off it
 * whenever they stop running. A thread of its own collects while somebody asks, and only then; windows that overlap share
 * it. Asked from any thread. */
#pragma once

#include <pthread.h>

#include "base/activity.h"
#include "base/list.h"
#include "observe/notes.h"
#include "profile/space_history.h"
#include "profile/stack_counts.h"
#include "profile/thread_events.h"

#define SAMPLER_HZ_MAX 10000u
#define SAMPLER_SECONDS_MAX 3600u

struct sampler;

struct sampler_options {
    pid_t pid; /* 0: this process */
    /* What a thread of this process is doing, if it says so: on the stack of that thread; NULL. May be NULL. */
    const struct activity *(*activity_of)(void *context, uint32_t thread);
    void *context;
};

/* One question: who asks owns it, and leaves it alone until `done`. */
struct sampler_window {
    enum perf_kind kind;
    uint32_t hz; /* of PERF_ON_CPU, 1 to SAMPLER_HZ_MAX */
    uint64_t duration_ms;
    /* On the sampler's thread, once; may free it. */
    void (*done)(struct sampler_window *w);
    void *context;

    /* The answer. */
    struct stack_counts counts;         /* values are nanoseconds; whoever got it lets it go */
    struct modules *spaces[SPACES_MAX]; /* of the process, by the stacks' `space`; likewise */
    uint32_t space_count;
    uint32_t exec_count, unnamed_count; /* see space_history.h */
    uint64_t started_wall_ns, started_ns, ended_ns;
    uint64_t cpu_started_ns, cpu_ended_ns; /* CPU time of the process, ended threads included; 0: not known */
    uint64_t samples, lost;
    bool has_kernel;
    struct err fault; /* not empty: nothing could be sampled, and why */

    /* May be set from any thread as long as the window lives: nobody wants the answer, and it ends soon. */
    _Atomic bool is_given_up;
    struct list link; /* the sampler's, like the next */
    struct off_cpu *off_cpu;
};

MUST_CHECK int sampler_new(struct sampler **out, const struct sampler_options *o, struct err *err);
/* Ends the windows that are going on, as they are; waits for the thread. NULL is fine. */
void sampler_free(struct sampler *s);
/* -1: no thread could be started, or the numbers are out of range. */
MUST_CHECK int sampler_ask(struct sampler *s, struct sampler_window *w, struct err *err);
/* What the answer is not: sentences about CPU time that has no sample, and names that are not to be had. */
void sampler_window_notes(const struct sampler_window *w, struct notes *notes);
/* Frees what the answer holds. */
void sampler_window_fini(struct sampler_window *w);
