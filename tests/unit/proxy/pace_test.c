#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "scene.h"

#include "proxy/pace.h"
#include "proxy/proxy_conf.h"
#include "record/flight_ring.h"

#define PAUSE_MS 30000u

static void who_stops_has_as_long_as_before(void **state)
{
    (void)state;
    struct pace p = { 0 };
    assert_int_equal(pace_left_ms(&p, PAUSE_MS), PAUSE_MS);
    pace_took(&p, 20000, 1000000, 256);
    assert_int_equal(pace_left_ms(&p, PAUSE_MS), PAUSE_MS);
}

static void who_drips_comes_to_an_end(void **state)
{
    (void)state;
    struct pace p = { 0 };
    unsigned turns = 0;
    /* A byte every ten seconds is worth 4 ms each. */
    while (pace_left_ms(&p, PAUSE_MS) > 0 && turns < 100) pace_took(&p, 10000, ++turns, 256);
    assert_int_equal(turns, 4);
}

static void who_keeps_the_rate_is_never_behind(void **state)
{
    (void)state;
    struct pace p = { 0 };
    for (uint64_t i = 1; i <= 100000; i++) pace_took(&p, 1000, i * 256, 256);
    assert_int_equal(pace_left_ms(&p, PAUSE_MS), PAUSE_MS);
    /* In bursts too: nothing for 20 s, then what was due. */
    for (uint64_t i = 1; i <= 1000; i++) pace_took(&p, 20000, 25600000 + i * 5120, 256);
    assert_int_equal(pace_left_ms(&p, PAUSE_MS), PAUSE_MS);
}

static void nothing_is_saved_up(void **state)
{
    (void)state;
    struct pace p = { 0 };
    unsigned turns = 0;
    pace_took(&p, 0, 1u << 30, 256);
    while (pace_left_ms(&p, PAUSE_MS) > 0 && turns < 100) pace_took(&p, 10000, (1u << 30) + ++turns, 256);
    assert_int_equal(turns, 4);
}

static void without_a_rate_each_byte_is_enough(void **state)
{
    (void)state;
    struct pace p = { 0 };
    for (uint64_t i = 1; i <= 100; i++) pace_took(&p, 29000, i, 0);
    assert_int_equal(pace_left_ms(&p, PAUSE_MS), PAUSE_MS);
}

static void large_figures_do_not_turn_over(void **state)
{
    (void)state;
    struct pace p = { 0 };
    pace_took(&p, 86400000, 1, 1);
    pace_took(&p, 86400000, UINT64_MAX, 1);
    assert_int_equal(p.debt_us, 0);
    pace_took(&p, 86400000, 5, PACE_RATE_MAX);
    assert_int_equal(p.debt_us, 0); /* it counts anew */
    pace_took(&p, 86400000, 5, PACE_RATE_MAX);
    assert_int_equal(pace_left_ms(&p, 86400000), 0);
    pace_took(&p, 0, 5 + (uint64_t)PACE_RATE_MAX * 86399, PACE_RATE_MAX);
    assert_int_equal(pace_left_ms(&p, 86400000), 86399000);
    pace_took(&p, 0, UINT64_MAX, PACE_RATE_MAX);
    assert_int_equal(pace_left_ms(&p, 86400000), 86400000);
}

/* One byte is enough to be no pause, and is not enough to be let go on for ever. */
static void a_body_that_drips_is_ended_and_one_that_is_only_slow_is_not(void **state)
{
    (void)state;
    enum { STEPS = 12, STEP_MS = 2000 };
    static const struct {
        const char *fields;
        uint64_t rate;
        size_t bytes; /* of each step */
        bool is_answered, ends;
    } rows[] = {
        { "", 240, 1, false, true },
        { "", 0, 1, false, false },
        { "", 240, 480, false, false },
        { "", 240, 1, true, false },                                   /* client and server may talk */
        { "Content-Type: application/grpc\r\n", 240, 1, false, true }, /* anybody can say so over HTTP/1 */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct scene s;
        char head[256], piece[512];
        scene_open(&s, false);
        one_server(&s);
        s.listener.limits.least_rate = rows[i].rate;
        scene_start(&s);
        int client = client_connect(&s), steps = 0;
        snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: h\r\n%sContent-Length: %zu\r\n\r\n",
                 rows[i].fields, STEPS * rows[i].bytes);
        snprintf(piece, sizeof(piece), "%0*d", (int)rows[i].bytes, 0);
        say(client, head);
        turns(&s, 5);
        int server = server_accept(&s, 0);
        turns(&s, 5);
        if (rows[i].is_answered) say(server, "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n");
        turns(&s, 5);
        for (; steps < STEPS && !flight_written(s.worker->flights); steps++) {
            pass_time(&s, STEP_MS);
            if (flight_written(s.worker->flights)) break;
            say(client, piece);
            if (rows[i].is_answered) say(server, "o");
            turns(&s, 5);
        }
        if (!rows[i].ends && flight_written(s.worker->flights))
            fail_msg("row %zu ended after %d steps: %s", i, steps,
                     end_reason_info(last_record(&s).end)->name);
        if (rows[i].ends) {
            assert_int_equal(steps, 3); /* time-out of 7 s */
            assert_int_equal(last_record(&s).end, END_BODY_TIMEOUT);
            assert_int_equal(strncmp(hear(&s, client, "\n") + 9, "408", 3), 0);
        } else {
            say(server, rows[i].is_answered ? "ok" : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            hear(&s, client, "ok");
            turns(&s, 3);
            assert_int_equal(last_record(&s).end, END_OK);
        }
        close(client);
        close(server);
        scene_close(&s);
    }
}

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

/* HTTP/2 lets a client take an answer of weir's own byte by byte, too. */
static void an_answer_of_weirs_own_cannot_be_dripped_out(void **state)
{
    (void)state;
    /* The preface, SETTINGS with an initial window of 0, and a GET. */
    static const char begin[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                "\0\0\6\4\0\0\0\0\0\0\4\0\0\0\0"
                                "\0\0\6\1\5\0\0\0\1\x82\x86\x84\x41\1h";
    static const char one_byte[] = "\0\0\4\x8\0\0\0\0\1\0\0\0\1";
    static const uint64_t rates[] = { 240, 0 };
    for (size_t i = 0; i < 2; i++) {
        struct scene s;
        int steps = 0;
        scene_open(&s, false);
        one_server(&s);
        s.listener.limits.least_rate = rates[i];
        s.listener.http2 = http2;
        scene_start(&s);
        close(s.listening[0]); /* nobody is there: weir says so */
        s.listening[0] = -1;
        int client = client_connect(&s);
        assert_int_equal(send(client, begin, sizeof(begin) - 1, MSG_NOSIGNAL), sizeof(begin) - 1);
        turns(&s, 10);
        for (; steps < 20 && !flight_written(s.worker->flights); steps++) {
            pass_time(&s, 5000);
            if (flight_written(s.worker->flights)) break;
            assert_int_equal(send(client, one_byte, sizeof(one_byte) - 1, MSG_NOSIGNAL),
                             sizeof(one_byte) - 1);
            turns(&s, 5);
        }
        assert_int_equal(steps, rates[i] ? 1 : 20); /* time-out of 8 s */
        close(client);
        scene_close(&s);
    }
}

static void send_all(int fd, const char *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* As much as goes. */
static void answer_without_end(struct scene *s, int server)
{
    static const char zeros[65536];
    hear(s, server, "\r\n\r\n");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
    for (int i = 0; i < 100; i++) {
        while (send(server, zeros, sizeof(zeros), MSG_NOSIGNAL) > 0) {}
        turns(s, 1);
    }
}

static void grant(int client, uint8_t stream, uint16_t bytes)
{
    const char frame[] = {
        0, 0, 4, 8, 0, 0, 0, 0, (char)stream, 0, 0, (char)(bytes >> 8), (char)(bytes & 255)
    };
    send_all(client, frame, sizeof(frame));
}

/* Of two answers the more urgent one goes first. As long as the client takes that, the other waits for its turn, and not for him. */
static void who_takes_what_is_more_urgent_is_not_behind_with_the_rest(void **state)
{
    (void)state;
    static const char begin[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                "\0\0\0\4\0\0\0\0\0"
                                "\0\0\x14\1\5\0\0\0\1\x82\x86\x84\x41\1h\0\x8priority\3u=0";
    static const char other[] = "\0\0\x14\1\5\0\0\0\3\x82\x86\x84\x41\1h\0\x8priority\3u=7";
    static const struct {
        uint64_t rate;
        uint16_t granted; /* every two seconds */
        uint32_t ended;
    } rows[] = { { 240, 5000, 0 }, { 0, 5000, 0 }, { 240, 300, 2 }, { 240, 0, 2 }, { 0, 0, 2 } };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct scene s;
        scene_open(&s, false);
        one_server(&s);
        s.pool.timeouts.response_ms = 1000000;
        s.listener.limits.least_rate = rows[i].rate;
        s.listener.http2 = http2;
        scene_start(&s);
        int client = client_connect(&s);
        send_all(client, begin, sizeof(begin) - 1);
        turns(&s, 10);
        int urgent = server_accept(&s, 0);
        answer_without_end(&s, urgent); /* the connection's window is used up */
        send_all(client, other, sizeof(other) - 1);
        turns(&s, 10);
        int server = server_accept(&s, 0);
        answer_without_end(&s, server);
        for (int step = 0; step < 12; step++) {
            pass_time(&s, 2000);
            if (rows[i].granted) {
                grant(client, 0, rows[i].granted);
                grant(client, 1, rows[i].granted);
            }
            turns(&s, 5);
        }
        if (flight_written(s.worker->flights) != rows[i].ended)
            fail_msg("row %zu: %u have ended", i, (unsigned)flight_written(s.worker->flights));
        if (rows[i].ended) assert_int_equal(last_record(&s).end, END_WRITE_TIMEOUT);
        close(client);
        close(urgent);
        close(server);
        turns(&s, 10);
        scene_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_stops_has_as_long_as_before),
        cmocka_unit_test(who_drips_comes_to_an_end),
        cmocka_unit_test(who_keeps_the_rate_is_never_behind),
        cmocka_unit_test(nothing_is_saved_up),
        cmocka_unit_test(without_a_rate_each_byte_is_enough),
        cmocka_unit_test(large_figures_do_not_turn_over),
        cmocka_unit_test(a_body_that_drips_is_ended_and_one_that_is_only_slow_is_not),
        cmocka_unit_test(an_answer_of_weirs_own_cannot_be_dripped_out),
        cmocka_unit_test(who_takes_what_is_more_urgent_is_not_behind_with_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
