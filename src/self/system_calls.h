/* self/system_calls.h: system calls that weir never makes are refused it by the kernel (seccomp(2)), so that whoever has found a way to make it run
 * his code finds less to do with it. One that is made nevertheless fails with EPERM, is counted by its name, and weir goes on. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/text.h"

/* For the calling thread, those that it starts from now on, and programs that it becomes or starts. Sets no_new_privs and a handler of SIGSYS. A filter that a weir
 * before this one has left is found, and not put there a second time. -1: the kernel does not do it, and err says why. */
MUST_CHECK int system_calls_refuse(struct err *err);
/* For a thread that carries traffic, beside that: it starts no programs and no processes, threads apart, and changes no files. Nothing happens where
 * system_calls_refuse() has not succeeded. */
void system_calls_refuse_in_worker(void);

/* The handler of SIGSYS, which crash_install() has replaced; what is not of the filter goes to the one before. */
void system_calls_watch(void);
/* An eventfd that is written to whenever one was refused; -1: none. Any thread may be the one that was refused. */
void system_calls_wake(int fd);
/* How many have been refused so far. */
uint64_t system_calls_refused(void);
/* The next name, and how often since it was last taken; false: there is none. One thread. */
struct system_call_refused {
    const char *name; /* "ptrace"; "of another machine" */
    uint64_t count;
};
bool system_calls_take(struct system_call_refused *out);

/* Whether a filter is in force, as the kernel says it. */
bool system_calls_are_filtered(void);
