#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
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
        cmocka_unit_test(a_task_that_was_taken_back_does_not_run),
        cmocka_unit_test(blocks_that_nobody_needs_again_go_back_in_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
