#include "profile/stack_copy.h"

#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "stack/registers.h"

#define PAGE_BYTES 4096u

/* Page by page: what lies behind the stack's end cannot be read, and the rest can. */
static uint32_t copy_bytes(uint64_t sp, uint8_t out[PERF_STACK_BYTES])
{
    struct iovec from[PERF_STACK_BYTES / PAGE_BYTES + 1];
    struct iovec to = { out, PERF_STACK_BYTES };
    uint32_t left = PERF_STACK_BYTES, count = 0;
    for (uint64_t at = sp; left && count < sizeof(from) / sizeof(*from); count++) {
        uint32_t len = PAGE_BYTES - (uint32_t)(at & (PAGE_BYTES - 1));
        if (len > left) len = left;
        from[count] = (struct iovec){ (void *)(uintptr_t)at, len }; // NOLINT(performance-no-int-to-ptr)
        at += len;
        left -= len;
    }
    ssize_t copied = process_vm_readv(getpid(), &to, 1, from, count, 0);
    return copied > 0 ? (uint32_t)copied : 0;
}

void stack_copy_take(struct stack_copy *c, const ucontext_t *at)
{
    struct user_regs_struct r;
    registers_of_context(at, &r);
    c->regs =
        (struct unwind_registers){ .ip = registers_pc(&r), .sp = registers_sp(&r), .bp = registers_fp(&r) };
    c->len = copy_bytes(c->regs.sp, c->bytes);
}

bool stack_copy_read(void *copy, uint64_t address, uint64_t *out)
{
    const struct stack_copy *c = copy;
    uint64_t at = address - c->regs.sp;
    if (address < c->regs.sp || at > c->len || c->len - at < sizeof(*out)) return false;
    memcpy(out, c->bytes + at, sizeof(*out));
    return true;
}
