#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "net/mailbox.h"
#include "net/transport.h"

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

struct pair {
    struct transport near;
    int far;
    unsigned calls;
};

static void on_near(struct transport *t)
{
    container_of(t, struct pair, near)->calls++;
}

static void open_pair(struct pair *p, struct loop *l)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    transport_init_accepted(&p->near, l, fds[0], on_near);
    p->far = fds[1];
    p->calls = 0;
}

static void a_short_read_is_not_followed_by_another_system_call(void **state)
{
    (void)state;
    struct loop l;
    struct pair p;
    char data[64];
    size_t got;
    open_loop(&l);
    open_pair(&p, &l);
    assert_int_equal(write(p.far, "abc", 3), 3);
    assert_int_equal(transport_recv(&p.near, data, sizeof(data), &got), IO_OK);
    assert_int_equal(got, 3);
    assert_false(p.near.is_readable);
    assert_int_equal(write(p.far, "de", 2), 2);
    /* Known to be dry until the loop says otherwise, although there is something. */
    assert_int_equal(transport_recv(&p.near, data, sizeof(data), &got), IO_AGAIN);
    assert_int_equal(transport_wait(&p.near), 0);
    loop_turn(&l, 0);
    assert_int_equal(p.calls, 1);
    assert_int_equal(transport_recv(&p.near, data, sizeof(data), &got), IO_OK);
    assert_int_equal(got, 2);
    transport_close(&p.near, false);
    close(p.far);
    loop_fini(&l);
}

static void data_and_the_end_in_one_event_are_both_seen(void **state)
{
    (void)state;
    struct loop l;
    struct pair p;
    char data[64];
    size_t got;
    open_loop(&l);
    open_pair(&p, &l);
    assert_int_equal(transport_wait(&p.near), 0);
    loop_turn(&l, 0);
    p.near.is_readable = false;
    assert_int_equal(write(p.far, "abc", 3), 3);
    close(p.far);
    loop_turn(&l, 0);
    assert_int_equal(transport_recv(&p.near, data, sizeof(data), &got), IO_OK);
    assert_int_equal(transport_recv(&p.near, data, sizeof(data), &got), IO_EOF);
    assert_true(transport_is_dead(&p.near));
    transport_close(&p.near, false);
    loop_fini(&l);
}

static void a_closed_transport_hears_nothing_of_events_that_were_on_their_way(void **state)
{
    (void)state;
    struct loop l;
    struct pair p;
    open_loop(&l);
    open_pair(&p, &l);
    assert_int_equal(transport_wait(&p.near), 0);
    assert_int_equal(write(p.far, "x", 1), 1);
    p.near.io.pending = EPOLLIN;
    transport_close(&p.near, false);
    transport_close(&p.near, false);
    loop_turn(&l, 0);
    assert_int_equal(p.calls, 0);
    assert_int_equal(l.fd_count, 0);
    close(p.far);
    loop_fini(&l);
}

/* mailboxes */

struct reader {
    struct loop loop;
    uint64_t sum, count;
};

static void on_mail(void *reader, const struct mail *m)
{
    struct reader *r = reader;
    r->sum += m->number;
    r->count++;
}

static void a_full_mailbox_says_so_and_loses_nothing_that_it_took(void **state)
{
    (void)state;
    struct reader r = { .sum = 0 };
    struct mailbox *box;
    struct err err;
    open_loop(&r.loop);
    assert_int_equal(mailbox_new(&box, &r.loop, &r, 4, &err), 0);
    struct mail m = { .deliver = on_mail, .number = 1 };
    for (int i = 0; i < 4; i++) assert_true(mailbox_post(box, &m));
    assert_false(mailbox_post(box, &m));
    loop_turn(&r.loop, 0);
    assert_int_equal(r.count, 4);
    assert_true(mailbox_post(box, &m));
    loop_turn(&r.loop, 0);
    assert_int_equal(r.count, 5);
    mailbox_free(box);
    loop_fini(&r.loop);
}

enum { WRITERS = 4, EACH = 20000 };

static void *write_many(void *box)
{
    for (uint64_t i = 1; i <= EACH; i++) {
        struct mail m = { .deliver = on_mail, .number = i };
        while (!mailbox_post(box, &m)) sched_yield();
    }
    return NULL;
}

static void mail_of_many_threads_arrives_exactly_once(void **state)
{
    (void)state;
    struct reader r = { .sum = 0 };
    struct mailbox *box;
    struct err err;
    pthread_t threads[WRITERS];
    open_loop(&r.loop);
    assert_int_equal(mailbox_new(&box, &r.loop, &r, 256, &err), 0);
    for (int i = 0; i < WRITERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, write_many, box), 0);
    while (r.count < (uint64_t)WRITERS * EACH) loop_turn(&r.loop, 1000);
    for (int i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(r.sum, (uint64_t)WRITERS * EACH * (EACH + 1) / 2);
    mailbox_free(box);
    loop_fini(&r.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_deferred_twice_runs_once_and_one_that_defers_itself_runs_next_turn),
        cmocka_unit_test(a_short_read_is_not_followed_by_another_system_call),
        cmocka_unit_test(data_and_the_end_in_one_event_are_both_seen),
        cmocka_unit_test(a_closed_transport_hears_nothing_of_events_that_were_on_their_way),
        cmocka_unit_test(a_full_mailbox_says_so_and_loses_nothing_that_it_took),
        cmocka_unit_test(mail_of_many_threads_arrives_exactly_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
