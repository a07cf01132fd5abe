/* net/jobs.h: work that may take long, away from the control thread's loop: one thread, one job after another; what is made
 * of it comes back by mail. Control thread. */
#pragma once

#include "net/mailbox.h"

#define JOBS_MAX 64u

struct jobs;

/* Embedded first in the owner's own; it stays where it is until `done`. */
struct job {
    void (*run)(struct job *j);  /* on the jobs' thread */
    void (*done)(struct job *j); /* on the control thread; frees it */
    struct job *next;            /* the jobs' */
    struct jobs *jobs;
};

/* `control` is borrowed. The thread starts with the first job. */
MUST_CHECK int jobs_new(struct jobs **out, struct mailbox *control, struct err *err);
/* Nothing is begun any more, and who runs has so long to end. False: it has not, as where a disk does not answer. Then all that it
 * uses has to stay, and nobody is to wait for it. NULL is fine. */
MUST_CHECK bool jobs_await_end(struct jobs *jobs, uint32_t wait_ms);
/* CPU time that its thread has had: whether it computes or waits. 0: there is no thread, or none any more. NULL is fine. */
uint64_t jobs_cpu_ns(const struct jobs *jobs);
/* Waits for the job that is running; what has not begun is done without having run, and nothing is taken any more. What
 * was made may still lie in the control's mailbox: jobs_free() comes when that has been emptied. NULL is fine, for both. */
void jobs_stop(struct jobs *jobs);
void jobs_free(struct jobs *jobs);
/* False: JOBS_MAX wait, or there is no thread to be had. */
MUST_CHECK bool jobs_post(struct jobs *jobs, struct job *j);
/* Its run() was called. */
bool job_has_run(const struct job *j);
