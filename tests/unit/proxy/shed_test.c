/* Who ends when memory is short, or is about to be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "scene.h"

#include "proxy/proxy_conf.h"

#define REQUESTS 6u
#define ANSWER_BYTES 65536u
#define OTHERS_BYTES (32u << 20)

/* A preface, SETTINGS with an initial window of a byte, and a GET as stream 1. */
static const char begin[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                            "\0\0\6\4\0\0\0\0\0\0\4\0\0\0\1";

static const struct listener_http2 http2 = { .enabled = true,
                                             .streams = 100,
                                             .window_bytes = 65535,
                                             .memory_bytes = 1 << 20,
                                             .continuations = 8,
                                             .resets = 100,
                                             .settings = 100,
                                             .pings = 100,
                                             .empty_frames = 100,
                                             .window_updates = 1000 };

static void open_scene(struct scene *s)
{
    scene_open(s, false);
    one_server(s);
    s->listener.http2 = http2;
    scene_start(s);
}

static void answer(struct scene *s, int server)
{
    static const char zeros[ANSWER_BYTES];
    hear(s, server, "\r\n\r\n");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n");
    assert_int_equal(send(server, zeros, sizeof(zeros), MSG_NOSIGNAL), sizeof(zeros));
}

static void ask(int fd, unsigned i)
{
    const char get[] = { 0, 0, 6, 1, 5, 0, 0, 0, (char)(2 * i + 1), '\x82', '\x86', '\x84', '\x41', 1, 'h' };
    assert_int_equal(send(fd, get, sizeof(get), MSG_NOSIGNAL), sizeof(get));
}

static int tiny_connect(struct scene *s)
{
    int fd = client_connect(s);
    assert_int_equal(send(fd, begin, sizeof(begin) - 1, MSG_NOSIGNAL), sizeof(begin) - 1);
    return fd;
}

/* It asks for several answers, and opens a window of a byte for each. */
static int hostile_connect(struct scene *s, int *servers)
{
    int fd = tiny_connect(s);
    for (unsigned i = 0; i < REQUESTS; i++) {
        ask(fd, i);
        servers[i] = server_accept(s, 0);
        answer(s, servers[i]);
    }
    turns(s, 8);
    return fd;
}

/* HTTP/1, and takes nothing of a large answer. */
static int slow_connect(struct scene *s, int *server)
{
    int fd = client_connect(s);
    int small = 4096;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    say(fd, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    *server = server_accept(s, 0);
    hear(s, *server, "\r\n\r\n");
    turns(s, 4);
    return fd;
}

static bool is_open(struct scene *s, int fd)
{
    char bytes[65536];
    ssize_t got;
    turns(s, 4);
    while ((got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {}
    return got < 0;
}

/* So many hundredths of the memory are in use: by somebody else, mostly. */
static void fill(struct scene *s, uint64_t share)
{
    struct budget *b = &s->proxy->budget;
    block_pool_trim(&s->worker->loop.blocks);
    b->limit = (atomic_load(&b->used) + OTHERS_BYTES) * 100 / share;
    assert_true(budget_take(b, OTHERS_BYTES));
}

static void empty(struct scene *s)
{
    budget_give(&s->proxy->budget, OTHERS_BYTES);
}

/* Of an answer that goes byte by byte next to nothing is read. */
static void little_is_read_of_what_cannot_go(void **state)
{
    (void)state;
    struct scene s;
    int servers[REQUESTS];
    open_scene(&s);
    int hostile = hostile_connect(&s, servers);
    const struct block_pool *blocks = &s.worker->loop.blocks;
    for (unsigned c = 2; c < BLOCK_CLASSES; c++) assert_int_equal(blocks->live_count[c], 0);
    assert_true(blocks->live_bytes <= (2 * REQUESTS + 4) * 2 * BLOCK_MIN);
    /* What was held goes as its window opens. */
    static const char grant[] = { 0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0, 0x7f, (char)0xff };
    assert_int_equal(send(hostile, grant, sizeof(grant), MSG_NOSIGNAL), sizeof(grant));
    turns(&s, 8);
    char bytes[65536];
    ssize_t got = recv(hostile, bytes, sizeof(bytes), MSG_DONTWAIT);
    assert_in_range(got, 0x7fff, 0x7fff + 4096);
    close(hostile);
    for (unsigned i = 0; i < REQUESTS; i++) close(servers[i]);
    turns(&s, 8);
    scene_close(&s);
}

static void who_is_of_no_use_ends_before_anybody_is_refused(void **state)
{
    (void)state;
    struct scene s;
    int servers[REQUESTS], server;
    open_scene(&s);
    uint64_t limit = s.proxy->budget.limit;
    int slow = slow_connect(&s, &server);
    int hostile = hostile_connect(&s, servers);
    fill(&s, 85);
    int new = client_connect(&s);
    say(new, "G"); /* it is not seen before */
    assert_true(is_open(&s, new));
    assert_false(is_open(&s, hostile));
    assert_true(is_open(&s, slow));
    empty(&s);
    /* The next one to come finds nobody of no use any more. */
    pass_time(&s, 2000);
    fill(&s, 85);
    int newer = client_connect(&s);
    say(newer, "G");
    assert_true(is_open(&s, newer));
    assert_true(is_open(&s, slow));
    empty(&s);
    s.proxy->budget.limit = limit;
    close(slow), close(hostile), close(new), close(newer), close(server);
    for (unsigned i = 0; i < REQUESTS; i++) close(servers[i]);
    turns(&s, 8);
    scene_close(&s);
}

static void who_is_of_no_use_begins_nothing_until_there_is_room_again(void **state)
{
    (void)state;
    struct scene s;
    int servers[REQUESTS];
    open_scene(&s);
    uint64_t limit = s.proxy->budget.limit;
    int tiny = tiny_connect(&s);
    turns(&s, 4);
    fill(&s, 85);
    for (unsigned i = 0; i < REQUESTS; i++) ask(tiny, i);
    servers[0] = server_accept(&s, 0); /* one is no hostility */
    for (unsigned i = 0; i < 3; i++) {
        pass_time(&s, 100);
        assert_true(nobody_is_asked(&s));
    }
    empty(&s);
    s.proxy->budget.limit = limit;
    pass_time(&s, 100);
    for (unsigned i = 1; i < REQUESTS; i++) servers[i] = server_accept(&s, 0);
    close(tiny);
    for (unsigned i = 0; i < REQUESTS; i++) close(servers[i]);
    turns(&s, 8);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(little_is_read_of_what_cannot_go),
        cmocka_unit_test(who_is_of_no_use_ends_before_anybody_is_refused),
        cmocka_unit_test(who_is_of_no_use_begins_nothing_until_there_is_room_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
