/* profile/thread_events.h: events of one kind for every thread of a process, those that begin later too. On the CPU, the kernel
 * hands an event on to the threads that a thread starts (inherit), so that one that lives for 20 ms is not missed; where
 * that costs more descriptors than there are, new threads are looked for now and then. Timers where the kernel refuses
 * events of our own threads. The sampler's thread. */
#pragma once

#include <poll.h>

#include "profile/perf_event.h"
#include "profile/tick.h"

#define SAMPLER_THREADS_MAX 1024u
#define THREAD_EVENTS_CPUS_MAX 256u
#define THREAD_EVENTS_MAX 8192u /* descriptors: threads times CPUs */

struct thread_events {
    struct perf_options options;
    pid_t pid;
    int wake_fd; /* of timers */
    bool is_open;
    bool has_no_kernel, has_no_events; /* what the kernel has refused */
    /* A thread each: */
    struct perf_event events[SAMPLER_THREADS_MAX];
    struct tick ticks[SAMPLER_THREADS_MAX];
    uint32_t count, tick_count; /* one of them is 0 */
    /* Or a ring for each CPU, into which the events of all threads write: */
    struct perf_event rings[THREAD_EVENTS_CPUS_MAX];
    uint32_t cpus[THREAD_EVENTS_CPUS_MAX];
    uint32_t ring_count;
    int *fds;
    uint32_t fd_count, scan_count;
    /* One bit for each number that a thread can have: it is sampled; it was there at the last scan, and was not. */
    uint64_t *is_known, *was_seen;
};

/* Both fields of `options` that the kernel may refuse are adapted. -1: nothing can be sampled. */
MUST_CHECK int thread_events_scan(struct thread_events *t, struct err *err);
void thread_events_close(struct thread_events *t);
void thread_events_read(struct thread_events *t, const struct perf_events *events, void *context);
void thread_events_look_ahead(struct thread_events *t,
                              void (*on_code)(void *context, uint64_t time_ns, bool is_exec), void *context);
/* A thread began, or ended: what perf_events.on_thread says. */
void thread_events_note(struct thread_events *t, uint32_t pid, uint32_t thread, bool has_ended);
/* Fills in up to `max`; returns how many. */
uint32_t thread_events_poll(const struct thread_events *t, struct pollfd *fds, uint32_t max);
