#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/signal_stack.h"
#include "profile/thread_look.h"
#include "stack/symbolizer.h"

static _Atomic pid_t thread;
static _Atomic bool is_over;
static int gate[2];

__attribute__((noinline)) static void turn_in_circles(void)
{
    while (!atomic_load(&is_over)) {}
}

__attribute__((noinline)) static void wait_at_the_gate(void)
{
    struct pollfd p = { .fd = gate[0], .events = POLLIN };
    while (poll(&p, 1, -1) <= 0) {}
}

static void *run_in_circles(void *unused)
{
    atomic_store(&thread, gettid());
    turn_in_circles();
    return unused;
}

static void *wait(void *unused)
{
    atomic_store(&thread, gettid());
    wait_at_the_gate();
    return unused;
}

static void *end_at_once(void *unused)
{
    atomic_store(&thread, gettid());
    return unused;
}

/* Of this process. */
struct looking {
    struct modules *modules;
    struct unwind_space *space;
    struct symbolizer *names;
};

static void open_looking(struct looking *l)
{
    struct err err;
    assert_int_equal(modules_read(&l->modules, 0, &err), 0);
    assert_int_equal(unwind_space_new(&l->space, l->modules, &err), 0);
    assert_int_equal(symbolizer_new(&l->names, l->modules, &err), 0);
}

static void close_looking(struct looking *l)
{
    symbolizer_free(l->names);
    unwind_space_free(l->space);
    modules_free(l->modules);
}

static bool is_in(struct looking *l, const uint64_t *pcs, uint32_t depth, const char *function)
{
    struct symbol found;
    for (uint32_t i = 0; i < depth; i++)
        if (symbolizer_find(l->names, pcs[i], i > 0, &found) && slice_equal(found.name, slice_of(function)))
            return true;
    return false;
}

/* It may not have come there yet, or be between the two. */
static void find(const char *inner, const char *outer)
{
    struct looking l;
    uint64_t pcs[UNWIND_DEPTH_MAX];
    bool is_found = false;
    open_looking(&l);
    for (int i = 0; i < 1000 && !is_found; i++) {
        uint32_t depth = thread_look(atomic_load(&thread), l.space, pcs, UNWIND_DEPTH_MAX);
        is_found = is_in(&l, pcs, depth, inner) && is_in(&l, pcs, depth, outer);
        if (!is_found) sched_yield();
    }
    assert_true(is_found);
    close_looking(&l);
}

static pthread_t start(void *(*run)(void *))
{
    pthread_t t;
    sigset_t before;
    atomic_store(&thread, 0);
    atomic_store(&is_over, false);
    signal_block_all_but_faults(&before);
    assert_int_equal(pthread_create(&t, NULL, run, NULL), 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    while (!atomic_load(&thread)) sched_yield();
    return t;
}

static void one_that_runs_says_where(void **state)
{
    (void)state;
    pthread_t t = start(run_in_circles);
    find("turn_in_circles", "run_in_circles");
    find("turn_in_circles", "run_in_circles"); /* a second time as well */
    atomic_store(&is_over, true);
    pthread_join(t, NULL);
}

static void one_that_sleeps_is_not_woken(void **state)
{
    (void)state;
    assert_int_equal(pipe(gate), 0);
    pthread_t t = start(wait);
    find("wait_at_the_gate", "wait");
    assert_int_equal(write(gate[1], "x", 1), 1);
    pthread_join(t, NULL);
    close(gate[0]);
    close(gate[1]);
}

static void of_one_that_has_ended_nothing_is_known(void **state)
{
    (void)state;
    struct looking l;
    uint64_t pcs[4];
    pthread_t t = start(end_at_once);
    pthread_join(t, NULL);
    open_looking(&l);
    assert_int_equal(thread_look(atomic_load(&thread), l.space, pcs, 4), 0);
    close_looking(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_runs_says_where),
        cmocka_unit_test(one_that_sleeps_is_not_woken),
        cmocka_unit_test(of_one_that_has_ended_nothing_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
