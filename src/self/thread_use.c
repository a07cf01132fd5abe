#include "self/thread_use.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/slab.h"
#include "proxy/worker.h"

/* A clock of the CPU time of one thread by its number, as the kernel makes them (CPUCLOCK_PERTHREAD | CPUCLOCK_SCHED). */
#define THREAD_CLOCK(thread) ((clockid_t)((~(unsigned)(thread) << 3) | 6u))
#define PATH_ROOM 64

uint64_t thread_cpu_ns(uint32_t thread)
{
    struct timespec used;
    if (!thread || clock_gettime(THREAD_CLOCK(thread), &used) < 0) return 0;
    return (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec;
}

double thread_wait_seconds(uint32_t thread)
{
    char path[PATH_ROOM];
    uint64_t ran_ns, waited_ns;
    snprintf(path, sizeof(path), "/proc/self/task/%u/schedstat", thread);
    FILE *file = thread ? fopen(path, "re") : NULL;
    int found = file ? fscanf(file, "%" SCNu64 " %" SCNu64, &ran_ns, &waited_ns) : 0;
    if (file) fclose(file);
    return found == 2 ? (double)waited_ns / (double)NS_PER_S : NAN;
}

bool thread_wait_is_known(void)
{
    return !isnan(thread_wait_seconds((uint32_t)gettid()));
}

uint64_t loop_buffer_bytes(const struct loop *l)
{
    return __atomic_load_n(&l->blocks.live_bytes, __ATOMIC_RELAXED);
}

/* These are there from before the worker runs until after it has ended. */
uint64_t worker_slab_bytes(const struct worker *w)
{
    const struct slab *const slabs[] = {
        &w->clients,       &w->tunnels,     &w->sessions,    &w->exchanges,
        &w->introductions, &w->h1.requests, &w->h2.sessions, &w->h2.streams
    };
    uint64_t bytes = 0;
    for (size_t i = 0; i < sizeof(slabs) / sizeof(*slabs); i++) bytes += slab_drawn(slabs[i]);
    return bytes;
}
