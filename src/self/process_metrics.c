#include "self/process_metrics.h"

#include <math.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "self/descriptors.h"

static double cpu_seconds(void *context)
{
    struct timespec t = { 0 };
    (void)context;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / (double)NS_PER_S;
}

/* The `column`-th number of statm, which counts pages; what cannot be read is no number. */
static double memory_bytes(unsigned column)
{
    unsigned long pages[2] = { 0 };
    FILE *file = fopen("/proc/self/statm", "re");
    int found = file ? fscanf(file, "%lu %lu", &pages[0], &pages[1]) : 0;
    if (file) fclose(file);
    return found == 2 ? (double)pages[column] * (double)sysconf(_SC_PAGESIZE) : NAN;
}

static double virtual_bytes(void *context)
{
    (void)context;
    return memory_bytes(0);
}

static double resident_bytes(void *context)
{
    (void)context;
    return memory_bytes(1);
}

static double open_descriptors(void *context)
{
    (void)context;
    return descriptors_open();
}

static double most_descriptors(void *context)
{
    struct rlimit limit = { 0 };
    (void)context;
    getrlimit(RLIMIT_NOFILE, &limit);
    return (double)limit.rlim_cur;
}

/* Noted once, since the clock may be set. */
static double started_seconds;

static double start_seconds(void *context)
{
    (void)context;
    return started_seconds;
}

static double one(void *context)
{
    (void)context;
    return 1;
}

void process_metrics_add(struct metric_registry *m, const char *version)
{
    const struct metric_label label = { "version", version };
    started_seconds = (double)clock_wall_ns() / (double)NS_PER_S;
    (void)metric_gauge_fn(m, "weir_build_info", "1: which weir this is.", &label, 1, one, NULL);
    (void)metric_counter_fn(m, "process_cpu_seconds_total", "CPU time that the process took, in seconds.",
                            NULL, 0, cpu_seconds, NULL);
    (void)metric_gauge_fn(m, "process_resident_memory_bytes", "Memory of the process that is in RAM.", NULL,
                          0, resident_bytes, NULL);
    (void)metric_gauge_fn(m, "process_virtual_memory_bytes", "Addresses of the process that lead somewhere.",
                          NULL, 0, virtual_bytes, NULL);
    (void)metric_gauge_fn(m, "process_open_fds", "Descriptors of the process that are open.", NULL, 0,
                          open_descriptors, NULL);
    (void)metric_gauge_fn(m, "process_max_fds", "How many may be.", NULL, 0, most_descriptors, NULL);
    (void)metric_gauge_fn(m, "process_start_time_seconds",
                          "When the process was started, in seconds since 1970.", NULL, 0, start_seconds,
                          NULL);
}
