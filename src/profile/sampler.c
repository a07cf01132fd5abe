#include "profile/sampler.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/signal_stack.h"
#include "profile/off_cpu.h"

/* How often threads that are new are looked for, and rings are emptied even if they are not half full. */
#define SCAN_MS 200u
#define TURN_MS 100u
#define KINDS 2u

struct sampler {
    struct sampler_options options;
    pid_t pid;
    pthread_mutex_t lock; /* of what follows */
    struct list asked;    /* windows that the thread does not know yet */
    bool is_running, has_thread;
    _Atomic bool is_stopping; /* read without it too, where something takes long */
    pthread_t thread;
    int wake_fd;
    /* The thread's own: */
    struct list windows;
    struct thread_events groups[KINDS];
    struct space_history spaces;
    uint64_t scanned_ns;
};

/* samples */

struct copied_stack {
    uint64_t sp;
    const uint8_t *bytes;
    uint64_t len;
};

static bool read_copied(void *context, uint64_t address, uint64_t *out)
{
    const struct copied_stack *s = context;
    if (address < s->sp || address - s->sp > s->len || s->len - (address - s->sp) < sizeof(*out))
        return false;
    memcpy(out, s->bytes + (address - s->sp), sizeof(*out));
    return true;
}

/* What the thread said it was doing: in the copy of its stack if that reaches so far, else as of now. */
static struct stack_labels labels_of(const struct sampler *s, const struct perf_sample *p)
{
    struct stack_labels l = { .thread = p->thread, .space = space_history_at(&s->spaces, p->time_ns) };
    const struct activity *a = s->options.activity_of ? s->options.activity_of(s->options.context, p->thread)
                                                      : NULL;
    struct activity copy;
    if (!a) return l;
    uint64_t at = (uint64_t)(uintptr_t)a;
    bool is_copied = p->stack && at >= p->regs.sp && at - p->regs.sp + sizeof(copy) <= p->stack_len;
    if (is_copied) {
        memcpy(&copy, p->stack + (at - p->regs.sp), sizeof(copy));
        a = &copy;
    }
    l.worker = atomic_load_explicit(&a->worker, memory_order_relaxed);
    l.listener = atomic_load_explicit(&a->listener, memory_order_relaxed);
    l.pool = atomic_load_explicit(&a->pool, memory_order_relaxed);
    l.phase = atomic_load_explicit(&a->phase, memory_order_relaxed);
    return l;
}

static uint32_t unwind_sample(const struct sampler *s, const struct perf_sample *p, uint64_t *pcs,
                              uint64_t *unknown)
{
    struct copied_stack copied = { p->regs.sp, p->stack, p->stack_len };
    const struct unwind_memory memory = { read_copied, &copied, unknown };
    const struct space *at = &s->spaces.items[space_history_at(&s->spaces, p->time_ns)];
    *unknown = 0;
    if (at->unwind) return unwind_stack(at->unwind, &p->regs, &memory, pcs, UNWIND_DEPTH_MAX);
    pcs[0] = p->regs.ip;
    return 1;
}

/* The kernel's part, then the process's. Where code is not known, a library may have been loaded meanwhile. */
static uint32_t stack_of(struct sampler *s, const struct perf_sample *p, uint64_t *pcs)
{
    uint32_t depth = p->kernel_depth, user;
    uint64_t unknown;
    memcpy(pcs, p->kernel, depth * sizeof(*pcs));
    if (!p->has_regs || !p->regs.ip) return depth;
    user = unwind_sample(s, p, pcs + depth, &unknown);
    if (unknown && space_history_look_for(&s->spaces, p->time_ns, clock_now_ns()))
        user = unwind_sample(s, p, pcs + depth, &unknown);
    return depth + user;
}

struct reading {
    struct sampler *sampler;
    enum perf_kind kind;
};

static void on_sample(void *context, const struct perf_sample *p)
{
    const struct reading *r = context;
    struct sampler *s = r->sampler;
    uint64_t pcs[PERF_KERNEL_DEPTH_MAX + UNWIND_DEPTH_MAX];
    uint32_t depth = stack_of(s, p, pcs);
    struct stack_labels labels = labels_of(s, p);
    for (struct list *at = s->windows.next; at != &s->windows; at = at->next) {
        struct sampler_window *w = container_of(at, struct sampler_window, link);
        if (w->kind != r->kind) continue;
        w->samples += p->weight;
        if (w->off_cpu)
            off_cpu_sleep(w->off_cpu, pcs, depth, p->kernel_depth, &labels, p->time_ns);
        else
            stack_counts_add(&w->counts, pcs, depth, p->kernel_depth, &labels, p->weight,
                             p->weight * s->groups[r->kind].options.period_ns);
    }
}

static void on_run(void *context, uint32_t thread, uint64_t time_ns)
{
    const struct reading *r = context;
    for (struct list *at = r->sampler->windows.next; at != &r->sampler->windows; at = at->next) {
        struct sampler_window *w = container_of(at, struct sampler_window, link);
        if (w->off_cpu) off_cpu_run(w->off_cpu, thread, time_ns, &w->counts);
    }
}

static void on_lost(void *context, uint64_t count)
{
    const struct reading *r = context;
    for (struct list *at = r->sampler->windows.next; at != &r->sampler->windows; at = at->next) {
        struct sampler_window *w = container_of(at, struct sampler_window, link);
        if (w->kind == r->kind) w->lost += count;
    }
}

static void on_thread(void *context, uint32_t pid, uint32_t thread, bool has_ended)
{
    const struct reading *r = context;
    thread_events_note(&r->sampler->groups[r->kind], pid, thread, has_ended);
}

static const struct perf_events perf_events = { on_sample, on_run, on_lost, on_thread };

/* other code */

struct news {
    uint64_t execs_ns[SPACES_MAX], mapped_ns; /* mapped_ns: the first after the last exec; 0: none */
    uint32_t exec_count;                      /* more than there is room for are counted only */
};

static void on_code(void *context, uint64_t time_ns, bool is_exec)
{
    struct news *n = context;
    if (!is_exec) {
        if (!n->mapped_ns || time_ns < n->mapped_ns) n->mapped_ns = time_ns;
        return;
    }
    uint32_t at = n->exec_count < SPACES_MAX ? n->exec_count : SPACES_MAX - 1;
    n->exec_count++;
    for (; at && n->execs_ns[at - 1] > time_ns; at--) n->execs_ns[at] = n->execs_ns[at - 1];
    n->execs_ns[at] = time_ns;
}

static struct news look_ahead(struct sampler *s)
{
    struct news n = { .exec_count = 0 };
    /* One kind knows of all of them; the other would tell of them a second time. */
    struct thread_events *g = &s->groups[s->groups[PERF_ON_CPU].is_open ? PERF_ON_CPU : PERF_OFF_CPU];
    thread_events_look_ahead(g, on_code, &n);
    return n;
}

/* Before samples are read: those after an exec are of the new program. What is read of a program is only true if there was
 * no other one by then: the kernel has told by now if there was. */
static void follow_code(struct sampler *s)
{
    struct news n = look_ahead(s);
    bool has_execs = n.exec_count > 0;
    while (n.exec_count) {
        uint32_t kept = n.exec_count < SPACES_MAX ? n.exec_count : SPACES_MAX;
        for (uint32_t i = 0; i < kept; i++) space_history_exec(&s->spaces, n.execs_ns[i], i + 1 < kept);
        n = look_ahead(s);
        if (n.exec_count) space_history_forget(&s->spaces);
    }
    if (n.mapped_ns && !has_execs) space_history_look(&s->spaces, n.mapped_ns);
}

static void read_all_events(struct sampler *s)
{
    follow_code(s);
    for (unsigned k = 0; k < KINDS; k++) {
        struct reading r = { s, (enum perf_kind)k };
        thread_events_read(&s->groups[k], &perf_events, &r);
    }
}

/* events */

/* The period of the window that wants the most; 0: nobody asks for this kind. */
static uint64_t wanted_period(const struct sampler *s, enum perf_kind kind)
{
    uint32_t hz = 0;
    for (struct list *at = s->windows.next; at != &s->windows; at = at->next) {
        const struct sampler_window *w = container_of(at, struct sampler_window, link);
        if (w->kind == kind && w->hz > hz) hz = w->hz;
    }
    return hz ? NS_PER_S / hz : 0;
}

static void fail_windows(struct sampler *s, enum perf_kind kind, const struct err *err)
{
    for (struct list *at = s->windows.next; at != &s->windows; at = at->next) {
        struct sampler_window *w = container_of(at, struct sampler_window, link);
        if (w->kind == kind) w->fault = *err;
    }
}

static void adjust(struct sampler *s)
{
    bool is_due = s->scanned_ns + SCAN_MS * NS_PER_MS <= clock_now_ns();
    for (unsigned k = 0; k < KINDS; k++) {
        struct thread_events *g = &s->groups[k];
        struct err err;
        uint64_t period_ns = wanted_period(s, (enum perf_kind)k);
        if (g->is_open && period_ns != g->options.period_ns) thread_events_close(g);
        if (!period_ns || (g->is_open && !is_due)) continue;
        if (!g->is_open)
            g->options = (struct perf_options){ .kind = (enum perf_kind)k, .period_ns = period_ns };
        if (thread_events_scan(g, &err) < 0) fail_windows(s, (enum perf_kind)k, &err);
    }
    if (is_due) s->scanned_ns = clock_now_ns();
}

/* windows */

/* CPU time of all its threads, those that have ended too; 0: it has ended itself. */
static uint64_t cpu_of(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) < 0) return 0;
    return (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec;
}

static void look_at_cpu(struct sampler *s)
{
    uint64_t used_ns = cpu_of(s->pid);
    for (struct list *at = s->windows.next; at != &s->windows && used_ns; at = at->next) {
        struct sampler_window *w = container_of(at, struct sampler_window, link);
        w->cpu_ended_ns = used_ns;
    }
}

static int begin_window(struct sampler *s, struct sampler_window *w, struct err *err)
{
    if (!stack_counts_init(&w->counts)) return err_set(err, "out of memory for samples");
    if (w->kind == PERF_OFF_CPU && !(w->off_cpu = calloc(1, sizeof(*w->off_cpu))))
        return err_set(err, "out of memory for samples");
    w->started_wall_ns = clock_wall_ns();
    w->started_ns = clock_now_ns();
    w->exec_count = s->spaces.exec_count; /* until the end, as of the beginning */
    w->unnamed_count = s->spaces.unnamed_count;
    w->cpu_started_ns = w->cpu_ended_ns = cpu_of(s->pid);
    space_history_look(&s->spaces, w->started_ns);
    return 0;
}

/* A thread that sleeps already makes no event before it wakes: it is read from /proc. */
static void look_at_sleepers(struct sampler *s, struct sampler_window *w)
{
    const struct thread_events *g = &s->groups[PERF_OFF_CPU];
    const struct space *now = &s->spaces.items[s->spaces.count - 1];
    uint64_t pcs[UNWIND_DEPTH_MAX];
    for (uint32_t i = 0; i < g->count && now->unwind; i++) {
        struct perf_sample p = { .thread = g->events[i].thread, .time_ns = w->started_ns };
        uint32_t depth = off_cpu_look(s->pid, p.thread, now->unwind, pcs, UNWIND_DEPTH_MAX);
        struct stack_labels labels = labels_of(s, &p);
        if (depth) off_cpu_sleep(w->off_cpu, pcs, depth, 0, &labels, w->started_ns);
    }
}

static void finish_window(struct sampler *s, struct sampler_window *w)
{
    w->ended_ns = clock_now_ns();
    w->has_kernel = !s->groups[w->kind].has_no_kernel;
    w->exec_count = s->spaces.exec_count - w->exec_count;
    w->unnamed_count = s->spaces.unnamed_count - w->unnamed_count;
    for (; w->space_count < s->spaces.count; w->space_count++)
        w->spaces[w->space_count] = modules_get(s->spaces.items[w->space_count].modules);
    if (w->off_cpu) off_cpu_end(w->off_cpu, w->ended_ns, &w->counts);
    free(w->off_cpu);
    w->off_cpu = NULL;
    list_remove(&w->link);
    w->done(w);
}

/* Under the lock. */
static void take_asked(struct sampler *s, struct list *taken)
{
    list_init(taken);
    while (!list_is_empty(&s->asked)) {
        struct list *at = s->asked.next;
        list_remove(at);
        list_push_back(taken, at);
    }
}

static void begin_all(struct sampler *s, struct list *taken)
{
    while (!list_is_empty(taken)) {
        struct sampler_window *w = container_of(taken->next, struct sampler_window, link);
        list_remove(&w->link);
        list_push_back(&s->windows, &w->link);
        if (begin_window(s, w, &w->fault) < 0) continue;
        adjust(s);
        if (w->off_cpu) look_at_sleepers(s, w);
    }
}

static void finish_due(struct sampler *s, bool is_stopping)
{
    uint64_t now_ns = clock_now_ns();
    struct list *next;
    for (struct list *at = s->windows.next; at != &s->windows; at = next) {
        next = at->next;
        struct sampler_window *w = container_of(at, struct sampler_window, link);
        bool is_over = now_ns >= w->started_ns + w->duration_ms * NS_PER_MS;
        if (is_over || is_stopping || w->is_given_up || *w->fault.text) finish_window(s, w);
    }
}

static int time_left_ms(const struct sampler *s)
{
    uint64_t now_ns = clock_now_ns(), least_ns = TURN_MS * NS_PER_MS;
    for (struct list *at = s->windows.next; at != &s->windows; at = at->next) {
        const struct sampler_window *w = container_of(at, struct sampler_window, link);
        uint64_t end_ns = w->started_ns + w->duration_ms * NS_PER_MS,
                 left_ns = end_ns > now_ns ? end_ns - now_ns : 0;
        if (left_ns < least_ns) least_ns = left_ns;
    }
    return (int)(least_ns / NS_PER_MS) + 1;
}

static void wait_for_samples(struct sampler *s)
{
    struct pollfd fds[1 + 64];
    nfds_t count = 0;
    uint64_t woken;
    fds[count++] = (struct pollfd){ .fd = s->wake_fd, .events = POLLIN };
    for (unsigned k = 0; k < KINDS; k++)
        count += thread_events_poll(&s->groups[k], fds + count,
                                    (uint32_t)(sizeof(fds) / sizeof(*fds) - count));
    /* Rings beyond the first 64 are emptied each turn. A thread that has ended reports POLLHUP at once: then only the
     * turn's time paces us. */
    int ready = poll(fds, count, time_left_ms(s));
    bool has_only_ends = ready > 0;
    for (nfds_t i = 0; i < count; i++)
        if (fds[i].revents & POLLIN) has_only_ends = false;
    if (has_only_ends) poll(fds, 1, time_left_ms(s));
    while (read(s->wake_fd, &woken, sizeof(woken)) > 0) {}
}

/* the thread */

static int open_process(struct sampler *s, struct err *err)
{
    for (unsigned k = 0; k < KINDS; k++) {
        s->groups[k].pid = s->pid;
        s->groups[k].wake_fd = s->wake_fd;
    }
    return space_history_open(&s->spaces, s->options.pid, &s->is_stopping, err);
}

static void close_process(struct sampler *s)
{
    for (unsigned k = 0; k < KINDS; k++) thread_events_close(&s->groups[k]);
    space_history_close(&s->spaces);
}

static void *run_sampler(void *argument)
{
    struct sampler *s = argument;
    struct err err = { "" };
    struct list taken;
    bool is_open = open_process(s, &err) == 0, is_stopping = false;
    signal_stack_open();
    for (;;) {
        pthread_mutex_lock(&s->lock);
        take_asked(s, &taken);
        is_stopping = s->is_stopping;
        if (list_is_empty(&taken) && list_is_empty(&s->windows)) {
            s->is_running = false;
            pthread_mutex_unlock(&s->lock);
            break;
        }
        pthread_mutex_unlock(&s->lock);
        for (struct list *at = taken.next; !is_open && at != &taken; at = at->next)
            container_of(at, struct sampler_window, link)->fault = err;
        if (is_open) {
            begin_all(s, &taken);
        } else {
            while (!list_is_empty(&taken)) {
                struct list *at = taken.next;
                list_remove(at);
                list_push_back(&s->windows, at);
            }
        }
        if (is_open && !is_stopping) wait_for_samples(s);
        if (is_open) read_all_events(s);
        look_at_cpu(s);
        finish_due(s, is_stopping);
        if (is_open) adjust(s);
    }
    close_process(s);
    signal_stack_close();
    return NULL;
}

/* for those who ask */

int sampler_new(struct sampler **out, const struct sampler_options *o, struct err *err)
{
    struct sampler *s = calloc(1, sizeof(*s));
    if (!s) return err_set(err, "out of memory for the sampler");
    s->options = *o;
    s->pid = o->pid ? o->pid : getpid();
    pthread_mutex_init(&s->lock, NULL);
    list_init(&s->asked);
    list_init(&s->windows);
    s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (s->wake_fd < 0) {
        free(s);
        return err_set(err, "cannot make an eventfd: %s", strerror(errno));
    }
    *out = s;
    return 0;
}

static void wake(struct sampler *s)
{
    uint64_t one = 1;
    ssize_t n = write(s->wake_fd, &one, sizeof(one));
    (void)n; /* full: it is awake */
}

void sampler_free(struct sampler *s)
{
    if (!s) return;
    pthread_mutex_lock(&s->lock);
    s->is_stopping = true;
    bool had_thread = s->has_thread;
    pthread_mutex_unlock(&s->lock);
    wake(s);
    if (had_thread) pthread_join(s->thread, NULL);
    pthread_mutex_destroy(&s->lock);
    close(s->wake_fd);
    free(s);
}

static int start_thread(struct sampler *s, struct err *err)
{
    sigset_t before;
    if (s->has_thread) pthread_join(s->thread, NULL); /* it has said that it ends */
    s->has_thread = false;
    signal_block_all_but_faults(&before);
    int fault = pthread_create(&s->thread, NULL, run_sampler, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (fault) return err_set(err, "cannot start the sampler's thread: %s", strerror(fault));
    pthread_setname_np(s->thread, "weir-perf");
    s->has_thread = s->is_running = true;
    return 0;
}

int sampler_ask(struct sampler *s, struct sampler_window *w, struct err *err)
{
    if (w->kind == PERF_OFF_CPU) w->hz = 1;
    if (!w->hz || w->hz > SAMPLER_HZ_MAX)
        return err_set(err, "%u samples a second are out of range; take 1 to %u", w->hz, SAMPLER_HZ_MAX);
    if (!w->duration_ms || w->duration_ms > SAMPLER_SECONDS_MAX * 1000ull)
        return err_set(err, "a window is up to %u seconds long", SAMPLER_SECONDS_MAX);
    pthread_mutex_lock(&s->lock);
    list_push_back(&s->asked, &w->link);
    int result = s->is_running ? 0 : start_thread(s, err);
    if (result < 0) list_remove(&w->link);
    pthread_mutex_unlock(&s->lock);
    wake(s);
    return result;
}

/* Less than this of the CPU time without a sample is not spoken of: samples come in steps. */
#define UNSEEN_PERCENT 10u
#define UNSEEN_PERIODS 5u

static void note_unseen(const struct sampler_window *w, struct notes *notes)
{
    uint64_t used_ns = w->cpu_ended_ns - w->cpu_started_ns, seen_ns = 0, period_ns = NS_PER_S / w->hz;
    for (uint32_t i = 0; i < w->counts.count; i++) seen_ns += w->counts.items[i].value;
    if (w->kind != PERF_ON_CPU || seen_ns >= used_ns || used_ns - seen_ns < UNSEEN_PERIODS * period_ns ||
        (used_ns - seen_ns) * 100 < used_ns * UNSEEN_PERCENT)
        return;
    notes_add(notes,
              "samples stand for %.2f s of %.2f s of CPU time; unseen are %sthreads that live for less than "
              "%.0f ms "
              "(--hz sees shorter ones)",
              (double)seen_ns / 1e9, (double)used_ns / 1e9, w->has_kernel ? "" : "time in the kernel and ",
              (double)period_ns / 1e6);
}

void sampler_window_notes(const struct sampler_window *w, struct notes *notes)
{
    note_unseen(w, notes);
    if (w->lost)
        notes_add(notes, "%llu samples were lost: they came faster than they could be read",
                  (unsigned long long)w->lost);
    if (w->exec_count)
        notes_add(notes, "it became another program (execve) %u times in this time", w->exec_count);
    if (w->unnamed_count)
        notes_add(notes, "%u of these programs were over, or too many, before their names could be read",
                  w->unnamed_count);
}

void sampler_window_fini(struct sampler_window *w)
{
    stack_counts_fini(&w->counts);
    while (w->space_count) modules_free(w->spaces[--w->space_count]);
}
