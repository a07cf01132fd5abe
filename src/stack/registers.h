/* stack/registers.h: a thread's registers as the kernel lays them out for core files and ptrace. Async-signal-safe. */
#pragma once

#include <stdint.h>
#include <sys/user.h>
#include <ucontext.h>

#include "base/text.h"

void registers_of_context(const ucontext_t *context, struct user_regs_struct *out);
uint64_t registers_pc(const struct user_regs_struct *r);
uint64_t registers_sp(const struct user_regs_struct *r);
uint64_t registers_fp(const struct user_regs_struct *r);
/* The address that pthread_self() is in glibc; 0 where that is not among them. */
uint64_t registers_thread(const struct user_regs_struct *r);

/* Name and value of the i-th general one; NULL after the last. */
const char *registers_name(uint32_t i);
uint64_t registers_value(const struct user_regs_struct *r, uint32_t i);
/* Zeroes the vector registers that the context will restore. */
void registers_wipe_vectors(ucontext_t *context);
