/* observe/process_stat.h: the files /proc/PID/stat and /proc/PID/schedstat of a process or a thread (proc(5); the kernel's
 * Documentation/scheduler/sched-stats.rst). Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define PROCESS_NAME_MAX 32u

struct process_stat {
    char name[PROCESS_NAME_MAX]; /* what others chose: may hold any byte but 0 */
    char state;                  /* R, S, D, T, t, Z, X, I: proc(5) */
    int32_t parent, cpu;         /* cpu: where it ran last */
    uint64_t minor_faults, major_faults;
    uint64_t user_ticks, system_ticks; /* of all threads, ended ones too, in the file of a process */
    uint64_t thread_count, start_ticks, virtual_bytes;
    uint64_t io_wait_ticks; /* 0 unless delay accounting is on */
};

/* False: not what proc(5) says. */
bool process_stat_parse(struct slice text, struct process_stat *out);

struct process_schedule {
    uint64_t run_ns, wait_ns; /* on a CPU; ready but waiting for one */
    uint64_t turns;           /* times it got a CPU */
};

bool process_schedule_parse(struct slice text, struct process_schedule *out);
