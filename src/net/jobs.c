#include "net/jobs.h"
#include "base/clock.h"
#include "base/signal_stack.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

struct jobs {
    struct mailbox *control;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *first, **last;
    uint32_t count;
    bool is_ending, has_ended, has_thread; /* has_ended: the thread; under the lock */
    bool is_stopped;
    pthread_t thread;
};

/* Jobs that were not run are told from others by this. */
static void nothing(struct job *j)
{
    (void)j;
}

bool job_has_run(const struct job *j)
{
    return j->run == nothing;
}

static void deliver(void *reader, const struct mail *m)
{
    (void)reader;
    struct job *j = m->object;
    j->done(j);
}

static struct job *take(struct jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    while (!jobs->first && !jobs->is_ending) pthread_cond_wait(&jobs->changed, &jobs->lock);
    struct job *j = jobs->is_ending ? NULL : jobs->first;
    if (j) {
        jobs->first = j->next;
        if (!jobs->first) jobs->last = &jobs->first;
        jobs->count--;
    }
    pthread_mutex_unlock(&jobs->lock);
    return j;
}

static bool is_ending(struct jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    bool ending = jobs->is_ending;
    pthread_mutex_unlock(&jobs->lock);
    return ending;
}

static void *run(void *argument)
{
    struct jobs *jobs = argument;
    struct job *j;
    signal_stack_open();
    while ((j = take(jobs))) {
        struct mail m = { .deliver = deliver, .object = j };
        j->run(j);
        j->run = nothing;
        while (!mailbox_post(jobs->control, &m)) {
            if (!is_ending(jobs)) {
                sched_yield(); /* the control thread empties its box */
                continue;
            }
            pthread_mutex_lock(&jobs->lock); /* jobs_free() finds it */
            j->next = jobs->first;
            jobs->first = j;
            pthread_mutex_unlock(&jobs->lock);
            break;
        }
    }
    signal_stack_close();
    pthread_mutex_lock(&jobs->lock);
    jobs->has_ended = true;
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
    return NULL;
}

int jobs_new(struct jobs **out, struct mailbox *control, struct err *err)
{
    struct jobs *jobs = calloc(1, sizeof(*jobs));
    if (!jobs) return err_set(err, "out of memory for jobs");
    jobs->control = control;
    jobs->last = &jobs->first;
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&jobs->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *out = jobs;
    return 0;
}

bool jobs_await_end(struct jobs *jobs, uint32_t wait_ms)
{
    if (!jobs || !jobs->has_thread) return true;
    uint64_t end_ns = clock_now_ns() + wait_ms * NS_PER_MS;
    const struct timespec end = { .tv_sec = (time_t)(end_ns / NS_PER_S),
                                  .tv_nsec = (long)(end_ns % NS_PER_S) };
    int result = 0;
    pthread_mutex_lock(&jobs->lock);
    jobs->is_ending = true;
    pthread_cond_broadcast(&jobs->changed);
    while (!jobs->has_ended && result == 0)
        result = pthread_cond_timedwait(&jobs->changed, &jobs->lock, &end);
    bool has_ended = jobs->has_ended;
    pthread_mutex_unlock(&jobs->lock);
    return has_ended;
}

uint64_t jobs_cpu_ns(const struct jobs *jobs)
{
    clockid_t clock;
    struct timespec used;
    if (!jobs || !jobs->has_thread || jobs->is_stopped || pthread_getcpuclockid(jobs->thread, &clock) != 0 ||
        clock_gettime(clock, &used) < 0)
        return 0;
    return (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec;
}

void jobs_stop(struct jobs *jobs)
{
    if (!jobs || jobs->is_stopped) return;
    jobs->is_stopped = true;
    pthread_mutex_lock(&jobs->lock);
    jobs->is_ending = true;
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
    if (jobs->has_thread) pthread_join(jobs->thread, NULL);
    while (jobs->first) {
        struct job *j = jobs->first;
        jobs->first = j->next;
        j->done(j);
    }
}

void jobs_free(struct jobs *jobs)
{
    if (!jobs) return;
    jobs_stop(jobs);
    pthread_cond_destroy(&jobs->changed);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}

static bool start(struct jobs *jobs)
{
    sigset_t before;
    if (jobs->has_thread) return true;
    signal_block_all_but_faults(&before);
    jobs->has_thread = pthread_create(&jobs->thread, NULL, run, jobs) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (jobs->has_thread) pthread_setname_np(jobs->thread, "weir-jobs");
    return jobs->has_thread;
}

bool jobs_post(struct jobs *jobs, struct job *j)
{
    if (jobs->is_ending || !start(jobs)) return false; /* only this thread sets it */
    pthread_mutex_lock(&jobs->lock);
    bool has_room = jobs->count < JOBS_MAX && !jobs->is_ending;
    if (has_room) {
        j->next = NULL;
        j->jobs = jobs;
        *jobs->last = j;
        jobs->last = &j->next;
        jobs->count++;
        pthread_cond_signal(&jobs->changed);
    }
    pthread_mutex_unlock(&jobs->lock);
    return has_room;
}
