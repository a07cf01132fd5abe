/* observe/process_threads.h: the threads of a process, one by one: /proc/PID/task/TID/{stat,schedstat,status}. */
#pragma once

#include "observe/process.h"

/* Fills in the sample's threads and their sums; what is refused is noted. At most PROCESS_THREADS_MAX. -1: out of
 * memory. */
MUST_CHECK int process_threads_read(struct process_reader *r, struct process_sample *out, struct err *err);
