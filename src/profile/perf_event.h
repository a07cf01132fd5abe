/* profile/perf_event.h: one thread's samples from the kernel (perf_event_open(2)): at each so much of its CPU time, or each
 * time it leaves the CPU, its registers, a copy of the top of its stack, and the kernel's own part of the stack. The reader's
 * thread. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "stack/unwind.h"

/* The top of a stack that is copied with each sample. The kernel ends the copy at a page that was never touched,
 * as there may be within large frames: see signal_stack_touch(). Threads that sleep do so in less deep places, and
 * there are many more of these samples. */
#define PERF_STACK_BYTES (32u << 10)
#define PERF_SLEEP_STACK_BYTES (16u << 10)
#define PERF_KERNEL_DEPTH_MAX 64u

enum perf_kind {
    PERF_ON_CPU,  /* every period_ns of CPU time */
    PERF_OFF_CPU, /* every time it stops running */
};

struct perf_options {
    enum perf_kind kind;
    uint64_t period_ns;
    bool has_kernel;   /* time in the kernel, and its stack, too */
    bool is_inherited; /* threads that the thread starts are sampled from their first instruction on */
};

struct perf_sample {
    uint32_t thread;
    uint64_t time_ns; /* of CLOCK_MONOTONIC */
    uint32_t weight;  /* how many samples it stands for */
    struct unwind_registers regs;
    uint64_t kernel[PERF_KERNEL_DEPTH_MAX]; /* the leaf first */
    uint32_t kernel_depth;
    bool has_regs;
    const uint8_t *stack; /* at regs.sp; borrowed during the call */
    uint32_t stack_len;
};

struct perf_events {
    void (*on_sample)(void *context, const struct perf_sample *s);
    void (*on_run)(void *context, uint32_t thread, uint64_t time_ns); /* PERF_OFF_CPU: it is on a CPU again */
    void (*on_lost)(void *context, uint64_t count);
    /* Of events that are inherited; may be NULL: a thread of a process began, or ended. */
    void (*on_thread)(void *context, uint32_t pid, uint32_t thread, bool has_ended);
};

struct perf_event {
    int fd; /* -1: none; readable when half of the ring is full */
    uint32_t thread;
    struct perf_event_mmap_page *page;
    uint64_t ring_bytes;
    uint8_t *scratch; /* a record that goes over the ring's end */
    uint64_t ahead;   /* up to where perf_event_look_ahead() has looked */
};

/* -1 with errno too: EACCES or EPERM where the kernel does not let us, ESRCH where the thread has ended. */
MUST_CHECK int perf_event_start(struct perf_event *e, pid_t thread, const struct perf_options *o,
                                struct err *err);
/* A ring for one CPU, of which no thread is sampled: what events put there that cannot have one of their own, as inherited
 * ones. */
MUST_CHECK int perf_event_ring(struct perf_event *e, uint32_t cpu, struct err *err);
/* An event of a thread while it is on that CPU, into the CPU's ring: its descriptor, or -1 with errno as above. */
int perf_event_into(const struct perf_event *ring, uint32_t cpu, pid_t thread, const struct perf_options *o);
void perf_event_stop(struct perf_event *e);
/* Tells when the process mapped code (is_exec false) and when it became another program, as far as the ring knows by now and
 * was not asked before. */
void perf_event_look_ahead(struct perf_event *e,
                           void (*on_code)(void *context, uint64_t time_ns, bool is_exec), void *context);
/* Whether all of its ring was read. */
bool perf_event_is_empty(const struct perf_event *e);
void perf_event_read(struct perf_event *e, const struct perf_events *events, void *context);
