#include "crash/fault.h"

struct word {
    int number;
    const char *name, *meaning;
};

static const struct word signals[] = {
    { SIGSEGV, "SIGSEGV", "invalid memory reference" },
    { SIGBUS, "SIGBUS", "memory that is not there" },
    { SIGILL, "SIGILL", "illegal instruction" },
    { SIGFPE, "SIGFPE", "arithmetic fault" },
    { SIGABRT, "SIGABRT", "aborted" },
    { SIGTRAP, "SIGTRAP", "trap" },
    { SIGSYS, "SIGSYS", "system call that is not allowed" },
    { 0 },
};

#define CODE(code, meaning)  \
    {                        \
        code, #code, meaning \
    }

static const struct word any_codes[] = {
    CODE(SI_USER, "sent by a process"),
    CODE(SI_TKILL, "sent by a thread"),
    CODE(SI_QUEUE, "queued by a process"),
    CODE(SI_KERNEL, "sent by the kernel"),
    { 0 },
};
static const struct word segv_codes[] = {
    CODE(SEGV_MAPERR, "no memory is mapped there"),
    CODE(SEGV_ACCERR, "the mapping does not allow it"),
    { 0 },
};
static const struct word bus_codes[] = {
    CODE(BUS_ADRALN, "not aligned"),
    CODE(BUS_ADRERR, "beyond the end of a mapped file, or out of memory"),
    CODE(BUS_OBJERR, "hardware fault"),
    CODE(BUS_MCEERR_AR, "broken memory"),
    CODE(BUS_MCEERR_AO, "broken memory"),
    { 0 },
};
static const struct word ill_codes[] = {
    CODE(ILL_ILLOPC, "illegal opcode"),
    CODE(ILL_ILLOPN, "illegal operand"),
    CODE(ILL_ILLADR, "illegal addressing"),
    CODE(ILL_ILLTRP, "illegal trap"),
    CODE(ILL_PRVOPC, "privileged opcode"),
    CODE(ILL_PRVREG, "privileged register"),
    CODE(ILL_COPROC, "coprocessor fault"),
    CODE(ILL_BADSTK, "internal stack fault"),
    { 0 },
};
static const struct word fpe_codes[] = {
    CODE(FPE_INTDIV, "division by zero"),
    CODE(FPE_INTOVF, "integer overflow"),
    CODE(FPE_FLTDIV, "floating-point division by zero"),
    CODE(FPE_FLTINV, "invalid floating-point operation"),
    { 0 },
};
static const struct word trap_codes[] = {
    CODE(TRAP_BRKPT, "breakpoint"),
    CODE(TRAP_TRACE, "single step"),
    { 0 },
};

static const struct word *word_of(const struct word *words, int number)
{
    for (; words && words->name; words++)
        if (words->number == number) return words;
    return NULL;
}

static const struct word *codes_of(int signal)
{
    switch (signal) {
    case SIGSEGV: return segv_codes;
    case SIGBUS: return bus_codes;
    case SIGILL: return ill_codes;
    case SIGFPE: return fpe_codes;
    case SIGTRAP: return trap_codes;
    default: return NULL;
    }
}

const char *fault_name(int signal)
{
    const struct word *w = word_of(signals, signal);
    return w ? w->name : "signal";
}

static void add_words(struct text *out, const char *text)
{
    text_add_slice(out, slice_of(text));
}

static void add_number(struct text *out, int number)
{
    if (number < 0) text_add_char(out, '-');
    text_add_u64(out, (uint64_t)(number < 0 ? -(int64_t)number : number));
}

static void print_code(const siginfo_t *info, struct text *out)
{
    /* Codes of the signal's own are above 0; those that any may have are not, but for SI_KERNEL. */
    const struct word *w = word_of(any_codes, info->si_code);
    if (!w) w = word_of(codes_of(info->si_signo), info->si_code);
    if (!w) {
        add_words(out, "code ");
        add_number(out, info->si_code);
        return;
    }
    add_words(out, w->meaning);
    add_words(out, " (");
    add_words(out, w->name);
    text_add_char(out, ')');
}

void fault_print(const siginfo_t *info, struct text *out)
{
    const struct word *w = word_of(signals, info->si_signo);
    if (w) {
        add_words(out, w->name);
        add_words(out, " (");
        add_words(out, w->meaning);
        add_words(out, "): ");
    } else {
        add_words(out, "signal ");
        add_number(out, info->si_signo);
        add_words(out, ": ");
    }
    print_code(info, out);
    if (info->si_code <= 0) {
        add_words(out, ", process ");
        add_number(out, info->si_pid);
        add_words(out, ", user ");
        text_add_u64(out, info->si_uid);
    } else if (codes_of(info->si_signo) && info->si_code != SI_KERNEL) {
        add_words(out, ", address 0x");
        text_add_hex(out, (uintptr_t)info->si_addr, 16);
    } else if (info->si_signo == SIGSYS) {
        add_words(out, ", system call ");
        add_number(out, info->si_syscall);
    }
}
