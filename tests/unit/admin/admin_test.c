#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "admin/admin.h"
#include "proxy/proxy.h"

/* The API on a unix socket, before a proxy that has nothing. */
struct bench {
    struct loop loop;
    struct budget budget;
    struct proxy proxy;
    struct admin *admin;
    struct admin_conf conf;
    char received[65536];
};

static void open_bench(struct bench *b)
{
    struct err err;
    char path[96];
    memset(b, 0, sizeof(*b));
    b->budget.limit = 64 << 20;
    snprintf(path, sizeof(path), "unix:/tmp/weir-admin-test-%d.sock", (int)getpid());
    assert_int_equal(address_parse(slice_of(path), true, &b->conf.bind, &err), 0);
    assert_int_equal(loop_init(&b->loop, &b->budget, &err), 0);
    assert_int_equal(metric_registry_new(&b->proxy.metrics, 1, 100, &err), 0);
    if (admin_open(&b->admin, &b->conf, &(struct admin_objects){ .proxy = &b->proxy }, &b->loop, &err) < 0)
        fail_msg("%s", err.text);
}

static void close_bench(struct bench *b)
{
    struct stat st;
    admin_close(b->admin);
    loop_turn(&b->loop, 0);
    assert_int_equal(stat(b->conf.bind.sa.un.sun_path, &st), -1);
    assert_int_equal(b->loop.blocks.live, 0);
    assert_int_equal(b->loop.timers.count, 0);
    metric_registry_free(b->proxy.metrics);
    loop_fini(&b->loop);
}

static int dial(struct bench *b)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &b->conf.bind.sa.any, b->conf.bind.len), 0);
    return fd;
}

static void turn(struct bench *b)
{
    for (int i = 0; i < 10; i++) loop_turn(&b->loop, 0);
}

/* "" if the connection was closed. */
static const char *ask(struct bench *b, int fd, const char *target)
{
    char request[256];
    int len = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: weir\r\n\r\n", target);
    b->received[0] = 0;
    if (send(fd, request, (size_t)len, MSG_NOSIGNAL) != len) return b->received;
    size_t len_received = 0;
    ssize_t got;
    do {
        turn(b);
        got = read(fd, b->received + len_received, sizeof(b->received) - 1 - len_received);
        if (got > 0) len_received += (size_t)got;
    } while (got > 0);
    b->received[len_received] = 0;
    return b->received;
}

static bool is_ok(const char *answer)
{
    return strncmp(answer, "HTTP/1.1 200 OK\r\n", 17) == 0;
}

static void every_list_is_answered_when_there_is_nothing_in_it(void **state)
{
    (void)state;
    static const char *const targets[] = { "/",
                                           "/healthz",
                                           "/readyz",
                                           "/metrics",
                                           "/api/v1/stats",
                                           "/api/v1/listeners",
                                           "/api/v1/routes",
                                           "/api/v1/pools",
                                           "/api/v1/exchanges",
                                           "/api/v1/exchanges?since=5m&limit=1000" };
    struct bench b;
    open_bench(&b);
    int fd = dial(&b);
    for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++)
        if (!is_ok(ask(&b, fd, targets[i]))) fail_msg("%s: %s", targets[i], b.received);
    close(fd);
    turn(&b);
    close_bench(&b);
}

static void readiness_ends_with_the_drain_and_life_does_not(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    int fd = dial(&b);
    assert_true(is_ok(ask(&b, fd, "/readyz")));
    atomic_store(&b.proxy.is_draining, true);
    assert_non_null(strstr(ask(&b, fd, "/readyz"), " 503 "));
    assert_true(is_ok(ask(&b, fd, "/healthz")));
    close(fd);
    close_bench(&b);
}

#define OF_ONE_PEER 128
#define RESERVED 32

static void dial_all(struct bench *b, int *fds, int count, const char *first_bytes)
{
    for (int i = 0; i < count; i++) {
        fds[i] = dial(b);
        ssize_t len = (ssize_t)strlen(first_bytes);
        assert_int_equal(send(fds[i], first_bytes, (size_t)len, MSG_NOSIGNAL), len);
        turn(b);
    }
}

static void close_fds(const int *fds, int count)
{
    for (int i = 0; i < count; i++) close(fds[i]);
}

static void the_oldest_idle_connection_makes_room(void **state)
{
    (void)state;
    struct bench b;
    int fds[OF_ONE_PEER + 1];
    open_bench(&b);
    dial_all(&b, fds, OF_ONE_PEER + 1, "");
    assert_string_equal(ask(&b, fds[0], "/healthz"), "");
    assert_true(is_ok(ask(&b, fds[1], "/healthz")));
    assert_true(is_ok(ask(&b, fds[OF_ONE_PEER], "/healthz")));
    close_fds(fds, OF_ONE_PEER + 1);
    close_bench(&b);
}

static void requests_that_only_begin_lock_nobody_out(void **state)
{
    (void)state;
    enum { COUNT = 3 * OF_ONE_PEER };
    struct bench b;
    static int fds[COUNT];
    open_bench(&b);
    dial_all(&b, fds, COUNT, "G");
    int fd = dial(&b);
    assert_true(is_ok(ask(&b, fd, "/api/v1/stats")));
    close(fd);
    close_fds(fds, COUNT);
    close_bench(&b);
}

static void an_idle_connection_goes_before_one_that_sends_its_request(void **state)
{
    (void)state;
    struct bench b;
    int fds[OF_ONE_PEER];
    open_bench(&b);
    dial_all(&b, fds, OF_ONE_PEER - 1, "GET /healthz HTTP/1.1\r\n");
    fds[OF_ONE_PEER - 1] = dial(&b);
    turn(&b);
    int fd = dial(&b);
    assert_true(is_ok(ask(&b, fd, "/healthz")));
    assert_int_equal(recv(fds[OF_ONE_PEER - 1], b.received, 1, 0), 0);
    assert_int_equal(send(fds[0], "Host: weir\r\n\r\n", 14, MSG_NOSIGNAL), 14);
    turn(&b);
    ssize_t got = read(fds[0], b.received, sizeof(b.received) - 1);
    b.received[got > 0 ? got : 0] = 0;
    assert_true(is_ok(b.received));
    close(fd);
    close_fds(fds, OF_ONE_PEER);
    close_bench(&b);
}

/* Calls that are going on, whose bodies do not come. */
static const char half_a_call[] =
    "POST /api/v1/explain HTTP/1.1\r\nHost: weir\r\nContent-Type: application/json\r\n"
    "Content-Length: 10\r\n\r\n{";

static void when_all_are_in_use_health_checks_are_answered(void **state)
{
    (void)state;
    struct bench b;
    int fds[OF_ONE_PEER], begun[RESERVED + 8];
    open_bench(&b);
    dial_all(&b, fds, OF_ONE_PEER, half_a_call);
    int fd = dial(&b);
    assert_true(is_ok(ask(&b, fd, "/healthz")));
    assert_non_null(strstr(b.received, "\r\nConnection: close\r\n"));
    close(fd);
    fd = dial(&b);
    assert_non_null(strstr(ask(&b, fd, "/metrics"), " 503 "));
    assert_non_null(strstr(b.received, "only health checks are answered now"));
    close(fd);
    /* Nor can what is reserved be taken away. */
    dial_all(&b, begun, RESERVED + 8, "G");
    fd = dial(&b);
    assert_true(is_ok(ask(&b, fd, "/readyz")));
    close(fd);
    /* None of the calls was ended for it, and when one is over there is room again. */
    assert_int_equal(send(fds[0], "123456789", 9, MSG_NOSIGNAL), 9);
    turn(&b);
    ssize_t got = read(fds[0], b.received, sizeof(b.received) - 1);
    assert_true(got > 0 && strncmp(b.received, "HTTP/1.1 400 ", 13) == 0);
    fd = dial(&b);
    assert_true(is_ok(ask(&b, fd, "/metrics")));
    close(fd);
    close_fds(fds, OF_ONE_PEER);
    close_fds(begun, RESERVED + 8);
    close_bench(&b);
}

static void what_is_shut_answers_nothing_more(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    int going = dial(&b), waiting = dial(&b);
    assert_int_equal(send(going, half_a_call, sizeof(half_a_call) - 1, MSG_NOSIGNAL),
                     sizeof(half_a_call) - 1);
    turn(&b);
    static const char request[] = "GET /readyz HTTP/1.1\r\nHost: weir\r\n\r\n";
    assert_int_equal(send(waiting, request, sizeof(request) - 1, MSG_NOSIGNAL), sizeof(request) - 1);
    admin_shut(b.admin);
    turn(&b);
    assert_true(recv(going, b.received, 1, 0) <= 0);
    assert_true(recv(waiting, b.received, 1, 0) <= 0);
    close(going);
    close(waiting);
    close_bench(&b);
}

static void a_live_socket_is_not_taken_over(void **state)
{
    (void)state;
    struct bench b;
    struct admin *second = NULL;
    struct err err;
    open_bench(&b);
    assert_int_equal(
        admin_open(&second, &b.conf, &(struct admin_objects){ .proxy = &b.proxy }, &b.loop, &err), -1);
    assert_int_equal(strncmp(err.text, "admin: cannot listen on unix:/tmp/", 34), 0);
    int fd = dial(&b);
    assert_true(is_ok(ask(&b, fd, "/healthz")));
    close(fd);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_list_is_answered_when_there_is_nothing_in_it),
        cmocka_unit_test(readiness_ends_with_the_drain_and_life_does_not),
        cmocka_unit_test(the_oldest_idle_connection_makes_room),
        cmocka_unit_test(requests_that_only_begin_lock_nobody_out),
        cmocka_unit_test(an_idle_connection_goes_before_one_that_sends_its_request),
        cmocka_unit_test(when_all_are_in_use_health_checks_are_answered),
        cmocka_unit_test(what_is_shut_answers_nothing_more),
        cmocka_unit_test(a_live_socket_is_not_taken_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
