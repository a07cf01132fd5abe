/* A client's connection over a pair of sockets and a virtual clock, with a service that answers when the test says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/poison.h"
#include "base/slab.h"
#include "http/h1_server_steps.h"
#include "net/keeping.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

struct scene {
    struct http_service service; /* first */
    struct budget budget;
    struct loop loop;
    struct slab connections;
    struct h1_worker worker;
    struct list among;
    struct loop_task end_task; /* lets go of the stream, put off as an exchange does */
    struct http_stream *stream;
    struct h1_server *server;
    enum end_reason fault, error; /* the latest of on_fault, on_error */
    unsigned asked, faults, errors, closed, bodies;
    uint8_t end;          /* of a connection that was never open */
    bool ends_with_error; /* what on_error tells is the end */
    char targets[64];
    int far;
};

static struct scene *scene_of(struct http_service *service)
{
    return container_of(service, struct scene, service);
}

static void on_end_task(struct loop_task *t)
{
    struct scene *s = container_of(t, struct scene, end_task);
    struct http_stream *stream = s->stream;
    s->stream = NULL;
    assert_true(stream->ops != NULL); /* it is still there */
    http_stream_release(stream);
}

static size_t on_body(struct http_stream *stream, const char *data, size_t len, unsigned flags)
{
    struct scene *s = stream->owner;
    (void)data, (void)flags;
    s->bodies += (unsigned)len;
    return len;
}

static void on_trailers(struct http_stream *stream, const struct http_field *fields, uint32_t count)
{
    (void)stream, (void)fields, (void)count;
}

static void on_error(struct http_stream *stream, const struct http_fault *fault)
{
    struct scene *s = stream->owner;
    s->errors++;
    s->error = fault->reason;
    if (s->ends_with_error) loop_defer(&s->loop, &s->end_task);
}

static void on_writable(struct http_stream *stream)
{
    (void)stream;
}

static const struct http_stream_events events = {
    .on_body = on_body, .on_trailers = on_trailers, .on_error = on_error, .on_writable = on_writable
};

static void on_request(struct http_service *service, struct http_stream *stream, struct http_head *head,
                       unsigned flags)
{
    struct scene *s = scene_of(service);
    (void)flags;
    s->asked++;
    s->stream = stream;
    stream->events = &events;
    stream->owner = s;
    strncat(s->targets, head->target.data, head->target.len);
}

static void on_fault(struct http_service *service, struct http_stream *stream, const struct http_fault *fault,
                     struct slice start)
{
    struct scene *s = scene_of(service);
    (void)start;
    s->faults++;
    s->fault = fault->reason;
    s->stream = stream;
    stream->events = &events;
    stream->owner = s;
}

static void bury(struct loop_grave *g)
{
    struct http_conn *c = container_of(g, struct http_conn, grave);
    slab_put(&scene_of(c->service)->connections, c);
}

static void on_closed(struct http_service *service, struct http_conn *c)
{
    struct scene *s = scene_of(service);
    s->closed++;
    s->end = c->end;
    s->server = NULL;
    loop_bury(&s->loop, &c->grave, bury);
}

static void turns(struct scene *s, int count)
{
    for (int i = 0; i < count; i++) loop_turn(&s->loop, 0);
}

static void pass_time(struct scene *s, uint64_t ms)
{
    s->loop.now_ns += ms * NS_PER_MS;
    turns(s, 2);
}

static void say(struct scene *s, const char *text)
{
    assert_int_equal(send(s->far, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    turns(s, 3);
}

/* What has come so far. */
static const char *hear(struct scene *s)
{
    static char text[8192];
    turns(s, 3);
    ssize_t got = recv(s->far, text, sizeof(text) - 1, MSG_DONTWAIT);
    text[got > 0 ? got : 0] = 0;
    return text;
}

static bool has_ended(struct scene *s)
{
    char byte;
    turns(s, 3);
    return recv(s->far, &byte, 1, MSG_DONTWAIT) == 0;
}

/* `k`: its transport takes several turns to open; NULL: it is open. */
static void open_scene_over(struct scene *s, struct keeping *k)
{
    struct err err;
    struct address nobody = { .len = sizeof(sa_family_t) };
    int fds[2];
    memset(s, 0, sizeof(*s));
    s->service = (struct http_service){ .on_request = on_request,
                                        .on_fault = on_fault,
                                        .on_closed = on_closed,
                                        .limits = { .head_max = 4096, .field_max = 32 },
                                        .header_timeout_ms = 1000,
                                        .keep_alive_timeout_ms = 2000,
                                        .write_timeout_ms = 3000 };
    s->budget.limit = 1 << 20;
    assert_int_equal(loop_init(&s->loop, &s->budget, &err), 0);
    s->loop.is_virtual = true;
    slab_init(&s->connections, &s->loop.blocks, sizeof(struct h1_server));
    h1_worker_init(&s->worker, &s->loop);
    s->service.h1 = &s->worker;
    list_init(&s->among);
    loop_task_init(&s->end_task, on_end_task);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    nobody.sa.any.sa_family = AF_UNIX;
    s->far = fds[1];
    s->server = slab_get(&s->connections);
    assert_non_null(s->server);
    if (!k) {
        h1_server_start(s->server, &s->service, &s->loop, fds[0], &nobody, 1, &s->among);
        return;
    }
    http_conn_init(&s->server->http, &s->service, &s->loop, fds[0], &nobody, 1, &s->among);
    keeping_over(k, &s->server->http.transport);
    http_conn_open(&s->server->http, h1_server_begin);
}

static void open_scene(struct scene *s)
{
    open_scene_over(s, NULL);
}

static void close_scene(struct scene *s)
{
    s->ends_with_error = true;
    http_conn_kill_all(&s->among, END_DRAINED);
    turns(s, 3);
    assert_int_equal(s->loop.timers.count, 0);
    assert_true(list_is_empty(&s->among));
    assert_int_equal(s->closed, 1);
    close(s->far);
    slab_fini(&s->connections);
    h1_worker_fini(&s->worker);
    loop_fini(&s->loop);
    assert_int_equal(s->budget.used, 0);
}

static void answer(struct scene *s)
{
    struct http_head head = { .version = HTTP_VERSION_1_1, .status = 200, .reason = SLICE("OK") };
    struct http_send send = { .head = &head, .body = HTTP_BODY_LENGTH, .content_length = 2 };
    size_t taken = 0;
    assert_int_equal(http_send_head(s->stream, &send, HTTP_MORE), IO_OK);
    assert_int_equal(http_send_body(s->stream, "ok", 2, HTTP_END, &taken), IO_OK);
    loop_defer(&s->loop, &s->end_task);
    turns(s, 3);
}

static void requests_that_came_together_are_served_one_after_the_other(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    say(&s, "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\nGET /c HT");
    assert_int_equal(s.asked, 1);
    answer(&s);
    assert_int_equal(s.asked, 2);
    assert_string_equal(hear(&s), OK);
    answer(&s);
    assert_string_equal(hear(&s), OK);
    assert_int_equal(s.asked, 2);
    say(&s, "TP/1.1\r\nHost: h\r\n\r\n");
    assert_string_equal(s.targets, "/a/b/c");
    answer(&s);
    assert_string_equal(hear(&s), OK);
    assert_int_equal(s.closed, 0);
    assert_int_equal(s.loop.blocks.live, 0); /* idle, it holds nothing */
    close_scene(&s);
}

/* Most connections are idle most of the time. */
/* Where slabs poison what they have back, all goes back. */
#define KEPT(count) (IS_ADDRESS_SANITIZED ? 0u : (count))

static void an_idle_connection_keeps_nothing_of_a_request(void **state)
{
    (void)state;
    struct scene s;
    assert_true(sizeof(struct h1_server) <= 264);
    open_scene(&s);
    turns(&s, 2);
    assert_null(s.server->request);
    for (int i = 0; i < 3; i++) {
        say(&s, "GET /a HT");
        assert_non_null(s.server->request);
        assert_int_equal(s.server->http.ops->use(&s.server->http), HTTP_CONN_BEGINNING);
        say(&s, "TP/1.1\r\nHost: h\r\n\r\n");
        assert_non_null(s.server->request);
        answer(&s);
        assert_string_equal(hear(&s), OK);
        assert_null(s.server->request);
        turns(&s, 1);
        assert_int_equal(s.worker.requests.live, KEPT(1)); /* for the next */
        assert_int_equal(s.server->http.ops->use(&s.server->http), HTTP_CONN_IDLE);
    }
    /* What comes with the rest of a body, and one whose answer nobody waited for. */
    say(&s, "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab");
    answer(&s);
    assert_string_equal(hear(&s), OK);
    assert_non_null(s.server->request);
    say(&s, "cd");
    assert_null(s.server->request);
    turns(&s, 1);
    assert_int_equal(s.worker.requests.live, KEPT(1));
    close_scene(&s);
    assert_int_equal(s.asked, 4);
}

static void what_many_requests_needed_at_a_time_comes_back_but_for_a_few(void **state)
{
    (void)state;
    struct scene s;
    static struct h1_server many[100];
    open_scene(&s);
    for (unsigned i = 0; i < 100; i++) {
        many[i] = (struct h1_server){ .http = { .service = &s.service, .transport = { .loop = &s.loop } } };
        assert_true(h1_server_begin_request(&many[i]));
    }
    assert_int_equal(s.worker.requests.live, 100);
    for (unsigned i = 0; i < 100; i++) h1_server_rest(&many[i]);
    turns(&s, 1);
    assert_int_equal(s.worker.requests.live, KEPT(32));
    assert_int_equal(s.worker.kept_count, KEPT(32));
    close_scene(&s);
}

static void a_request_that_there_is_no_memory_for_ends_its_connection_with_that_reason(void **state)
{
    (void)state;
    for (int had_one = 0; had_one < 2; had_one++) {
        struct scene s;
        open_scene(&s);
        turns(&s, 2);
        if (had_one) {
            say(&s, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
            answer(&s);
            assert_string_equal(hear(&s), OK);
            h1_worker_fini(&s.worker);
            h1_worker_init(&s.worker, &s.loop);
        }
        uint64_t limit = s.budget.limit;
        s.budget.limit = s.budget.used;
        say(&s, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_int_equal(s.closed, 1);
        assert_int_equal(s.end, END_NO_MEMORY);
        assert_int_equal(s.asked, had_one);
        assert_true(has_ended(&s));
        s.budget.limit = limit;
        close_scene(&s);
    }
}

static void a_connection_opens_over_several_turns_and_then_speaks_in_the_same_place(void **state)
{
    (void)state;
    static struct keeping k;
    struct scene s;
    k = (struct keeping){ .opens_left = 2, .lets_pass = 4096 };
    open_scene_over(&s, &k);
    assert_int_equal(s.server->http.ops->use(&s.server->http), HTTP_CONN_BEGINNING);
    assert_true(s.server->http.transport.io.is_registered);
    uint32_t registered = s.loop.fd_count;
    turns(&s, 1); /* writable: the second time */
    assert_int_equal(k.opens_left, 0);
    http_conn_drain(&s.server->http); /* whatever is on its way is served */
    pass_time(&s, 900);
    say(&s, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(s.asked, 1);
    assert_int_equal(s.loop.fd_count, registered);
    answer(&s);
    assert_string_equal(hear(&s), OK);
    assert_int_equal(s.server->http.ops->use(&s.server->http), HTTP_CONN_IDLE);
    close_scene(&s);
    assert_int_equal(s.end, END_NONE);
    assert_int_equal(k.closed, 1);
}

/* Opening and the first head share one time. */
static void what_opens_slowly_has_less_time_for_its_first_head(void **state)
{
    (void)state;
    static struct keeping k;
    struct scene s;
    k = (struct keeping){ .opens_left = 1, .lets_pass = 4096 };
    open_scene_over(&s, &k);
    pass_time(&s, 900); /* of 1000 */
    say(&s, "GET /a HT");
    pass_time(&s, 101);
    assert_int_equal(s.faults, 0); /* a head that has begun has a time of its own */
    pass_time(&s, 900);
    assert_int_equal(s.faults, 1);
    assert_int_equal(s.fault, END_HEADER_TIMEOUT);
    close_scene(&s);
}

static void what_never_opens_ends_with_a_reason_and_without_a_request(void **state)
{
    (void)state;
    static const struct {
        struct keeping how;
        bool is_killed;
        enum end_reason end;
    } cases[] = {
        { { .opens_left = 1000 }, false, END_HEADER_TIMEOUT },
        { { .opens_left = 1000 }, true, END_DRAINED },
        { { .opens_left = 1, .fails_to_open = true }, false, END_CLIENT_ABORT },
        { { .fails_to_open = true }, false, END_CLIENT_ABORT },
        { { .opens_left = 1, .fails_to_open = true, .fault = END_BAD_REQUEST }, false, END_BAD_REQUEST },
    };
    static struct keeping k;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct scene s;
        k = cases[i].how;
        open_scene_over(&s, &k);
        turns(&s, 2);
        if (cases[i].is_killed) http_conn_kill(&s.server->http, END_DRAINED);
        if (!k.fails_to_open) pass_time(&s, 1001);
        assert_int_equal(s.closed, 1);
        assert_int_equal(s.end, cases[i].end);
        assert_int_equal(s.asked + s.faults, 0);
        assert_int_equal(k.closed, 1);
        assert_true(has_ended(&s));
        close_scene(&s);
    }
}

/* Its last bytes may wait in the transport, as cipher text does: it is not closed over them, nor is the next request begun. */
static void what_the_transport_keeps_is_out_before_the_connection_goes_on(void **state)
{
    (void)state;
    static struct keeping k;
    for (int closes = 0; closes < 2; closes++) {
        struct scene s;
        open_scene(&s);
        memset(&k, 0, sizeof(k));
        keeping_over(&k, &s.server->http.transport);
        say(&s, closes ? "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
                       : "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n");
        answer(&s);
        assert_string_equal(hear(&s), "");
        assert_int_equal(s.asked, 1);
        assert_int_equal(s.closed, 0);
        k.lets_pass = 4096;
        loop_defer(&s.loop, &s.server->request->conn.task);
        s.server->http.transport.is_writable = true; /* what an event says */
        (void)transport_flush(&s.server->http.transport);
        turns(&s, 3);
        if (closes)
            assert_string_equal(hear(&s),
                                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        else
            assert_string_equal(hear(&s), OK);
        assert_int_equal(s.asked, closes ? 1 : 2);
        assert_int_equal(s.closed, closes);
        if (!closes) answer(&s);
        close_scene(&s);
    }
}

/* Killed from the outside while somebody has its stream: shut at once, but there until he lets go, which comes later. */
static void a_killed_connection_stays_until_its_stream_is_let_go(void **state)
{
    (void)state;
    for (int turns_between = 0; turns_between < 4; turns_between++) {
        struct scene s;
        open_scene(&s);
        say(&s, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
        assert_int_equal(s.asked, 1);
        http_conn_kill(&s.server->http, END_NO_MEMORY);
        http_conn_kill(&s.server->http, END_NO_MEMORY);
        assert_int_equal(s.errors, 2); /* the reason, and that nothing is waited for */
        assert_int_equal(s.error, END_CLIENT_ABORT);
        turns(&s, turns_between);
        assert_true(has_ended(&s));
        assert_int_equal(s.closed, 0);
        assert_false(list_is_empty(&s.among));
        assert_int_equal(s.loop.blocks.live, 0);
        assert_int_equal(s.loop.timers.count, 0);
        loop_defer(&s.loop, &s.end_task);
        turns(&s, 2);
        assert_int_equal(s.closed, 1);
        assert_int_equal(s.connections.live, 0);
        close_scene(&s);
    }
}

/* The fault that this guards against: the request is begun from within the turn's tasks, so that whatever its service puts
 * off runs in the next turn; and there is no memory to hold what follows it. */
static void without_memory_to_hold_what_follows_a_request_it_ends_with_its_stream_still_held(void **state)
{
    (void)state;
    struct scene s;
    size_t taken = 0;
    struct http_head head = { .version = HTTP_VERSION_1_1, .status = 200, .reason = SLICE("OK") };
    struct http_send send = { .head = &head, .body = HTTP_BODY_LENGTH, .content_length = 2 };
    open_scene(&s);
    s.ends_with_error = true;
    say(&s, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    answer(&s);
    hear(&s);
    say(&s, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    say(&s, "GET /c HTTP/1.1\r\nHost: h\r\n\r\nGET /d HTTP/1.1\r\nHost: h\r\n\r\nGET /e");
    assert_int_equal(http_send_head(s.stream, &send, HTTP_MORE), IO_OK);
    assert_int_equal(http_send_body(s.stream, "ok", 2, HTTP_END, &taken), IO_OK);
    loop_defer(&s.loop, &s.end_task);
    turns(&s, 1); /* let go: the next request is read from within the next turn's tasks */
    block_pool_trim(&s.loop.blocks);
    s.budget.limit = s.budget.used;
    turns(&s, 1);
    assert_int_equal(s.asked, 3);
    assert_int_equal(s.errors, 2);
    assert_int_equal(s.closed, 0);
    turns(&s, 1);
    assert_int_equal(s.closed, 1);
    s.budget.limit = 1 << 20;
    close_scene(&s);
}

static void a_head_has_its_time_and_so_has_idleness(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    say(&s, "GET /a HT");
    pass_time(&s, 999);
    assert_int_equal(s.faults, 0);
    pass_time(&s, 1);
    assert_int_equal(s.faults, 1);
    assert_int_equal(s.fault, END_HEADER_TIMEOUT);
    answer(&s);
    assert_true(strstr(hear(&s), "Connection: close\r\n") != NULL);
    pass_time(&s, 60000);
    close_scene(&s);
    open_scene(&s);
    say(&s, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    pass_time(&s, 60000); /* an exchange has its own limits */
    answer(&s);
    assert_string_equal(hear(&s), OK);
    pass_time(&s, 1999);
    assert_false(has_ended(&s));
    pass_time(&s, 1);
    assert_true(has_ended(&s)); /* without a word */
    assert_int_equal(s.faults, 0);
    close_scene(&s);
}

static void what_is_no_request_is_a_fault_and_the_last_on_its_connection(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    say(&s, "GET /a HTTP/1.1\r\nHost : h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(s.faults, 1);
    assert_int_equal(s.fault, END_BAD_REQUEST);
    answer(&s);
    assert_true(strstr(hear(&s), "Connection: close\r\n") != NULL);
    assert_int_equal(s.asked, 0);
    close_scene(&s);
}

static void draining_ends_an_idle_one_at_once_and_a_busy_one_with_its_answer(void **state)
{
    (void)state;
    for (int is_busy = 0; is_busy < 2; is_busy++) {
        struct scene s;
        open_scene(&s);
        say(&s, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
        if (!is_busy) {
            answer(&s);
            assert_string_equal(hear(&s), OK);
        }
        s.service.is_draining = true;
        http_conn_drain(&s.server->http);
        if (is_busy) {
            assert_false(has_ended(&s));
            answer(&s);
            assert_true(strstr(hear(&s), "Connection: close\r\n") != NULL);
        }
        assert_true(has_ended(&s));
        close_scene(&s);
    }
}

static void draining_leaves_who_has_asked_nothing_yet_a_moment(void **state)
{
    (void)state;
    for (int asks = 0; asks < 2; asks++) {
        struct scene s;
        open_scene(&s);
        s.service.header_timeout_ms = 5000;
        pass_time(&s, 500);
        s.service.is_draining = true;
        http_conn_drain(&s.server->http);
        pass_time(&s, 900);
        http_conn_drain(&s.server->http); /* once more: it has no more time for that */
        assert_false(has_ended(&s));
        if (asks) {
            say(&s, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
            answer(&s);
            assert_true(strstr(hear(&s), "Connection: close\r\n") != NULL);
        } else {
            pass_time(&s, 200);
        }
        assert_true(has_ended(&s));
        close_scene(&s);
    }
}

static void a_client_that_goes_is_told_to_whoever_waits_for_it(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    s.ends_with_error = true;
    say(&s, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
    assert_int_equal(s.bodies, 3);
    shutdown(s.far, SHUT_WR);
    turns(&s, 3);
    assert_int_equal(s.errors, 1);
    assert_int_equal(s.error, END_CLIENT_ABORT);
    assert_int_equal(s.connections.live, s.closed ? 0 : 1);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_that_came_together_are_served_one_after_the_other),
        cmocka_unit_test(what_the_transport_keeps_is_out_before_the_connection_goes_on),
        cmocka_unit_test(an_idle_connection_keeps_nothing_of_a_request),
        cmocka_unit_test(what_many_requests_needed_at_a_time_comes_back_but_for_a_few),
        cmocka_unit_test(a_request_that_there_is_no_memory_for_ends_its_connection_with_that_reason),
        cmocka_unit_test(a_connection_opens_over_several_turns_and_then_speaks_in_the_same_place),
        cmocka_unit_test(what_opens_slowly_has_less_time_for_its_first_head),
        cmocka_unit_test(what_never_opens_ends_with_a_reason_and_without_a_request),
        cmocka_unit_test(a_killed_connection_stays_until_its_stream_is_let_go),
        cmocka_unit_test(without_memory_to_hold_what_follows_a_request_it_ends_with_its_stream_still_held),
        cmocka_unit_test(a_head_has_its_time_and_so_has_idleness),
        cmocka_unit_test(what_is_no_request_is_a_fault_and_the_last_on_its_connection),
        cmocka_unit_test(draining_ends_an_idle_one_at_once_and_a_busy_one_with_its_answer),
        cmocka_unit_test(draining_leaves_who_has_asked_nothing_yet_a_moment),
        cmocka_unit_test(a_client_that_goes_is_told_to_whoever_waits_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
