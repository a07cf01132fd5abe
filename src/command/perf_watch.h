/* command/perf_watch.h: one process, looked at once a second while it is profiled: the figures as they come, and all of them at
 * the end as lines over time. One thread. */
#pragma once

#include <stdio.h>

#include "base/json.h"
#include "command/perf_tables.h"
#include "observe/pressure.h"
#include "observe/process.h"
#include "observe/process_files.h"
#include "observe/process_memory.h"
#include "observe/process_network.h"
#include "observe/process_sockets.h"

#define PERF_WATCH_MAX 3600u
#define PERF_WATCHES_MAX 16u

/* X(identifier, name, unit, group) */
#define PERF_SERIES(X)                                                     \
    X(CPU, "CPU", "percent", "CPU")                                        \
    X(WAIT, "waiting for a CPU", "percent", "CPU")                         \
    X(RESIDENT, "resident", "bytes", "memory")                             \
    X(ANONYMOUS, "anonymous", "bytes", "memory")                           \
    X(FILES, "descriptors", "descriptors", "descriptors")                  \
    X(THREADS, "threads", "threads", "threads")                            \
    X(VOLUNTARY, "voluntary", "a second", "context switches")              \
    X(FORCED, "forced", "a second", "context switches")                    \
    X(MINOR, "minor", "a second", "page faults")                           \
    X(MAJOR, "major", "a second", "page faults")                           \
    X(READ, "read from disks", "bytes", "disks, a second")                 \
    X(WRITTEN, "written to disks", "bytes", "disks, a second")             \
    X(CALLS_READ, "read", "bytes", "through system calls, a second")       \
    X(CALLS_WRITTEN, "written", "bytes", "through system calls, a second") \
    X(RECEIVED, "received", "bytes", "network namespace, a second")        \
    X(SENT, "sent", "bytes", "network namespace, a second")                \
    X(LOOPBACK, "loopback", "bytes", "network namespace, a second")        \
    X(PRESSURE_CPU, "for a CPU", "percent", "some task waits (PSI)")       \
    X(PRESSURE_MEMORY, "for memory", "percent", "some task waits (PSI)")   \
    X(PRESSURE_IO, "for disks", "percent", "some task waits (PSI)")

enum perf_series_id {
#define X(id, name, unit, group) PERF_##id,
    PERF_SERIES(X)
#undef X
        PERF_SERIES_COUNT
};

/* Of more than the process. */
struct perf_surroundings {
    struct process_network network;
    struct pressure_set pressure;
    bool has_network;
};

struct perf_watch {
    struct process_reader reader;
    int end_fd; /* readable when the process has ended (pidfd_open(2)); -1: this kernel has none */
    struct process_sample samples[2]; /* the latest, and the one before */
    uint32_t latest, count;           /* count: values in each series */
    struct perf_surroundings surroundings[2];
    uint64_t start_wall_ns, first_ns;
    struct process_thread *first_threads; /* as they were when the watch began; owned */
    uint32_t first_thread_count;
    uint64_t first_files[FILE_KIND_COUNT];
    struct perf_series series[PERF_SERIES_COUNT];
    double *values[PERF_SERIES_COUNT]; /* owned; PERF_WATCH_MAX */
    struct process_files files;
    struct process_sockets sockets;
    struct process_mappings mappings;
    struct process_memory memory;
    bool has_files, has_sockets, has_mappings, has_memory;
    bool is_over;         /* the process has ended */
    double ended_after_s; /* since the watch began */
};

MUST_CHECK int perf_watch_open(struct perf_watch *w, int32_t pid, struct err *err);
void perf_watch_close(struct perf_watch *w);
/* Once a second. -1: the process has ended. */
MUST_CHECK int perf_watch_look(struct perf_watch *w, struct err *err);
/* Waits until then, or until one of the processes has ended; a signal ends it too. */
void perf_watch_wait(struct perf_watch *const *watches, uint32_t count, uint64_t until_ns);
/* Asks nothing but the kernel's notice. */
bool perf_watch_has_ended(const struct perf_watch *w);
/* "process 1234 ended 2.1 s after the watch began"; "" while it runs. */
void perf_watch_describe_end(const struct perf_watch *w, char *out, size_t size);
/* What costs more: memory by mapping, descriptors, sockets; once, at the end. */
void perf_watch_look_closely(struct perf_watch *w);
/* Of the latest second; NAN where it is not known. */
double perf_watch_value(const struct perf_watch *w, enum perf_series_id id);

/* Adds threads, memory, descriptors, sockets: as they are at the end, with what they did since the beginning. */
void perf_watch_tables(const struct perf_watch *w, struct perf_tables *out);
/* For people, and for programs. */
void perf_watch_print(const struct perf_watch *w, const struct perf_tables *tables, FILE *out);
void perf_watch_json(const struct perf_watch *w, const struct perf_tables *tables, struct json *j);
