/* self/thread_use.h: what one thread of weir's takes: time on a CPU, waiting for one, memory. Read when somebody asks; the thread
 * itself does nothing for it. Any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/loop.h"

struct worker;

/* CPU time that a thread had, by the kernel's number of it; 0: it has none, or has ended. */
uint64_t thread_cpu_ns(uint32_t thread);
/* How long it could have run and all CPUs had something else to do (proc(5), schedstat), in seconds; no number where the
 * kernel does not say. */
double thread_wait_seconds(uint32_t thread);
/* Whether the kernel says it, of the calling thread. */
bool thread_wait_is_known(void);

/* What a loop's blocks take that hold bytes on the move. */
uint64_t loop_buffer_bytes(const struct loop *l);
/* What a worker has for clients' connections, exchanges, tunnels and sessions, places that are free among it. Not those to
 * servers, which come and go with their pools. */
uint64_t worker_slab_bytes(const struct worker *w);
