/* profile/off_cpu.h: for how long threads are off the CPU, and where they went to sleep: between the sample at which one stops
 * running and the moment it runs again. Threads that sleep from the beginning are looked at in /proc. One thread. */
#pragma once

#include "profile/perf_event.h"
#include "profile/stack_counts.h"

#define OFF_CPU_THREADS_MAX 1024u

struct off_cpu_sleeper {
    uint32_t thread; /* 0: free */
    uint32_t depth, kernel;
    uint64_t since_ns;
    struct stack_labels labels;
    uint64_t pcs[UNWIND_DEPTH_MAX + PERF_KERNEL_DEPTH_MAX];
};

struct off_cpu {
    uint32_t count;
    struct off_cpu_sleeper sleepers[OFF_CPU_THREADS_MAX];
};

/* It stops running here. */
void off_cpu_sleep(struct off_cpu *o, const uint64_t *pcs, uint32_t depth, uint32_t kernel,
                   const struct stack_labels *labels, uint64_t time_ns);
/* It runs again: the time goes to where it slept. */
void off_cpu_run(struct off_cpu *o, uint32_t thread, uint64_t time_ns, struct stack_counts *counts);
/* Threads that still sleep are counted as asleep up to now. */
void off_cpu_end(struct off_cpu *o, uint64_t time_ns, struct stack_counts *counts);

/* The stack of a thread that sleeps in a system call, from /proc/PID/task/TID/syscall and the process's memory. Returns its
 * depth; 0: it runs, or may not be looked at. */
uint32_t off_cpu_look(pid_t pid, uint32_t thread, const struct unwind_space *space, uint64_t *pcs,
                      uint32_t max);
