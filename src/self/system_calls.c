#include "self/system_calls.h"

#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/poison.h"

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#define OTHER_FROM 0x40000000u /* numbers of x32, under the same machine's name */
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#define OTHER_FROM 0x40000000u
#endif

#define OF_A_FILTER \
    1 /* si_code of SIGSYS: SYS_SECCOMP of the kernel's headers, which the C library has not */

struct call {
    uint32_t number;
    const char *name;
};

#define CALL(name)        \
    {                     \
        SYS_##name, #name \
    }

/* What no thread of weir does. What a newer weir may need, which is started under this filter, is not among it: becoming another user, another filter,
 * perf events, the memory of its own threads. */
static const struct call never[] = {
    /* other processes */
    CALL(process_vm_writev),
    CALL(kcmp),
    CALL(pidfd_getfd),
    CALL(process_madvise),
    CALL(migrate_pages),
    CALL(move_pages),
#if !IS_ADDRESS_SANITIZED
    CALL(ptrace), /* LeakSanitizer's, at the end */
#endif
    /* what is mounted where, and namespaces */
    CALL(mount),
    CALL(umount2),
    CALL(mount_setattr),
    CALL(move_mount),
    CALL(open_tree),
    CALL(fsopen),
    CALL(fsconfig),
    CALL(fsmount),
    CALL(fspick),
    CALL(pivot_root),
    CALL(chroot),
    CALL(unshare),
    CALL(setns),
    /* the kernel itself */
    CALL(kexec_load),
#ifdef SYS_kexec_file_load
    CALL(kexec_file_load),
#endif
    CALL(init_module),
    CALL(finit_module),
    CALL(delete_module),
    CALL(bpf),
    CALL(userfaultfd),
    CALL(io_uring_setup),
    CALL(io_uring_enter),
    CALL(io_uring_register),
    CALL(add_key),
    CALL(request_key),
    CALL(keyctl),
    CALL(lookup_dcookie),
    CALL(nfsservctl),
    CALL(vmsplice),
    CALL(remap_file_pages),
    CALL(personality),
#ifdef SYS_iopl
    CALL(iopl),
    CALL(ioperm),
    CALL(modify_ldt),
    CALL(create_module),
    CALL(uselib),
    CALL(ustat),
    CALL(_sysctl),
#endif
    /* the host */
    CALL(reboot),
    CALL(swapon),
    CALL(swapoff),
    CALL(acct),
    CALL(quotactl),
    CALL(quotactl_fd),
    CALL(settimeofday),
    CALL(clock_settime),
    CALL(clock_adjtime),
    CALL(adjtimex),
    CALL(sethostname),
    CALL(setdomainname),
    CALL(syslog),
    CALL(vhangup),
    /* files past their names */
    CALL(fanotify_init),
    CALL(fanotify_mark),
    CALL(name_to_handle_at),
    CALL(open_by_handle_at),
    CALL(mknodat),
#ifdef SYS_mknod
    CALL(mknod),
#endif
};

/* What a thread that carries traffic does not do. A crash in it writes a file, so opening one for writing is not here. */
static const struct call not_in_worker[] = {
    CALL(execve),     CALL(execveat),  CALL(clone),           CALL(clone3),
#ifdef SYS_fork
    CALL(fork),       CALL(vfork),
#endif
    CALL(kill),       CALL(tkill),     CALL(rt_sigqueueinfo), CALL(pidfd_send_signal),
    CALL(pidfd_open), CALL(setuid),    CALL(setgid),          CALL(setreuid),
    CALL(setregid),   CALL(setresuid), CALL(setresgid),       CALL(setfsuid),
    CALL(setfsgid),   CALL(setgroups), CALL(capset),          CALL(setsid),
    CALL(setrlimit),  CALL(unlinkat),  CALL(renameat2),       CALL(mkdirat),
    CALL(symlinkat),  CALL(linkat),    CALL(fchmodat),        CALL(fchmod),
    CALL(fchownat),   CALL(fchown),    CALL(truncate),        CALL(setxattr),
    CALL(lsetxattr),  CALL(fsetxattr), CALL(tgkill),          CALL(rt_tgsigqueueinfo),
#ifdef SYS_renameat
    CALL(renameat), /* rename() where there is no call of that name */
#endif
#ifdef SYS_unlink
    CALL(unlink),     CALL(rename),    CALL(mkdir),           CALL(rmdir),
    CALL(symlink),    CALL(link),      CALL(chmod),           CALL(chown),
    CALL(lchown),
#endif
};

#define NEVER_COUNT (sizeof(never) / sizeof(*never))
#define WORKER_COUNT (sizeof(not_in_worker) / sizeof(*not_in_worker))
/* The latest that there was when this was written (Linux 6.1): to programs that know of later ones the kernel is one that has none of them. */
#define LATEST SYS_set_mempolicy_home_node
#define CALLS_MAX 200u  /* a jump over them has eight bits */
#define CLONE_LINES 7u  /* of write_clone() */
#define SIGNAL_LINES 6u /* of write_signal() */
#define PROGRAM_MAX (CALLS_MAX + CLONE_LINES + SIGNAL_LINES + 8u)
#define HARMLESS_CALL SYS_keyctl /* of the first list: with an operation that there is not */
#define NO_OPERATION (-1L)

static_assert(NEVER_COUNT < CALLS_MAX && WORKER_COUNT < CALLS_MAX, "a jump reaches over all of them");

/* The process's, as a signal's handler is. */
static struct {
    _Atomic uint64_t counts[LATEST + 2]; /* by number, not taken yet; the last is of all other numbers */
    _Atomic uint64_t total;
    _Atomic int wake_fd;
    _Atomic bool is_refusing;
    struct sigaction before;
    volatile sig_atomic_t is_asking, answer; /* for system_calls_refuse() */
} calls = { .wake_fd = -1 };

/* the handler */

static void set_result(ucontext_t *c, long result)
{
#if defined(__x86_64__)
    c->uc_mcontext.gregs[REG_RAX] = result;
#elif defined(__aarch64__)
    c->uc_mcontext.regs[0] = (unsigned long long)result;
#endif
}

static void pass_on(int signal, siginfo_t *info, void *context)
{
    const struct sigaction *a = &calls.before;
    if (a->sa_flags & SA_SIGINFO) {
        a->sa_sigaction(signal, info, context);
    } else if (a->sa_handler == SIG_DFL) {
        sigaction(signal, a, NULL);
        raise(signal); /* comes when this handler is left */
    } else if (a->sa_handler != SIG_IGN) {
        a->sa_handler(signal);
    }
}

/* On the thread that made the call. Async-signal-safe. */
static void on_refused(int signal, siginfo_t *info, void *context)
{
    int saved = errno;
    if (info->si_code != OF_A_FILTER) {
        pass_on(signal, info, context);
        return;
    }
    set_result(context, -EPERM);
    if (calls.is_asking) {
        calls.answer = info->si_errno;
        return;
    }
    uint32_t number = info->si_arch == MACHINE ? (uint32_t)info->si_syscall : LATEST + 1;
    atomic_fetch_add_explicit(&calls.counts[number <= LATEST ? number : LATEST + 1], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&calls.total, 1, memory_order_relaxed);
    const uint64_t one = 1;
    int fd = atomic_load(&calls.wake_fd);
    ssize_t n = fd >= 0 ? write(fd, &one, sizeof(one)) : 0;
    (void)n; /* full: it is awake */
    errno = saved;
}

void system_calls_watch(void)
{
    struct sigaction action = { .sa_sigaction = on_refused,
                                .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER },
                     before;
    if (!atomic_load(&calls.is_refusing) && !calls.is_asking) return;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGSYS, &action, &before) < 0) return;
    if (!(before.sa_flags & SA_SIGINFO) || before.sa_sigaction != on_refused) calls.before = before;
}

/* the filter: a program of classic BPF over struct seccomp_data */

/* Of the list, in 15 bits: a weir finds out by it whether the one before it has put the same filter there. */
static uint32_t mark_of(const struct call *list, size_t count)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < count; i++) hash = (hash ^ list[i].number) * 16777619u;
    return (hash ^ hash >> 16) & 0x7fff;
}

/* A worker may have to start a thread, for files and for passwords, and no process. What clone3() is to do is in memory, where no filter looks: the C
 * library takes clone() where it is not there. It blocks all signals meanwhile, so that these two fail without one. */
static uint16_t write_clone(struct sock_filter *p, uint16_t n)
{
    p[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1);
    p[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
    p[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4);
    p[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args));
    p[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0);
    p[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    p[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    return n;
}

/* To a thread of this process alone: abort() and a crash send one to their own. */
static uint16_t write_signal(struct sock_filter *p, uint16_t n, uint32_t refuse)
{
    p[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tgkill, 1, 0);
    p[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_tgsigqueueinfo, 0, 4);
    p[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args));
    p[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)getpid(), 0, 1);
    p[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    p[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, refuse);
    return n;
}

static uint16_t write_program(struct sock_filter *p, const struct call *list, size_t count)
{
    uint16_t n = 0;
    bool is_of_worker = list == not_in_worker;
    size_t extra = is_of_worker ? CLONE_LINES + SIGNAL_LINES : 0;
    const uint32_t refuse = SECCOMP_RET_TRAP | mark_of(list, count);
    const uint8_t to_refuse = 3; /* over what allows and what is not there */
    p[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    p[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 0,
                                          (uint8_t)(extra + count + 5));
    p[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    p[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, OTHER_FROM, (uint8_t)(extra + count + 3),
                                          0);
    if (is_of_worker) n = write_signal(p, write_clone(p, n), refuse);
    for (size_t i = 0; i < count; i++)
        p[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, list[i].number,
                                              (uint8_t)(count - i - 1 + to_refuse), 0);
    p[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, LATEST, 0, 1);
    p[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
    p[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    p[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, refuse);
    return n;
}

/* With SPEC_ALLOW: without it older kernels slow every call of the thread down for a danger that is not one here, of code that the
 * process has taken in to run it in a sandbox. */
static int add_filter(const struct call *list, size_t count)
{
    struct sock_filter program[PROGRAM_MAX];
    const struct sock_fprog whole = { .len = write_program(program, list, count), .filter = program };
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &whole);
}

/* Not counted, and nobody is told of it. */
static bool is_filter_there(void)
{
    calls.answer = -1;
    calls.is_asking = 1;
    system_calls_watch();
    syscall(HARMLESS_CALL, NO_OPERATION);
    calls.is_asking = 0;
    return calls.answer == (int)mark_of(never, NEVER_COUNT);
}

int system_calls_refuse(struct err *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set(err, "rights to come cannot be given up: %s", strerror(errno));
    bool is_there = is_filter_there();
    if (!is_there && add_filter(never, NEVER_COUNT) < 0)
        return err_set(err, "the kernel takes no filter of system calls: %s", strerror(errno));
    atomic_store(&calls.is_refusing, true);
    system_calls_watch();
    return 0;
}

void system_calls_refuse_in_worker(void)
{
    if (!atomic_load(&calls.is_refusing)) return;
    int result = add_filter(not_in_worker, WORKER_COUNT);
    (void)result; /* the kernel has taken the first one, and takes this but for want of memory */
}

/* telling */

void system_calls_wake(int fd)
{
    atomic_store(&calls.wake_fd, fd);
}

uint64_t system_calls_refused(void)
{
    return atomic_load_explicit(&calls.total, memory_order_relaxed);
}

static const char *name_of(uint32_t number)
{
    for (size_t i = 0; i < NEVER_COUNT; i++)
        if (never[i].number == number) return never[i].name;
    for (size_t i = 0; i < WORKER_COUNT; i++)
        if (not_in_worker[i].number == number) return not_in_worker[i].name;
    return "of another machine";
}

bool system_calls_take(struct system_call_refused *out)
{
    for (uint32_t i = 0; i < sizeof(calls.counts) / sizeof(*calls.counts); i++) {
        out->count = atomic_exchange_explicit(&calls.counts[i], 0, memory_order_relaxed);
        out->name = name_of(i);
        if (out->count) return true;
    }
    return false;
}

bool system_calls_are_filtered(void)
{
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2;
}
