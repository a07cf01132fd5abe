#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "net/acceptor.h"

#define BURST 4u
#define CLIENTS_MAX 16

/* One listening socket, on a clock that stands, and clients of it. */
struct bench {
    struct acceptor acceptor; /* first */
    struct loop loop;
    struct budget budget;
    struct acceptor_spare spare;
    struct address address;
    struct rlimit limit;
    int taken[CLIENTS_MAX], clients[CLIENTS_MAX];
    unsigned taken_count, client_count, shed_count, close_after;
};

static void on_connection(struct acceptor *a, int fd, const struct address *peer)
{
    struct bench *b = a->use.owner;
    assert_int_equal(peer->sa.any.sa_family, AF_UNIX);
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    b->taken[b->taken_count++] = fd;
    if (b->taken_count == b->close_after) acceptor_kill(a);
}

static void on_shed(struct acceptor *a, const struct address *peer)
{
    assert_int_not_equal(peer->sa.any.sa_family, AF_UNSPEC);
    ((struct bench *)a->use.owner)->shed_count++;
}

static int listen_anywhere(struct bench *b)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    struct sockaddr_un any = { .sun_family = AF_UNIX };
    /* The kernel picks a name that is no file: unix(7), autobind. */
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any.sun_family)), 0);
    assert_int_equal(listen(fd, CLIENTS_MAX), 0);
    b->address.len = sizeof(b->address.sa);
    assert_int_equal(getsockname(fd, &b->address.sa.any, &b->address.len), 0);
    return fd;
}

static void open_bench(struct bench *b)
{
    struct err err;
    struct acceptor_use use = {
        .owner = b, .on_connection = on_connection, .on_shed = on_shed, .burst = BURST, .name = "test"
    };
    *b = (struct bench){ .budget.limit = 16 << 20 };
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &b->limit), 0);
    assert_int_equal(loop_init(&b->loop, &b->budget, &err), 0);
    b->loop.is_virtual = true;
    acceptor_spare_open(&b->spare);
    assert_true(b->spare.fd >= 0);
    assert_int_equal(acceptor_open(&b->acceptor, &b->loop, listen_anywhere(b), &use, &b->spare, &err), 0);
}

static void close_bench(struct bench *b)
{
    acceptor_close(&b->acceptor);
    acceptor_close(&b->acceptor);
    assert_false(acceptor_is_open(&b->acceptor));
    assert_int_equal(b->loop.fd_count, 0);
    acceptor_spare_close(&b->spare);
    for (unsigned i = 0; i < b->taken_count; i++) close(b->taken[i]);
    for (unsigned i = 0; i < b->client_count; i++) close(b->clients[i]);
    loop_fini(&b->loop);
}

static void connect_clients(struct bench *b, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        assert_true(fd >= 0);
        assert_int_equal(connect(fd, &b->address.sa.any, b->address.len), 0);
        b->clients[b->client_count++] = fd;
    }
}

/* From now on no descriptor is to be had. */
static void take_descriptors(struct bench *b)
{
    int first_free = dup(b->loop.epoll_fd);
    assert_true(first_free >= 0);
    close(first_free);
    struct rlimit none = { (rlim_t)first_free, b->limit.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
}

static void give_descriptors(struct bench *b)
{
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &b->limit), 0);
}

static bool is_shut(int client)
{
    char byte;
    return read(client, &byte, 1) == 0 || errno == ECONNRESET;
}

/* Nothing will happen before somebody connects or time passes. */
static bool is_at_rest(struct bench *b)
{
    struct epoll_event event;
    return list_is_empty(&b->loop.tasks) && epoll_wait(b->loop.epoll_fd, &event, 1, 0) == 0;
}

static void pass(struct bench *b, uint64_t ms)
{
    b->loop.now_ns += ms * NS_PER_MS;
    loop_turn(&b->loop, 0);
}

static void all_that_wait_are_taken_by_bursts(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    connect_clients(&b, 3 * BURST);
    unsigned before = 0;
    do {
        before = b.taken_count;
        loop_turn(&b.loop, 0);
        /* Once when it is reported, once more behind what others have to do. */
        assert_true(b.taken_count - before <= 2 * BURST);
    } while (b.taken_count > before);
    assert_int_equal(b.taken_count, 3 * BURST);
    assert_true(is_at_rest(&b));
    connect_clients(&b, 1);
    loop_turn(&b.loop, 0);
    assert_int_equal(b.taken_count, 3 * BURST + 1);
    assert_int_equal(b.loop.timers.count, 0);
    close_bench(&b);
}

static void without_a_descriptor_whoever_waits_is_shed_and_then_it_rests(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    connect_clients(&b, 2 * BURST + 1);
    take_descriptors(&b);
    for (int i = 0; i < 6; i++) loop_turn(&b.loop, 0);
    assert_int_equal(b.taken_count, 0);
    assert_int_equal(b.shed_count, 2 * BURST + 1);
    for (unsigned i = 0; i < b.client_count; i++) assert_true(is_shut(b.clients[i]));
    assert_true(is_at_rest(&b));
    assert_int_equal(b.loop.timers.count, 0);
    assert_true(b.spare.fd >= 0);
    give_descriptors(&b);
    connect_clients(&b, 1);
    loop_turn(&b.loop, 0);
    assert_int_equal(b.taken_count, 1);
    close_bench(&b);
}

static void without_the_spare_one_either_it_pauses_and_nobody_is_lost(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    acceptor_spare_close(&b.spare);
    connect_clients(&b, 2);
    take_descriptors(&b);
    loop_turn(&b.loop, 0);
    loop_turn(&b.loop, 0);
    assert_int_equal(b.shed_count + b.taken_count, 0);
    assert_int_equal(b.loop.timers.count, 1);
    assert_true(is_at_rest(&b));
    give_descriptors(&b);
    connect_clients(&b, 1); /* whose report does not end the pause */
    pass(&b, ACCEPTOR_PAUSE_MS - 1);
    assert_int_equal(b.taken_count, 0);
    pass(&b, 1);
    assert_int_equal(b.taken_count, 3);
    assert_true(b.spare.fd >= 0);
    assert_int_equal(b.loop.timers.count, 0);
    close_bench(&b);
}

static void a_socket_that_gives_errors_alone_is_asked_now_and_then(void **state)
{
    (void)state;
    struct bench b;
    struct err err;
    open_bench(&b);
    struct acceptor_use use = b.acceptor.use;
    acceptor_close(&b.acceptor);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(listen(fd, 1), 0); /* on a port that the kernel picks */
    assert_int_equal(acceptor_open(&b.acceptor, &b.loop, fd, &use, &b.spare, &err), 0);
    loop_turn(&b.loop, 0);
    assert_int_equal(shutdown(fd, SHUT_RD), 0); /* as another holder of it may: accept() is EINVAL now */
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j < 5; j++) loop_turn(&b.loop, 0);
        assert_true(is_at_rest(&b));
        assert_int_equal(b.loop.timers.count, 1);
        b.loop.now_ns += ACCEPTOR_PAUSE_MS * NS_PER_MS;
    }
    assert_int_equal(b.shed_count + b.taken_count, 0);
    acceptor_close(&b.acceptor);
    assert_int_equal(b.loop.timers.count, 0);
    close_bench(&b);
}

static void closing_takes_what_the_kernel_had_accepted(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    connect_clients(&b, 3 * BURST);
    acceptor_close(&b.acceptor);
    assert_int_equal(b.taken_count, 3 * BURST);
    close_bench(&b);
}

static void closing_without_descriptors_sheds_what_waits(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    connect_clients(&b, BURST + 1);
    take_descriptors(&b);
    acceptor_close(&b.acceptor);
    give_descriptors(&b);
    assert_int_equal(b.shed_count, BURST + 1);
    close_bench(&b);
}

static void it_may_be_closed_by_whom_it_gives_a_connection_to(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    b.close_after = 2;
    connect_clients(&b, 3);
    loop_turn(&b.loop, 0);
    loop_turn(&b.loop, 0);
    assert_int_equal(b.taken_count, 2);
    assert_true(is_at_rest(&b));
    assert_true(is_shut(b.clients[2]));
    close_bench(&b);
}

static void of_a_shared_socket_each_holder_closes_its_own(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    int other = dup(b.acceptor.io.fd);
    assert_true(other >= 0);
    acceptor_close(&b.acceptor);
    connect_clients(&b, 1);
    assert_true(is_at_rest(&b)); /* no report for what this loop has no more */
    int fd = accept(other, NULL, NULL);
    assert_true(fd >= 0);
    close(fd);
    close(other);
    close_bench(&b);
}

static void what_was_never_opened_can_be_closed(void **state)
{
    (void)state;
    struct acceptor a = { .use.burst = 0 };
    acceptor_close(&a);
    acceptor_kill(&a);
    assert_int_not_equal(fcntl(0, F_GETFD), -1); /* 0 is somebody's */
}

static void several_sockets_have_one_acceptor_and_end_with_it(void **state)
{
    (void)state;
    struct bench b;
    struct err err;
    open_bench(&b);
    connect_clients(&b, 2);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(acceptor_add(&b.acceptor, listen_anywhere(&b), &err), 0);
        connect_clients(&b, 2);
    }
    assert_int_equal(b.loop.fd_count, 4);
    loop_turn(&b.loop, 0);
    assert_int_equal(b.taken_count, 8);
    connect_clients(&b, 3); /* which wait when it is closed, and are taken before that */
    acceptor_close(&b.acceptor);
    assert_int_equal(b.taken_count, 11);
    assert_int_equal(b.loop.fd_count, 0);
    assert_null(b.acceptor.next);
    loop_turn(&b.loop, 0); /* its graveyard */
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_wait_are_taken_by_bursts),
        cmocka_unit_test(without_a_descriptor_whoever_waits_is_shed_and_then_it_rests),
        cmocka_unit_test(without_the_spare_one_either_it_pauses_and_nobody_is_lost),
        cmocka_unit_test(a_socket_that_gives_errors_alone_is_asked_now_and_then),
        cmocka_unit_test(closing_takes_what_the_kernel_had_accepted),
        cmocka_unit_test(closing_without_descriptors_sheds_what_waits),
        cmocka_unit_test(it_may_be_closed_by_whom_it_gives_a_connection_to),
        cmocka_unit_test(of_a_shared_socket_each_holder_closes_its_own),
        cmocka_unit_test(what_was_never_opened_can_be_closed),
        cmocka_unit_test(several_sockets_have_one_acceptor_and_end_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
