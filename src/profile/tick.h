/* profile/tick.h: samples of this process's own threads where the kernel refuses perf events (seccomp, containers): a timer of
 * each thread's CPU time (timer_create(2), SIGEV_THREAD_ID) whose signal copies registers and the top of the stack into a
 * ring. The kernel's part of a stack is not seen, and timers go by the kernel's tick: what expired more than once stands
 * for as many samples (timer_getoverrun(2)). The reader's thread. */
#pragma once

#include "profile/perf_event.h"

struct tick_ring;

struct tick {
    uint32_t thread;
    int timer;              /* the kernel's number */
    struct tick_ring *ring; /* NULL: none */
};

/* period_ns of CPU time; wake_fd, an eventfd, is written to when the ring is half full. -1 with errno: ESRCH where the
 * thread has ended. */
MUST_CHECK int tick_start(struct tick *t, pid_t thread, uint64_t period_ns, int wake_fd, struct err *err);
void tick_stop(struct tick *t);
void tick_read(struct tick *t, const struct perf_events *events, void *context);
