#include "profile/tick.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "profile/stack_copy.h"

#define RING_SAMPLES 64u /* a power of two */
#define RINGS_MAX 1024u
/* A clock of the CPU time of one thread by its number, as the kernel makes them (CPUCLOCK_PERTHREAD | CPUCLOCK_SCHED). */
#define THREAD_CLOCK(thread) ((clockid_t)((~(unsigned)(thread) << 3) | 6u))

struct tick_sample {
    uint64_t time_ns;
    uint32_t weight;
    struct stack_copy stack;
};

/* The signal's handler writes, the reader reads. Never given back, as a signal may come late: kept for the next thread. */
struct tick_ring {
    _Atomic uint32_t written, read;
    _Atomic uint64_t lost;
    _Atomic int wake_fd; /* -1: nobody reads; what comes late is dropped */
    struct tick_sample samples[RING_SAMPLES];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the next three */
static struct tick_ring *rings[RINGS_MAX];               /* that no thread has */
static uint32_t ring_count;
static bool is_installed;

/* the signal */

/* On the thread that is sampled. Async-signal-safe. */
static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)number;
    struct tick_ring *r = info->si_code == SI_TIMER ? info->si_value.sival_ptr : NULL;
    int saved = errno, wake_fd = r ? atomic_load(&r->wake_fd) : -1;
    if (wake_fd < 0) return; /* somebody else's, or late */
    uint32_t written = atomic_load_explicit(&r->written, memory_order_relaxed);
    uint32_t waiting = written - atomic_load_explicit(&r->read, memory_order_acquire);
    uint32_t weight = 1 + (info->si_overrun > 0 ? (uint32_t)info->si_overrun : 0);
    if (waiting == RING_SAMPLES) {
        atomic_fetch_add_explicit(&r->lost, weight, memory_order_relaxed);
    } else {
        struct tick_sample *s = &r->samples[written % RING_SAMPLES];
        s->time_ns = clock_now_ns();
        s->weight = weight;
        stack_copy_take(&s->stack, context);
        atomic_store_explicit(&r->written, written + 1, memory_order_release);
    }
    if (waiting == RING_SAMPLES / 2) {
        const uint64_t one = 1;
        ssize_t n = write(wake_fd, &one, sizeof(one));
        (void)n; /* full: it is awake */
    }
    errno = saved;
}

/* Stays: a signal that comes after the last timer is gone would end the process otherwise. */
static int install(struct err *err)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
    sigfillset(&action.sa_mask);
    if (is_installed) return 0;
    if (sigaction(SIGPROF, &action, NULL) < 0)
        return err_set(err, "cannot take SIGPROF: %s", strerror(errno));
    is_installed = true;
    return 0;
}

/* rings */

static struct tick_ring *ring_get(struct err *err)
{
    struct tick_ring *r = NULL;
    pthread_mutex_lock(&lock);
    if (install(err) == 0) {
        if (ring_count) {
            r = rings[--ring_count];
        } else {
            void *memory = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            r = memory == MAP_FAILED ? NULL : memory;
            if (!r) err_set(err, "out of memory for samples");
        }
    }
    pthread_mutex_unlock(&lock);
    return r;
}

static void ring_put(struct tick_ring *r)
{
    pthread_mutex_lock(&lock);
    madvise(r->samples, sizeof(r->samples), MADV_DONTNEED);
    if (ring_count < RINGS_MAX) rings[ring_count++] = r; /* else it is left alone */
    pthread_mutex_unlock(&lock);
}

/* timers */

int tick_start(struct tick *t, pid_t thread, uint64_t period_ns, int wake_fd, struct err *err)
{
    *t = (struct tick){ .thread = (uint32_t)thread };
    struct tick_ring *r = ring_get(err);
    if (!r) return -1;
    atomic_store(&r->read, atomic_load(&r->written));
    atomic_store(&r->lost, 0);
    atomic_store(&r->wake_fd, wake_fd);
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF };
    event.sigev_value.sival_ptr = r;
    event._sigev_un._tid = thread;
    const struct timespec period = { .tv_sec = (time_t)(period_ns / NS_PER_S),
                                     .tv_nsec = (long)(period_ns % NS_PER_S) };
    const struct itimerspec times = { period, period };
    int cause = 0;
    if (syscall(SYS_timer_create, THREAD_CLOCK(thread), &event, &t->timer) < 0) {
        cause = errno == EINVAL ? ESRCH : errno; /* a clock of no thread */
    } else if (syscall(SYS_timer_settime, t->timer, 0, &times, NULL) < 0) {
        cause = errno;
        syscall(SYS_timer_delete, t->timer);
    }
    if (cause) {
        atomic_store(&r->wake_fd, -1);
        ring_put(r);
        errno = cause;
        return err_set(err, "cannot make a timer of thread %d: %s", (int)thread, strerror(cause));
    }
    t->ring = r;
    return 0;
}

void tick_stop(struct tick *t)
{
    if (!t->ring) return;
    syscall(SYS_timer_delete, t->timer);
    atomic_store(&t->ring->wake_fd, -1);
    ring_put(t->ring);
    t->ring = NULL;
}

void tick_read(struct tick *t, const struct perf_events *events, void *context)
{
    struct tick_ring *r = t->ring;
    uint32_t written = atomic_load_explicit(&r->written, memory_order_acquire);
    uint32_t read = atomic_load_explicit(&r->read, memory_order_relaxed);
    for (; read != written; read++) {
        const struct tick_sample *from = &r->samples[read % RING_SAMPLES];
        const struct perf_sample s = { .thread = t->thread,
                                       .time_ns = from->time_ns,
                                       .weight = from->weight,
                                       .regs = from->stack.regs,
                                       .has_regs = true,
                                       .stack = from->stack.bytes,
                                       .stack_len = from->stack.len };
        events->on_sample(context, &s);
        atomic_store_explicit(&r->read, read + 1, memory_order_release);
    }
    uint64_t lost = atomic_exchange(&r->lost, 0);
    if (lost) events->on_lost(context, lost);
}
