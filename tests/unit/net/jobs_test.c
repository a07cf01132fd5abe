#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <cmocka.h>

#include "net/jobs.h"

struct scene {
    struct budget budget;
    struct loop loop;
    struct mailbox *box;
    struct jobs *jobs;
    pthread_mutex_t gate; /* held: no job gets on */
    pthread_t control;
    unsigned done, in_order;
};

struct work {
    struct job job; /* first */
    struct scene *scene;
    unsigned number;
    _Atomic bool is_begun;
    bool has_run, was_elsewhere, is_done, was_told_run;
};

static void run(struct job *j)
{
    struct work *w = (struct work *)j;
    atomic_store(&w->is_begun, true);
    pthread_mutex_lock(&w->scene->gate);
    pthread_mutex_unlock(&w->scene->gate);
    w->has_run = true;
    w->was_elsewhere = !pthread_equal(pthread_self(), w->scene->control);
}

static void done(struct job *j)
{
    struct work *w = (struct work *)j;
    assert_false(w->is_done);
    assert_true(pthread_equal(pthread_self(), w->scene->control));
    w->is_done = true;
    w->was_told_run = job_has_run(j);
    w->scene->in_order += w->scene->done == w->number;
    w->scene->done++;
}

static void open_scene(struct scene *s, uint32_t slots)
{
    struct err err;
    *s = (struct scene){ .budget = { .limit = 1 << 20 }, .control = pthread_self() };
    pthread_mutex_init(&s->gate, NULL);
    assert_int_equal(loop_init(&s->loop, &s->budget, &err), 0);
    assert_int_equal(mailbox_new(&s->box, &s->loop, s, slots, &err), 0);
    assert_int_equal(jobs_new(&s->jobs, s->box, &err), 0);
}

static void close_scene(struct scene *s)
{
    jobs_stop(s->jobs);
    loop_turn(&s->loop, 0);
    jobs_free(s->jobs);
    mailbox_free(s->box);
    loop_fini(&s->loop);
    pthread_mutex_destroy(&s->gate);
}

static void init(struct work *w, struct scene *s, unsigned number)
{
    *w = (struct work){ .job = { .run = run, .done = done }, .scene = s, .number = number };
}

static void jobs_run_elsewhere_one_after_the_other_and_are_done_here(void **state)
{
    (void)state;
    enum { COUNT = 50 };
    struct scene s;
    struct work works[COUNT];
    open_scene(&s, 4); /* fewer than there are: the thread waits for room */
    for (unsigned i = 0; i < COUNT; i++) {
        init(&works[i], &s, i);
        assert_true(jobs_post(s.jobs, &works[i].job));
    }
    while (s.done < COUNT) loop_turn(&s.loop, 1000);
    assert_int_equal(s.in_order, COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        assert_true(works[i].has_run && works[i].was_elsewhere && works[i].was_told_run);
    close_scene(&s);
}

static void no_more_are_taken_than_there_may_be(void **state)
{
    (void)state;
    struct scene s;
    struct work works[JOBS_MAX + 2];
    unsigned taken = 0;
    open_scene(&s, 256);
    pthread_mutex_lock(&s.gate);
    while (taken < JOBS_MAX + 2) {
        init(&works[taken], &s, taken);
        if (!jobs_post(s.jobs, &works[taken].job)) break;
        taken++;
    }
    assert_in_range(taken, JOBS_MAX, JOBS_MAX + 1); /* the thread may have taken one already */
    pthread_mutex_unlock(&s.gate);
    while (s.done < taken) loop_turn(&s.loop, 1000);
    close_scene(&s);
    assert_int_equal(s.done, taken);
}

/* Whatever has not begun is done without having run, so that its owner frees it. */
static void stopping_ends_every_job_once(void **state)
{
    (void)state;
    enum { COUNT = 10 };
    struct scene s;
    struct work works[COUNT];
    unsigned run_count = 0;
    open_scene(&s, 256);
    for (unsigned i = 0; i < COUNT; i++) {
        init(&works[i], &s, i);
        assert_true(jobs_post(s.jobs, &works[i].job));
    }
    jobs_stop(s.jobs);
    jobs_stop(s.jobs);
    loop_turn(&s.loop, 0);
    assert_int_equal(s.done, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_true(works[i].is_done);
        assert_int_equal(works[i].was_told_run, works[i].has_run);
        run_count += works[i].has_run;
    }
    assert_in_range(run_count, 0, COUNT);
    struct work late;
    init(&late, &s, 0);
    assert_false(jobs_post(s.jobs, &late.job));
    close_scene(&s);
}

static void without_a_job_there_is_no_thread_to_wait_for(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, 4);
    close_scene(&s);
    jobs_stop(NULL);
    jobs_free(NULL);
}

static void who_waits_for_what_hangs_is_told_so_in_time(void **state)
{
    (void)state;
    struct scene s;
    struct work hung, never;
    open_scene(&s, 4);
    assert_true(jobs_await_end(NULL, 1));
    pthread_mutex_lock(&s.gate);
    init(&hung, &s, 0);
    init(&never, &s, 1);
    assert_true(jobs_post(s.jobs, &hung.job));
    assert_true(jobs_post(s.jobs, &never.job));
    while (!atomic_load(&hung.is_begun)) sched_yield(); /* one that has not begun is not waited for */
    assert_false(jobs_await_end(s.jobs, 1));
    /* Who waits uses nothing; and it had to use something to begin. */
    assert_true(jobs_cpu_ns(s.jobs) > 0 && jobs_cpu_ns(NULL) == 0);
    assert_false(jobs_post(s.jobs, &never.job)); /* nothing is taken any more */
    pthread_mutex_unlock(&s.gate);
    while (!jobs_await_end(s.jobs, 1000)) {}
    close_scene(&s);
    assert_true(hung.is_done && never.is_done);
    assert_false(never.has_run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_run_elsewhere_one_after_the_other_and_are_done_here),
        cmocka_unit_test(no_more_are_taken_than_there_may_be),
        cmocka_unit_test(stopping_ends_every_job_once),
        cmocka_unit_test(without_a_job_there_is_no_thread_to_wait_for),
        cmocka_unit_test(who_waits_for_what_hangs_is_told_so_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
