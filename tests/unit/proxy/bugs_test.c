/* What cannot be, made to be: it is counted, the exchange or tunnel that met it ends, and the next one is served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "scene.h"

#include "base/bug.h"
#include "proxy/tunnel.h"

#define REQUEST "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"

static struct listener_worker *listener_of(struct scene *s)
{
    return container_of(s->worker->listeners.next, struct listener_worker, link);
}

/* The exchange of the only connection, whose request is with its server. */
static struct exchange *begin(struct scene *s, int *client, int *server)
{
    *client = client_connect(s);
    say(*client, REQUEST);
    *server = server_accept(s, 0);
    hear(s, *server, "\r\n\r\n");
    struct list *connections = &listener_of(s)->connections;
    assert_false(list_is_empty(connections));
    struct exchange *x =
        container_of(connections->next, struct h1_server, http.link)->request->conn.stream.owner;
    assert_int_equal(x->state, EXCHANGE_ANSWER);
    return x;
}

static void the_next_one_is_served(struct scene *s)
{
    int client = client_connect(s);
    say(client, REQUEST);
    int server = server_accept(s, 0);
    hear(s, server, "\r\n\r\n");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    hear(s, client, "hello");
    turns(s, 2);
    assert_int_equal(last_record(s).end, END_OK);
    close(client);
    close(server);
}

static struct http_head final_head(void)
{
    return (struct http_head){ .version = HTTP_VERSION_1_1,
                               .status = 200,
                               .reason = SLICE("OK"),
                               .body = HTTP_BODY_LENGTH,
                               .content_length = 5 };
}

static void two_final_heads(struct exchange *x)
{
    struct http_head head = final_head();
    x->attempt.stream->events->on_head(x->attempt.stream, &head, 0);
    x->attempt.stream->events->on_head(x->attempt.stream, &head, 0);
}

static void a_body_before_its_head(struct exchange *x)
{
    assert_int_equal(x->attempt.stream->events->on_body(x->attempt.stream, "abc", 3, 0), 3);
}

static void trailers_before_their_head(struct exchange *x)
{
    x->attempt.stream->events->on_trailers(x->attempt.stream, NULL, 0);
}

static void request_bytes_behind_its_end(struct exchange *x)
{
    assert_int_equal(x->client->events->on_body(x->client, "abc", 3, 0), 3);
}

static void an_exchange_in_a_state_that_cannot_be_ends_and_the_next_is_served(void **state)
{
    (void)state;
    void (*const ways[])(struct exchange *) = { two_final_heads, a_body_before_its_head,
                                                trailers_before_their_head, request_bytes_behind_its_end };
    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
        struct scene s;
        int client, server;
        scene_open(&s, false);
        one_server(&s);
        scene_start(&s);
        uint64_t before = bug_count(BUG_EXCHANGE);
        struct exchange *x = begin(&s, &client, &server);
        bug_be_fatal(false);
        ways[i](x);
        bug_be_fatal(true);
        assert_int_equal(bug_count(BUG_EXCHANGE), before + 1);
        const char *heard = hear_all(&s, client); /* cut off: an answer that looks whole would be a lie */
        assert_null(strstr(heard, "hello"));
        turns(&s, 2);
        assert_int_equal(last_record(&s).end, END_INTERNAL);
        assert_int_equal(s.worker->live.exchanges, 0);
        assert_int_equal(s.worker->live.idle_server_connections, 0);
        close(client);
        close(server);
        the_next_one_is_served(&s);
        scene_close(&s);
    }
}

/* What an attempt that was left says must never be the answer to another. */
static void a_stream_that_was_left_is_not_listened_to(void **state)
{
    (void)state;
    struct scene s;
    int client, server;
    scene_open(&s, false);
    one_server(&s);
    scene_start(&s);
    uint64_t before = bug_count(BUG_EXCHANGE);
    struct exchange *x = begin(&s, &client, &server);
    struct http_stream left = *x->attempt.stream;
    struct http_fault fault = { .reason = END_SERVER_RESET };
    struct http_head head = final_head();
    head.status = 500;
    const struct http_stream_events *events = left.events;
    bug_be_fatal(false);
    events->on_head(&left, &head, 0);
    events->on_body(&left, "wrong", 5, HTTP_END);
    events->on_error(&left, &fault);
    bug_be_fatal(true);
    assert_int_equal(bug_count(BUG_EXCHANGE), before + 3);
    assert_null(left.events);
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright");
    const char *heard = hear(&s, client, "right");
    assert_null(strstr(heard, "wrong"));
    assert_non_null(strstr(heard, "200 OK"));
    turns(&s, 2);
    assert_int_equal(last_record(&s).end, END_OK);
    close(client);
    close(server);
    scene_close(&s);
}

/* A block is held that is said to hold nothing: what comes next would be put in its place. */
static void a_tunnel_that_would_lose_bytes_ends(void **state)
{
    (void)state;
    static const char piece[10000];
    struct scene s;
    scene_open(&s, true);
    one_server(&s);
    scene_start(&s);
    int client = client_connect(&s);
    int server = server_accept(&s, 0);
    say(client, "question");
    hear(&s, server, "question");
    struct list *tunnels = &listener_of(&s)->tunnels;
    struct tunnel *t = container_of(tunnels->next, struct tunnel, link);
    t->halves[TUNNEL_SERVER].hold = block_get(&s.worker->loop.blocks, 1);
    uint64_t before = bug_count(BUG_TUNNEL);
    bug_be_fatal(false);
    /* Until the client, which does not read, takes no more. */
    for (int i = 0; i < 10000 && bug_count(BUG_TUNNEL) == before; i++) {
        (void)send(server, piece, sizeof(piece), MSG_DONTWAIT | MSG_NOSIGNAL);
        turns(&s, 1);
    }
    bug_be_fatal(true);
    assert_int_equal(bug_count(BUG_TUNNEL), before + 1);
    turns(&s, 2);
    assert_int_equal(last_record(&s).end, END_INTERNAL);
    assert_true(list_is_empty(tunnels));
    close(client);
    close(server);
    scene_close(&s);
}

static enum end_reason told;

static void on_end(struct tunnel *t, enum end_reason reason)
{
    (void)t;
    told = reason;
}

static void a_tunnel_without_ends_is_over_at_once(void **state)
{
    (void)state;
    struct scene s;
    struct tunnel t = { 0 };
    struct tunnel_timeouts timeouts = { 1000, 1000, 0 };
    scene_open(&s, false);
    one_server(&s);
    scene_start(&s);
    told = END_NONE;
    tunnel_init(&t, &s.worker->loop, &timeouts, on_end, NULL);
    bug_be_fatal(false);
    tunnel_start(&t);
    bug_be_fatal(true);
    assert_int_equal(told, END_INTERNAL);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exchange_in_a_state_that_cannot_be_ends_and_the_next_is_served),
        cmocka_unit_test(a_stream_that_was_left_is_not_listened_to),
        cmocka_unit_test(a_tunnel_that_would_lose_bytes_ends),
        cmocka_unit_test(a_tunnel_without_ends_is_over_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
