#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <pthread.h>
#include <sched.h>
#include <cmocka.h>

#include "net/mailbox.h"

static struct budget budget = { .limit = 64 << 20 };

static void open_loop(struct loop *l)
{
    struct err err;
    assert_int_equal(loop_init(l, &budget, &err), 0);
}

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

struct order {
    struct loop loop;
    struct mailbox *box;
    uint64_t last, count;
};

static void on_ordered(void *reader, const struct mail *m)
{
    struct order *o = reader;
    assert_int_equal(m->number, o->last + 1);
    o->last = m->number;
    o->count++;
}

static void mail_of_one_writer_arrives_in_its_order(void **state)
{
    (void)state;
    struct order o = { .last = 0 };
    struct err err;
    open_loop(&o.loop);
    assert_int_equal(mailbox_new(&o.box, &o.loop, &o, 8, &err), 0);
    for (uint64_t i = 1; i <= 1000; i++) {
        struct mail m = { .deliver = on_ordered, .number = i };
        if (mailbox_post(o.box, &m)) continue;
        loop_turn(&o.loop, 0);
        assert_true(mailbox_post(o.box, &m));
    }
    loop_turn(&o.loop, 0);
    assert_int_equal(o.count, 1000);
    mailbox_free(o.box);
    loop_fini(&o.loop);
}

static void mail_that_must_arrive_does_in_its_order_and_nobody_waits(void **state)
{
    (void)state;
    struct order o = { .last = 0 };
    struct err err;
    uint64_t next = 1;
    open_loop(&o.loop);
    assert_int_equal(mailbox_new(&o.box, &o.loop, &o, 8, &err), 0);
    for (int turn = 0; turn < 3; turn++) {
        for (int i = 0; i < 100; i++) {
            struct mail m = { .deliver = on_ordered, .number = next++ };
            assert_true(mailbox_keep(o.box, &m));
        }
        loop_turn(&o.loop, 0);
        assert_int_equal(o.count, next - 1);
    }
    struct mail m = { .deliver = on_ordered, .number = next };
    assert_true(mailbox_post(o.box, &m)); /* all room is there again */
    for (uint32_t i = 0; i < 7 + MAILBOX_KEPT_MAX; i++) assert_true(mailbox_keep(o.box, &m));
    assert_false(mailbox_keep(o.box, &m));
    mailbox_free(o.box); /* with what nobody took */
    loop_fini(&o.loop);
}

static void *keep_many(void *box)
{
    for (uint64_t i = 1; i <= EACH; i++) {
        struct mail m = { .deliver = on_ordered, .number = i };
        while (!mailbox_keep(box, &m)) sched_yield();
    }
    return NULL;
}

static void kept_mail_of_another_thread_arrives_in_its_order(void **state)
{
    (void)state;
    struct order o = { .last = 0 };
    struct err err;
    pthread_t writer;
    open_loop(&o.loop);
    assert_int_equal(mailbox_new(&o.box, &o.loop, &o, 2, &err), 0);
    assert_int_equal(pthread_create(&writer, NULL, keep_many, o.box), 0);
    while (o.count < EACH) loop_turn(&o.loop, 1000);
    pthread_join(writer, NULL);
    mailbox_free(o.box);
    loop_fini(&o.loop);
}

static void on_first(void *reader, const struct mail *m)
{
    struct order *o = reader;
    o->count++;
    if (m->number == 0) return;
    struct mail again = { .deliver = on_first, .number = m->number - 1 };
    assert_true(mailbox_post(o->box, &again));
}

/* Whoever reads may write to himself: none is lost, and none waits for somebody else's. */
static void mail_posted_while_mail_is_read_arrives_as_well(void **state)
{
    (void)state;
    struct order o = { .last = 0 };
    struct err err;
    struct mail m = { .deliver = on_first, .number = 20 };
    open_loop(&o.loop);
    assert_int_equal(mailbox_new(&o.box, &o.loop, &o, 4, &err), 0);
    assert_true(mailbox_post(o.box, &m));
    for (int i = 0; i < 30; i++) loop_turn(&o.loop, 0);
    assert_int_equal(o.count, 21);
    mailbox_free(o.box);
    loop_fini(&o.loop);
}

static void on_stop(void *reader, const struct mail *m)
{
    struct order *o = reader;
    (void)m;
    loop_stop(&o->loop);
}

static void *sleep_in_loop(void *argument)
{
    struct order *o = argument;
    loop_run(&o->loop);
    return NULL;
}

/* Without a timer or a descriptor of its own the reader would sleep for ever. */
static void a_sleeping_reader_is_woken(void **state)
{
    (void)state;
    struct order o = { .last = 0 };
    struct err err;
    pthread_t thread;
    open_loop(&o.loop);
    assert_int_equal(mailbox_new(&o.box, &o.loop, &o, 4, &err), 0);
    assert_int_equal(pthread_create(&thread, NULL, sleep_in_loop, &o), 0);
    struct mail m = { .deliver = on_stop };
    assert_true(mailbox_post(o.box, &m));
    assert_int_equal(pthread_join(thread, NULL), 0);
    mailbox_free(o.box);
    loop_fini(&o.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_mailbox_says_so_and_loses_nothing_that_it_took),
        cmocka_unit_test(mail_of_many_threads_arrives_exactly_once),
        cmocka_unit_test(mail_of_one_writer_arrives_in_its_order),
        cmocka_unit_test(mail_that_must_arrive_does_in_its_order_and_nobody_waits),
        cmocka_unit_test(kept_mail_of_another_thread_arrives_in_its_order),
        cmocka_unit_test(mail_posted_while_mail_is_read_arrives_as_well),
        cmocka_unit_test(a_sleeping_reader_is_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
