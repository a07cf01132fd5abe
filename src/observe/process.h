/* observe/process.h: what Linux says of one process at one moment, cheap enough for once a second. What costs more has a
 * file and a cadence of its own: process_memory.h, process_files.h, process_sockets.h. Sources: proc(5), the kernel's
 * Documentation/filesystems/proc.rst. One thread. */
#pragma once

#include "observe/process_limits.h"
#include "observe/process_reader.h"
#include "observe/process_stat.h"

#define PROCESS_THREADS_MAX 4096u

/* Which figures a sample has: what is not among them is not known, and stands as 0. */
enum process_known {
    PROCESS_KNOWS_WAIT = 1u << 0,     /* wait_ns, turns */
    PROCESS_KNOWS_SWITCHES = 1u << 1, /* switches_* */
    PROCESS_KNOWS_MEMORY = 1u << 2,   /* memory */
    PROCESS_KNOWS_IO = 1u << 3,       /* io */
    PROCESS_KNOWS_FILES = 1u << 4,    /* file_count */
    PROCESS_KNOWS_LIMITS = 1u << 5,   /* limits */
};

struct process_thread {
    int32_t tid, cpu;
    char name[PROCESS_NAME_MAX];
    char state;
    uint32_t known; /* PROCESS_KNOWS_WAIT, PROCESS_KNOWS_SWITCHES */
    uint64_t start_ticks;
    uint64_t user_ns, system_ns; /* in steps of a clock tick */
    uint64_t run_ns, wait_ns;    /* exact; run_ns is user and system together */
    uint64_t turns;              /* times it got a CPU */
    uint64_t switches_voluntary, switches_forced;
    uint64_t minor_faults, major_faults;
};

/* Of /proc/PID/status: cheap, and rounded by the kernel (split counters) by up to 64 pages a thread. Bytes. */
struct process_status_memory {
    uint64_t virtual_bytes, resident_bytes, peak_bytes;
    uint64_t anonymous_bytes, file_bytes, shared_bytes, swap_bytes;
    uint64_t page_table_bytes;
};

struct process_io {
    uint64_t read_bytes, write_bytes; /* from and to disks */
    uint64_t cancelled_write_bytes;   /* written, then deleted before a disk saw it */
    uint64_t read_call_bytes,
        write_call_bytes; /* through read(2), write(2) and the like, pipes and caches included */
    uint64_t read_calls, write_calls;
};

struct process_sample {
    struct process_identity identity;
    uint64_t time_ns; /* CLOCK_MONOTONIC */
    char name[PROCESS_NAME_MAX];
    char state;
    int32_t parent;
    uint32_t known;              /* enum process_known */
    uint64_t user_ns, system_ns; /* of all threads, ended ones too; in steps of a clock tick */
    uint64_t cpu_ns;             /* both together; exact where the reader is live */
    uint64_t minor_faults, major_faults;
    /* Of the threads that are there: see process_rates_between() for what they did since. */
    uint64_t wait_ns, turns, switches_voluntary, switches_forced;
    uint64_t file_count; /* open descriptors */
    struct process_status_memory memory;
    struct process_io io;
    struct process_limits limits;
    struct process_thread *threads; /* owned; by tid, upwards */
    uint32_t thread_count, thread_cap;
};

void process_sample_init(struct process_sample *s);
void process_sample_fini(struct process_sample *s);
/* Memory of an earlier sample in `out` is used again. An error: the process has ended, or was replaced. */
MUST_CHECK int process_sample_read(struct process_reader *r, struct process_sample *out, struct err *err);
