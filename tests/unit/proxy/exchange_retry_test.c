#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "scene.h"

#include "record/flight_ring.h"

#define GET "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define BUSY "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void open_scene(struct scene *s)
{
    scene_open(s, false);
    s->pool.retry.how.per_try_ms = 100;
    s->retry_on[2] = 503;
    s->pool.retry.how.on.count = 3;
}

static void a_try_that_takes_too_long_moves_to_the_other_server(void **state)
{
    (void)state;
    struct scene s;
    int which;
    open_scene(&s);
    scene_start(&s);
    int client = client_connect(&s);
    say(client, GET);
    int hung = first_asked(&s, "\r\n\r\n", &which);
    pass_time(&s, 99);
    assert_true(nobody_is_asked(&s));
    pass_time(&s, 2);
    int other = server_accept(&s, 1 - which);
    hear(&s, other, "\r\n\r\n");
    assert_string_equal(hear_all(&s, hung), "RESET");
    say(other, OK);
    assert_non_null(strstr(hear(&s, client, "ok"), " 200 "));
    turns(&s, 2);
    struct flight_record r = last_record(&s);
    assert_int_equal(r.end, END_OK);
    assert_int_equal(r.attempt_count, 2);
    assert_int_equal(r.attempts[0].end, END_TRY_TIMEOUT);
    close(client);
    close(hung);
    close(other);
    scene_close(&s);
}

/* Nobody else may be asked: the time of a try fails no request. */
static void what_cannot_go_elsewhere_is_waited_for(void **state)
{
    (void)state;
    static const struct {
        const char *request, *ending;
        bool is_alone;
    } rows[] = {
        { "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "abc", false },
        { GET, "\r\n\r\n", true },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct scene s;
        int which;
        open_scene(&s);
        if (rows[i].is_alone) one_server(&s);
        scene_start(&s);
        int client = client_connect(&s);
        say(client, rows[i].request);
        int server = first_asked(&s, rows[i].ending, &which);
        pass_time(&s, 500);
        assert_true(nobody_is_asked(&s));
        say(server, OK);
        assert_non_null(strstr(hear(&s, client, "ok"), " 200 "));
        turns(&s, 2);
        assert_int_equal(last_record(&s).attempt_count, 1);
        close(client);
        close(server);
        scene_close(&s);
    }
}

static void what_a_client_takes_to_send_its_body_is_not_the_servers(void **state)
{
    (void)state;
    struct scene s;
    int which;
    open_scene(&s);
    scene_start(&s);
    int client = client_connect(&s);
    say(client, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc");
    int first = first_asked(&s, "abc", &which);
    pass_time(&s, 950);
    say(client, "def");
    hear(&s, first, "def");
    pass_time(&s, 99);
    assert_true(nobody_is_asked(&s));
    pass_time(&s, 2);
    int other = server_accept(&s, 1 - which);
    hear(&s, other, "abcdef");
    say(other, OK);
    hear(&s, client, "ok");
    close(client);
    close(first);
    close(other);
    scene_close(&s);
}

static size_t hear_count(struct scene *s, int fd, size_t count)
{
    static char into[65536];
    size_t had = 0;
    for (int i = 0; i < 4000 && had < count; i++) {
        ssize_t got = recv(fd, into, sizeof(into), 0);
        if (got > 0) had += (size_t)got;
        if (got <= 0) turns(s, 1);
    }
    return had;
}

/* What was kept of a body goes to the second server, which is slow to take it. Once it has all of that it is the client who is
 * waited for, and who is told so. */
static void a_client_that_stops_is_not_taken_for_a_server_that_does(void **state)
{
    (void)state;
    enum { SENT = 100000 };
    static char body[SENT];
    struct scene s;
    int which, small = 536; /* so that little is on its way */
    open_scene(&s);
    s.pool.retry.how.per_try_ms = 0;
    s.pool.retry.how.buffer_bytes = SENT;
    for (int i = 0; i < SERVERS; i++)
        assert_int_equal(setsockopt(s.listening[i], IPPROTO_TCP, TCP_MAXSEG, &small, sizeof(small)), 0);
    scene_start(&s);
    int client = client_connect(&s);
    say(client, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n");
    int first = first_asked(&s, "\r\n\r\n", &which);
    for (size_t at = 0, heard = 0; heard < SENT;) {
        ssize_t sent = at < SENT ? send(client, body + at, SENT - at, MSG_NOSIGNAL) : 0;
        at += sent > 0 ? (size_t)sent : 0;
        turns(&s, 1);
        heard += hear_count(&s, first, at - heard);
    }
    close(first);
    int other = server_accept(&s, 1 - which);
    turns(&s, 20);
    assert_true(hear_count(&s, other, SENT) >= SENT);
    turns(&s, 5);
    for (int i = 0; i < 10 && !flight_written(s.worker->flights); i++) pass_time(&s, 1000);
    assert_non_null(strstr(hear(&s, client, "\n"), " 408 "));
    turns(&s, 2);
    assert_int_equal(last_record(&s).end, END_BODY_TIMEOUT);
    close(client);
    close(other);
    scene_close(&s);
}

static void a_named_status_moves_to_the_other_server_and_its_answer_is_passed_on(void **state)
{
    (void)state;
    struct scene s;
    int which;
    open_scene(&s);
    scene_start(&s);
    int client = client_connect(&s);
    say(client, GET);
    int first = first_asked(&s, "\r\n\r\n", &which);
    say(first, BUSY);
    int other = server_accept(&s, 1 - which);
    hear(&s, other, "\r\n\r\n");
    say(other, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nlast");
    assert_non_null(strstr(hear(&s, client, "last"), " 503 "));
    turns(&s, 2);
    struct flight_record r = last_record(&s);
    assert_int_equal(r.attempt_count, 2);
    assert_int_equal(r.attempts[0].end, END_ANSWER_GIVEN_UP);
    assert_int_equal(r.attempts[0].status, 503);
    assert_int_equal(r.attempts[1].end, END_OK);
    assert_false(r.flags & (FLIGHT_RETRY_DENIED | FLIGHT_LOCAL_REPLY));
    close(client);
    close(first);
    close(other);
    scene_close(&s);
}

static void a_denied_attempt_leaves_the_answer_that_came(void **state)
{
    (void)state;
    struct scene s;
    int which;
    open_scene(&s);
    s.pool.retry.budget.reserve = 0;
    scene_start(&s);
    int client = client_connect(&s);
    say(client, GET);
    int first = first_asked(&s, "\r\n\r\n", &which);
    say(first, BUSY);
    assert_non_null(strstr(hear(&s, client, "busy"), " 503 "));
    turns(&s, 2);
    assert_true(nobody_is_asked(&s));
    struct flight_record r = last_record(&s);
    assert_int_equal(r.attempt_count, 1);
    assert_int_equal(r.attempts[0].end, END_OK);
    assert_true(r.flags & FLIGHT_RETRY_DENIED);
    assert_int_equal(metric_sum(s.proxy->metrics, s.proxy->pools[0]->meter_retries_denied), 1);
    close(client);
    close(first);
    scene_close(&s);
}

/* Nor does a request fail by it whose server hangs: it is waited for, and moved on when one may be. */
static void a_budget_that_is_used_up_leaves_a_slow_try_its_time(void **state)
{
    (void)state;
    struct scene s;
    int which[2], hung[2], other[2], clients[2];
    open_scene(&s);
    s.pool.retry.budget.reserve = 0;
    scene_start(&s);
    for (int i = 0; i < 2; i++) {
        clients[i] = client_connect(&s);
        say(clients[i], GET);
        hung[i] = first_asked(&s, "\r\n\r\n", &which[i]);
    }
    pass_time(&s, 101);
    /* One a second: which of them it was shows. */
    int moved = 0, fd = -1;
    for (int i = 0; i < 1000 && fd < 0; i++) {
        turns(&s, 1);
        for (moved = 0; moved < 2; moved++)
            if (is_asked(&s, 1 - which[moved], &fd)) break;
    }
    assert_true(fd >= 0);
    other[moved] = fd;
    assert_true(nobody_is_asked(&s));
    pass_time(&s, 800);
    assert_true(nobody_is_asked(&s));
    pass_time(&s, 300);
    other[1 - moved] = server_accept(&s, 1 - which[1 - moved]);
    for (int i = 0; i < 2; i++) {
        hear(&s, other[i], "\r\n\r\n");
        say(other[i], OK);
        assert_non_null(strstr(hear(&s, clients[i], "ok"), " 200 "));
    }
    turns(&s, 2);
    assert_int_equal(metric_sum(s.proxy->metrics, s.proxy->pools[0]->meter_retries_denied), 1);
    for (int i = 0; i < 2; i++) {
        close(clients[i]);
        close(hung[i]);
        close(other[i]);
    }
    scene_close(&s);
}

static void after_its_total_time_nothing_is_tried_again(void **state)
{
    (void)state;
    struct scene s;
    int which;
    open_scene(&s);
    s.pool.retry.how.per_try_ms = 0;
    s.pool.retry.how.total_ms = 400;
    scene_start(&s);
    int client = client_connect(&s);
    say(client, GET);
    int first = first_asked(&s, "\r\n\r\n", &which);
    pass_time(&s, 401);
    say(first, BUSY);
    assert_non_null(strstr(hear(&s, client, "busy"), " 503 "));
    assert_true(nobody_is_asked(&s));
    close(client);
    close(first);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_try_that_takes_too_long_moves_to_the_other_server),
        cmocka_unit_test(what_cannot_go_elsewhere_is_waited_for),
        cmocka_unit_test(what_a_client_takes_to_send_its_body_is_not_the_servers),
        cmocka_unit_test(a_client_that_stops_is_not_taken_for_a_server_that_does),
        cmocka_unit_test(a_named_status_moves_to_the_other_server_and_its_answer_is_passed_on),
        cmocka_unit_test(a_denied_attempt_leaves_the_answer_that_came),
        cmocka_unit_test(a_budget_that_is_used_up_leaves_a_slow_try_its_time),
        cmocka_unit_test(after_its_total_time_nothing_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
