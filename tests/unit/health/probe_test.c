/* Probes of a server that is this test, over TCP on loopback, and whose answers are as hostile as they can be. The clock is
 * virtual: what takes long takes no time, and what must not be late cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "health/probing.h"

struct scene {
    struct probing p;
    int far;
    struct check_http_conf http;
    struct check_tcp_conf tcp;
    struct status_range statuses[2];
    struct check_header header;
    char request[8192];
};

static void open_scene(struct scene *s)
{
    memset(s, 0, sizeof(*s));
    probing_open(&s->p, SOCK_STREAM);
    s->far = -1;
    s->statuses[0] = (struct status_range){ 200, 399 };
    s->http = (struct check_http_conf){ .path = "/healthz", .body_bytes = 64 << 10 };
    s->http.statuses = (struct conf_items){ s->statuses, 1 };
    s->p.conf.http = &s->http;
}

static void hang_up(struct scene *s)
{
    if (s->far >= 0) close(s->far);
    s->far = -1;
}

static void close_scene(struct scene *s)
{
    hang_up(s);
    probing_close(&s->p);
}

static void meet(struct scene *s)
{
    probing_begin(&s->p);
    assert_non_null(s->p.probe);
    s->far = accept(s->p.socket, NULL, NULL);
    assert_true(s->far >= 0);
}

/* Turns until the request is here. */
static void read_request(struct scene *s)
{
    size_t len = 0;
    memset(s->request, 0, sizeof(s->request));
    for (int i = 0; i < TURNS_MAX && !strstr(s->request, "\r\n\r\n") && !s->p.ends; i++) {
        loop_turn(&s->p.loop, 1);
        ssize_t n = recv(s->far, s->request + len, sizeof(s->request) - 1 - len, MSG_DONTWAIT);
        if (n > 0) len += (size_t)n;
    }
    assert_non_null(strstr(s->request, "\r\n\r\n"));
}

static void tell(struct scene *s, const void *data, size_t len)
{
    assert_int_equal(send(s->far, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* What weir makes of an answer that comes in pieces of that size, and of its end. */
static void answer(struct scene *s, const char *text, size_t piece)
{
    size_t len = strlen(text);
    meet(s);
    read_request(s);
    for (size_t at = 0; at < len && !s->p.ends; at += piece) {
        ssize_t sent = send(s->far, text + at, len - at < piece ? len - at : piece, MSG_NOSIGNAL);
        if (sent < 0) break; /* it knows enough */
        for (int i = 0; i < 3 && piece < len; i++) loop_turn(&s->p.loop, 0);
    }
    shutdown(s->far, SHUT_WR);
    probing_await_end(&s->p);
    hang_up(s);
}

static void it_asks_as_it_is_told(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    s.header = (struct check_header){ "X-Token", "abc" };
    s.http.headers = (struct conf_items){ &s.header, 1 };
    meet(&s);
    read_request(&s);
    assert_string_equal(s.request, "GET /healthz HTTP/1.1\r\nHost: 10.0.0.1:80\r\nX-Token: abc\r\n"
                                   "User-Agent: weir-check\r\nConnection: close\r\n\r\n");
    tell(&s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 38);
    probing_await_end(&s.p);
    assert_int_equal(s.p.verdict.result, PROBE_PASSED);
    assert_int_equal(s.p.verdict.status, 200);
    hang_up(&s);
    s.http.method = 3;
    s.http.host = "app.example";
    s.header = (struct check_header){ "user-agent", "me" };
    meet(&s);
    read_request(&s);
    assert_string_equal(s.request, "POST /healthz HTTP/1.1\r\nHost: app.example\r\nuser-agent: me\r\n"
                                   "Content-Length: 0\r\nConnection: close\r\n\r\n");
    close_scene(&s);
}

static void answers_are_judged_alike_however_they_are_cut(void **state)
{
    (void)state;
    static const struct {
        const char *body;           /* NULL: not looked for */
        const char *answer, *words; /* NULL: it passes */
    } rows[] = {
        { NULL, "HTTP/1.1 204 No Content\r\n\r\n", NULL },
        { NULL, "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 302 Found\r\n\r\n", NULL },
        { NULL, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
          "GET /healthz was answered with status 503" },
        { NULL, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
          "was answered with status 101" },
        { NULL, "", "the server closed without an answer" },
        { NULL, "HTTP/1.1 200 OK\r\nContent-", "the server closed within the answer's head" },
        { NULL, "SSH-2.0-OpenSSH_9.2p1\r\n", "the answer is not correct HTTP" },
        { NULL, "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", "the answer is not correct HTTP" },
        { "ok", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nis ok", NULL },
        { "ok", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nis no",
          "the answer's body does not have \"ok\"" },
        { "ok", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nok", "the answer's body does not have \"ok\"" },
        { "ok", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nis no",
          "the server closed within the answer's body" },
        { "ok", "HTTP/1.1 200 OK\r\n\r\nthis lasts until it closes, ok", NULL },
        { "ok", "HTTP/1.1 200 OK\r\n\r\nthis lasts until it closes", "does not have \"ok\"" },
        { "okay", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n2\r\nay\r\n0\r\n\r\n",
          NULL },
        { "okay", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: okay\r\n\r\n",
          "does not have \"okay\"" },
        { "ok", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2z\r\nok\r\n",
          "the answer's body is broken" },
    };
    struct scene s;
    open_scene(&s);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        for (size_t piece = 1; piece <= 1000; piece = piece == 1 ? 7 : piece == 7 ? 1000 : 1001) {
            s.http.body = rows[i].body;
            answer(&s, rows[i].answer, piece);
            if (!rows[i].words && s.p.verdict.result != PROBE_PASSED)
                fail_msg("row %zu in pieces of %zu: %s", i, piece, s.p.words);
            if (rows[i].words) probing_assert_failed(&s.p, rows[i].words);
        }
    }
    close_scene(&s);
}

static void nobody_there_is_a_refusal(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    close(s.p.socket);
    probing_begin(&s.p);
    probing_await_end(&s.p);
    probing_assert_failed(&s.p, "the connection was refused");
    s.p.socket = loopback_open(SOCK_STREAM, &s.p.server);
    close_scene(&s);
}

static void a_reset_is_named(void **state)
{
    (void)state;
    struct scene s;
    struct linger linger = { .l_onoff = 1 };
    open_scene(&s);
    meet(&s);
    read_request(&s);
    setsockopt(s.far, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    hang_up(&s);
    probing_await_end(&s.p);
    probing_assert_failed(&s.p, "the server reset the connection instead of answering");
    close_scene(&s);
}

static void bytes_before_the_question_are_no_answer(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    meet(&s);
    tell(&s, "HTTP/1.1 200 OK\r\n\r\n", 19);
    probing_await_end(&s.p);
    probing_assert_failed(&s.p, "the server spoke before it was asked");
    close_scene(&s);
}

/* The clock is set to just before the end of the time: nothing happens; and to the end. */
static void let_time_out(struct scene *s)
{
    s->p.loop.now_ns += (PROBING_TIMEOUT_MS - 1) * NS_PER_MS;
    loop_turn(&s->p.loop, 0);
    loop_turn(&s->p.loop, 0);
    assert_int_equal(s->p.ends, 0);
    s->p.loop.now_ns += NS_PER_MS;
    loop_turn(&s->p.loop, 0);
    assert_int_equal(s->p.ends, 1);
    assert_int_equal(s->p.verdict.took_ns, PROBING_TIMEOUT_MS * NS_PER_MS);
}

static void silence_ends_with_the_time(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    meet(&s);
    read_request(&s);
    let_time_out(&s);
    probing_assert_failed(&s.p, "no answer to GET /healthz within 1000 ms");
    close_scene(&s);
}

static void a_slow_drip_does_not_prolong_it(void **state)
{
    (void)state;
    struct scene s;
    static const char drip[] = "HTTP/1.1 200 OK\r\nX-Endless: ";
    open_scene(&s);
    meet(&s);
    read_request(&s);
    for (size_t i = 0; i < sizeof(drip) - 1; i++) {
        tell(&s, &drip[i], 1);
        for (int n = 0; n < 3; n++) loop_turn(&s.p.loop, 1);
        s.p.loop.now_ns += 10 * NS_PER_MS;
        assert_int_equal(s.p.ends, 0);
    }
    s.p.loop.now_ns += PROBING_TIMEOUT_MS * NS_PER_MS;
    loop_turn(&s.p.loop, 0);
    assert_int_equal(s.p.ends, 1);
    probing_assert_failed(&s.p,
                          "the answer to GET /healthz was not whole within 1000 ms: 28 bytes of it came");
    close_scene(&s);
}

/* As much as the kernel takes, until weir knows enough. Returns the bytes sent. */
static size_t flood(struct scene *s, const char *piece, size_t most)
{
    size_t sent = 0, len = strlen(piece);
    while (!s->p.ends && sent < most) {
        ssize_t n = send(s->far, piece, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) sent += (size_t)n;
        loop_turn(&s->p.loop, n > 0 ? 0 : 1);
    }
    return sent;
}

static void a_gigabyte_is_looked_at_as_far_as_is_configured(void **state)
{
    (void)state;
    struct scene s;
    char piece[8192];
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n";
    memset(piece, 'x', sizeof(piece) - 1);
    piece[sizeof(piece) - 1] = 0;
    open_scene(&s);
    s.http.body = "ok";
    meet(&s);
    read_request(&s);
    tell(&s, head, sizeof(head) - 1);
    size_t sent = flood(&s, piece, 64 << 20);
    assert_int_equal(s.p.ends, 1);
    probing_assert_failed(&s.p, "does not have \"ok\" in as much of it as is looked at");
    assert_true(sent < 32 << 20);
    hang_up(&s);
    s.http.body = NULL; /* not looked at: not even one byte is waited for */
    meet(&s);
    read_request(&s);
    tell(&s, head, sizeof(head) - 1);
    probing_await_end(&s.p);
    assert_int_equal(s.p.verdict.result, PROBE_PASSED);
    close_scene(&s);
}

static void a_head_without_end_is_cut_off(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    meet(&s);
    read_request(&s);
    tell(&s, "HTTP/1.1 200 OK\r\n", 17);
    flood(&s, "X-More: abcdefghijklmnopqrstuvwxyz\r\n", 1 << 20);
    assert_int_equal(s.p.ends, 1);
    probing_assert_failed(&s.p, "the answer's head is over 16 KiB or 128 fields");
    hang_up(&s);
    meet(&s);
    read_request(&s);
    tell(&s, "HTTP/1.1 200 OK\r\nX: ", 20);
    flood(&s, "abcdefghijklmnopqrstuvwxyz", 1 << 20);
    probing_assert_failed(&s.p, "the answer's head is over 16 KiB or 128 fields");
    close_scene(&s);
}

static void interim_answers_without_end_are_cut_off(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    meet(&s);
    read_request(&s);
    flood(&s, "HTTP/1.1 100 Continue\r\n\r\n", 1 << 20);
    assert_int_equal(s.p.ends, 1);
    probing_assert_failed(&s.p, "more than 16 interim answers came, and no final one");
    close_scene(&s);
}

static void one_that_sends_without_end_has_a_turn_like_the_others(void **state)
{
    (void)state;
    struct scene s;
    char piece[8192];
    memset(piece, 'x', sizeof(piece) - 1);
    piece[sizeof(piece) - 1] = 0;
    open_scene(&s);
    s.http.body = "ok";
    s.http.body_bytes = 16 << 20;
    meet(&s);
    read_request(&s);
    static const char head[] = "HTTP/1.1 200 OK\r\n\r\n";
    tell(&s, head, sizeof(head) - 1);
    uint64_t turns = s.p.loop.turns;
    flood(&s, piece, 64 << 20);
    assert_int_equal(s.p.ends, 1);
    assert_true(s.p.loop.turns - turns >= (16 << 20) / PROBE_TURN_BYTES);
    close_scene(&s);
}

static void a_tcp_check_goes_as_far_as_it_is_told(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    s.p.conf.http = NULL;
    s.p.conf.tcp = &s.tcp;
    probing_begin(&s.p); /* the kernel's backlog is enough */
    probing_await_end(&s.p);
    assert_int_equal(s.p.verdict.result, PROBE_PASSED);
    close(accept(s.p.socket, NULL, NULL));
    s.tcp = (struct check_tcp_conf){ "PING\r\n", "+PONG" };
    meet(&s);
    tell(&s, "hello +PO", 9); /* it may speak first */
    for (int i = 0; i < 10; i++) loop_turn(&s.p.loop, 1);
    assert_int_equal(s.p.ends, 0);
    tell(&s, "NG\r\n", 4);
    probing_await_end(&s.p);
    assert_int_equal(s.p.verdict.result, PROBE_PASSED);
    char got[16] = "";
    assert_int_equal(recv(s.far, got, 6, MSG_WAITALL), 6);
    assert_string_equal(got, "PING\r\n");
    hang_up(&s);
    meet(&s);
    tell(&s, "-LOADING", 8);
    shutdown(s.far, SHUT_WR);
    probing_await_end(&s.p);
    probing_assert_failed(&s.p, "the server closed, and what it said does not have \"+PONG\"");
    hang_up(&s);
    meet(&s);
    flood(&s, "-LOADING\r\n", 1 << 20);
    probing_assert_failed(&s.p, "does not have \"+PONG\" in its first 64 KiB");
    hang_up(&s);
    meet(&s);
    loop_turn(&s.p.loop, 1);
    let_time_out(&s);
    probing_assert_failed(&s.p, "no word that has \"+PONG\" within 1000 ms");
    close_scene(&s);
}

static void one_that_is_cancelled_says_nothing(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    meet(&s);
    probe_cancel(s.p.probe);
    s.p.probe = NULL;
    for (int i = 0; i < 3; i++) loop_turn(&s.p.loop, 1);
    assert_int_equal(s.p.ends, 0);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_asks_as_it_is_told),
        cmocka_unit_test(answers_are_judged_alike_however_they_are_cut),
        cmocka_unit_test(nobody_there_is_a_refusal),
        cmocka_unit_test(a_reset_is_named),
        cmocka_unit_test(bytes_before_the_question_are_no_answer),
        cmocka_unit_test(silence_ends_with_the_time),
        cmocka_unit_test(a_slow_drip_does_not_prolong_it),
        cmocka_unit_test(a_gigabyte_is_looked_at_as_far_as_is_configured),
        cmocka_unit_test(a_head_without_end_is_cut_off),
        cmocka_unit_test(interim_answers_without_end_are_cut_off),
        cmocka_unit_test(one_that_sends_without_end_has_a_turn_like_the_others),
        cmocka_unit_test(a_tcp_check_goes_as_far_as_it_is_told),
        cmocka_unit_test(one_that_is_cancelled_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
