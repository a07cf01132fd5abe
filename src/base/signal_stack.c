#include "base/signal_stack.h"

#include <stddef.h>
#include <sys/mman.h>

/* A frame with AVX-512 state takes 3.5 KiB; the rest is for reading and writing what a crash leaves. */
#define STACK_BYTES ((size_t)64 << 10)
#define PAGE_BYTES ((size_t)4096)
#define GUARD_BYTES PAGE_BYTES
#define TOUCHED_BYTES ((size_t)40 << 10)

const int signal_faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS, 0 };

void signal_block_all_but_faults(sigset_t *before)
{
    sigset_t set;
    sigfillset(&set);
    for (const int *s = signal_faults; *s; s++) sigdelset(&set, *s);
    sigdelset(&set, SIGPROF);
    sigdelset(&set, SIGURG);
    pthread_sigmask(SIG_SETMASK, &set, before);
}

void signal_stack_open(void)
{
    char *memory = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
    if (memory == MAP_FAILED) return;
    mprotect(memory, GUARD_BYTES, PROT_NONE);
    stack_t stack = { .ss_sp = memory + GUARD_BYTES, .ss_size = STACK_BYTES };
    if (sigaltstack(&stack, NULL) < 0) munmap(memory, GUARD_BYTES + STACK_BYTES);
}

void signal_stack_close(void)
{
    stack_t none = { .ss_flags = SS_DISABLE }, before;
    if (sigaltstack(&none, &before) < 0 || before.ss_flags & SS_DISABLE || before.ss_size != STACK_BYTES)
        return;
    munmap((char *)before.ss_sp - GUARD_BYTES, GUARD_BYTES + STACK_BYTES);
}

__attribute__((noinline)) void signal_stack_touch(void)
{
    volatile char bytes[TOUCHED_BYTES];
    for (size_t at = 0; at < sizeof(bytes); at += PAGE_BYTES) bytes[at] = 0;
}
