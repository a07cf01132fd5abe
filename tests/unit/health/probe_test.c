/* Probes of a server that is this test, over TCP on loopback, and whose answers are as hostile as they can be. The clock is
 * virtual: what takes long takes no time, and what must not be late cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "health/probe.h"

#define TIMEOUT_MS 1000
/* Each waits for what the kernel has to say for a millisecond at most: a bound, not a time that anything takes. */
#define TURNS_MAX 60000

struct scene {
    struct budget budget;
    struct loop loop;
    int listener, far;
    struct address server;
    struct check_http_conf http;
    struct check_tcp_conf tcp;
    struct check_conf conf;
    struct status_range statuses[2];
    struct check_header header;
    struct probe *probe;
    unsigned ends;
    struct probe_verdict verdict;
    char words[PROBE_WORDS_MAX];
    char request[8192];
};

static void on_end(void *owner, const struct probe_verdict *v)
{
    struct scene *s = owner;
    s->ends++;
    s->probe = NULL;
    s->verdict = *v;
    snprintf(s->words, sizeof(s->words), "%s", v->words);
}

static void listen_here(struct scene *s)
{
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    s->server.sa.in4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    s->server.len = sizeof(s->server.sa.in4);
    assert_true(s->listener >= 0);
    assert_int_equal(bind(s->listener, &s->server.sa.any, s->server.len), 0);
    assert_int_equal(listen(s->listener, 8), 0);
    assert_int_equal(getsockname(s->listener, &s->server.sa.any, &s->server.len), 0);
}

static void open_scene(struct scene *s)
{
    struct err err;
    memset(s, 0, sizeof(*s));
    s->budget.limit = 64 << 20;
    assert_int_equal(loop_init(&s->loop, &s->budget, &err), 0);
    s->loop.is_virtual = true;
    s->far = -1;
    s->statuses[0] = (struct status_range){ 200, 399 };
    s->http = (struct check_http_conf){ .path = "/healthz", .body_bytes = 64 << 10 };
    s->http.statuses = (struct conf_items){ s->statuses, 1 };
    s->conf = (struct check_conf){
        .http = &s->http, .interval_ms = 5000, .changing_ms = 1000, .timeout_ms = TIMEOUT_MS
    };
    listen_here(s);
}

static void hang_up(struct scene *s)
{
    if (s->far >= 0) close(s->far);
    s->far = -1;
}

static void close_scene(struct scene *s)
{
    hang_up(s);
    if (s->probe) probe_cancel(s->probe);
    loop_turn(&s->loop, 0);
    assert_int_equal(s->loop.timers.count, 0);
    assert_int_equal(s->loop.fd_count, 0);
    close(s->listener);
    loop_fini(&s->loop);
}

static void begin(struct scene *s)
{
    const struct probe_target target = {
        .to = &s->server, .conf = &s->conf, .host = "10.0.0.1:80", .on_end = on_end, .owner = s
    };
    s->ends = 0;
    s->probe = probe_start(&s->loop, &target);
}

static void meet(struct scene *s)
{
    begin(s);
    assert_non_null(s->probe);
    s->far = accept(s->listener, NULL, NULL);
    assert_true(s->far >= 0);
}

/* Turns until the request is here. */
static void read_request(struct scene *s)
{
    size_t len = 0;
    memset(s->request, 0, sizeof(s->request));
    for (int i = 0; i < TURNS_MAX && !strstr(s->request, "\r\n\r\n") && !s->ends; i++) {
        loop_turn(&s->loop, 1);
        ssize_t n = recv(s->far, s->request + len, sizeof(s->request) - 1 - len, MSG_DONTWAIT);
        if (n > 0) len += (size_t)n;
    }
    assert_non_null(strstr(s->request, "\r\n\r\n"));
}

static void tell(struct scene *s, const void *data, size_t len)
{
    assert_int_equal(send(s->far, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void await_end(struct scene *s)
{
    for (int i = 0; i < TURNS_MAX && !s->ends; i++) loop_turn(&s->loop, 1);
    assert_int_equal(s->ends, 1);
}

static void assert_failed(struct scene *s, const char *words)
{
    if (s->verdict.result != PROBE_FAILED || !strstr(s->words, words))
        fail_msg("result %d: %s, and not: %s", (int)s->verdict.result, s->words, words);
}

/* What weir makes of an answer that comes in pieces of that size, and of its end. */
static void answer(struct scene *s, const char *text, size_t piece)
{
    size_t len = strlen(text);
    meet(s);
    read_request(s);
    for (size_t at = 0; at < len && !s->ends; at += piece) {
        ssize_t sent = send(s->far, text + at, len - at < piece ? len - at : piece, MSG_NOSIGNAL);
        if (sent < 0) break; /* it knows enough */
        for (int i = 0; i < 3 && piece < len; i++) loop_turn(&s->loop, 0);
    }
    shutdown(s->far, SHUT_WR);
    await_end(s);
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
    await_end(&s);
    assert_int_equal(s.verdict.result, PROBE_PASSED);
    assert_int_equal(s.verdict.status, 200);
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
            if (!rows[i].words && s.verdict.result != PROBE_PASSED)
                fail_msg("row %zu in pieces of %zu: %s", i, piece, s.words);
            if (rows[i].words) assert_failed(&s, rows[i].words);
        }
    }
    close_scene(&s);
}

static void nobody_there_is_a_refusal(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    close(s.listener);
    begin(&s);
    await_end(&s);
    assert_failed(&s, "the connection was refused");
    listen_here(&s);
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
    await_end(&s);
    assert_failed(&s, "the server reset the connection instead of answering");
    close_scene(&s);
}

static void bytes_before_the_question_are_no_answer(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    meet(&s);
    tell(&s, "HTTP/1.1 200 OK\r\n\r\n", 19);
    await_end(&s);
    assert_failed(&s, "the server spoke before it was asked");
    close_scene(&s);
}

/* The clock is set to just before the end of the time: nothing happens; and to the end. */
static void let_time_out(struct scene *s)
{
    s->loop.now_ns += (TIMEOUT_MS - 1) * NS_PER_MS;
    loop_turn(&s->loop, 0);
    loop_turn(&s->loop, 0);
    assert_int_equal(s->ends, 0);
    s->loop.now_ns += NS_PER_MS;
    loop_turn(&s->loop, 0);
    assert_int_equal(s->ends, 1);
    assert_int_equal(s->verdict.took_ns, TIMEOUT_MS * NS_PER_MS);
}

static void silence_ends_with_the_time(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    meet(&s);
    read_request(&s);
    let_time_out(&s);
    assert_failed(&s, "no answer to GET /healthz within 1000 ms");
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
        for (int n = 0; n < 3; n++) loop_turn(&s.loop, 1);
        s.loop.now_ns += 10 * NS_PER_MS;
        assert_int_equal(s.ends, 0);
    }
    s.loop.now_ns += TIMEOUT_MS * NS_PER_MS;
    loop_turn(&s.loop, 0);
    assert_int_equal(s.ends, 1);
    assert_failed(&s, "the answer to GET /healthz was not whole within 1000 ms: 28 bytes of it came");
    close_scene(&s);
}

/* As much as the kernel takes, until weir knows enough. Returns the bytes sent. */
static size_t flood(struct scene *s, const char *piece, size_t most)
{
    size_t sent = 0, len = strlen(piece);
    while (!s->ends && sent < most) {
        ssize_t n = send(s->far, piece, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) sent += (size_t)n;
        loop_turn(&s->loop, n > 0 ? 0 : 1);
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
    assert_int_equal(s.ends, 1);
    assert_failed(&s, "does not have \"ok\" in as much of it as is looked at");
    assert_true(sent < 32 << 20);
    hang_up(&s);
    s.http.body = NULL; /* not looked at: not even one byte is waited for */
    meet(&s);
    read_request(&s);
    tell(&s, head, sizeof(head) - 1);
    await_end(&s);
    assert_int_equal(s.verdict.result, PROBE_PASSED);
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
    assert_int_equal(s.ends, 1);
    assert_failed(&s, "the answer's head is over 16 KiB or 128 fields");
    hang_up(&s);
    meet(&s);
    read_request(&s);
    tell(&s, "HTTP/1.1 200 OK\r\nX: ", 20);
    flood(&s, "abcdefghijklmnopqrstuvwxyz", 1 << 20);
    assert_failed(&s, "the answer's head is over 16 KiB or 128 fields");
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
    assert_int_equal(s.ends, 1);
    assert_failed(&s, "more than 16 interim answers came, and no final one");
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
    uint64_t turns = s.loop.turns;
    flood(&s, piece, 64 << 20);
    assert_int_equal(s.ends, 1);
    assert_true(s.loop.turns - turns >= (16 << 20) / PROBE_TURN_BYTES);
    close_scene(&s);
}

static void a_tcp_check_goes_as_far_as_it_is_told(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    s.conf.http = NULL;
    s.conf.tcp = &s.tcp;
    begin(&s); /* the kernel's backlog is enough */
    await_end(&s);
    assert_int_equal(s.verdict.result, PROBE_PASSED);
    close(accept(s.listener, NULL, NULL));
    s.tcp = (struct check_tcp_conf){ "PING\r\n", "+PONG" };
    meet(&s);
    tell(&s, "hello +PO", 9); /* it may speak first */
    for (int i = 0; i < 10; i++) loop_turn(&s.loop, 1);
    assert_int_equal(s.ends, 0);
    tell(&s, "NG\r\n", 4);
    await_end(&s);
    assert_int_equal(s.verdict.result, PROBE_PASSED);
    char got[16] = "";
    assert_int_equal(recv(s.far, got, 6, MSG_WAITALL), 6);
    assert_string_equal(got, "PING\r\n");
    hang_up(&s);
    meet(&s);
    tell(&s, "-LOADING", 8);
    shutdown(s.far, SHUT_WR);
    await_end(&s);
    assert_failed(&s, "the server closed, and what it said does not have \"+PONG\"");
    hang_up(&s);
    meet(&s);
    flood(&s, "-LOADING\r\n", 1 << 20);
    assert_failed(&s, "does not have \"+PONG\" in its first 64 KiB");
    hang_up(&s);
    meet(&s);
    loop_turn(&s.loop, 1);
    let_time_out(&s);
    assert_failed(&s, "no word that has \"+PONG\" within 1000 ms");
    close_scene(&s);
}

static void one_that_is_cancelled_says_nothing(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    meet(&s);
    probe_cancel(s.probe);
    s.probe = NULL;
    for (int i = 0; i < 3; i++) loop_turn(&s.loop, 1);
    assert_int_equal(s.ends, 0);
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
