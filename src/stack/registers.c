#include "stack/registers.h"

#include <string.h>

struct place {
    const char *name;
    size_t offset;
};
#define PLACE(member)                                      \
    {                                                      \
#member, offsetof(struct user_regs_struct, member) \
    }

#if defined(__x86_64__)

static const struct place places[] = {
    PLACE(rip), PLACE(rsp), PLACE(rbp), PLACE(rax), PLACE(rbx), PLACE(rcx),
    PLACE(rdx), PLACE(rsi), PLACE(rdi), PLACE(r8),  PLACE(r9),  PLACE(r10),
    PLACE(r11), PLACE(r12), PLACE(r13), PLACE(r14), PLACE(r15), PLACE(eflags),
};

void registers_of_context(const ucontext_t *context, struct user_regs_struct *out)
{
    const greg_t *g = context->uc_mcontext.gregs;
#define FROM(index) ((unsigned long long)g[index])
    *out = (struct user_regs_struct){
        .rip = FROM(REG_RIP),
        .rsp = FROM(REG_RSP),
        .rbp = FROM(REG_RBP),
        .rax = FROM(REG_RAX),
        .rbx = FROM(REG_RBX),
        .rcx = FROM(REG_RCX),
        .rdx = FROM(REG_RDX),
        .rsi = FROM(REG_RSI),
        .rdi = FROM(REG_RDI),
        .r8 = FROM(REG_R8),
        .r9 = FROM(REG_R9),
        .r10 = FROM(REG_R10),
        .r11 = FROM(REG_R11),
        .r12 = FROM(REG_R12),
        .r13 = FROM(REG_R13),
        .r14 = FROM(REG_R14),
        .r15 = FROM(REG_R15),
        .eflags = FROM(REG_EFL),
    };
#undef FROM
}

uint64_t registers_pc(const struct user_regs_struct *r)
{
    return r->rip;
}

uint64_t registers_sp(const struct user_regs_struct *r)
{
    return r->rsp;
}

uint64_t registers_fp(const struct user_regs_struct *r)
{
    return r->rbp;
}

uint64_t registers_thread(const struct user_regs_struct *r)
{
    return r->fs_base;
}

/* The frame's XSAVE area (Intel SDM 1, 13.4): 512 bytes as FXSAVE has them, the header with its bitmap of components, the
 * others. Beyond the first 512 bytes it is as long as the kernel says in what FXSAVE leaves free (asm/sigcontext.h). */
#define XMM_AT 160
#define XMM_BYTES 256
#define SOFTWARE_AT 464
#define SOFTWARE_MAGIC 0x46505853u
#define HEADER_AT 512
#define COMPONENTS_AT 576
#define X87 UINT64_C(1)

void registers_wipe_vectors(ucontext_t *context)
{
    char *area = (char *)context->uc_mcontext.fpregs;
    uint32_t magic, size;
    if (!area) return;
    explicit_bzero(area + XMM_AT, XMM_BYTES);
    memcpy(&magic, area + SOFTWARE_AT, sizeof(magic));
    memcpy(&size, area + SOFTWARE_AT + 16, sizeof(size));
    if (magic != SOFTWARE_MAGIC || size <= COMPONENTS_AT || size > 65536) return;
    uint64_t components;
    memcpy(&components, area + HEADER_AT, sizeof(components));
    components &= X87;
    memcpy(area + HEADER_AT, &components, sizeof(components));
    explicit_bzero(area + COMPONENTS_AT, size - COMPONENTS_AT);
}

#elif defined(__aarch64__)

static const struct place places[] = { PLACE(pc), PLACE(sp), PLACE(pstate) };

void registers_of_context(const ucontext_t *context, struct user_regs_struct *out)
{
    const mcontext_t *m = &context->uc_mcontext;
    *out = (struct user_regs_struct){ .sp = m->sp, .pc = m->pc, .pstate = m->pstate };
    for (int i = 0; i < 31; i++) out->regs[i] = m->regs[i];
}

uint64_t registers_pc(const struct user_regs_struct *r)
{
    return r->pc;
}

uint64_t registers_sp(const struct user_regs_struct *r)
{
    return r->sp;
}

uint64_t registers_fp(const struct user_regs_struct *r)
{
    return r->regs[29];
}

uint64_t registers_thread(const struct user_regs_struct *r)
{
    (void)r;
    return 0;
}

void registers_wipe_vectors(ucontext_t *context)
{
    (void)context;
}

#else
#error "which registers has this machine?"
#endif

#define PLACES (sizeof(places) / sizeof(*places))

const char *registers_name(uint32_t i)
{
    return i < PLACES ? places[i].name : NULL;
}

uint64_t registers_value(const struct user_regs_struct *r, uint32_t i)
{
    uint64_t value = 0;
    if (i < PLACES) memcpy(&value, (const char *)r + places[i].offset, sizeof(value));
    return value;
}
