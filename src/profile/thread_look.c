#include "profile/thread_look.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "profile/off_cpu.h"
#include "profile/stack_copy.h"

#define NOBODY 0u
#define COPYING UINT32_MAX

/* The process's, as handlers are. */
static struct {
    pthread_mutex_t lock; /* of whoever asks */
    bool is_installed;
    sem_t answered;
    _Atomic uint32_t asked; /* the thread; NOBODY; or COPYING: by its handler, and the copy is its own */
    struct stack_copy copy;
} look = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* On the thread that is looked at. Async-signal-safe. A signal that comes late finds that nobody asks. */
static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    int saved = errno;
    uint32_t own = (uint32_t)gettid();
    if (atomic_compare_exchange_strong(&look.asked, &own, COPYING)) {
        stack_copy_take(&look.copy, context);
        sem_post(&look.answered);
    }
    errno = saved;
}

/* Stays. SIGURG is ignored where there is no handler, so that one which comes late harms nobody. */
static bool install(void)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
    if (look.is_installed) return true;
    sigfillset(&action.sa_mask);
    if (sem_init(&look.answered, 0, 0) < 0 || sigaction(SIGURG, &action, NULL) < 0) return false;
    return look.is_installed = true;
}

static bool wait_for_answer(void)
{
    uint64_t until = clock_now_ns() + THREAD_LOOK_MS * NS_PER_MS;
    const struct timespec at = { (time_t)(until / NS_PER_S), (long)(until % NS_PER_S) };
    int result;
    while ((result = sem_clockwait(&look.answered, CLOCK_MONOTONIC, &at)) < 0 && errno == EINTR) {}
    return result == 0;
}

/* Under the lock. A handler that began and was stopped in it may end later: until then nobody can be asked. */
static uint32_t ask(pid_t thread, const struct unwind_space *space, uint64_t *pcs, uint32_t max)
{
    uint32_t asked = (uint32_t)thread;
    if (!install()) return 0;
    if (atomic_load(&look.asked) == COPYING) {
        if (sem_trywait(&look.answered) < 0) return 0;
        atomic_store(&look.asked, NOBODY);
    }
    atomic_store(&look.asked, asked);
    bool is_answered = syscall(SYS_tgkill, getpid(), thread, SIGURG) == 0 && wait_for_answer();
    if (!is_answered && atomic_compare_exchange_strong(&look.asked, &asked, NOBODY)) return 0;
    if (!is_answered && !wait_for_answer()) return 0;
    const struct unwind_memory memory = { .read_word = stack_copy_read, .context = &look.copy };
    uint32_t depth = unwind_stack(space, &look.copy.regs, &memory, pcs, max);
    atomic_store(&look.asked, NOBODY);
    return depth;
}

uint32_t thread_look(pid_t thread, const struct unwind_space *space, uint64_t *pcs, uint32_t max)
{
    uint32_t depth = off_cpu_look(0, (uint32_t)thread, space, pcs, max);
    if (depth) return depth;
    pthread_mutex_lock(&look.lock);
    depth = ask(thread, space, pcs, max);
    pthread_mutex_unlock(&look.lock);
    return depth;
}
