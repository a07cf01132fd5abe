#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "admin/call.h"
#include "http/h1_server.h"

#define BIG (8u << 20)
#define HOST "Host: localhost:9091\r\n"
#define JSON "Content-Type: application/json\r\n"

/* A few routes of the test's own behind one connection, on a clock that stands. */
struct bench {
    struct http_service service; /* first */
    struct call_env env;
    struct loop loop;
    struct budget budget;
    struct list connections;
    int client;
    bool is_closed, is_reserved;
    char received[16384];
    size_t received_len;
};

static void say_hello(const struct admin_request *rq, struct answer *out)
{
    (void)rq;
    answer_text(out, 200, "hello\n");
}

static void say_much(const struct admin_request *rq, struct answer *out)
{
    (void)rq;
    char *body = malloc(BIG);
    memset(body, 'x', BIG);
    answer_body(out, "text/plain", body, BIG);
}

static void say_again(const struct admin_request *rq, struct answer *out)
{
    char *text = malloc(rq->body.len + 1);
    memcpy(text, rq->body.data, rq->body.len);
    text[rq->body.len] = 0;
    answer_text(out, 200, text);
    free(text);
}

/* What is being worked on for a call that waits. */
static struct {
    struct call_ticket ticket;
    unsigned asked, gone;
} work;

static void on_gone(void *context)
{
    assert_ptr_equal(context, &work);
    work.gone++;
}

static void wait_long(const struct admin_request *rq, struct answer *out)
{
    (void)out;
    work.asked++;
    work.ticket = call_wait(rq, 5000, on_gone, &work);
}

static void stream_long(const struct admin_request *rq, struct answer *out)
{
    (void)out;
    work.asked++;
    work.ticket = call_stream(rq, "text/event-stream", on_gone, &work);
}

static const struct conf_type body_type = { .name = "body" };

static const struct admin_route routes[] = {
    { HTTP_GET, "/hello", ROLE_VIEW, say_hello, "Hello" },
    { HTTP_GET, "/open", ROLE_NONE, say_hello, "Hello to everybody", .is_open = true },
    { HTTP_GET, "/big", ROLE_VIEW, say_much, "Much" },
    { HTTP_GET, "/wait", ROLE_VIEW, wait_long, "Later" },
    { HTTP_GET, "/stream", ROLE_VIEW, stream_long, "Without an end" },
    { HTTP_GET, "/effect", ROLE_VIEW, say_hello, "Does something", .has_effect = true },
    { HTTP_PATCH, "/echo", ROLE_OPERATE, say_again, "Says it again", .body = &body_type },
    { 0 },
};

static void on_request(struct http_service *service, struct http_stream *s, struct http_head *head,
                       unsigned flags)
{
    (void)flags;
    struct bench *b = container_of(service, struct bench, service);
    const struct call_from from = { .is_reserved = b->is_reserved };
    call_on_request(&b->env, s, head, &from);
}

static void on_fault(struct http_service *service, struct http_stream *s, const struct http_fault *fault,
                     struct slice start)
{
    (void)start;
    call_on_fault(&container_of(service, struct bench, service)->env, s, fault);
}

static void bury(struct loop_grave *g)
{
    free(container_of(g, struct h1_server, http.grave));
}

static void on_closed(struct http_service *service, struct http_conn *c)
{
    struct bench *b = container_of(service, struct bench, service);
    b->is_closed = true;
    loop_bury(&b->loop, &c->grave, bury);
}

static void open_bench(struct bench *b)
{
    struct err err;
    int fds[2];
    memset(b, 0, sizeof(*b));
    memset(&work, 0, sizeof(work));
    b->budget.limit = 64 << 20;
    assert_int_equal(loop_init(&b->loop, &b->budget, &err), 0);
    b->loop.is_virtual = true;
    b->service = (struct http_service){ .on_request = on_request,
                                        .on_fault = on_fault,
                                        .on_closed = on_closed,
                                        .limits = { .head_max = 8192, .field_max = 32 },
                                        .header_timeout_ms = 100000,
                                        .keep_alive_timeout_ms = 100000,
                                        .write_timeout_ms = 100000 };
    b->env = (struct call_env){ .loop = &b->loop, .routes = routes };
    assert_int_equal(address_parse(SLICE("127.0.0.1:9091"), true, &b->env.guard.bind, &err), 0);
    list_init(&b->env.calls);
    list_init(&b->connections);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    b->client = fds[0];
    struct address peer;
    assert_int_equal(address_parse(SLICE("127.0.0.1:1"), true, &peer, &err), 0);
    struct h1_server *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    h1_server_start(c, &b->service, &b->loop, fds[1], &peer, 1, &b->connections);
}

/* Turns until nothing is going to happen, and takes what the client was sent. */
static void turn(struct bench *b)
{
    for (int i = 0; i < 20; i++) {
        loop_turn(&b->loop, 0);
        if (b->client < 0) continue;
        size_t room = sizeof(b->received) - 1 - b->received_len;
        ssize_t got = room ? read(b->client, b->received + b->received_len, room) : 0;
        if (got > 0) b->received_len += (size_t)got;
        b->received[b->received_len] = 0;
    }
}

static void turn_without_reading(struct bench *b)
{
    for (int i = 0; i < 20; i++) loop_turn(&b->loop, 0);
}

static void pass(struct bench *b, uint64_t ms)
{
    b->loop.now_ns += ms * NS_PER_MS;
    turn_without_reading(b);
}

static const char *ask(struct bench *b, const char *text)
{
    b->received_len = 0;
    assert_int_equal(write(b->client, text, strlen(text)), strlen(text));
    turn(b);
    return b->received;
}

/* Nothing is left: no call, no block, nothing drawn on the budget but the loop's own. */
static void close_bench(struct bench *b)
{
    if (b->client >= 0) close(b->client);
    b->client = -1;
    turn(b);
    assert_true(list_is_empty(&b->env.calls));
    assert_true(b->is_closed);
    assert_int_equal(b->loop.blocks.live, 0);
    assert_int_equal(b->loop.timers.count, 0);
    loop_fini(&b->loop);
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static void a_connection_carries_one_request_after_another(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    for (int i = 0; i < 3; i++) {
        const char *got = ask(&b, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
        assert_true(begins(got, "HTTP/1.1 200 OK\r\n"));
        assert_non_null(strstr(got, "\r\nContent-Length: 6\r\n"));
        assert_non_null(strstr(got, "\r\n\r\nhello\n"));
    }
    const char *got = ask(&b, "GET /hello HTTP/1.1\r\n" HOST "\r\nGET /open HTTP/1.1\r\n" HOST "\r\n");
    assert_non_null(strstr(got, "hello\nHTTP/1.1 200 OK\r\n"));
    assert_false(b.is_closed);
    close_bench(&b);
}

static void head_is_answered_without_its_body(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    const char *got = ask(&b, "HEAD /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_non_null(strstr(got, "\r\nContent-Length: 6\r\n"));
    assert_null(strstr(got, "hello"));
    close_bench(&b);
}

static void refusals_are_problems_with_their_status(void **state)
{
    (void)state;
    static const struct {
        const char *request, *status, *part;
    } cases[] = {
        { "GET /nothing HTTP/1.1\r\n" HOST "\r\n", "404", "GET / lists what there is" },
        { "GET /helo HTTP/1.1\r\n" HOST "\r\n", "404", "did you mean /hello?" },
        { "PATCH /hello HTTP/1.1\r\n" HOST "\r\n", "405", "\r\nAllow: GET, HEAD, OPTIONS\r\n" },
        { "BREW /hello HTTP/1.1\r\n" HOST "\r\n", "405", "The method BREW" },
        { "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "405", "\r\nAllow: " },
        { "GET /hello?x HTTP/1.1\r\n" HOST "\r\n", "400", "takes none" },
        { "GET /%00 HTTP/1.1\r\n" HOST "\r\n", "400", "control byte" },
        { "GET /hello HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403", "evil.example" },
        { "PATCH /echo HTTP/1.1\r\n" HOST "Origin: http://evil.example\r\n\r\n", "403", "may not use" },
        { "PATCH /echo HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n1", "415",
          "Content-Type: application/json" },
        { "PATCH /echo HTTP/1.1\r\n" HOST JSON "Content-Length: 65537\r\n\r\n", "413", "65536" },
        { "GET /hello HTTP/1.1\r\n\r\n", "400", "Host" },
        { "GET /hello HTTP/1.1 \r\n" HOST "\r\n", "400", "not correct HTTP" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct bench b;
        open_bench(&b);
        const char *got = ask(&b, cases[i].request);
        if (strncmp(got + 9, cases[i].status, 3) != 0) fail_msg("%s: %s", cases[i].request, got);
        assert_non_null(strstr(got, "\r\nContent-Type: application/problem+json\r\n"));
        if (!strstr(got, cases[i].part)) fail_msg("%s: %s", cases[i].request, got);
        close_bench(&b);
    }
}

static void options_says_what_a_path_takes(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    assert_non_null(
        strstr(ask(&b, "OPTIONS /echo HTTP/1.1\r\n" HOST "\r\n"), "\r\nAllow: PATCH, OPTIONS\r\n"));
    assert_true(begins(ask(&b, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), "HTTP/1.1 204 No Content\r\n"));
    close_bench(&b);
}

static void without_the_token_there_is_nothing_but_health(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    static const struct admin_conf conf = { .token = "secret" };
    b.env.guard.conf = &conf;
    const char *got = ask(&b, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_true(begins(got, "HTTP/1.1 401 Unauthorized\r\n"));
    assert_non_null(strstr(got, "\r\nWWW-Authenticate: Bearer realm=\"weir\"\r\n"));
    assert_non_null(strstr(got, "\r\nWWW-Authenticate: Basic realm=\"weir\""));
    /* Nor is it said which paths there are. */
    assert_true(begins(ask(&b, "GET /nothing HTTP/1.1\r\n" HOST "\r\n"), "HTTP/1.1 401 "));
    assert_true(begins(ask(&b, "OPTIONS /hello HTTP/1.1\r\n" HOST "\r\n"), "HTTP/1.1 401 "));
    assert_true(begins(ask(&b, "GET /open HTTP/1.1\r\nHost: any.example\r\n\r\n"), "HTTP/1.1 200 "));
    got = ask(&b, "GET /hello HTTP/1.1\r\nHost: any.example\r\nAuthorization: Bearer secret\r\n\r\n");
    assert_true(begins(got, "HTTP/1.1 200 "));
    close_bench(&b);
}

static void a_body_is_whole_before_its_handler_runs_however_it_comes(void **state)
{
    (void)state;
    static const char request[] = "PATCH /echo HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked\r\n\r\n"
                                  "5\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\n\r\n"
                                  "PATCH /echo HTTP/1.1\r\n" HOST JSON "Content-Length: 4\r\n\r\nagain";
    size_t len = sizeof(request) - 2; /* but the last byte, which is no part of it */
    for (size_t cut = 1; cut < len; cut++) {
        struct bench b;
        open_bench(&b);
        assert_int_equal(write(b.client, request, cut), cut);
        turn(&b);
        assert_int_equal(write(b.client, request + cut, len - cut), len - cut);
        turn(&b);
        assert_non_null(strstr(b.received, "\r\n\r\nhello worldHTTP/1.1 200 OK\r\n"));
        assert_non_null(strstr(b.received, "\r\n\r\nagai"));
        close_bench(&b);
    }
}

static void a_client_that_asks_is_told_to_go_on(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    const char *got = ask(&b, "PATCH /echo HTTP/1.1\r\n" HOST JSON
                              "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_string_equal(got, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_non_null(strstr(ask(&b, "ok"), "\r\n\r\nok"));
    close_bench(&b);
}

static void a_chunked_body_over_the_bound_is_refused(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    ask(&b, "PATCH /echo HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked\r\n\r\n10001\r\n");
    char *much = malloc(65537);
    memset(much, ' ', 65537);
    for (size_t sent = 0; sent < 65537;) {
        ssize_t now = write(b.client, much + sent, 65537 - sent);
        if (now > 0) sent += (size_t)now;
        turn(&b);
    }
    free(much);
    assert_true(begins(b.received, "HTTP/1.1 413 "));
    close_bench(&b);
}

static void a_body_that_does_not_come_is_waited_for_only_so_long(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    ask(&b, "PATCH /echo HTTP/1.1\r\n" HOST JSON "Content-Length: 10\r\n\r\n1");
    pass(&b, CALL_BODY_MS - 1);
    turn(&b);
    assert_int_equal(b.received_len, 0);
    pass(&b, 1);
    turn(&b);
    assert_true(begins(b.received, "HTTP/1.1 408 "));
    assert_non_null(strstr(b.received, "\r\nConnection: close\r\n"));
    close_bench(&b);
}

static void a_large_answer_goes_out_as_fast_as_it_is_taken(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    assert_int_equal(write(b.client, "GET /big HTTP/1.1\r\n" HOST "\r\n", 43), 43);
    size_t total = 0;
    for (int i = 0; i < 200000 && total < BIG; i++) {
        ssize_t got = read(b.client, b.received, sizeof(b.received));
        if (got > 0) total += (size_t)got;
        if (got < 0) loop_turn(&b.loop, 0);
        if (total > BIG / 2) pass(&b, 10); /* slow, but never for long */
    }
    assert_true(total >= BIG);
    turn(&b);
    assert_true(list_is_empty(&b.env.calls));
    assert_true(b.budget.used < BIG);
    assert_false(b.is_closed);
    close_bench(&b);
}

static void a_client_that_takes_nothing_is_cut_off(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    assert_int_equal(write(b.client, "GET /big HTTP/1.1\r\n" HOST "\r\n", 43), 43);
    turn_without_reading(&b);
    assert_false(list_is_empty(&b.env.calls));
    assert_true(b.budget.used >= BIG);
    pass(&b, CALL_WRITE_MS - 1);
    assert_false(b.is_closed);
    pass(&b, 2);
    assert_true(b.is_closed);
    assert_true(b.budget.used < BIG);
    close_bench(&b);
}

static void a_client_that_takes_a_little_now_and_then_is_cut_off_in_the_end(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    assert_int_equal(write(b.client, "GET /big HTTP/1.1\r\n" HOST "\r\n", 43), 43);
    turn_without_reading(&b);
    for (uint64_t ms = 0; ms < CALL_ANSWER_MS; ms += 5000) {
        assert_false(b.is_closed);
        for (int i = 0; i < 20; i++)
            if (read(b.client, b.received, sizeof(b.received)) < 0) assert_int_equal(errno, EAGAIN);
        pass(&b, 5000);
    }
    pass(&b, 1);
    assert_true(b.is_closed);
    close_bench(&b);
}

static void answers_that_wait_are_bounded_together(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    b.budget.limit = b.budget.used + BIG / 2;
    const char *got = ask(&b, "GET /big HTTP/1.1\r\n" HOST "\r\n");
    assert_true(begins(got, "HTTP/1.1 503 "));
    b.budget.limit = 64 << 20;
    close_bench(&b);
}

static void a_client_may_go_at_any_time(void **state)
{
    (void)state;
    static const char *const requests[] = { "GET /big HTTP/1.1\r\n" HOST "\r\n",
                                            "GET /hello HTTP/1.1\r\n" HOST "\r\n",
                                            "PATCH /echo HTTP/1.1\r\n" HOST JSON
                                            "Content-Length: 10\r\n\r\n1" };
    for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
        for (size_t cut = 1; cut <= strlen(requests[i]); cut++) {
            struct bench b;
            open_bench(&b);
            assert_int_equal(write(b.client, requests[i], cut), cut);
            turn_without_reading(&b);
            close_bench(&b);
        }
    }
}

static void what_is_worked_on_hears_once_that_its_client_has_gone(void **state)
{
    (void)state;
    static const char *const requests[] = { "GET /wait HTTP/1.1\r\n" HOST "\r\n",
                                            "GET /stream HTTP/1.1\r\n" HOST "\r\n" };
    /* Also where the request and the end came as one. */
    for (size_t i = 0; i < 2; i++) {
        struct bench b;
        open_bench(&b);
        ask(&b, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
        assert_int_equal(write(b.client, requests[i], strlen(requests[i])), strlen(requests[i]));
        assert_int_equal(shutdown(b.client, SHUT_WR), 0);
        turn(&b);
        assert_int_equal(work.asked, 1);
        assert_int_equal(work.gone, 1);
        close_bench(&b);
    }
    for (size_t i = 0; i < 2; i++) {
        struct bench b;
        open_bench(&b);
        ask(&b, requests[i]);
        assert_int_equal(work.asked, 1);
        assert_int_equal(work.gone, 0);
        assert_int_equal(shutdown(b.client, SHUT_WR), 0);
        turn(&b);
        assert_int_equal(work.gone, 1);
        struct answer late = { 0 };
        answer_text(&late, 200, "late");
        assert_false(call_answer(work.ticket, &late));
        close_bench(&b);
        assert_int_equal(work.gone, 1);
    }
}

static void what_took_too_long_is_given_up(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    ask(&b, "GET /wait HTTP/1.1\r\n" HOST "\r\n");
    pass(&b, 4999);
    assert_int_equal(work.gone, 0);
    pass(&b, 1);
    turn(&b);
    assert_int_equal(work.gone, 1);
    assert_true(begins(b.received, "HTTP/1.1 503 "));
    close_bench(&b);
    assert_int_equal(work.gone, 1);
}

static void who_answers_is_not_told_that_the_client_went_afterwards(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    ask(&b, "GET /wait HTTP/1.1\r\n" HOST "\r\n");
    struct answer a = { 0 };
    answer_text(&a, 200, "at last");
    assert_true(call_answer(work.ticket, &a));
    turn(&b);
    assert_non_null(strstr(b.received, "\r\n\r\nat last"));
    close_bench(&b);
    assert_int_equal(work.gone, 0);
}

static void calls_that_take_long_leave_room_for_others(void **state)
{
    (void)state;
    static struct bench benches[CALL_LONG_MAX + 1];
    struct bench *first = &benches[0];
    open_bench(first);
    ask(first, "GET /wait HTTP/1.1\r\n" HOST "\r\n");
    for (uint32_t i = 1; i <= CALL_LONG_MAX; i++) {
        /* Further connections of the same API: their calls are in one list. */
        int fds[2];
        struct address peer;
        struct err err;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        assert_int_equal(address_parse(SLICE("127.0.0.1:1"), true, &peer, &err), 0);
        struct h1_server *c = calloc(1, sizeof(*c));
        assert_non_null(c);
        benches[i].client = fds[0];
        h1_server_start(c, &first->service, &first->loop, fds[1], &peer, 1 + i, &first->connections);
        const char *request = i % 2 ? "GET /stream HTTP/1.1\r\n" HOST "\r\n"
                                    : "GET /wait HTTP/1.1\r\n" HOST "\r\n";
        assert_int_equal(write(fds[0], request, strlen(request)), strlen(request));
        turn_without_reading(first);
    }
    struct bench *last = &benches[CALL_LONG_MAX];
    ssize_t got = read(last->client, last->received, sizeof(last->received) - 1);
    assert_true(got > 0);
    last->received[got] = 0;
    assert_true(begins(last->received, "HTTP/1.1 503 "));
    assert_int_equal(work.gone, 1); /* what it had begun */
    const char *request = "GET /hello HTTP/1.1\r\n" HOST "\r\n";
    assert_int_equal(write(last->client, request, strlen(request)), strlen(request));
    turn_without_reading(first);
    got = read(last->client, last->received, sizeof(last->received) - 1);
    assert_true(got > 0 && begins(last->received, "HTTP/1.1 200 "));
    for (uint32_t i = 1; i <= CALL_LONG_MAX; i++) close(benches[i].client);
    close_bench(first);
    assert_int_equal(work.gone, CALL_LONG_MAX + 1);
}

static void a_reserved_connection_is_for_health_checks_alone(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    b.is_reserved = true;
    assert_true(begins(ask(&b, "GET /hello HTTP/1.1\r\n" HOST "\r\n"), "HTTP/1.1 503 "));
    assert_true(begins(ask(&b, "GET /open HTTP/1.1\r\n" HOST "\r\n"), "HTTP/1.1 200 "));
    close_bench(&b);
}

static void a_page_of_another_site_starts_nothing(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    const char *link =
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";
    char request[512];
    static const struct {
        const char *path, *status;
    } cases[] = { { "/hello", "200" }, { "/effect", "403" }, { "/open", "200" } };
    for (size_t i = 0; i < 3; i++) {
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n" HOST "%s\r\n", cases[i].path, link);
        assert_memory_equal(ask(&b, request) + 9, cases[i].status, 3);
    }
    close_bench(&b);
}

static void everything_can_be_ended_at_once(void **state)
{
    (void)state;
    static const char *const requests[] = { "GET /big HTTP/1.1\r\n" HOST "\r\n",
                                            "PATCH /echo HTTP/1.1\r\n" HOST JSON
                                            "Content-Length: 10\r\n\r\n1" };
    for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
        struct bench b;
        open_bench(&b);
        assert_int_equal(write(b.client, requests[i], strlen(requests[i])), strlen(requests[i]));
        turn_without_reading(&b);
        assert_false(list_is_empty(&b.env.calls));
        call_kill_all(&b.env);
        assert_true(b.is_closed);
        close_bench(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_carries_one_request_after_another),
        cmocka_unit_test(head_is_answered_without_its_body),
        cmocka_unit_test(refusals_are_problems_with_their_status),
        cmocka_unit_test(options_says_what_a_path_takes),
        cmocka_unit_test(without_the_token_there_is_nothing_but_health),
        cmocka_unit_test(a_body_is_whole_before_its_handler_runs_however_it_comes),
        cmocka_unit_test(a_client_that_asks_is_told_to_go_on),
        cmocka_unit_test(a_chunked_body_over_the_bound_is_refused),
        cmocka_unit_test(a_body_that_does_not_come_is_waited_for_only_so_long),
        cmocka_unit_test(a_large_answer_goes_out_as_fast_as_it_is_taken),
        cmocka_unit_test(a_client_that_takes_nothing_is_cut_off),
        cmocka_unit_test(a_client_that_takes_a_little_now_and_then_is_cut_off_in_the_end),
        cmocka_unit_test(answers_that_wait_are_bounded_together),
        cmocka_unit_test(a_client_may_go_at_any_time),
        cmocka_unit_test(what_is_worked_on_hears_once_that_its_client_has_gone),
        cmocka_unit_test(what_took_too_long_is_given_up),
        cmocka_unit_test(who_answers_is_not_told_that_the_client_went_afterwards),
        cmocka_unit_test(calls_that_take_long_leave_room_for_others),
        cmocka_unit_test(a_reserved_connection_is_for_health_checks_alone),
        cmocka_unit_test(a_page_of_another_site_starts_nothing),
        cmocka_unit_test(everything_can_be_ended_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
