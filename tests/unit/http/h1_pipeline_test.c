/* Several requests on one connection to a server that is this test: whose response is whose, who goes elsewhere and why, when
 * it ends, lags, or sends what nobody asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/rng.h"
#include "base/text.h"
#include "http/h1_pipeline.h"
#include "net/loopback.h"

#define ASKS_MAX 16

/* One request, and what came of it. */
struct ask {
    struct scene *scene;
    struct http_stream *stream; /* NULL: it was let go of */
    enum http_method method;
    unsigned number, heads, trailers;
    bool is_whole, was_unprocessed, had_received, takes_nothing;
    enum end_reason error;
    const char *detail;
    char body[64];
};

struct scene {
    struct budget budget;
    struct loop loop;
    struct slab connections, streams;
    struct h1_limits limits;
    struct address server;
    int listener, far;
    struct h1_client *client;
    struct timer timer;
    struct h1_pipeline pipeline;
    struct ask asks[ASKS_MAX];
    unsigned ask_count, opened, idle, closed, answered, rooms, losses, lost;
    enum h1_pipeline_loss why;
};

static struct scene *the_scene; /* for the owner's calls, which know connections only */

/* the owner */

static void on_idle(struct h1_client *c)
{
    assert_ptr_equal(c, the_scene->client);
    the_scene->idle++;
}

static void bury(struct loop_grave *g)
{
    slab_put(&the_scene->connections, container_of(g, struct h1_client, grave));
}

static void on_closed(struct h1_client *c)
{
    the_scene->closed++;
    the_scene->client = NULL;
    h1_pipeline_fini(&the_scene->pipeline);
    loop_bury(&the_scene->loop, &c->grave, bury);
}

static void on_stale(struct h1_client *c, uint64_t idle_ns)
{
    (void)c, (void)idle_ns;
}

static void on_keep_alive(struct h1_client *c, uint32_t timeout_s, uint32_t max)
{
    (void)c, (void)timeout_s, (void)max;
}

static bool on_whole(struct h1_client *c)
{
    (void)c;
    return h1_pipeline_whole(&the_scene->pipeline);
}

static const struct h1_client_owner owner = { .on_idle = on_idle,
                                              .on_closed = on_closed,
                                              .on_stale = on_stale,
                                              .on_keep_alive = on_keep_alive,
                                              .on_whole = on_whole };

static void on_room(struct h1_pipeline *p)
{
    assert_true(h1_pipeline_is_active(p));
    the_scene->rooms++;
}

static void on_answered(struct h1_pipeline *p, uint64_t took_ns)
{
    (void)p, (void)took_ns;
    the_scene->answered++;
}

static void on_loss(struct h1_pipeline *p, enum h1_pipeline_loss why, uint32_t lost)
{
    (void)p;
    the_scene->losses++;
    the_scene->lost += lost;
    the_scene->why = why;
}

static const struct h1_pipeline_owner pipeline_owner = { on_room, on_answered, on_loss };

static void on_timer(struct timer *t)
{
    (void)t;
    h1_pipeline_look(&the_scene->pipeline);
}

/* the exchanges */

static void on_open(struct http_stream *stream)
{
    ((struct ask *)stream->owner)->scene->opened++;
}

static void be_whole(struct ask *a)
{
    assert_false(a->is_whole);
    assert_int_equal(a->heads, 1);
    a->is_whole = true;
}

static void on_head(struct http_stream *stream, struct http_head *head, unsigned flags)
{
    struct ask *a = stream->owner;
    (void)flags;
    assert_false(a->is_whole || a->error);
    if (head->status < 200) return;
    a->heads++;
    if (head->body == HTTP_BODY_NONE) be_whole(a);
}

static size_t on_body(struct http_stream *stream, const char *data, size_t len, unsigned flags)
{
    struct ask *a = stream->owner;
    assert_false(a->is_whole || a->error);
    if (a->takes_nothing && len) return 0;
    assert_true(strlen(a->body) + len < sizeof(a->body));
    if (len) strncat(a->body, data, len);
    if (flags & HTTP_END) be_whole(a);
    return len;
}

static void on_trailers(struct http_stream *stream, const struct http_field *fields, uint32_t count)
{
    struct ask *a = stream->owner;
    (void)fields;
    a->trailers += count;
    be_whole(a);
}

static void on_error(struct http_stream *stream, const struct http_fault *fault)
{
    struct ask *a = stream->owner;
    assert_false(a->is_whole || a->error);
    a->error = fault->reason;
    a->detail = fault->detail;
    a->was_unprocessed = stream->is_unprocessed;
    a->had_received = stream->has_received;
    a->stream = NULL;
    http_stream_reset(stream, fault->reason);
}

static void on_writable(struct http_stream *stream)
{
    (void)stream;
}

static const struct http_stream_events events = { .on_open = on_open,
                                                  .on_head = on_head,
                                                  .on_body = on_body,
                                                  .on_trailers = on_trailers,
                                                  .on_error = on_error,
                                                  .on_writable = on_writable };

/* the scene */

static struct ask *lease(struct scene *s)
{
    struct ask *a = &s->asks[s->ask_count % ASKS_MAX];
    assert_null(a->stream);
    *a = (struct ask){ .scene = s, .number = s->ask_count++, .stream = h1_pipeline_lease(&s->pipeline) };
    assert_non_null(a->stream);
    a->stream->events = &events;
    a->stream->owner = a;
    return a;
}

static void send_request(struct ask *a, enum http_method method)
{
    char target[16];
    snprintf(target, sizeof(target), "/%u", a->number);
    struct http_head head = { .version = HTTP_VERSION_1_1,
                              .method = method,
                              .method_text = slice_of(method == HTTP_HEAD ? "HEAD" : "GET"),
                              .target = slice_of(target) };
    struct http_send send = { .head = &head, .authority = SLICE("h"), .body = HTTP_BODY_NONE };
    a->method = method;
    assert_int_equal(http_send_head(a->stream, &send, 0), IO_OK);
}

static struct ask *ask(struct scene *s)
{
    struct ask *a = lease(s);
    send_request(a, HTTP_GET);
    return a;
}

static void let_go(struct ask *a)
{
    struct http_stream *stream = a->stream;
    a->stream = NULL;
    if (!stream) return;
    if (a->is_whole)
        http_stream_release(stream);
    else
        http_stream_reset(stream, END_CLIENT_ABORT);
}

static size_t hear(struct scene *s, char *text, size_t room, unsigned requests)
{
    size_t len = 0;
    for (int i = 0; i < TURNS_MAX; i++) {
        unsigned count = 0;
        text[len] = 0;
        for (const char *at = text; (at = strstr(at, "\r\n\r\n")); at += 4) count++;
        if (count >= requests) return len;
        loop_turn(&s->loop, 1);
        ssize_t n = recv(s->far, text + len, room - 1 - len, MSG_DONTWAIT);
        if (n > 0) len += (size_t)n;
    }
    fail();
    return 0;
}

static void say(struct scene *s, const char *text)
{
    size_t len = strlen(text);
    assert_int_equal(send(s->far, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void say_number(struct scene *s, unsigned number)
{
    char text[128];
    snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n%u", number < 10 ? 1 : 2,
             number);
    say(s, text);
}

static void open_scene(struct scene *s)
{
    struct err err;
    memset(s, 0, sizeof(*s));
    the_scene = s;
    s->limits = (struct h1_limits){ .head_max = 4096, .field_max = 32 };
    s->budget.limit = 1 << 20;
    assert_int_equal(loop_init(&s->loop, &s->budget, &err), 0);
    s->loop.is_virtual = true;
    slab_init(&s->connections, &s->loop.blocks, sizeof(struct h1_client));
    slab_init(&s->streams, &s->loop.blocks, h1_pipeline_stream_size());
    s->listener = loopback_open(SOCK_STREAM, &s->server);
    s->client = slab_get(&s->connections);
    memset(s->client, 0, sizeof(*s->client));
    assert_int_equal(h1_client_connect(s->client, &owner, &s->loop, &s->server, NULL, &s->limits), 0);
    timer_init(&s->timer, on_timer);
    h1_pipeline_init(&s->pipeline, s->client, &pipeline_owner, &s->streams, &s->timer);
    s->pipeline.patience_ms = 100;
    struct ask *a = lease(s);
    assert_false(a->stream->is_reused);
    assert_int_equal(h1_pipeline_room(&s->pipeline, 4), 0); /* not before the server has shown what it does */
    UNTIL(s, s->opened == 1);
    struct pollfd p = { .fd = s->listener, .events = POLLIN };
    assert_int_equal(poll(&p, 1, TURNS_MAX), 1);
    s->far = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(s->far >= 0);
    char heard[1024];
    send_request(a, HTTP_GET);
    assert_int_equal(h1_pipeline_room(&s->pipeline, 4), 0);
    hear(s, heard, sizeof(heard), 1);
    say(s, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    UNTIL(s, a->is_whole);
    let_go(a);
    assert_int_equal(s->idle, 1);
}

static void close_scene(struct scene *s)
{
    for (unsigned i = 0; i < ASKS_MAX; i++) let_go(&s->asks[i]);
    loop_turn(&s->loop, 0);
    if (s->client && s->client->state == H1_CLIENT_IDLE) h1_client_close(s->client);
    loop_turn(&s->loop, 0);
    loop_disarm(&s->loop, &s->timer);
    assert_int_equal(s->closed, 1);
    assert_int_equal(s->loop.fd_count, 0);
    assert_int_equal(s->loop.blocks.live, 0);
    assert_int_equal(s->connections.live, 0);
    assert_int_equal(s->streams.live, 0);
    if (s->far >= 0) close(s->far);
    close(s->listener);
    slab_fini(&s->streams);
    slab_fini(&s->connections);
    loop_fini(&s->loop);
    assert_int_equal(s->budget.used, 0);
}

static void end_by_reset(struct scene *s)
{
    struct linger linger = { .l_onoff = 1 };
    assert_int_equal(setsockopt(s->far, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(s->far);
    s->far = -1;
}

/* Three that are with the server. */
static void ask_three(struct scene *s, struct ask *out[3])
{
    char heard[1024];
    for (int i = 0; i < 3; i++) out[i] = ask(s);
    hear(s, heard, sizeof(heard), 3);
}

/* tests */

static void requests_of_one_turn_leave_together_and_have_their_own_answers(void **state)
{
    (void)state;
    struct scene s;
    char heard[1024], expected[256];
    open_scene(&s);
    struct ask *a = ask(&s), *b = lease(&s);
    send_request(b, HTTP_HEAD);
    struct ask *c = ask(&s);
    assert_true(a->stream->is_reused && c->stream->is_reused);
    assert_int_equal(h1_pipeline_room(&s.pipeline, 4), 1);
    loop_turn(&s.loop, 0);
    ssize_t n = recv(s.far, heard, sizeof(heard) - 1, 0);
    assert_true(n > 0);
    heard[n] = 0;
    snprintf(expected, sizeof(expected),
             "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: h\r\n\r\n"
             "GET /3 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_string_equal(heard, expected);
    say(&s, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA"
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nC\r\n0\r\nX: y\r\n\r\n");
    UNTIL(&s, a->is_whole && b->is_whole && c->is_whole);
    assert_string_equal(a->body, "A");
    assert_string_equal(b->body, "");
    assert_string_equal(c->body, "C");
    assert_int_equal(c->trailers, 1);
    assert_int_equal(s.answered, 4);
    assert_int_equal(s.idle, 2);
    assert_int_equal(s.losses, 0);
    close_scene(&s);
}

static void answers_in_any_pieces_are_the_same(void **state)
{
    (void)state;
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA"
                               "HTTP/1.1 204 No Content\r\n\r\n"
                               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nC\r\n0\r\n\r\n";
    for (size_t cut = 1; cut < sizeof(text) - 1; cut++) {
        struct scene s;
        struct ask *asks[3];
        open_scene(&s);
        ask_three(&s, asks);
        assert_int_equal(send(s.far, text, cut, MSG_NOSIGNAL), (ssize_t)cut);
        for (int i = 0; i < 3; i++) loop_turn(&s.loop, 0);
        say(&s, text + cut);
        UNTIL(&s, asks[0]->is_whole && asks[1]->is_whole && asks[2]->is_whole);
        assert_string_equal(asks[0]->body, "A");
        assert_string_equal(asks[1]->body, "");
        assert_string_equal(asks[2]->body, "C");
        assert_int_equal(s.idle, 2);
        close_scene(&s);
    }
}

static void who_says_that_he_closes_has_not_acted_on_what_came_after(void **state)
{
    (void)state;
    struct scene s;
    struct ask *a[3];
    open_scene(&s);
    ask_three(&s, a);
    say(&s, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nA");
    UNTIL(&s, a[2]->error);
    assert_true(a[0]->is_whole);
    for (int i = 1; i < 3; i++) {
        assert_int_equal(a[i]->error, END_LEFT_BEHIND);
        assert_true(a[i]->was_unprocessed);
    }
    assert_int_equal(s.why, H1_PIPELINE_CLOSED);
    assert_int_equal(s.lost, 2);
    close_scene(&s);
}

static void when_the_connection_dies_the_first_hears_why_and_the_others_go_elsewhere(void **state)
{
    (void)state;
    for (int is_reset = 0; is_reset < 2; is_reset++) {
        struct scene s;
        struct ask *a[3];
        open_scene(&s);
        ask_three(&s, a);
        say(&s, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        UNTIL(&s, strlen(a[0]->body) == 4);
        if (is_reset) {
            end_by_reset(&s);
        } else {
            close(s.far);
            s.far = -1;
        }
        struct ask *late = ask(&s); /* of which no byte has gone out when it is known */
        UNTIL(&s, late->error);
        assert_int_equal(a[0]->error, is_reset ? END_SERVER_RESET : END_RESPONSE_CUT);
        assert_true(a[0]->had_received);
        for (int i = 1; i < 3; i++) {
            assert_int_equal(a[i]->error, END_LEFT_BEHIND);
            assert_false(a[i]->was_unprocessed || a[i]->had_received);
        }
        assert_int_equal(late->error, END_LEFT_BEHIND);
        assert_int_equal(s.why, H1_PIPELINE_BROKEN);
        assert_int_equal(s.lost, 3);
        close_scene(&s);
    }
}

static void an_answer_before_its_question_is_none(void **state)
{
    (void)state;
    struct scene s;
    char heard[256];
    open_scene(&s);
    struct ask *a = ask(&s);
    hear(&s, heard, sizeof(heard), 1);
    say(&s, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA"
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nB");
    struct pollfd p = { .fd = s.client->transport.io.fd, .events = POLLIN };
    assert_int_equal(poll(&p, 1, TURNS_MAX), 1);
    struct ask *b = ask(&s); /* it leaves at the end of the turn in which both answers are read */
    UNTIL(&s, b->error);
    assert_true(a->is_whole);
    assert_string_equal(a->body, "A");
    assert_int_equal(b->error, END_BAD_RESPONSE);
    assert_string_equal(b->detail, "a response before its request");
    close_scene(&s);
}

static void bytes_that_nobody_asked_for_end_the_connection(void **state)
{
    (void)state;
    struct scene s;
    struct ask *a[3];
    open_scene(&s);
    ask_three(&s, a);
    for (int i = 0; i < 3; i++) say_number(&s, 7);
    say(&s, "HTTP/1.1 200 OK\r\n");
    UNTIL(&s, s.closed);
    for (int i = 0; i < 3; i++) assert_true(a[i]->is_whole);
    close_scene(&s);
}

static void pass_ms(struct scene *s, uint64_t ms)
{
    s->loop.now_ns += ms * NS_PER_MS;
    loop_turn(&s->loop, 0);
}

static void a_late_answer_does_not_keep_the_others(void **state)
{
    (void)state;
    struct scene s;
    struct ask *a[3];
    open_scene(&s);
    ask_three(&s, a);
    pass_ms(&s, 99);
    assert_int_equal(a[1]->error, END_NONE);
    pass_ms(&s, 2);
    for (int i = 1; i < 3; i++) assert_int_equal(a[i]->error, END_LEFT_BEHIND);
    assert_int_equal(s.why, H1_PIPELINE_HELD_UP);
    assert_int_equal(a[0]->error, END_NONE);
    assert_int_equal(h1_pipeline_room(&s.pipeline, 4), 0);
    say_number(&s, 1);
    UNTIL(&s, a[0]->is_whole && s.closed); /* the others' answers would come next */
    close_scene(&s);
}

static void a_client_that_takes_nothing_does_not_keep_the_others(void **state)
{
    (void)state;
    struct scene s;
    struct ask *a[3];
    open_scene(&s);
    ask_three(&s, a);
    a[0]->takes_nothing = true;
    for (unsigned i = 0; i < 3; i++) say_number(&s, i);
    UNTIL(&s, a[0]->heads == 1);
    assert_int_equal(h1_pipeline_room(&s.pipeline, 4), 0);
    pass_ms(&s, 101);
    for (int i = 1; i < 3; i++) assert_int_equal(a[i]->error, END_LEFT_BEHIND);
    a[0]->takes_nothing = false;
    http_stream_resume(a[0]->stream);
    UNTIL(&s, a[0]->is_whole);
    assert_string_equal(a[0]->body, "0");
    close_scene(&s);
}

static void who_leaves_takes_nobody_along(void **state)
{
    (void)state;
    for (int gone = 0; gone < 3; gone++) {
        struct scene s;
        struct ask *a[3];
        open_scene(&s);
        ask_three(&s, a);
        let_go(a[gone]);
        for (unsigned i = 0; i < 3; i++) say_number(&s, i);
        for (int i = 0; i < 3; i++)
            if (i != gone) UNTIL(&s, a[i]->is_whole);
        for (int i = 0; i < 3; i++)
            assert_string_equal(a[i]->body, i == gone ? "" : i == 0 ? "0" : i == 1 ? "1" : "2");
        UNTIL(&s, s.idle == 2);
        close_scene(&s);
    }
}

static void a_server_that_does_not_answer_in_time_takes_the_connection_along(void **state)
{
    (void)state;
    struct scene s;
    struct ask *a[3];
    open_scene(&s);
    ask_three(&s, a);
    struct http_stream *first = a[0]->stream;
    a[0]->stream = NULL;
    http_stream_reset(first, END_FIRST_BYTE_TIMEOUT);
    for (int i = 1; i < 3; i++) assert_int_equal(a[i]->error, END_LEFT_BEHIND);
    assert_int_equal(s.closed, 1);
    close_scene(&s);
}

/* One run of a server that now and then lags, closes, resets, says that it closes, or says too much, and of clients that now
 * and then go. Whatever happens, each has its own answer, whole, or hears once that there is none. */
static void simulate(uint64_t seed)
{
    struct scene s;
    struct rng rng;
    char in[4096];
    size_t in_len = 0;
    bool is_over = false;
    open_scene(&s);
    rng_seed(&rng, seed);
    for (int step = 0; step < 200 && s.client && !is_over; step++) {
        switch (rng_below(&rng, 8)) {
        case 0:
        case 1:
        case 2:
            if (s.client->state == H1_CLIENT_IDLE || h1_pipeline_room(&s.pipeline, 4)) {
                let_go(&s.asks[s.ask_count % ASKS_MAX]);
                if (s.client && (s.client->state == H1_CLIENT_IDLE || h1_pipeline_room(&s.pipeline, 4)))
                    ask(&s);
            }
            break;
        case 3: {
            struct ask *a = &s.asks[rng_below(&rng, ASKS_MAX)];
            if (a->is_whole || rng_below(&rng, 8) == 0) let_go(a);
            break;
        }
        case 4: {
            ssize_t n = recv(s.far, in + in_len, sizeof(in) - 1 - in_len, MSG_DONTWAIT);
            if (n > 0) in_len += (size_t)n;
            in[in_len] = 0;
            break;
        }
        case 5:
        case 6: {
            char *end = in_len ? strstr(in, "\r\n\r\n") : NULL;
            unsigned number;
            if (!end) break;
            assert_int_equal(sscanf(in, "GET /%u ", &number), 1);
            say_number(&s, number % 100);
            in_len -= (size_t)(end + 4 - in);
            memmove(in, end + 4, in_len + 1);
            break;
        }
        case 7:
            if (rng_below(&rng, 12) == 0) {
                static const char *const last[] = {
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                    "HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200", "x", ""
                };
                say(&s, last[rng_below(&rng, 5)]);
                if (rng_below(&rng, 2)) end_by_reset(&s);
                is_over = true;
            } else if (rng_below(&rng, 6) == 0) {
                pass_ms(&s, 60);
            }
            break;
        }
        loop_turn(&s.loop, 0);
        for (unsigned i = 0; i < ASKS_MAX; i++) {
            const struct ask *a = &s.asks[i];
            char own[8];
            snprintf(own, sizeof(own), "%u", a->number % 100);
            if (a->scene && a->number && a->is_whole && !is_over) assert_string_equal(a->body, own);
        }
    }
    if (s.far >= 0) shutdown(s.far, SHUT_RDWR);
    for (unsigned i = 0; i < ASKS_MAX; i++) {
        struct ask *a = &s.asks[i];
        UNTIL(&s, !a->stream || a->is_whole || a->error);
    }
    UNTIL(&s, s.closed);
    close_scene(&s);
}

static void whatever_both_sides_do_each_has_its_own_answer_or_hears_that_there_is_none(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) simulate(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_of_one_turn_leave_together_and_have_their_own_answers),
        cmocka_unit_test(answers_in_any_pieces_are_the_same),
        cmocka_unit_test(who_says_that_he_closes_has_not_acted_on_what_came_after),
        cmocka_unit_test(when_the_connection_dies_the_first_hears_why_and_the_others_go_elsewhere),
        cmocka_unit_test(an_answer_before_its_question_is_none),
        cmocka_unit_test(bytes_that_nobody_asked_for_end_the_connection),
        cmocka_unit_test(a_late_answer_does_not_keep_the_others),
        cmocka_unit_test(a_client_that_takes_nothing_does_not_keep_the_others),
        cmocka_unit_test(who_leaves_takes_nobody_along),
        cmocka_unit_test(a_server_that_does_not_answer_in_time_takes_the_connection_along),
        cmocka_unit_test(whatever_both_sides_do_each_has_its_own_answer_or_hears_that_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
