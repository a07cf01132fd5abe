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

#include "proxy/census.h"
#include "proxy/listener.h"
#include "proxy/tunnel.h"
#include "record/flight_ring.h"

static void a_request_goes_to_a_server_and_its_answer_back(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, false);
    one_server(&s);
    scene_start(&s);
    int client = client_connect(&s);
    say(client, "GET /a?b HTTP/1.1\r\nHost: h.example\r\nX-A: 1\r\nConnection: x-b\r\nX-B: 2\r\n\r\n");
    int server = server_accept(&s, 0);
    const char *head = hear(&s, server, "\r\n\r\n");
    assert_non_null(strstr(head, "GET /a?b HTTP/1.1\r\nHost: h.example\r\n"));
    assert_non_null(strstr(head, "X-A: 1\r\n"));
    assert_null(strstr(head, "X-B"));
    assert_non_null(strstr(head, "X-Forwarded-For: 127.0.0.1\r\n"));
    say(server, "HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 5\r\n\r\nhello");
    assert_non_null(
        strstr(hear(&s, client, "hello"), "HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 5\r\n"));
    turns(&s, 2);
    assert_int_equal(last_record(&s).end, END_OK);
    assert_int_equal(s.worker->live.idle_server_connections, 1);
    /* Idle on both sides: no block is held. */
    assert_int_equal(s.worker->loop.blocks.live, 0);
    close(client);
    close(server);
    scene_close(&s);
}

static void each_phase_has_its_time_out(void **state)
{
    (void)state;
    static const struct {
        const char *request, *answer; /* sent by the client, by the server */
        uint64_t ms;
        enum end_reason end;
        const char *status; /* NULL: the response is cut */
    } rows[] = {
        { "GET / HTTP/1.1\r\nHos", NULL, 10000, END_HEADER_TIMEOUT, "408" },
        { "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc", NULL, 7000, END_BODY_TIMEOUT, "408" },
        { "GET / HTTP/1.1\r\nHost: h\r\n\r\n", NULL, 3000, END_FIRST_BYTE_TIMEOUT, "504" },
        { "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", 4000,
          END_RESPONSE_TIMEOUT, NULL },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct scene s;
        scene_open(&s, false);
        one_server(&s);
        scene_start(&s);
        int client = client_connect(&s);
        int server = -1;
        say(client, rows[i].request);
        turns(&s, 5);
        if (rows[i].end != END_HEADER_TIMEOUT) {
            server = server_accept(&s, 0);
            turns(&s, 5);
        }
        if (rows[i].answer) {
            say(server, rows[i].answer);
            hear(&s, client, "abc");
        }
        pass_time(&s, rows[i].ms - 1);
        assert_int_equal(flight_written(s.worker->flights), 0);
        pass_time(&s, 2);
        assert_int_equal(last_record(&s).end, rows[i].end);
        if (rows[i].status)
            assert_int_equal(strncmp(hear(&s, client, "\n") + 9, rows[i].status, 3), 0);
        else
            assert_string_equal(hear_all(&s, client), "");
        close(client);
        if (server >= 0) close(server);
        scene_close(&s);
    }
}

static void a_refused_connection_moves_the_request_to_the_next_server(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, false);
    close(s.listening[0]);
    s.listening[0] = -1;
    scene_start(&s);
    for (int i = 0; i < 2; i++) {
        int client = client_connect(&s);
        say(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
        int server = server_accept(&s, 1);
        hear(&s, server, "\r\n\r\nabc");
        say(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert_non_null(strstr(hear_all(&s, client), "200 OK"));
        turns(&s, 2);
        close(client);
        close(server);
    }
    /* Round robin meets the dead one in one of the two at least. */
    struct flight_record r[2];
    assert_true(flight_read(s.worker->flights, 0, &r[0]) && flight_read(s.worker->flights, 1, &r[1]));
    assert_true(r[0].attempt_count == 2 || r[1].attempt_count == 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(r[i].attempts[r[i].attempt_count - 1].end, END_OK);
        if (r[i].attempt_count == 2) assert_int_equal(r[i].attempts[0].end, END_CONNECT_REFUSED);
    }
    scene_close(&s);
}

/* The server closes the kept connection as the next request is on its way. */
static void request_on_a_dying_connection(const char *method, bool is_answered)
{
    struct scene s;
    char request[128];
    scene_open(&s, false);
    one_server(&s);
    scene_start(&s);
    int client = client_connect(&s);
    say(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    int server = server_accept(&s, 0);
    hear(&s, server, "\r\n\r\n");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    hear(&s, client, "ok");
    turns(&s, 3);
    snprintf(request, sizeof(request), "%s / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", method);
    say(client, request);
    hear(&s, server, "abc"); /* taken by the kept connection, and read: then closed without an answer */
    close(server);
    if (is_answered) {
        server = server_accept(&s, 0);
        assert_non_null(strstr(hear(&s, server, "abc"), method));
        say(server, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain");
        hear(&s, client, "again");
        turns(&s, 2);
        struct flight_record r = last_record(&s);
        assert_int_equal(r.attempt_count, 2);
        assert_true(r.attempts[0].is_reused);
        assert_false(r.attempts[1].is_reused);
        close(server);
    } else {
        assert_non_null(strstr(hear(&s, client, "\n"), " 502 "));
        turns(&s, 2);
        assert_int_equal(last_record(&s).attempt_count, 1);
        assert_true(accept(s.listening[0], NULL, NULL) < 0);
    }
    close(client);
    scene_close(&s);
}

/* The server's side of the connection that it came by, or of `kept`; left open. */
static int post_and_ok(struct scene *s, int kept)
{
    int client = client_connect(s);
    say(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    int server = kept >= 0 ? kept : server_accept(s, 0);
    hear(s, server, "abc");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    hear(s, client, "ok");
    turns(s, 3);
    close(client);
    return server;
}

static void of_posts_to_a_server_that_closes_without_a_word_one_is_lost(void **state)
{
    (void)state;
    struct scene s;
    int servers[4];
    scene_open(&s, false);
    one_server(&s);
    scene_start(&s);
    servers[0] = post_and_ok(&s, -1);
    assert_int_equal(post_and_ok(&s, servers[0]), servers[0]); /* until more is known it is used again */
    int client = client_connect(&s);
    say(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    hear(&s, servers[0], "abc");
    close(servers[0]);
    assert_non_null(strstr(hear(&s, client, "\n"), " 502 "));
    close(client);
    /* No time has passed since the last answer, and yet: */
    for (int i = 1; i < 4; i++) servers[i] = post_and_ok(&s, -1);
    assert_int_equal(s.worker->live.idle_server_connections, 3);
    for (int i = 1; i < 4; i++) close(servers[i]);
    scene_close(&s);
}

static void an_idempotent_request_on_a_dying_connection_is_sent_again_once(void **state)
{
    (void)state;
    request_on_a_dying_connection("PUT", true);
}

static void a_request_that_may_have_been_acted_on_is_never_sent_twice(void **state)
{
    (void)state;
    request_on_a_dying_connection("POST", false);
}

static void an_old_connection_does_not_carry_what_must_not_be_lost(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, false);
    one_server(&s);
    scene_start(&s);
    int client = client_connect(&s);
    say(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    int old = server_accept(&s, 0);
    hear(&s, old, "\r\n\r\n");
    say(old, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=4\r\n\r\nok");
    hear(&s, client, "ok");
    turns(&s, 2);
    pass_time(&s, 2500); /* over half of what the server says */
    say(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    int fresh = server_accept(&s, 0);
    assert_non_null(strstr(hear(&s, fresh, "\r\n\r\n"), "POST / "));
    say(fresh, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    hear(&s, client, "ok");
    turns(&s, 2);
    /* And what is older than three quarters of it is closed. */
    pass_time(&s, 1000);
    assert_string_equal(hear_all(&s, old), "");
    close(client);
    close(old);
    close(fresh);
    scene_close(&s);
}

static void requests_over_the_cap_wait_in_order_and_are_bounded(void **state)
{
    (void)state;
    struct scene s;
    int clients[7];
    char text[64];
    scene_open(&s, false);
    s.pool.queue.order = POOL_QUEUE_FIRST_COME;
    one_server(&s);
    s.servers[0].max_connections = 1;
    scene_start(&s);
    for (int i = 0; i < 7; i++) {
        clients[i] = client_connect(&s);
        snprintf(text, sizeof(text), "GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", i);
        say(clients[i], text);
        turns(&s, 5);
    }
    /* One in flight, four in the queue, two too many. */
    for (int i = 5; i < 7; i++) assert_non_null(strstr(hear(&s, clients[i], "\n"), "503"));
    int server = server_accept(&s, 0);
    for (int i = 0; i < 4; i++) {
        snprintf(text, sizeof(text), "GET /%d ", i);
        assert_non_null(strstr(hear(&s, server, "\r\n\r\n"), text));
        say(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        hear(&s, clients[i], "ok");
    }
    hear(&s, server, "\r\n\r\n");
    assert_true(accept(s.listening[0], NULL, NULL) < 0);
    for (int i = 0; i < 7; i++) close(clients[i]);
    close(server);
    scene_close(&s);
}

static void who_waits_longest_makes_way_for_who_comes_last(void **state)
{
    (void)state;
    struct scene s;
    int clients[7];
    char text[64];
    scene_open(&s, false);
    one_server(&s);
    s.servers[0].max_connections = 1;
    scene_start(&s);
    for (int i = 0; i < 7; i++) {
        clients[i] = client_connect(&s);
        snprintf(text, sizeof(text), "GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", i);
        say(clients[i], text);
        turns(&s, 5);
    }
    /* One in flight, four in the queue: the first two of those that waited have made way. */
    for (int i = 1; i < 3; i++) assert_non_null(strstr(hear(&s, clients[i], "\n"), "503"));
    int server = server_accept(&s, 0);
    static const int order[] = { 0, 6, 5, 4, 3 };
    for (int i = 0; i < 5; i++) {
        snprintf(text, sizeof(text), "GET /%d ", order[i]);
        assert_non_null(strstr(hear(&s, server, "\r\n\r\n"), text));
        say(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        hear(&s, clients[order[i]], "ok");
    }
    for (int i = 0; i < 7; i++) close(clients[i]);
    close(server);
    scene_close(&s);
}

/* Its turn was not in vain: it had a server, which failed. What it waits for then is another turn, behind who waits already. */
static void who_is_tried_again_has_no_second_place_in_a_full_queue(void **state)
{
    (void)state;
    struct scene s;
    int clients[4];
    char text[64];
    scene_open(&s, false);
    s.pool.queue.order = POOL_QUEUE_FIRST_COME;
    s.pool.queue.length = 1;
    s.servers[0].max_connections = s.servers[1].max_connections = 1;
    scene_start(&s);
    for (int i = 0; i < 3; i++) {
        clients[i] = client_connect(&s);
        snprintf(text, sizeof(text), "GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", i);
        say(clients[i], text);
        turns(&s, 5);
    }
    int one = server_accept(&s, 0), two = server_accept(&s, 1);
    bool is_of_one = strstr(hear(&s, one, "\r\n\r\n"), "GET /0 ");
    hear(&s, two, "\r\n\r\n");
    /* The third has its turn, on a new connection; a fourth waits in its place. */
    say(one, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    close(one);
    hear(&s, clients[is_of_one ? 0 : 1], "ok");
    one = server_accept(&s, 0);
    assert_non_null(strstr(hear(&s, one, "\r\n\r\n"), "GET /2 "));
    clients[3] = client_connect(&s);
    say(clients[3], "GET /3 HTTP/1.1\r\nHost: h\r\n\r\n");
    turns(&s, 5);
    /* Its server closes without a word, and the other is full. */
    close(one);
    assert_non_null(strstr(hear(&s, clients[2], "\n"), "503"));
    one = server_accept(&s, 0);
    assert_non_null(strstr(hear(&s, one, "\r\n\r\n"), "GET /3 "));
    for (int i = 0; i < 4; i++) close(clients[i]);
    close(one);
    close(two);
    scene_close(&s);
}

static void a_request_in_the_queue_is_told_when_its_time_is_over(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, false);
    one_server(&s);
    s.servers[0].max_connections = 1;
    scene_start(&s);
    int first = client_connect(&s);
    say(first, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    turns(&s, 5);
    int second = client_connect(&s);
    say(second, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    turns(&s, 5);
    pass_time(&s, 2001);
    assert_non_null(strstr(hear(&s, second, "\n"), "503"));
    turns(&s, 2);
    assert_int_equal(last_record(&s).end, END_QUEUE_TIMEOUT);
    close(first);
    close(second);
    scene_close(&s);
}

static void plant(struct timer *t)
{
    (void)t;
}

/* One of each kind is taken and lost sight of: the census says so, whatever goes on besides. */
static void what_is_forgotten_is_counted_but_not_reached(void **state)
{
    (void)state;
    struct scene s;
    struct census c = { 0 };
    struct timer timer;
    scene_open(&s, false);
    one_server(&s);
    scene_start(&s);
    int client = client_connect(&s);
    say(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    int server = server_accept(&s, 0);
    hear(&s, server, "\r\n\r\n");
    struct worker *w = s.worker;
    struct slab *slabs[] = { &w->exchanges, &w->tunnels, &w->clients,
                             &container_of(w->pools.next, struct pool_worker, link)->upstreams };
    void *lost[4];
    for (unsigned i = 0; i < 4; i++) assert_non_null(lost[i] = slab_get(slabs[i]));
    struct block *block = block_get(&w->loop.blocks, 1);
    timer_init(&timer, plant);
    loop_arm(&w->loop, &timer, 60000);
    census_take(w, &c);
    for (unsigned kind = 0; kind < CENSUS_KINDS; kind++)
        assert_int_equal(c.counted[kind] - c.reached[kind], 1);
    assert_int_equal(c.reached[CENSUS_EXCHANGES], 1);
    for (unsigned i = 0; i < 4; i++) slab_put(slabs[i], lost[i]);
    block_put(&w->loop.blocks, block);
    loop_disarm(&w->loop, &timer);
    close(client);
    close(server);
    scene_close(&s);
}

static void a_chunked_end_that_comes_while_connecting_is_not_forgotten(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, false);
    one_server(&s);
    scene_start(&s);
    int client = client_connect(&s);
    say(client, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-T: v\r\n\r\n");
    int server = server_accept(&s, 0);
    assert_null(strstr(hear(&s, server, "0\r\n\r\n"), "X-T"));
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    hear(&s, client, "ok");
    close(client);
    close(server);
    scene_close(&s);
}

static void a_reset_client_takes_its_exchange_along_in_every_phase(void **state)
{
    (void)state;
    static const char *const answers[] = { NULL, "HTTP/1.1 200 OK\r\nContent-Le",
                                           "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc" };
    static const char *const requests[] = { "GE",
                                            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc",
                                            "GET / HTTP/1.1\r\nHost: h\r\n\r\n" };
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 3; j++) {
            struct scene s;
            scene_open(&s, false);
            one_server(&s);
            scene_start(&s);
            int client = client_connect(&s);
            int server = -1;
            say(client, requests[i]);
            turns(&s, 5);
            if (i > 0) server = server_accept(&s, 0);
            if (i > 0 && answers[j]) say(server, answers[j]);
            turns(&s, 5);
            struct linger hard = { .l_onoff = 1 };
            setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
            close(client);
            turns(&s, 10);
            pass_time(&s, 101); /* a connection's first exchange is watched from then on */
            turns(&s, 10);
            assert_int_equal(s.worker->live.client_connections, 0);
            assert_int_equal(s.worker->live.exchanges, 0);
            if (server >= 0) close(server);
            scene_close(&s);
        }
    }
}

static void a_tunnel_passes_bytes_and_the_end_of_each_side(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, true);
    one_server(&s);
    scene_start(&s);
    int client = client_connect(&s);
    int server = server_accept(&s, 0);
    say(client, "question");
    hear(&s, server, "question");
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    assert_string_equal(hear_all(&s, server), "");
    say(server, "answer");
    hear(&s, client, "answer");
    close(server);
    assert_string_equal(hear_all(&s, client), "");
    turns(&s, 3);
    struct flight_record r = last_record(&s);
    assert_int_equal(r.end, END_OK);
    assert_int_equal(r.bytes_in, 8);
    assert_int_equal(r.bytes_out, 6);
    close(client);
    scene_close(&s);
}

/* The head's first part is held until the rest comes: that block goes back, and what follows makes new ones. */
static void a_101_in_two_pieces_leaves_no_block_behind(void **state)
{
    (void)state;
    static const char *const rests[] = { "Upgrade: websocket\r\nConnection: upgrade\r\n\r\n",
                                         "Upgrade: websocket\r\nConnection: upgrade\r\n\r\nfirst" };
    for (int i = 0; i < 2; i++) {
        struct scene s;
        scene_open(&s, false);
        one_server(&s);
        scene_start(&s);
        int client = client_connect(&s);
        say(client, "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
        int server = server_accept(&s, 0);
        hear(&s, server, "\r\n\r\n");
        say(server, "HTTP/1.1 101 Switching Protocols\r\n");
        turns(&s, 5);
        say(server, rests[i]);
        hear(&s, client, i ? "first" : "\r\n\r\n");
        turns(&s, 2);
        assert_int_equal(s.worker->live.tunnels, 1);
        say(server, "hello");
        hear(&s, client, "hello");
        say(client, "world");
        hear(&s, server, "world");
        turns(&s, 2);
        close(client);
        close(server);
        scene_close(&s); /* counts the blocks */
    }
}

/* The time that the rest of an answered request may take: as long as it comes at some rate, and not for ever. */
static void the_rest_of_an_answered_request_is_bounded_by_time_and_rate(void **state)
{
    (void)state;
    static const struct {
        const char *length;
        size_t per_step;
        unsigned steps;                   /* of 5 s, until it ends */
    } rows[] = { { "100000", 100, 1 },    /* small: kept, but it does not come */
                 { "100000", 6000, 6 },   /* it comes, but takes too long */
                 { "100000000", 100, 1 }, /* large: told to end */
                 { "100000000", 6000, 6 } };
    static char piece[6000];
    memset(piece, 'x', sizeof(piece));
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct scene s;
        char request[200];
        scene_open(&s, false);
        one_server(&s);
        s.listener.limits.body_bytes = 10;
        scene_start(&s);
        int client = client_connect(&s);
        snprintf(request, sizeof(request), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %s\r\n\r\n",
                 rows[i].length);
        say(client, request);
        const char *answer = hear(&s, client, "\n");
        assert_int_equal(strncmp(answer + 9, "413", 3), 0);
        assert_int_equal(strstr(answer, "Connection: close") != NULL, strlen(rows[i].length) > 6);
        turns(&s, 3);
        unsigned steps = 0;
        while (s.worker->live.client_connections && steps < 20) {
            assert_true(send(client, piece, rows[i].per_step, MSG_NOSIGNAL) > 0);
            turns(&s, 5);
            pass_time(&s, 5000);
            steps++;
        }
        if (steps != rows[i].steps) fail_msg("row %zu: %u steps", i, steps);
        close(client);
        scene_close(&s);
    }
}

struct tunnel_ender {
    struct loop_task task;
    struct tunnel *tunnel;
};

static void end_tunnel(struct loop_task *t)
{
    tunnel_kill(container_of(t, struct tunnel_ender, task)->tunnel, END_SERVER_RESET);
}

/* One that goes on from a task ends there, and its exchange a turn later. Until then that is found by whoever looks (turns()). */
static void a_tunnel_that_ends_between_two_turns_is_not_lost(void **state)
{
    (void)state;
    struct scene s;
    struct tunnel_ender ender;
    scene_open(&s, false);
    one_server(&s);
    scene_start(&s);
    int client = client_connect(&s);
    say(client, "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    int server = server_accept(&s, 0);
    hear(&s, server, "\r\n\r\n");
    say(server, "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    hear(&s, client, "\r\n\r\n");
    struct list *tunnels = &s.proxy->listeners[0]->workers[0].tunnels;
    assert_false(list_is_empty(tunnels));
    ender.tunnel = container_of(tunnels->next, struct tunnel, link);
    loop_task_init(&ender.task, end_tunnel);
    loop_defer(&s.worker->loop, &ender.task);
    turns(&s, 1);
    assert_int_equal(s.worker->live.exchanges, 1);
    turns(&s, 1);
    assert_int_equal(s.worker->live.exchanges, 0);
    assert_int_equal(last_record(&s).end, END_SERVER_RESET);
    close(client);
    close(server);
    scene_close(&s);
}

static void a_silent_tunnel_ends_sooner_once_a_side_has_closed(void **state)
{
    (void)state;
    for (int is_half = 0; is_half < 2; is_half++) {
        struct scene s;
        scene_open(&s, true);
        one_server(&s);
        s.pool.timeouts.half_closed_ms = 1000;
        scene_start(&s);
        int client = client_connect(&s);
        int server = server_accept(&s, 0);
        turns(&s, 5);
        if (is_half) assert_int_equal(shutdown(client, SHUT_WR), 0);
        turns(&s, 5);
        pass_time(&s, is_half ? 999 : 4999);
        assert_int_equal(s.worker->live.tunnels, 1);
        pass_time(&s, 2);
        assert_int_equal(s.worker->live.tunnels, 0);
        assert_int_equal(last_record(&s).end, is_half ? END_HALF_CLOSED_TIMEOUT : END_IDLE_TIMEOUT);
        close(client);
        close(server);
        scene_close(&s);
    }
}

static void a_reset_on_one_side_of_a_tunnel_is_a_reset_on_the_other(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, true);
    one_server(&s);
    scene_start(&s);
    int client = client_connect(&s);
    int server = server_accept(&s, 0);
    turns(&s, 5);
    struct linger hard = { .l_onoff = 1 };
    setsockopt(server, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close(server);
    assert_string_equal(hear_all(&s, client), "RESET");
    assert_int_equal(last_record(&s).end, END_SERVER_RESET);
    close(client);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_goes_to_a_server_and_its_answer_back),
        cmocka_unit_test(each_phase_has_its_time_out),
        cmocka_unit_test(a_refused_connection_moves_the_request_to_the_next_server),
        cmocka_unit_test(of_posts_to_a_server_that_closes_without_a_word_one_is_lost),
        cmocka_unit_test(an_idempotent_request_on_a_dying_connection_is_sent_again_once),
        cmocka_unit_test(a_request_that_may_have_been_acted_on_is_never_sent_twice),
        cmocka_unit_test(an_old_connection_does_not_carry_what_must_not_be_lost),
        cmocka_unit_test(requests_over_the_cap_wait_in_order_and_are_bounded),
        cmocka_unit_test(who_waits_longest_makes_way_for_who_comes_last),
        cmocka_unit_test(who_is_tried_again_has_no_second_place_in_a_full_queue),
        cmocka_unit_test(a_request_in_the_queue_is_told_when_its_time_is_over),
        cmocka_unit_test(a_chunked_end_that_comes_while_connecting_is_not_forgotten),
        cmocka_unit_test(a_reset_client_takes_its_exchange_along_in_every_phase),
        cmocka_unit_test(what_is_forgotten_is_counted_but_not_reached),
        cmocka_unit_test(a_tunnel_passes_bytes_and_the_end_of_each_side),
        cmocka_unit_test(a_101_in_two_pieces_leaves_no_block_behind),
        cmocka_unit_test(the_rest_of_an_answered_request_is_bounded_by_time_and_rate),
        cmocka_unit_test(a_tunnel_that_ends_between_two_turns_is_not_lost),
        cmocka_unit_test(a_silent_tunnel_ends_sooner_once_a_side_has_closed),
        cmocka_unit_test(a_reset_on_one_side_of_a_tunnel_is_a_reset_on_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
