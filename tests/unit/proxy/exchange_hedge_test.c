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

#include "proxy/proxy_conf.h"
#include "route/route_conf.h"

#define GET "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define HEAD_END "\r\n\r\n"
#define ANSWER(text) "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" text
#define LAST_ANSWER(text) "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n" text
#define BUSY "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"

static struct hedge_conf hedge;

static void open_scene(struct scene *s)
{
    scene_open(s, false);
    hedge = (struct hedge_conf){ .percentile = 95, .at_least_ms = 10 };
    s->pool.retry.how.hedge = &hedge;
}

/* As if the pool's servers began 95 of a hundred answers within 50 ms. */
static void start(struct scene *s)
{
    scene_start(s);
    struct pool_latency *l = &s->proxy->pools[0]->latency;
    atomic_store(&l->us[95 - HEDGE_PERCENTILE_MIN], 50000);
}

static uint64_t counted(struct scene *s, uint32_t meter)
{
    return metric_sum(s->proxy->metrics, meter);
}

/* Two servers are at one request. */
struct pair {
    int client, first, other;
};

static struct pair ask_both(struct scene *s, const char *request, const char *ending)
{
    struct pair p;
    int which;
    p.client = client_connect(s);
    say(p.client, request);
    p.first = first_asked(s, ending, &which);
    pass_time(s, 49);
    assert_true(nobody_is_asked(s));
    pass_time(s, 2);
    p.other = server_accept(s, 1 - which);
    hear(s, p.other, ending);
    return p;
}

static void close_pair(struct pair *p)
{
    close(p->client);
    close(p->first);
    close(p->other);
}

static void the_other_one_answers_first_and_the_first_is_broken_off(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    start(&s);
    struct pair p = ask_both(&s, GET, HEAD_END);
    say(p.other, ANSWER("other"));
    assert_non_null(strstr(hear(&s, p.client, "other"), " 200 "));
    assert_string_equal(hear_all(&s, p.first), "RESET");
    turns(&s, 2);
    struct flight_record r = last_record(&s);
    assert_int_equal(r.end, END_OK);
    assert_int_equal(r.attempt_count, 2);
    assert_int_equal(r.attempts[0].end, END_OUTRUN);
    assert_false(r.attempts[0].is_hedge);
    assert_int_equal(r.attempts[1].end, END_OK);
    assert_true(r.attempts[1].is_hedge);
    assert_int_equal(r.told, 1);
    assert_true(r.picked_us >= 50000 && r.first_byte_us >= r.sent_us && r.sent_us >= r.connected_us);
    const struct pool *pool = s.proxy->pools[0];
    assert_int_equal(counted(&s, pool->meter_hedges), 1);
    assert_int_equal(counted(&s, pool->meter_hedges_won), 1);
    /* Slow it was, and no failure. */
    for (int i = 0; i < SERVERS; i++) {
        const struct server *server = pool->roster->places[i].server;
        assert_int_equal(counted(&s, server->meter_failures), 0);
        assert_int_equal(metric_count(s.proxy->metrics, server->meter_latency), 1);
        assert_int_equal(server->workers[0].faults, 0);
    }
    close_pair(&p);
    scene_close(&s);
}

static void the_first_one_answers_after_all_and_the_other_is_broken_off(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    start(&s);
    struct pair p = ask_both(&s, GET, HEAD_END);
    say(p.first, ANSWER("first"));
    assert_non_null(strstr(hear(&s, p.client, "first"), " 200 "));
    assert_string_equal(hear_all(&s, p.other), "RESET");
    /* It has a connection that can be used again. */
    turns(&s, 2);
    assert_int_equal(s.worker->live.server_connections, 1);
    struct flight_record r = last_record(&s);
    assert_int_equal(r.attempts[0].end, END_OK);
    assert_int_equal(r.attempts[1].end, END_OUTRUN);
    assert_int_equal(r.told, 0);
    assert_true(r.picked_us < 50000);
    assert_int_equal(counted(&s, s.proxy->pools[0]->meter_hedges), 1);
    assert_int_equal(counted(&s, s.proxy->pools[0]->meter_hedges_won), 0);
    close_pair(&p);
    scene_close(&s);
}

static void a_failure_of_either_leaves_the_other(void **state)
{
    (void)state;
    for (int fails_first = 0; fails_first < 2; fails_first++)
        for (int how = 0; how < 2; how++) {
            struct scene s;
            open_scene(&s);
            start(&s);
            struct pair p = ask_both(&s, GET, HEAD_END);
            int bad = fails_first ? p.first : p.other, good = fails_first ? p.other : p.first;
            if (how)
                say(bad, BUSY);
            else
                shutdown(bad, SHUT_RDWR);
            turns(&s, 20);
            say(good, ANSWER("right"));
            assert_non_null(strstr(hear(&s, p.client, "right"), " 200 "));
            turns(&s, 2);
            struct flight_record r = last_record(&s);
            assert_int_equal(r.attempt_count, 2);
            assert_int_equal(r.attempts[fails_first ? 0 : 1].end,
                             how ? END_ANSWER_GIVEN_UP : END_SERVER_CLOSED);
            assert_int_equal(r.attempts[fails_first ? 1 : 0].end, END_OK);
            close_pair(&p);
            scene_close(&s);
        }
}

static void both_fail_and_the_client_hears_of_the_last(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    start(&s);
    struct pair p = ask_both(&s, GET, HEAD_END);
    shutdown(p.first, SHUT_RDWR);
    turns(&s, 20);
    say(p.other, BUSY);
    assert_non_null(strstr(hear(&s, p.client, "busy"), " 503 "));
    turns(&s, 2);
    assert_int_equal(last_record(&s).end, END_OK);
    close_pair(&p);
    scene_close(&s);
}

static void a_body_that_is_kept_goes_to_both(void **state)
{
    (void)state;
    static const char *const requests[][2] = {
        { "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabcdef", "abcdef" },
        { "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
          "0\r\n\r\n" },
        { "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "0\r\n\r\n" },
    };
    for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
        struct scene s;
        open_scene(&s);
        start(&s);
        struct pair p = ask_both(&s, requests[i][0], requests[i][1]);
        say(p.other, ANSWER("other"));
        hear(&s, p.client, "other");
        close_pair(&p);
        scene_close(&s);
    }
}

static void what_may_not_go_to_two_servers_goes_to_one(void **state)
{
    (void)state;
    enum { AS_IT_IS, ALONE, UNKNOWN, ONE_ATTEMPT, NOT_KEPT };
    static const struct {
        const char *request, *ending;
        int what;
    } rows[] = {
        { "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "abc", AS_IT_IS },
        { "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", HEAD_END,
          AS_IT_IS },
        { GET, HEAD_END, ALONE },
        { GET, HEAD_END, UNKNOWN },
        { GET, HEAD_END, ONE_ATTEMPT },
        { "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "abc", NOT_KEPT },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct scene s;
        int which;
        open_scene(&s);
        if (rows[i].what == ALONE) one_server(&s);
        if (rows[i].what == ONE_ATTEMPT) s.pool.retry.how.attempts = 1;
        if (rows[i].what == NOT_KEPT) s.pool.retry.how.buffer_bytes = 2;
        start(&s);
        if (rows[i].what == UNKNOWN) s.proxy->pools[0]->latency.us[95 - HEDGE_PERCENTILE_MIN] = 0;
        int client = client_connect(&s);
        say(client, rows[i].request);
        int server = first_asked(&s, rows[i].ending, &which);
        pass_time(&s, 500);
        assert_true(nobody_is_asked(&s));
        say(server, ANSWER("alone"));
        hear(&s, client, "alone");
        turns(&s, 2);
        assert_int_equal(last_record(&s).attempt_count, 1);
        close(client);
        close(server);
        scene_close(&s);
    }
}

static void the_time_of_a_body_is_not_the_servers(void **state)
{
    (void)state;
    struct scene s;
    int which;
    open_scene(&s);
    start(&s);
    int client = client_connect(&s);
    say(client, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc");
    int first = first_asked(&s, "abc", &which);
    pass_time(&s, 500);
    assert_true(nobody_is_asked(&s));
    say(client, "def");
    hear(&s, first, "def");
    pass_time(&s, 49);
    assert_true(nobody_is_asked(&s));
    pass_time(&s, 2);
    int other = server_accept(&s, 1 - which);
    hear(&s, other, "abcdef");
    say(other, ANSWER("other"));
    hear(&s, client, "other");
    close(client);
    close(first);
    close(other);
    scene_close(&s);
}

static void the_budget_is_that_of_retries(void **state)
{
    (void)state;
    struct scene s;
    int which;
    open_scene(&s);
    s.pool.retry.budget.reserve = 0;
    start(&s);
    int client = client_connect(&s);
    say(client, GET);
    int first = first_asked(&s, HEAD_END, &which);
    pass_time(&s, 500);
    assert_true(nobody_is_asked(&s));
    say(first, ANSWER("alone"));
    hear(&s, client, "alone");
    turns(&s, 2);
    struct flight_record r = last_record(&s);
    assert_int_equal(r.attempt_count, 1);
    assert_true(r.is_hedge_denied);
    assert_int_equal(counted(&s, s.proxy->pools[0]->meter_hedges_denied), 1);
    assert_int_equal(counted(&s, s.proxy->pools[0]->meter_hedges), 0);
    close(client);
    close(first);
    scene_close(&s);
}

static void a_client_that_goes_ends_both(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    start(&s);
    struct pair p = ask_both(&s, GET, HEAD_END);
    pass_time(&s, 100); /* from then on it is watched */
    struct linger now = { 1, 0 };
    assert_int_equal(setsockopt(p.client, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(p.client);
    assert_string_equal(hear_all(&s, p.first), "RESET");
    assert_string_equal(hear_all(&s, p.other), "RESET");
    struct flight_record r = last_record(&s);
    assert_int_equal(r.attempts[0].end, END_CLIENT_ABORT);
    assert_int_equal(r.attempts[1].end, END_CLIENT_ABORT);
    close(p.first);
    close(p.other);
    scene_close(&s);
}

static void what_one_server_says_before_its_answer_decides(void **state)
{
    (void)state;
    for (int is_first = 0; is_first < 2; is_first++) {
        struct scene s;
        open_scene(&s);
        start(&s);
        struct pair p = ask_both(&s, GET, HEAD_END);
        int says = is_first ? p.first : p.other;
        say(says, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        assert_non_null(strstr(hear(&s, p.client, HEAD_END), " 103 "));
        assert_string_equal(hear_all(&s, is_first ? p.other : p.first), "RESET");
        say(says, ANSWER("final"));
        hear(&s, p.client, "final");
        close_pair(&p);
        scene_close(&s);
    }
}

static void when_the_time_of_a_try_is_over_the_other_one_is_there_already(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    s.pool.retry.how.per_try_ms = 200;
    start(&s);
    struct pair p = ask_both(&s, GET, HEAD_END);
    pass_time(&s, 150);
    assert_string_equal(hear_all(&s, p.first), "RESET");
    assert_true(nobody_is_asked(&s));
    say(p.other, ANSWER("other"));
    hear(&s, p.client, "other");
    turns(&s, 2);
    struct flight_record r = last_record(&s);
    assert_int_equal(r.attempt_count, 2);
    assert_int_equal(r.attempts[0].end, END_TRY_TIMEOUT);
    assert_int_equal(s.proxy->pools[0]->retries.spent > 0, 1);
    close_pair(&p);
    scene_close(&s);
}

static void the_first_ones_time_out_leaves_the_other_its_own_time(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    start(&s);
    struct pair p = ask_both(&s, GET, HEAD_END);
    pass_time(&s, 2950); /* first_byte is 3 s; the other was asked 50 ms later */
    assert_string_equal(hear_all(&s, p.first), "RESET");
    pass_time(&s, 40);
    say(p.other, ANSWER("other"));
    hear(&s, p.client, "other");
    turns(&s, 2);
    assert_int_equal(last_record(&s).attempts[0].end, END_FIRST_BYTE_TIMEOUT);
    close_pair(&p);
    scene_close(&s);
}

/* What bounds all of a request ends both attempts alike, and nobody takes anybody's place for it. */
static void the_time_for_all_of_it_is_over_for_both(void **state)
{
    (void)state;
    static const struct listener_http2 http2 = {
        .enabled = true, .streams = 100, .window_bytes = 65535, .memory_bytes = 1 << 20, .settings = 100
    };
    /* A GET with `content-type: application/grpc` and `grpc-timeout: 100m`. */
    static const char call[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                               "\0\0\0\4\0\0\0\0\0"
                               "\0\0\x2b\1\5\0\0\0\1\x82\x86\x84\x41\1h\x5f\x10"
                               "application/grpc\0\xcgrpc-timeout\4"
                               "100m";
    for (int is_grpc = 0; is_grpc < 2; is_grpc++) {
        struct scene s;
        int which;
        open_scene(&s);
        s.listener.http2 = http2;
        if (!is_grpc) s.pool.timeouts.total_ms = 100;
        start(&s);
        int client = client_connect(&s);
        if (is_grpc)
            assert_int_equal(send(client, call, sizeof(call) - 1, MSG_NOSIGNAL), sizeof(call) - 1);
        else
            say(client, GET);
        int first = first_asked(&s, HEAD_END, &which);
        pass_time(&s, 60);
        int other = server_accept(&s, 1 - which);
        hear(&s, other, HEAD_END);
        pass_time(&s, 60);
        turns(&s, 5);
        enum end_reason reason = is_grpc ? END_GRPC_TIMEOUT : END_TOTAL_TIMEOUT;
        struct flight_record r = last_record(&s);
        assert_int_equal(r.end, reason);
        assert_int_equal(r.attempt_count, 2);
        assert_int_equal(r.attempts[0].end, reason);
        assert_int_equal(r.told, 0);
        close(client);
        close(first);
        close(other);
        scene_close(&s);
    }
}

/* No connection to it opens from now on: two lie in its backlog, which is full. */
static void jam(struct scene *s, int which, int fillers[2])
{
    assert_int_equal(listen(s->listening[which], 0), 0);
    for (int i = 0; i < 2; i++) {
        const struct address *a = &s->servers[which].address;
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(fillers[i], &a->sa.any, a->len);
    }
}

/* The first may never have been sent anything: the copy is due all the same. */
static void a_mirrors_copy_goes_out_when_the_other_one_answers(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct pool_conf pools[2] = { s.pool, s.pool };
    struct route_mirror_conf mirror = { .pool = "copy", .share = 10000, .body_bytes = 1024, .in_flight = 10 };
    int fillers[2];
    pools[1].name = "copy";
    pools[1].servers = (struct conf_items){ &s.servers[1], 1 };
    s.conf.pools = (struct conf_items){ pools, 2 };
    s.routes[0] = (struct route_conf){ .name = "all", .pool = "web", .mirror = &mirror };
    s.listener.routes = (struct conf_items){ s.routes, 1 };
    s.listener.pool = NULL;
    start(&s);
    jam(&s, 0, fillers);
    /* Until one goes to the server that is jammed: which is chosen first is a matter of chance. */
    bool is_jammed = false;
    for (int i = 0; i < 64 && !is_jammed; i++) {
        int client = client_connect(&s);
        say(client, GET);
        turns(&s, 20);
        int asked;
        is_jammed = !is_asked(&s, 1, &asked);
        if (is_jammed) {
            pass_time(&s, 60);
            asked = server_accept(&s, 1);
        }
        hear(&s, asked, HEAD_END);
        say(asked, LAST_ANSWER("right"));
        hear(&s, client, "right");
        int copy = server_accept(&s, 1);
        hear(&s, copy, HEAD_END);
        say(copy, LAST_ANSWER("right"));
        turns(&s, 5);
        close(client);
        close(asked);
        close(copy);
    }
    assert_int_equal(counted(&s, s.proxy->pools[0]->meter_hedges_won), 1);
    close(fillers[0]);
    close(fillers[1]);
    scene_close(&s);
}

static void one_that_cannot_be_connected_to_is_passed_by(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    start(&s);
    close(s.listening[1]);
    s.listening[1] = -1; /* refuses: the other attempt fails, or the first moves on */
    int client = client_connect(&s);
    say(client, GET);
    int which, first = first_asked(&s, HEAD_END, &which);
    assert_int_equal(which, 0);
    pass_time(&s, 100);
    turns(&s, 20);
    say(first, ANSWER("first"));
    hear(&s, client, "first");
    turns(&s, 2);
    struct flight_record r = last_record(&s);
    assert_int_equal(r.end, END_OK);
    for (uint32_t i = 0; i < r.attempt_count; i++)
        assert_true(r.attempts[i].end == END_OK || r.attempts[i].end == END_CONNECT_REFUSED);
    close(client);
    close(first);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_other_one_answers_first_and_the_first_is_broken_off),
        cmocka_unit_test(the_first_one_answers_after_all_and_the_other_is_broken_off),
        cmocka_unit_test(a_failure_of_either_leaves_the_other),
        cmocka_unit_test(both_fail_and_the_client_hears_of_the_last),
        cmocka_unit_test(a_body_that_is_kept_goes_to_both),
        cmocka_unit_test(what_may_not_go_to_two_servers_goes_to_one),
        cmocka_unit_test(the_time_of_a_body_is_not_the_servers),
        cmocka_unit_test(the_budget_is_that_of_retries),
        cmocka_unit_test(a_client_that_goes_ends_both),
        cmocka_unit_test(what_one_server_says_before_its_answer_decides),
        cmocka_unit_test(when_the_time_of_a_try_is_over_the_other_one_is_there_already),
        cmocka_unit_test(the_first_ones_time_out_leaves_the_other_its_own_time),
        cmocka_unit_test(the_time_for_all_of_it_is_over_for_both),
        cmocka_unit_test(a_mirrors_copy_goes_out_when_the_other_one_answers),
        cmocka_unit_test(one_that_cannot_be_connected_to_is_passed_by),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
