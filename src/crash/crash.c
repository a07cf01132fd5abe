#include "crash/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/signal_stack.h"
#include "crash/crash_modules.h"
#include "crash/fault.h"

#define LINE_MAX_BYTES 512u
#define FAULTS_WITHIN_MAX 8
/* How long a second thread that crashes leaves the first its time to write. */
#define OTHER_WAITS_MS 3000
#define STDERR_PATIENCE_MS 500
#define POLL_SLICE_MS 50

struct crash_out {
    int fds[2];
    struct text line;
    char memory[LINE_MAX_BYTES];
};

typedef void crash_story(const void *context, const struct memory_view *memory, struct crash_out *out);

static struct {
    char version[32];
    struct crash_modules modules;
    stack_unwinder *unwind;
    bool is_lean;
    crash_story *tell;
    const void *story;
    int dir_fd, spare_fd; /* -1: none; the spare is given up for the file, should descriptors have run out */
    _Atomic pid_t thread; /* that writes; 0: nothing has happened */
    struct crash_out out;
    sigjmp_buf next_part; /* where a fault within the handler leads */
    volatile sig_atomic_t faults_within;
    int waited_ms; /* for stderr, in all */
} crash = { .dir_fd = -1, .spare_fd = -1 };

/* lines */

struct text *crash_line(struct crash_out *out)
{
    return &out->line;
}

/* The program that should read stderr may hang, and a write would block: then the file has to do. */
static bool can_write(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    while (crash.waited_ms < STDERR_PATIENCE_MS) {
        if (poll(&p, 1, POLL_SLICE_MS) > 0) return true;
        crash.waited_ms += POLL_SLICE_MS;
    }
    return false;
}

/* A line is shorter than PIPE_BUF, so a pipe that can be written to takes it at once. */
static void write_summary(int fd, const char *data, size_t len)
{
    while (fd >= 0 && len) {
        if (fd == STDERR_FILENO && !can_write(fd)) return;
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        data += n;
        len -= (size_t)n;
    }
}

void crash_line_end(struct crash_out *out)
{
    /* The newline has its place even after a line that was cut. */
    if (out->line.len == out->line.cap) out->line.len--;
    text_add_char(&out->line, '\n');
    for (int i = 0; i < 2; i++) write_summary(out->fds[i], out->memory, out->line.len);
    out->line = text_over(out->memory, sizeof(out->memory));
}

static void add_to_summary(struct crash_out *out, const char *text)
{
    text_add_slice(&out->line, slice_of(text));
}

static void say_line(struct crash_out *out, const char *line)
{
    add_to_summary(out, line);
    crash_line_end(out);
}

static int open_file(void)
{
    char name[64];
    struct text t = text_over(name, sizeof(name));
    if (crash.dir_fd < 0) return -1;
    TEXT_LITERAL(&t, "crash.");
    text_add_u64(&t, (uint64_t)getpid());
    TEXT_LITERAL(&t, ".txt");
    close(crash.spare_fd);
    return openat(crash.dir_fd, text_cstr(&t), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* parts of the summary */

static void add_two(struct text *t, unsigned value)
{
    text_add_char(t, (char)('0' + value / 10 % 10));
    text_add_char(t, (char)('0' + value % 10));
}

/* gmtime() is not for signal handlers. Days since 1970 to a date: H. Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms", civil_from_days. */
static void add_time(struct text *t, uint64_t seconds)
{
    uint64_t days = seconds / 86400 + 719468, era = days / 146097, of_era = days % 146097;
    uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year + year / 4 - year / 100), mp = (5 * of_year + 2) / 153;
    unsigned month = (unsigned)(mp < 10 ? mp + 3 : mp - 9), second = (unsigned)(seconds % 86400);
    text_add_u64(t, year + era * 400 + (month <= 2));
    text_add_char(t, '-');
    add_two(t, month);
    text_add_char(t, '-');
    add_two(t, (unsigned)(of_year - (153 * mp + 2) / 5 + 1));
    text_add_char(t, 'T');
    add_two(t, second / 3600);
    text_add_char(t, ':');
    add_two(t, second / 60 % 60);
    text_add_char(t, ':');
    add_two(t, second % 60);
    text_add_char(t, 'Z');
}

struct report {
    struct crash_out *out;
    const siginfo_t *info;
    struct user_regs_struct registers;
    struct memory_view memory;
};

static void tell_what(const struct report *r)
{
    struct crash_out *out = r->out;
    char name[16] = "";
    prctl(PR_GET_NAME, name, 0, 0, 0);
    add_to_summary(out, "weir ");
    add_to_summary(out, crash.version);
    add_to_summary(out, " crashed: ");
    fault_print(r->info, &out->line);
    crash_line_end(out);
    add_to_summary(out, "time: ");
    add_time(&out->line, clock_wall_ns() / NS_PER_S);
    add_to_summary(out, "  process: ");
    text_add_u64(&out->line, (uint64_t)getpid());
    add_to_summary(out, "  thread: ");
    text_add_u64(&out->line, (uint64_t)gettid());
    add_to_summary(out, " (");
    add_to_summary(out, name);
    add_to_summary(out, ")");
    crash_line_end(out);
}

static void tell_registers(const struct report *r)
{
    struct crash_out *out = r->out;
    say_line(out, "registers:");
    for (uint32_t i = 0; registers_name(i); i++) {
        for (size_t len = strlen(registers_name(i)); len < 8; len++) add_to_summary(out, " ");
        add_to_summary(out, registers_name(i));
        add_to_summary(out, " 0x");
        text_add_hex(&out->line, registers_value(&r->registers, i), 16);
        if (i % 3 == 2 || !registers_name(i + 1)) crash_line_end(out);
    }
}

static void tell_stack(const struct report *r)
{
    static uint64_t pcs[STACK_FRAMES_MAX];
    struct crash_out *out = r->out;
    say_line(out, "stack:");
    uint32_t count = crash.unwind(&r->registers, &r->memory, pcs, STACK_FRAMES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        add_to_summary(out, i < 10 ? "   #" : "  #");
        text_add_u64(&out->line, i);
        add_to_summary(out, " 0x");
        text_add_hex(&out->line, pcs[i], 16);
        add_to_summary(out, " ");
        crash_modules_print(&crash.modules, pcs[i], &out->line);
        crash_line_end(out);
    }
}

static void tell_story(const struct report *r)
{
    if (crash.tell) crash.tell(crash.story, &r->memory, r->out);
}

/* One that faults is left, and the next is begun. */
static void (*const parts[])(const struct report *) = { tell_what, tell_registers, tell_stack, tell_story };

static void tell_all(const struct report *r)
{
    static volatile sig_atomic_t next;
    if (sigsetjmp(crash.next_part, 0)) {
        crash_line_end(r->out);
        say_line(r->out, "(what comes here could not be read)");
    }
    while ((size_t)next < sizeof(parts) / sizeof(*parts)) parts[next++](r);
    say_line(r->out, "end of the summary");
}

/* The signal once more with its default action, when the handler returns: so the core file shows the thread where it was,
 * and `info` as it came. */
static void end_by(int signal, siginfo_t *info)
{
    struct sigaction action = { .sa_handler = SIG_DFL };
    sigset_t set;
    sigaction(signal, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, signal);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), signal, info) < 0)
        syscall(SYS_tgkill, getpid(), gettid(), signal);
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    pid_t writer = 0, self = gettid();
    if (!atomic_compare_exchange_strong(&crash.thread, &writer, self)) {
        if (writer == self && ++crash.faults_within < FAULTS_WITHIN_MAX) siglongjmp(crash.next_part, 1);
        const struct timespec slice = { .tv_nsec = 10 * (long)NS_PER_MS };
        for (int ms = 0; writer != self && ms < OTHER_WAITS_MS; ms += 10) nanosleep(&slice, NULL);
        end_by(signal, info);
        return;
    }
    crash.out.line = text_over(crash.out.memory, sizeof(crash.out.memory));
    crash.out.fds[0] = STDERR_FILENO;
    crash.out.fds[1] = open_file();
    if (crash.dir_fd >= 0 && fchdir(crash.dir_fd) < 0)
        say_line(&crash.out, "core.dir cannot be entered any more");
    static struct report report;
    report = (struct report){ .out = &crash.out, .info = info, .memory = memory_of_self() };
    registers_of_context(context, &report.registers);
    tell_all(&report);
    if (crash.is_lean) registers_wipe_vectors(context);
    end_by(signal, info);
}

static void set_handlers(void)
{
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    sigfillset(&action.sa_mask);
    for (const int *s = signal_faults; *s; s++) sigdelset(&action.sa_mask, *s);
    for (const int *s = signal_faults; *s; s++) sigaction(*s, &action, NULL);
}

int crash_install(const struct crash_conf *conf, struct err *err)
{
    struct text version = text_over(crash.version, sizeof(crash.version));
    text_add_slice(&version, slice_of(conf->version));
    text_cstr(&version);
    crash.is_lean = conf->is_lean;
    crash_modules_read(&crash.modules);
    if (!crash.unwind) crash.unwind = stack_by_frame_pointers;
    int result = 0;
    if (conf->dir) {
        crash.dir_fd = open(conf->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        crash.spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (crash.dir_fd < 0 || faccessat(crash.dir_fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
            result = err_set(err, "cannot write to core.dir %s: %s", conf->dir, strerror(errno));
    }
    signal_stack_open();
    set_handlers();
    return result;
}

void crash_uninstall(void)
{
    struct sigaction action = { .sa_handler = SIG_DFL };
    for (const int *s = signal_faults; *s; s++) sigaction(*s, &action, NULL);
    signal_stack_close();
    if (crash.dir_fd >= 0) close(crash.dir_fd);
    if (crash.spare_fd >= 0) close(crash.spare_fd);
    crash.dir_fd = crash.spare_fd = -1;
    crash.tell = NULL;
}

void crash_set_unwinder(stack_unwinder *unwind)
{
    crash.unwind = unwind;
}

void crash_set_story(crash_story *tell, const void *context)
{
    crash.story = context;
    crash.tell = tell;
}
