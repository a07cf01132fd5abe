#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "net/loop.h"

static struct budget budget = { .limit = 64 << 20 };

static void open_loop(struct loop *l)
{
    struct err err;
    assert_int_equal(loop_init(l, &budget, &err), 0);
}

struct counter {
    struct loop_task task;
    struct loop *loop;
    unsigned runs, again;
};

static void on_task(struct loop_task *t)
{
    struct counter *c = container_of(t, struct counter, task);
    c->runs++;
    if (c->again) {
        c->again--;
        loop_defer(c->loop, t);
    }
}

static void a_task_deferred_twice_runs_once_and_one_that_defers_itself_runs_next_turn(void **state)
{
    (void)state;
    struct loop l;
    open_loop(&l);
    struct counter c = { .loop = &l, .again = 1 };
    loop_task_init(&c.task, on_task);
    loop_defer(&l, &c.task);
    loop_defer(&l, &c.task);
    loop_turn(&l, 0);
    assert_int_equal(c.runs, 1);
    loop_turn(&l, 0);
    assert_int_equal(c.runs, 2);
    loop_turn(&l, 0);
    assert_int_equal(c.runs, 2);
    loop_fini(&l);
}

#define PEERS 1000u /* more than one turn serves */

struct peer {
    struct loop_fd fd;
    struct timer timer;
    struct loop *loop;
    bool goes_on; /* says more each time */
    unsigned served, late;
};

static void on_peer(struct loop_fd *f, uint32_t events)
{
    (void)events;
    struct peer *p = container_of(f, struct peer, fd);
    eventfd_t value;
    assert_int_equal(eventfd_read(f->fd, &value), 0);
    p->served++;
    loop_disarm(p->loop, &p->timer);
    if (p->goes_on) assert_int_equal(eventfd_write(f->fd, 1), 0);
}

static void on_late(struct timer *t)
{
    container_of(t, struct peer, timer)->late++;
}

static void open_peers(struct loop *l, struct peer *peers, bool goes_on)
{
    open_loop(l);
    l->is_virtual = true;
    for (unsigned i = 0; i < PEERS; i++) {
        peers[i] = (struct peer){ .loop = l, .goes_on = goes_on };
        peers[i].fd = (struct loop_fd){ .fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC), .on_ready = on_peer };
        timer_init(&peers[i].timer, on_late);
        assert_true(peers[i].fd.fd >= 0);
        assert_int_equal(loop_fd_register(l, &peers[i].fd, EPOLLIN), 0);
        loop_arm(l, &peers[i].timer, 100);
    }
}

static void close_peers(struct loop *l, struct peer *peers)
{
    for (unsigned i = 0; i < PEERS; i++) {
        loop_disarm(l, &peers[i].timer);
        loop_fd_close(l, &peers[i].fd);
    }
    loop_fini(l);
}

static void after_a_pause_nobody_is_late_whose_bytes_have_come(void **state)
{
    (void)state;
    static struct peer peers[PEERS];
    struct loop l;
    open_peers(&l, peers, false);
    l.now_ns += UINT64_C(60) * 1000 * 1000 * 1000;
    for (int i = 0; i < 8; i++) loop_turn(&l, 0);
    for (unsigned i = 0; i < PEERS; i++) {
        assert_int_equal(peers[i].served, 1);
        assert_int_equal(peers[i].late, 0);
    }
    close_peers(&l, peers);
}

static void timers_do_not_wait_for_those_who_never_cease(void **state)
{
    (void)state;
    static struct peer peers[PEERS];
    struct peer silent = { .served = 0 };
    struct loop l;
    open_peers(&l, peers, true);
    timer_init(&silent.timer, on_late);
    loop_arm(&l, &silent.timer, 100);
    l.now_ns += UINT64_C(60) * 1000 * 1000 * 1000;
    for (int i = 0; i < 100; i++) loop_turn(&l, 0);
    assert_int_equal(silent.late, 1);
    close_peers(&l, peers);
}

struct dead {
    struct loop_task task;
    struct loop_grave grave;
    struct loop *loop;
    unsigned looked, buried, buried_when_looked;
};

static void bury(struct loop_grave *g)
{
    container_of(g, struct dead, grave)->buried++;
}

static void on_last(struct loop_task *t)
{
    struct dead *d = container_of(t, struct dead, task);
    d->looked++;
    d->buried_when_looked = d->buried;
}

static void the_dead_are_buried_at_the_end_of_the_turn_and_then_its_last_tasks_run(void **state)
{
    (void)state;
    struct loop l;
    struct dead d = { .loop = &l };
    open_loop(&l);
    loop_task_init(&d.task, on_last);
    loop_bury(&l, &d.grave, bury);
    loop_at_end(&l, &d.task);
    assert_int_equal(d.buried, 0);
    loop_turn(&l, 0);
    assert_int_equal(d.buried, 1);
    assert_int_equal(d.looked, 1);
    assert_int_equal(d.buried_when_looked, 1);
    loop_turn(&l, 0);
    assert_int_equal(d.buried, 1);
    loop_fini(&l);
}

static void a_task_that_was_taken_back_does_not_run(void **state)
{
    (void)state;
    struct loop l;
    struct counter c = { .loop = &l };
    open_loop(&l);
    loop_task_init(&c.task, on_task);
    loop_defer(&l, &c.task);
    loop_cancel(&c.task);
    loop_cancel(&c.task);
    loop_turn(&l, 0);
    assert_int_equal(c.runs, 0);
    loop_fini(&l);
}

static void blocks_that_nobody_needs_again_go_back_in_a_while(void **state)
{
    (void)state;
    enum { COUNT = 600 };
    struct budget plenty = { .limit = 1 << 30 };
    struct loop l;
    struct err err;
    static struct block *got[COUNT];
    assert_int_equal(loop_init(&l, &plenty, &err), 0);
    l.is_virtual = true;
    for (int i = 0; i < COUNT; i++) assert_non_null(got[i] = block_get(&l.blocks, 100));
    for (int i = 0; i < COUNT; i++) block_put(&l.blocks, got[i]);
    for (int i = 0; i < 100; i++) loop_turn(&l, 0); /* turns are no time */
    assert_int_equal(plenty.used, COUNT * BLOCK_MIN);
    for (int i = 0; i < 4; i++) {
        l.now_ns += 1000 * NS_PER_MS;
        loop_turn(&l, 0);
    }
    assert_int_equal(plenty.used, 1 << 20);
    assert_int_equal(l.settle_ns, 0); /* nobody wakes for it any more */
    loop_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_deferred_twice_runs_once_and_one_that_defers_itself_runs_next_turn),
        cmocka_unit_test(the_dead_are_buried_at_the_end_of_the_turn_and_then_its_last_tasks_run),
        cmocka_unit_test(after_a_pause_nobody_is_late_whose_bytes_have_come),
        cmocka_unit_test(timers_do_not_wait_for_those_who_never_cease),
        cmocka_unit_test(a_task_that_was_taken_back_does_not_run),
        cmocka_unit_test(blocks_that_nobody_needs_again_go_back_in_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
