#include "profile/thread_events.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define THREAD_NUMBERS (1u << 22) /* PID_MAX_LIMIT of 64-bit kernels */
#define SPARE_FILES 64u           /* for whatever else is opened */

static bool has_bit(const uint64_t *bits, uint32_t at)
{
    return at < THREAD_NUMBERS && bits[at / 64] >> (at % 64) & 1;
}

static void set_bit(uint64_t *bits, uint32_t at, bool is_set)
{
    if (at >= THREAD_NUMBERS) return;
    if (is_set)
        bits[at / 64] |= UINT64_C(1) << (at % 64);
    else
        bits[at / 64] &= ~(UINT64_C(1) << (at % 64));
}

static bool is_refused(void)
{
    return errno == EACCES || errno == EPERM || errno == ENOSYS;
}

/* one event a thread */

static bool has_thread(const struct thread_events *t, uint32_t thread)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->events[i].thread == thread) return true;
    for (uint32_t i = 0; i < t->tick_count; i++)
        if (t->ticks[i].thread == thread) return true;
    return false;
}

static int add_tick(struct thread_events *t, uint32_t thread, struct err *err)
{
    if (t->tick_count == SAMPLER_THREADS_MAX) return 0;
    int result = tick_start(&t->ticks[t->tick_count], (pid_t)thread, t->options.period_ns, t->wake_fd, err);
    if (result == 0) t->tick_count++;
    return result == 0 || errno == ESRCH ? 0 : -1;
}

/* 0, or what went wrong; a thread that has ended is nothing wrong. */
static int add_thread(struct thread_events *t, uint32_t thread, struct err *err)
{
    bool has_ticks = t->pid == getpid() && t->options.kind == PERF_ON_CPU;
    if (t->count == SAMPLER_THREADS_MAX || has_thread(t, thread)) return 0;
    if (t->has_no_events && has_ticks) return add_tick(t, thread, err);
    t->options.has_kernel = !t->has_no_kernel;
    int result = perf_event_start(&t->events[t->count], (pid_t)thread, &t->options, err);
    if (result < 0 && is_refused() && !t->has_no_kernel && !t->count) {
        t->has_no_kernel = true; /* kernel.perf_event_paranoid is above 1 and we are nobody */
        t->options.has_kernel = false;
        result = perf_event_start(&t->events[t->count], (pid_t)thread, &t->options, err);
    }
    if (result < 0 && is_refused() && has_ticks && !t->count) {
        t->has_no_events = true;
        return add_tick(t, thread, err);
    }
    if (result == 0) t->count++;
    return result == 0 || errno == ESRCH ? 0 : -1;
}

/* Those of threads that have ended and whose rings are empty make room. Not that of the number which the process has: a
 * thread that becomes another program takes that number with it, and its own event stays. */
static void drop_ended(struct thread_events *t)
{
    struct pollfd fds[SAMPLER_THREADS_MAX];
    for (uint32_t i = 0; i < t->count; i++)
        fds[i] = (struct pollfd){ .fd = t->events[i].fd, .events = POLLIN };
    if (!t->count || poll(fds, t->count, 0) <= 0) return;
    for (uint32_t i = t->count; i-- > 0;) {
        if (!(fds[i].revents & POLLHUP) || t->events[i].thread == (uint32_t)t->pid) continue;
        if (!perf_event_is_empty(&t->events[i])) continue;
        perf_event_stop(&t->events[i]);
        t->events[i] = t->events[--t->count];
    }
}

/* a ring a CPU */

static bool has_rings(const struct thread_events *t)
{
    return t->ring_count > 0;
}

static void close_rings(struct thread_events *t)
{
    for (uint32_t i = 0; i < t->fd_count; i++) close(t->fds[i]);
    for (uint32_t i = 0; i < t->ring_count; i++) perf_event_stop(&t->rings[i]);
    free(t->fds);
    free(t->is_known);
    free(t->was_seen);
    t->fds = NULL;
    t->is_known = t->was_seen = NULL;
    t->fd_count = t->ring_count = t->scan_count = 0;
}

/* How many descriptors there may be besides those that are open. */
static uint32_t file_room(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 0;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit more = { limit.rlim_max, limit.rlim_max };
        if (limit.rlim_max > 4 * THREAD_EVENTS_MAX) more.rlim_cur = 4 * THREAD_EVENTS_MAX;
        if (more.rlim_cur > limit.rlim_cur && setrlimit(RLIMIT_NOFILE, &more) == 0) limit = more;
    }
    return limit.rlim_cur > SPARE_FILES ? (uint32_t)(limit.rlim_cur - SPARE_FILES) : 0;
}

static bool open_rings(struct thread_events *t)
{
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    for (uint32_t cpu = 0; cpu < (uint32_t)cpus && cpu < THREAD_EVENTS_CPUS_MAX; cpu++) {
        if (perf_event_ring(&t->rings[t->ring_count], cpu, NULL) == 0)
            t->cpus[t->ring_count++] = cpu;
        else if (errno != ENODEV) /* that CPU is not there now */
            return false;
    }
    t->fds = calloc(THREAD_EVENTS_MAX, sizeof(*t->fds));
    t->is_known = calloc(THREAD_NUMBERS / 64, sizeof(*t->is_known));
    t->was_seen = calloc(THREAD_NUMBERS / 64, sizeof(*t->was_seen));
    return cpus <= THREAD_EVENTS_CPUS_MAX && t->ring_count && t->fds && t->is_known && t->was_seen;
}

static bool add_inherited(struct thread_events *t, uint32_t thread)
{
    uint32_t from = t->fd_count;
    if (t->fd_count + t->ring_count > THREAD_EVENTS_MAX || t->fd_count + t->ring_count > file_room()) {
        errno = EMFILE;
        return false;
    }
    for (uint32_t i = 0; i < t->ring_count; i++) {
        int fd = perf_event_into(&t->rings[i], t->cpus[i], (pid_t)thread, &t->options);
        if (fd < 0 && errno == ENODEV) continue;
        if (fd < 0) {
            int cause = errno;
            while (t->fd_count > from) close(t->fds[--t->fd_count]);
            errno = cause;
            return false;
        }
        t->fds[t->fd_count++] = fd;
    }
    set_bit(t->is_known, thread, true);
    return true;
}

/* After the first scan a thread that nobody has heard of is one whose starter was not sampled, or one whose record is on its
 * way: whoever is still unknown at the next scan is the former. */
static bool is_due(struct thread_events *t, uint32_t thread)
{
    if (has_bit(t->is_known, thread)) return false;
    bool is_due = !t->scan_count || has_bit(t->was_seen, thread);
    set_bit(t->was_seen, thread, !is_due);
    return is_due;
}

void thread_events_note(struct thread_events *t, uint32_t pid, uint32_t thread, bool has_ended)
{
    if (!t->is_known || pid != (uint32_t)t->pid || thread == pid) return;
    set_bit(t->is_known, thread, !has_ended);
    set_bit(t->was_seen, thread, false);
}

/* both */

static int each_thread(struct thread_events *t, int (*add)(struct thread_events *, uint32_t, struct err *),
                       struct err *err)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", (int)t->pid);
    DIR *tasks = opendir(path);
    const struct dirent *d;
    int result = tasks ? 0 : err_set(err, "process %d has ended", (int)t->pid);
    while (result == 0 && tasks && (d = readdir(tasks)))
        if (d->d_name[0] != '.') result = add(t, (uint32_t)strtoul(d->d_name, NULL, 10), err);
    if (tasks) closedir(tasks);
    return result;
}

static int add_to_rings(struct thread_events *t, uint32_t thread, struct err *err)
{
    if (!is_due(t, thread) || add_inherited(t, thread) || errno == ESRCH) return 0;
    return err_set(err, "the kernel does not let us sample thread %u: %s", thread, strerror(errno));
}

static bool try_inherited(struct thread_events *t)
{
    struct err err;
    t->options.is_inherited = true;
    t->options.has_kernel = !t->has_no_kernel;
    if (open_rings(t) && each_thread(t, add_to_rings, &err) == 0 && t->fd_count) {
        t->scan_count = 1;
        return true;
    }
    int cause = errno;
    close_rings(t);
    t->options.is_inherited = false;
    errno = cause;
    return false;
}

/* False: the kernel, or the number of threads, does not allow it. */
static bool begin_inherited(struct thread_events *t)
{
    if (try_inherited(t)) return true;
    if (!is_refused() || t->has_no_kernel) return false;
    t->has_no_kernel = true; /* kernel.perf_event_paranoid is above 1 and we are nobody */
    if (try_inherited(t)) return true;
    t->has_no_kernel = false;
    return false;
}

int thread_events_scan(struct thread_events *t, struct err *err)
{
    bool is_first = !t->is_open;
    t->is_open = true;
    if (is_first && t->options.kind == PERF_ON_CPU && t->pid != getpid() && begin_inherited(t)) return 0;
    if (has_rings(t)) {
        if (each_thread(t, add_to_rings, NULL) == 0) t->scan_count++;
        return 0; /* those that have events go on */
    }
    drop_ended(t);
    int result = each_thread(t, add_thread, err);
    return result == 0 || t->count || t->tick_count ? 0 : -1;
}

void thread_events_close(struct thread_events *t)
{
    close_rings(t);
    for (uint32_t i = 0; i < t->count; i++) perf_event_stop(&t->events[i]);
    for (uint32_t i = 0; i < t->tick_count; i++) tick_stop(&t->ticks[i]);
    t->count = t->tick_count = 0;
    t->is_open = false;
}

void thread_events_read(struct thread_events *t, const struct perf_events *events, void *context)
{
    for (uint32_t i = 0; i < t->ring_count; i++) perf_event_read(&t->rings[i], events, context);
    for (uint32_t i = 0; i < t->count; i++) perf_event_read(&t->events[i], events, context);
    for (uint32_t i = 0; i < t->tick_count; i++) tick_read(&t->ticks[i], events, context);
}

void thread_events_look_ahead(struct thread_events *t,
                              void (*on_code)(void *context, uint64_t time_ns, bool is_exec), void *context)
{
    for (uint32_t i = 0; i < t->ring_count; i++) perf_event_look_ahead(&t->rings[i], on_code, context);
    for (uint32_t i = 0; i < t->count; i++) perf_event_look_ahead(&t->events[i], on_code, context);
}

uint32_t thread_events_poll(const struct thread_events *t, struct pollfd *fds, uint32_t max)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->ring_count && count < max; i++)
        fds[count++] = (struct pollfd){ .fd = t->rings[i].fd, .events = POLLIN };
    for (uint32_t i = 0; i < t->count && count < max; i++)
        fds[count++] = (struct pollfd){ .fd = t->events[i].fd, .events = POLLIN };
    return count;
}
