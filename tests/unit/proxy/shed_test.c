/* Who ends when memory is short, or is about to be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "proxy/round.h"
#include "scene.h"

#include "proxy/proxy_conf.h"

#define REQUESTS 6u
#define FLOODING 100u
#define WAITING 50u
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
    return got < 0 && errno == EAGAIN; /* else what it sent may have met a closed socket */
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

/* As many PINGs as are a quarter of what may be, and one: nothing is held by them but the connection. */
static int nearly_flooding_connect(struct scene *s)
{
    static const char ping[17] = { 0, 0, 8, 6 };
    int fd = tiny_connect(s);
    turns(s, 4);
    for (unsigned i = 0; i <= http2.pings / 4; i++)
        assert_int_equal(send(fd, ping, sizeof(ping), MSG_NOSIGNAL), sizeof(ping));
    turns(s, 4);
    return fd;
}

/* HTTP/2, of use, and idle: it was answered. */
static int idle_connect(struct scene *s)
{
    static const char all[] = "\0\0\4\x8\0\0\0\0\1\0\0\x7f\xff";
    int fd = tiny_connect(s);
    ask(fd, 0);
    assert_int_equal(send(fd, all, sizeof(all) - 1, MSG_NOSIGNAL), sizeof(all) - 1);
    int server = server_accept(s, 0);
    hear(s, server, "\r\n\r\n");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    turns(s, 8);
    close(server);
    turns(s, 4);
    return fd;
}

/* HTTP/1, the same. */
static int kept_connect(struct scene *s)
{
    int fd = client_connect(s);
    say(fd, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    int server = server_accept(s, 0);
    hear(s, server, "\r\n\r\n");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    hear(s, fd, "\r\n\r\n");
    close(server);
    turns(s, 4);
    return fd;
}

/* Somebody comes, and is refused or not. */
static bool is_let_in(struct scene *s)
{
    int fd = client_connect(s);
    say(fd, "G");
    bool is_in = is_open(s, fd);
    close(fd);
    turns(s, 4);
    return is_in;
}

/* However little each of them holds: as long as they stay, nobody else is let in. */
static void those_end_first_by_whom_least_is_lost(void **state)
{
    (void)state;
    struct scene s;
    int server;
    open_scene(&s);
    uint64_t limit = s.proxy->budget.limit;
    int slow = slow_connect(&s, &server), idle = idle_connect(&s), kept = kept_connect(&s),
        stuck = client_connect(&s), stuck_again = kept_connect(&s), silent = tiny_connect(&s);
    say(stuck, "GET / HT");
    say(stuck_again, "GET / HT");
    turns(&s, 4);
    pass_time(&s, 1500);
    int lately_idle = idle_connect(&s), lately_kept = kept_connect(&s), first = client_connect(&s),
        flooding = nearly_flooding_connect(&s);
    say(first, "GET / HT");
    assert_true(is_open(&s, slow) && is_open(&s, idle) && is_open(&s, kept) && is_open(&s, flooding));
    assert_true(is_open(&s, stuck) && is_open(&s, stuck_again) && is_open(&s, silent));
    /* What is missing is not theirs: so all end that may. Those who are being served, or are about to ask, go on. */
    fill(&s, 95);
    assert_false(is_let_in(&s));
    pass_time(&s, 100);
    assert_false(is_open(&s, flooding));
    assert_false(is_open(&s, stuck));
    assert_false(is_open(&s, stuck_again));
    assert_false(is_open(&s, silent));
    assert_false(is_open(&s, idle));
    assert_false(is_open(&s, kept));
    assert_true(is_open(&s, slow));
    assert_true(is_open(&s, first));
    assert_true(is_open(&s, lately_idle));
    assert_true(is_open(&s, lately_kept));
    empty(&s);
    s.proxy->budget.limit = limit;
    pass_time(&s, 100);
    assert_true(is_let_in(&s));
    const int all[] = { slow,        idle,        kept,  stuck,    stuck_again, silent,
                        lately_idle, lately_kept, first, flooding, server };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) close(all[i]);
    turns(&s, 8);
    scene_close(&s);
}

/* Nobody is refused, and nobody comes: who is kept out would be here for ever, though its client has gone. */
static void who_is_kept_out_does_not_stay_for_ever(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    uint64_t limit = s.proxy->budget.limit;
    int flooding = nearly_flooding_connect(&s), kept = kept_connect(&s);
    static const char ping[17] = { 0, 0, 8, 6 };
    fill(&s, 85);
    assert_int_equal(send(flooding, ping, sizeof(ping), MSG_NOSIGNAL), sizeof(ping));
    pass_time(&s, 100);
    assert_true(is_open(&s, flooding));
    close(flooding);
    uint64_t closed = s.worker->connections_closed;
    for (int i = 0; i < 20; i++) pass_time(&s, 100);
    assert_int_equal(s.worker->connections_closed, closed + 1);
    assert_true(is_open(&s, kept));
    empty(&s);
    s.proxy->budget.limit = limit;
    close(kept);
    turns(&s, 8);
    scene_close(&s);
}

/* As much of an answer as the client's kernel takes, and more. */
static int stalled_connect(struct scene *s, int *server)
{
    static const char zeros[ANSWER_BYTES];
    int fd = slow_connect(s, server);
    say(*server, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    for (int idle = 0; idle < 16;) {
        ssize_t sent = send(*server, zeros, sizeof(zeros), MSG_NOSIGNAL | MSG_DONTWAIT);
        idle = sent > 0 ? 0 : idle + 1;
        turns(s, 2);
    }
    return fd;
}

/* Other than one whose client has taken something lately, and one whose server is waited for. */
static void who_takes_nothing_of_an_answer_ends(void **state)
{
    (void)state;
    struct scene s;
    int servers[3];
    scene_open(&s, false);
    one_server(&s);
    s.listener.timeouts.write_ms = 60000;
    scene_start(&s);
    uint64_t limit = s.proxy->budget.limit;
    int stalled = stalled_connect(&s, &servers[0]), waiting = slow_connect(&s, &servers[1]);
    pass_time(&s, 5000);
    int lately = stalled_connect(&s, &servers[2]);
    pass_time(&s, 6000);
    fill(&s, 95);
    int refused = client_connect(&s);
    uint64_t closed = s.worker->connections_closed;
    say(refused, "G");
    for (int i = 0; i < 16 && s.worker->connections_closed == closed; i++) turns(&s, 1);
    empty(&s); /* that one's memory was enough */
    s.proxy->budget.limit = limit;
    turns(&s, 8);
    assert_int_equal(s.worker->connections_closed, closed + 1);
    assert_int_equal(last_record(&s).end, END_NO_MEMORY);
    assert_true(is_open(&s, waiting));
    assert_true(is_open(&s, lately));
    close(stalled), close(waiting), close(lately), close(refused);
    for (unsigned i = 0; i < 3; i++) close(servers[i]);
    turns(&s, 8);
    scene_close(&s);
}

/* Of those that wait the longest first, and no more than are needed. */
static void who_has_waited_the_longest_ends_first(void **state)
{
    (void)state;
    struct scene s;
    int longer[WAITING], shorter[WAITING];
    open_scene(&s);
    struct budget *b = &s.proxy->budget;
    uint64_t limit = b->limit;
    for (unsigned i = 0; i < WAITING; i++) longer[i] = idle_connect(&s);
    pass_time(&s, 3000);
    for (unsigned i = 0; i < WAITING; i++) shorter[i] = idle_connect(&s);
    pass_time(&s, 1500);
    block_pool_trim(&s.worker->loop.blocks);
    b->limit = (atomic_load(&b->used) - s.worker->loop.blocks.idle_bytes) * 100 / 95;
    assert_false(is_let_in(&s));
    pass_time(&s, 100);
    assert_true(is_let_in(&s));
    unsigned open = 0;
    for (unsigned i = 0; i < WAITING; i++) {
        assert_true(is_open(&s, shorter[i]));
        open += is_open(&s, longer[i]);
    }
    assert_true(open < WAITING);
    b->limit = limit;
    for (unsigned i = 0; i < WAITING; i++) close(longer[i]), close(shorter[i]);
    turns(&s, 8);
    scene_close(&s);
}

/* Where those of no use are most of what memory is used for, they are enough. */
static void nobody_is_closed_beyond_what_is_needed(void **state)
{
    (void)state;
    struct scene s;
    int flooding[FLOODING];
    open_scene(&s);
    struct budget *b = &s.proxy->budget;
    uint64_t limit = b->limit;
    int idle = idle_connect(&s), kept = kept_connect(&s);
    pass_time(&s, 1500);
    for (unsigned i = 0; i < FLOODING; i++) flooding[i] = nearly_flooding_connect(&s);
    block_pool_trim(&s.worker->loop.blocks);
    b->limit = (atomic_load(&b->used) - s.worker->loop.blocks.idle_bytes) * 100 / 95;
    assert_false(is_let_in(&s));
    pass_time(&s, 100);
    assert_true(is_let_in(&s));
    assert_true(is_open(&s, idle));
    assert_true(is_open(&s, kept));
    unsigned open = 0;
    for (unsigned i = 0; i < FLOODING; i++) open += is_open(&s, flooding[i]);
    assert_true(open < FLOODING);
    b->limit = limit;
    close(idle), close(kept);
    for (unsigned i = 0; i < FLOODING; i++) close(flooding[i]);
    turns(&s, 8);
    scene_close(&s);
}

/* Closed idle connections make as many turns as need be, and other work goes on in between. */
static void idle_ones_end_over_several_turns(void **state)
{
    (void)state;
    struct scene s;
    int kept[3 * ROUND_CLOSES];
    unsigned count = sizeof(kept) / sizeof(*kept);
    open_scene(&s);
    uint64_t limit = s.proxy->budget.limit;
    for (unsigned i = 0; i < count; i++) kept[i] = kept_connect(&s);
    pass_time(&s, 1500);
    fill(&s, 95);
    int refused = client_connect(&s);
    say(refused, "G");
    unsigned turn_count = 0;
    uint64_t before = s.worker->connections_closed, most = 0;
    for (uint64_t closed = 0; closed < count; turn_count++) {
        turns(&s, 1);
        uint64_t now = s.worker->connections_closed - before - closed;
        if (now > most) most = now;
        closed += now;
        assert_true(turn_count < 64);
    }
    assert_in_range(most, 1, ROUND_CLOSES + 1);
    empty(&s);
    s.proxy->budget.limit = limit;
    for (unsigned i = 0; i < count; i++) close(kept[i]);
    close(refused);
    turns(&s, 8);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(little_is_read_of_what_cannot_go),
        cmocka_unit_test(who_is_of_no_use_ends_before_anybody_is_refused),
        cmocka_unit_test(who_is_of_no_use_begins_nothing_until_there_is_room_again),
        cmocka_unit_test(those_end_first_by_whom_least_is_lost),
        cmocka_unit_test(who_has_waited_the_longest_ends_first),
        cmocka_unit_test(who_is_kept_out_does_not_stay_for_ever),
        cmocka_unit_test(who_takes_nothing_of_an_answer_ends),
        cmocka_unit_test(nobody_is_closed_beyond_what_is_needed),
        cmocka_unit_test(idle_ones_end_over_several_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
