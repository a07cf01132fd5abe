#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/bug.h"
#include "net/keeping.h"
#include "net/loopback.h"
#include "net/transport.h"

static struct budget budget = { .limit = 64 << 20 };

static void open_loop(struct loop *l)
{
    struct err err;
    assert_int_equal(loop_init(l, &budget, &err), 0);
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
    transport_init_accepted(&p->near, l, fds[0], false, on_near);
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

static void what_is_moved_goes_on_at_its_new_place(void **state)
{
    (void)state;
    struct loop l;
    struct pair p, to = { .calls = 0 };
    char data[64];
    size_t got;
    open_loop(&l);
    open_pair(&p, &l);
    assert_int_equal(transport_wait(&p.near), 0);
    loop_turn(&l, 0);
    unsigned before = p.calls;
    p.near.is_readable = false;
    assert_int_equal(transport_move(&p.near, &to.near, on_near), 0);
    assert_true(transport_is_closed(&p.near));
    assert_int_equal(l.fd_count, 1);
    assert_int_equal(write(p.far, "abc", 3), 3);
    loop_turn(&l, 0);
    assert_int_equal(p.calls, before);
    assert_int_equal(to.calls, 1);
    assert_int_equal(transport_recv(&to.near, data, sizeof(data), &got), IO_OK);
    assert_int_equal(got, 3);
    transport_close(&p.near, false); /* nothing of the other's */
    assert_false(transport_is_closed(&to.near));
    transport_close(&to.near, false);
    close(p.far);
    loop_fini(&l);
}

static void a_full_socket_takes_a_part_and_says_when_there_is_room(void **state)
{
    (void)state;
    static char data[1 << 20];
    struct loop l;
    struct pair p;
    struct iovec iov = { data, sizeof(data) };
    size_t sent = 0, got = 0;
    open_loop(&l);
    open_pair(&p, &l);
    assert_int_equal(transport_wait(&p.near), 0);
    loop_turn(&l, 0);
    assert_int_equal(transport_send(&p.near, &iov, 1, &sent), IO_OK);
    assert_in_range(sent, 1, sizeof(data) - 1);
    assert_false(p.near.is_writable);
    assert_true(p.near.has_sent);
    assert_int_equal(transport_send(&p.near, &iov, 1, &got), IO_AGAIN);
    assert_int_equal(got, 0);
    while (recv(p.far, data, sizeof(data), 0) > 0) {}
    for (int i = 0; i < 100 && !p.near.is_writable; i++) loop_turn(&l, 10);
    assert_true(p.near.is_writable);
    transport_close(&p.near, false);
    close(p.far);
    loop_fini(&l);
}

static enum io open_in_time(struct loop *l, struct transport *t)
{
    for (int i = 0; i < 500; i++) {
        enum io io = transport_open(t);
        if (io != IO_AGAIN) return io;
        loop_turn(l, 10);
    }
    return IO_AGAIN;
}

static void a_connection_opens_or_says_why_not(void **state)
{
    (void)state;
    struct loop l;
    struct pair p = { .calls = 0 };
    struct address to;
    open_loop(&l);
    int listening = loopback_open(SOCK_STREAM, &to);
    assert_int_equal(transport_connect(&p.near, &l, &to, NULL, on_near), 0);
    assert_int_equal(open_in_time(&l, &p.near), IO_OK);
    assert_int_equal(transport_open(&p.near), IO_OK);
    transport_close(&p.near, false);
    close(listening);
    if (transport_connect(&p.near, &l, &to, NULL, on_near) == 0)
        assert_int_equal(open_in_time(&l, &p.near), IO_FAIL);
    assert_int_equal(p.near.saved_errno, ECONNREFUSED);
    transport_close(&p.near, false);
    assert_int_equal(l.fd_count, 0);
    loop_fini(&l);
}

static void bulk_is_looked_at_before_it_is_taken(void **state)
{
    (void)state;
    struct loop l;
    struct pair p = { .calls = 0 };
    struct address to;
    char data[64];
    size_t got = 0;
    open_loop(&l);
    int listening = loopback_open(SOCK_STREAM, &to);
    assert_int_equal(transport_connect(&p.near, &l, &to, NULL, on_near), 0);
    assert_int_equal(open_in_time(&l, &p.near), IO_OK);
    int far = accept(listening, NULL, NULL);
    assert_int_equal(write(far, "abcdef", 6), 6);
    for (int i = 0; i < 500 && !p.near.is_readable; i++) loop_turn(&l, 10);
    assert_int_equal(p.near.ops->peek(&p.near, data, sizeof(data), &got), IO_OK);
    assert_int_equal(got, 6);
    assert_int_equal(p.near.ops->drop(&p.near, 4), IO_OK);
    p.near.is_readable = true;
    assert_int_equal(transport_recv(&p.near, data, sizeof(data), &got), IO_OK);
    assert_int_equal(got, 2);
    assert_memory_equal(data, "ef", 2);
    transport_close(&p.near, false);
    close(far);
    close(listening);
    loop_fini(&l);
}

static void a_close_is_a_fin_or_a_reset_as_it_was_asked(void **state)
{
    (void)state;
    for (int is_reset = 0; is_reset < 2; is_reset++) {
        struct loop l;
        struct pair p = { .calls = 0 };
        struct address to;
        char byte;
        open_loop(&l);
        int listening = loopback_open(SOCK_STREAM, &to);
        assert_int_equal(transport_connect(&p.near, &l, &to, NULL, on_near), 0);
        assert_int_equal(open_in_time(&l, &p.near), IO_OK);
        int far = accept(listening, NULL, NULL);
        assert_true(far >= 0);
        transport_close(&p.near, is_reset);
        ssize_t got = recv(far, &byte, 1, 0);
        assert_int_equal(got, is_reset ? -1 : 0);
        if (is_reset) assert_int_equal(errno, ECONNRESET);
        close(far);
        close(listening);
        loop_fini(&l);
    }
}

static void a_reset_by_the_peer_is_noticed_without_reading(void **state)
{
    (void)state;
    struct loop l;
    struct pair p = { .calls = 0 };
    struct address to;
    open_loop(&l);
    int listening = loopback_open(SOCK_STREAM, &to);
    assert_int_equal(transport_connect(&p.near, &l, &to, NULL, on_near), 0);
    assert_int_equal(open_in_time(&l, &p.near), IO_OK);
    int far = accept(listening, NULL, NULL);
    struct linger hard = { .l_onoff = 1 };
    assert_int_equal(setsockopt(far, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    close(far);
    for (int i = 0; i < 500 && !p.near.is_broken; i++) loop_turn(&l, 10);
    assert_true(p.near.is_broken);
    assert_true(transport_is_dead(&p.near));
    transport_close(&p.near, false);
    close(listening);
    loop_fini(&l);
}

static void what_is_closed_takes_and_gives_nothing(void **state)
{
    (void)state;
    struct transport t;
    char data[8];
    struct iovec iov = { data, sizeof(data) };
    size_t moved = 1;
    uint64_t before = bug_count(BUG_TRANSPORT);
    transport_init_closed(&t);
    assert_true(transport_is_closed(&t));
    assert_true(transport_is_dead(&t));
    assert_int_equal(transport_recv(&t, data, sizeof(data), &moved), IO_AGAIN);
    assert_int_equal(moved, 0);
    assert_int_equal(transport_send(&t, &iov, 1, &moved), IO_AGAIN);
    assert_int_equal(transport_flush(&t), IO_OK);
    assert_int_equal(transport_wait(&t), -1);
    transport_close(&t, true);
    assert_int_equal(t.ops->recv(&t, data, sizeof(data), &moved), IO_FAIL);
    assert_int_equal(t.ops->send(&t, &iov, 1, &moved), IO_FAIL);
    assert_int_equal(t.ops->peek(&t, data, sizeof(data), &moved), IO_FAIL);
    assert_int_equal(t.ops->drop(&t, 1), IO_FAIL);
    assert_int_equal(t.saved_errno, EBADF);
    assert_int_equal(bug_count(BUG_TRANSPORT), before);
}

/* A pair whose near end keeps what it is given. */
static void open_keeping(struct pair *p, struct keeping *k, struct loop *l)
{
    open_loop(l);
    open_pair(p, l);
    memset(k, 0, sizeof(*k));
    keeping_over(k, &p->near);
}

static void opening_takes_as_many_turns_as_it_needs_and_may_fail(void **state)
{
    (void)state;
    static struct keeping k;
    for (int fails = 0; fails < 2; fails++) {
        struct loop l;
        struct pair p;
        open_keeping(&p, &k, &l);
        k.opens_left = 2;
        k.fails_to_open = fails;
        assert_int_equal(transport_open(&p.near), IO_AGAIN);
        assert_int_equal(transport_wait(&p.near), 0);
        assert_int_equal(write(p.far, "x", 1), 1);
        loop_turn(&l, 0);
        assert_int_equal(p.calls, 1); /* its owner goes on with opening */
        assert_int_equal(transport_open(&p.near), IO_AGAIN);
        assert_int_equal(transport_open(&p.near), fails ? IO_FAIL : IO_OK);
        assert_int_equal(p.near.is_open, !fails);
        if (fails) assert_int_equal(p.near.saved_errno, ECONNABORTED);
        transport_close(&p.near, false);
        close(p.far);
        loop_fini(&l);
    }
}

static void what_is_kept_goes_before_anything_else_is_taken(void **state)
{
    (void)state;
    static struct keeping k;
    struct loop l;
    struct pair p;
    struct iovec iov = { (char *)"abcdef", 6 };
    char data[16];
    size_t sent = 0;
    open_keeping(&p, &k, &l);
    k.lets_pass = 2;
    assert_int_equal(transport_send(&p.near, &iov, 1, &sent), IO_OK);
    assert_int_equal(sent, 6); /* all of it is taken */
    assert_true(p.near.holds_rest);
    assert_false(p.near.is_writable);
    assert_int_equal(transport_flush(&p.near), IO_AGAIN);
    assert_int_equal(transport_send(&p.near, &iov, 1, &sent), IO_AGAIN);
    assert_int_equal(sent, 0);
    assert_int_equal(recv(p.far, data, sizeof(data), 0), 2);
    k.lets_pass = 3;
    assert_int_equal(transport_wait(&p.near), 0);
    loop_turn(&l, 0); /* the descriptor is writable */
    assert_int_equal(recv(p.far, data, sizeof(data), 0), 3);
    assert_true(p.near.holds_rest);
    assert_false(p.near.is_writable);
    keeping_let_pass(&k, 9);
    assert_int_equal(transport_flush(&p.near), IO_OK);
    assert_true(p.near.is_writable);
    assert_int_equal(recv(p.far, data, sizeof(data), 0), 1);
    assert_int_equal(data[0], 'f');
    transport_close(&p.near, false);
    close(p.far);
    loop_fini(&l);
}

static void what_is_its_own_moves_with_it_and_is_given_back_once(void **state)
{
    (void)state;
    static struct keeping k;
    struct loop l;
    struct pair p, to = { .calls = 0 };
    struct iovec iov = { (char *)"abc", 3 };
    char data[16];
    size_t sent = 0;
    open_keeping(&p, &k, &l);
    assert_int_equal(transport_wait(&p.near), 0);
    assert_int_equal(transport_send(&p.near, &iov, 1, &sent), IO_OK);
    assert_int_equal(transport_move(&p.near, &to.near, on_near), 0);
    assert_int_equal(k.moved, 1);
    assert_ptr_equal(k.at, &to.near);
    assert_ptr_equal(to.near.own, &k);
    assert_true(transport_is_closed(&p.near));
    assert_null(p.near.own);
    assert_false(p.near.holds_rest);
    k.lets_pass = 3;
    loop_turn(&l, 0);
    assert_int_equal(to.calls, 1);
    assert_int_equal(recv(p.far, data, sizeof(data), 0), 3);
    transport_close(&p.near, false);
    assert_int_equal(k.closed, 0);
    transport_close(&to.near, false);
    transport_close(&to.near, false);
    assert_int_equal(k.closed, 1);
    close(p.far);
    loop_fini(&l);
}

/* What has come may be for the transport alone: only its ops can tell. */
static void whether_it_is_dead_is_for_its_ops_to_say(void **state)
{
    (void)state;
    static struct keeping k;
    struct loop l;
    struct pair p;
    open_keeping(&p, &k, &l);
    p.near.is_readable = false;
    assert_false(transport_is_dead(&p.near));
    p.near.io.pending = EPOLLIN;
    assert_true(transport_is_dead(&p.near));
    k.says_it_is_alive = true;
    assert_false(transport_is_dead(&p.near));
    transport_close(&p.near, false);
    assert_true(transport_is_dead(&p.near));
    close(p.far);
    loop_fini(&l);
}

/* The impossible, survived: nobody is to open or to end what is closed, and nothing is to be ready unheard. */
static void a_closed_transport_is_neither_opened_nor_shut_down(void **state)
{
    (void)state;
    struct transport t;
    uint64_t before = bug_count(BUG_TRANSPORT);
    transport_init_closed(&t);
    bug_be_fatal(false);
    assert_int_equal(transport_open(&t), IO_FAIL);
    assert_int_equal(transport_shutdown(&t), IO_FAIL);
    bug_be_fatal(true);
    assert_int_equal(t.saved_errno, EBADF);
    assert_int_equal(bug_count(BUG_TRANSPORT), before + 2);
}

static void what_is_moved_to_nobody_keeps_what_it_is_ready_for(void **state)
{
    (void)state;
    struct loop l;
    struct pair p;
    struct transport to;
    open_loop(&l);
    open_pair(&p, &l);
    assert_int_equal(transport_wait(&p.near), 0);
    loop_turn(&l, 0);
    p.near.is_readable = false;
    assert_int_equal(transport_move(&p.near, &to, NULL), 0);
    assert_int_equal(write(p.far, "x", 1), 1);
    uint64_t before = bug_count(BUG_TRANSPORT);
    bug_be_fatal(false);
    loop_turn(&l, 0);
    bug_be_fatal(true);
    assert_int_equal(bug_count(BUG_TRANSPORT), before + 1);
    assert_true(to.is_readable);
    transport_close(&to, false);
    close(p.far);
    loop_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_closed_transport_is_neither_opened_nor_shut_down),
        cmocka_unit_test(what_is_moved_to_nobody_keeps_what_it_is_ready_for),
        cmocka_unit_test(a_short_read_is_not_followed_by_another_system_call),
        cmocka_unit_test(data_and_the_end_in_one_event_are_both_seen),
        cmocka_unit_test(a_closed_transport_hears_nothing_of_events_that_were_on_their_way),
        cmocka_unit_test(what_is_moved_goes_on_at_its_new_place),
        cmocka_unit_test(a_full_socket_takes_a_part_and_says_when_there_is_room),
        cmocka_unit_test(bulk_is_looked_at_before_it_is_taken),
        cmocka_unit_test(a_connection_opens_or_says_why_not),
        cmocka_unit_test(a_close_is_a_fin_or_a_reset_as_it_was_asked),
        cmocka_unit_test(a_reset_by_the_peer_is_noticed_without_reading),
        cmocka_unit_test(what_is_closed_takes_and_gives_nothing),
        cmocka_unit_test(opening_takes_as_many_turns_as_it_needs_and_may_fail),
        cmocka_unit_test(what_is_kept_goes_before_anything_else_is_taken),
        cmocka_unit_test(what_is_its_own_moves_with_it_and_is_given_back_once),
        cmocka_unit_test(whether_it_is_dead_is_for_its_ops_to_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
