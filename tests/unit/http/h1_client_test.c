/* A connection to a server that is this test, over TCP on loopback: an owner that keeps it while idle, and an exchange that
 * notes what it is told. */
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

#include "base/bug.h"
#include "base/slab.h"
#include "http/h1_client.h"
#include "net/loopback.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

struct scene {
    struct budget budget;
    struct loop loop;
    struct slab connections;
    struct h1_limits limits;
    struct address server;
    int listener, far;
    struct h1_client *client;
    struct http_stream *stream;
    unsigned opened, idle, closed, heads, trailers, errors, writable;
    bool was_closed_by_peer;
    uint32_t keep_alive_s, keep_alive_max;
    enum end_reason error;
    const char *detail; /* of the latest error */
    uint16_t statuses[8];
    char body[256]; /* all that was taken */
    bool takes_nothing, pauses;
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
    the_scene->was_closed_by_peer = c->closed_by_peer;
    the_scene->client = NULL;
    loop_bury(&the_scene->loop, &c->grave, bury);
}

static void on_keep_alive(struct h1_client *c, uint32_t timeout_s, uint32_t max)
{
    (void)c;
    the_scene->keep_alive_s = timeout_s;
    the_scene->keep_alive_max = max;
}

static const struct h1_client_owner owner = { .on_idle = on_idle,
                                              .on_closed = on_closed,
                                              .on_keep_alive = on_keep_alive };

/* the exchange */

static void on_open(struct http_stream *stream)
{
    ((struct scene *)stream->owner)->opened++;
}

static void on_head(struct http_stream *stream, struct http_head *head, unsigned flags)
{
    struct scene *s = stream->owner;
    (void)flags;
    assert_true(s->heads < sizeof(s->statuses) / sizeof(*s->statuses));
    s->statuses[s->heads++] = head->status;
    if (s->pauses) http_stream_pause(stream);
}

static size_t on_body(struct http_stream *stream, const char *data, size_t len, unsigned flags)
{
    struct scene *s = stream->owner;
    (void)flags;
    if (s->takes_nothing) return 0;
    assert_true(strlen(s->body) + len < sizeof(s->body));
    if (len) strncat(s->body, data, len);
    return len;
}

static void on_trailers(struct http_stream *stream, const struct http_field *fields, uint32_t count)
{
    struct scene *s = stream->owner;
    (void)fields;
    s->trailers += count;
}

static void on_error(struct http_stream *stream, const struct http_fault *fault)
{
    struct scene *s = stream->owner;
    s->errors++;
    s->error = fault->reason;
    s->detail = fault->detail;
}

static void on_writable(struct http_stream *stream)
{
    ((struct scene *)stream->owner)->writable++;
}

static const struct http_stream_events events = { .on_open = on_open,
                                                  .on_head = on_head,
                                                  .on_body = on_body,
                                                  .on_trailers = on_trailers,
                                                  .on_error = on_error,
                                                  .on_writable = on_writable };

/* the server */

/* Exactly that comes. */
static void hear(struct scene *s, const char *expected)
{
    char text[1024];
    size_t len = strlen(expected), got = 0;
    for (int i = 0; i < TURNS_MAX && got < len; i++) {
        loop_turn(&s->loop, 1);
        ssize_t n = recv(s->far, text + got, sizeof(text) - 1 - got, MSG_DONTWAIT);
        if (n > 0) got += (size_t)n;
    }
    text[got] = 0;
    assert_string_equal(text, expected);
}

static void say_bytes(struct scene *s, const char *data, size_t len)
{
    assert_int_equal(send(s->far, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void say(struct scene *s, const char *text)
{
    say_bytes(s, text, strlen(text));
}

/* 0: the end, else the error. */
static int how_it_ended(struct scene *s)
{
    char bytes[256];
    for (int i = 0; i < TURNS_MAX; i++) {
        ssize_t n = recv(s->far, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n == 0) return 0;
        if (n < 0 && errno != EAGAIN) return errno;
        loop_turn(&s->loop, 1);
    }
    fail();
    return -1;
}

static void end_by_reset(struct scene *s)
{
    struct linger linger = { .l_onoff = 1 };
    assert_int_equal(setsockopt(s->far, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(s->far);
    s->far = -1;
}

static void end_by_close(struct scene *s)
{
    close(s->far);
    s->far = -1;
}

/* the scene */

static void init_scene(struct scene *s)
{
    struct err err;
    memset(s, 0, sizeof(*s));
    the_scene = s;
    s->far = -1;
    s->limits = (struct h1_limits){ .head_max = 4096, .field_max = 32 };
    s->budget.limit = 1 << 20;
    assert_int_equal(loop_init(&s->loop, &s->budget, &err), 0);
    s->loop.is_virtual = true;
    slab_init(&s->connections, &s->loop.blocks, sizeof(struct h1_client));
    s->listener = loopback_open(SOCK_STREAM, &s->server);
}

static void lease(struct scene *s)
{
    s->stream = h1_client_lease(s->client);
    s->stream->events = &events;
    s->stream->owner = s;
    s->heads = s->errors = s->trailers = 0;
    s->error = END_NONE;
    s->detail = NULL;
    memset(s->body, 0, sizeof(s->body));
}

/* Connected, and with an exchange that has sent nothing yet. */
static void open_scene(struct scene *s)
{
    init_scene(s);
    s->client = slab_get(&s->connections);
    assert_non_null(s->client);
    memset(s->client, 0, sizeof(*s->client));
    assert_int_equal(h1_client_connect(s->client, &owner, &s->loop, &s->server, NULL, &s->limits), 0);
    lease(s);
    assert_false(s->stream->is_reused);
    UNTIL(s, s->opened == 1);
    struct pollfd p = { .fd = s->listener, .events = POLLIN };
    assert_int_equal(poll(&p, 1, TURNS_MAX), 1);
    s->far = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(s->far >= 0);
}

static void close_scene(struct scene *s)
{
    if (s->client) h1_client_close(s->client);
    loop_turn(&s->loop, 0);
    assert_int_equal(s->closed, 1);
    assert_int_equal(s->loop.fd_count, 0);
    assert_int_equal(s->loop.timers.count, 0);
    assert_int_equal(s->loop.blocks.live, 0);
    assert_int_equal(s->connections.live, 0);
    if (s->far >= 0) close(s->far);
    if (s->listener >= 0) close(s->listener);
    slab_fini(&s->connections);
    loop_fini(&s->loop);
    assert_int_equal(s->budget.used, 0);
}

static void ask_for(struct scene *s, enum http_method method, const char *text, uint64_t body_len,
                    const char *upgrade)
{
    struct http_head head = {
        .version = HTTP_VERSION_1_1, .method = method, .method_text = slice_of(text), .target = SLICE("/a")
    };
    struct http_send send = { .head = &head,
                              .authority = SLICE("h"),
                              .body = body_len ? HTTP_BODY_LENGTH : HTTP_BODY_NONE,
                              .content_length = body_len,
                              .upgrade = slice_of(upgrade) };
    assert_int_equal(http_send_head(s->stream, &send, 0), IO_OK);
}

static void get(struct scene *s)
{
    ask_for(s, HTTP_GET, "GET", 0, "");
    hear(s, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
}

static void release(struct scene *s)
{
    struct http_stream *stream = s->stream;
    s->stream = NULL;
    http_stream_release(stream);
}

/* tests */

static void a_connection_carries_one_exchange_after_the_other_and_holds_nothing_between_them(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    for (unsigned i = 1; i <= 3; i++) {
        get(&s);
        say(&s, OK);
        UNTIL(&s, s.stream->is_ended);
        assert_int_equal(s.heads, 1);
        assert_int_equal(s.statuses[0], 200);
        assert_string_equal(s.body, "ok");
        assert_false(s.stream->is_last);
        release(&s);
        assert_int_equal(s.idle, i);
        assert_int_equal(s.closed, 0);
        assert_int_equal(s.loop.blocks.live, 0);
        assert_int_equal(s.client->exchanges, i);
        lease(&s);
        assert_true(s.stream->is_reused);
    }
    assert_int_equal(s.errors, 0);
    assert_int_equal(s.opened, 1);
    release(&s); /* nothing was asked: its answer could be taken for the next one's */
    assert_int_equal(s.closed, 1);
    close_scene(&s);
}

struct whole {
    const char *text;
    const char *body;
    enum http_method method;
    uint16_t status;
    unsigned trailers;
    bool stays;    /* another exchange may follow */
    bool by_close; /* the server closes behind it */
};

static const struct whole wholes[] = {
    { OK, "ok", HTTP_GET, 200, 0, true, false },
    { "HTTP/1.1 204 No Content\r\n\r\n", "", HTTP_GET, 204, 0, true, false },
    { "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "", HTTP_GET, 304, 0, true, false },
    { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "", HTTP_HEAD, 200, 0, true, false },
    { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", HTTP_GET, 200, 0, true, false },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "abcde",
      HTTP_GET, 200, 0, true, false },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: b\r\nC: d\r\n\r\n", "a",
      HTTP_GET, 200, 2, true, false },
    { "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "ok", HTTP_GET, 200, 0, false,
      false },
    { "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", HTTP_GET, 200, 0, false, false },
    { "HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end", HTTP_GET, 200, 0, false, true },
    { OK "HTTP/1.1 200 OK\r\n", "ok", HTTP_GET, 200, 0, false, false }, /* more than was asked for */
};

static void hear_whole(const struct whole *w, bool in_pieces)
{
    struct scene s;
    open_scene(&s);
    if (w->method == HTTP_HEAD) {
        ask_for(&s, HTTP_HEAD, "HEAD", 0, "");
        hear(&s, "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n");
    } else {
        get(&s);
    }
    size_t len = strlen(w->text);
    for (size_t i = 0; in_pieces && i + 1 < len; i++) {
        say_bytes(&s, w->text + i, 1);
        loop_turn(&s.loop, 1);
    }
    say_bytes(&s, in_pieces ? w->text + len - 1 : w->text, in_pieces ? 1 : len);
    if (w->by_close) end_by_close(&s);
    UNTIL(&s, s.stream->is_ended);
    assert_int_equal(s.errors, 0);
    assert_int_equal(s.heads, 1);
    assert_int_equal(s.statuses[0], w->status);
    assert_string_equal(s.body, w->body);
    assert_int_equal(s.trailers, w->trailers);
    release(&s);
    /* In pieces the last byte of what is too much may come when it is idle already. */
    if (!in_pieces) assert_int_equal(s.idle, w->stays);
    if (!w->stays) UNTIL(&s, s.closed == 1);
    assert_int_equal(s.closed, !w->stays);
    close_scene(&s);
}

static void responses_in_one_piece_and_in_many_are_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wholes) / sizeof(*wholes); i++)
        for (int in_pieces = 0; in_pieces < 2; in_pieces++) hear_whole(&wholes[i], in_pieces);
}

static void what_a_server_says_of_its_patience_is_passed_on(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    get(&s);
    say(&s, "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=7\r\nContent-Length: 0\r\n\r\n");
    UNTIL(&s, s.stream->is_ended);
    assert_int_equal(s.keep_alive_s, 5);
    assert_int_equal(s.keep_alive_max, 7);
    release(&s);
    assert_int_equal(s.idle, 1);
    close_scene(&s);
}

/* Whoever is called while another connection's bytes are worked off must not receive over them. */
static void nothing_is_received_over_what_another_has_received(void **state)
{
    (void)state;
    for (int has_head = 0; has_head < 2; has_head++) {
        struct scene s;
        open_scene(&s);
        get(&s);
        s.takes_nothing = has_head;
        s.pauses = !has_head;
        say(&s, has_head ? OK : "HTTP/1.1 103 Early Hints\r\n\r\n");
        UNTIL(&s, has_head ? s.stream->held == 2 : s.heads == 1);
        if (!has_head) say(&s, OK);
        for (int k = 0; k < 3; k++) loop_turn(&s.loop, 0);
        s.takes_nothing = s.pauses = false;
        memset(s.loop.scratch, '#', 4096);
        s.loop.is_scratch_busy = true;
        http_stream_resume(s.stream);
        for (int k = 0; k < 4096; k++) assert_int_equal(s.loop.scratch[k], '#');
        assert_false(s.stream->is_ended);
        s.loop.is_scratch_busy = false;
        UNTIL(&s, s.stream->is_ended);
        assert_string_equal(s.body, "ok");
        release(&s);
        assert_int_equal(s.idle, 1);
        close_scene(&s);
    }
}

static void interim_responses_come_before_the_final_one_and_can_be_paused(void **state)
{
    (void)state;
    static const uint16_t expected[] = { 100, 103, 103, 200 };
    for (int pauses = 0; pauses < 2; pauses++) {
        struct scene s;
        open_scene(&s);
        get(&s);
        s.pauses = pauses;
        say(&s, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                "HTTP/1.1 103 Early Hints\r\n\r\n" OK);
        for (unsigned i = 1; pauses && i <= 4; i++) {
            UNTIL(&s, s.heads == i);
            for (int k = 0; k < 3; k++) loop_turn(&s.loop, 0);
            assert_int_equal(s.heads, i); /* no more before it is resumed */
            http_stream_resume(s.stream);
        }
        UNTIL(&s, s.stream->is_ended);
        assert_int_equal(s.heads, 4);
        assert_memory_equal(s.statuses, expected, sizeof(expected));
        assert_string_equal(s.body, "ok");
        release(&s);
        assert_int_equal(s.idle, 1);
        close_scene(&s);
    }
}

static void what_is_no_response_is_a_fault_and_the_last_on_its_connection(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum end_reason reason;
    } cases[] = {
        { "SSH-2.0-OpenSSH_9.2\r\n\r\n", END_BAD_RESPONSE },
        { "HTTP/1.1 99 Low\r\n\r\n", END_BAD_RESPONSE },
        { "HTTP/2.0 200 OK\r\n\r\n", END_BAD_RESPONSE },
        { "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", END_BAD_RESPONSE },
        { "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", END_BAD_RESPONSE },
        { "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
          END_BAD_RESPONSE },
        { "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", END_BAD_RESPONSE },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", END_BAD_RESPONSE_BODY },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct scene s;
        open_scene(&s);
        get(&s);
        say(&s, cases[i].text);
        UNTIL(&s, s.errors == 1);
        assert_int_equal(s.error, cases[i].reason);
        assert_non_null(s.detail);
        assert_int_equal(s.closed, 0); /* not before its exchange lets go */
        release(&s);
        assert_int_equal(s.closed, 1);
        assert_int_equal(s.idle, 0);
        close_scene(&s);
    }
}

static void a_head_that_has_no_end_is_not_read_beyond_its_bound(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    get(&s);
    say(&s, "HTTP/1.1 200 OK\r\nA: ");
    char many[1000];
    memset(many, 'x', sizeof(many));
    for (int i = 0; i < 6 && !s.errors; i++) {
        say_bytes(&s, many, sizeof(many));
        loop_turn(&s.loop, 1);
    }
    UNTIL(&s, s.errors == 1);
    assert_int_equal(s.error, END_RESPONSE_HEAD_TOO_LARGE);
    release(&s);
    assert_int_equal(s.closed, 1);
    close_scene(&s);
}

static void an_end_before_its_time_is_told_by_where_it_came(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum end_reason by_close, by_reset;
        bool is_in_head;
    } cases[] = {
        { "", END_SERVER_CLOSED, END_SERVER_RESET, false },
        { "HTTP/1.1 200 O", END_SERVER_CLOSED, END_SERVER_RESET, true },
        { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", END_RESPONSE_CUT, END_SERVER_RESET, false },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", END_RESPONSE_CUT,
          END_SERVER_RESET, false },
        { "HTTP/1.1 200 OK\r\n\r\nabc", END_NONE, END_SERVER_RESET, false }, /* its end is the body's */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        for (int by_reset = 0; by_reset < 2; by_reset++) {
            struct scene s;
            open_scene(&s);
            get(&s);
            say(&s, cases[i].text);
            size_t len = strlen(cases[i].text);
            if (len) UNTIL(&s, s.stream->has_received);
            if (len && !cases[i].is_in_head) UNTIL(&s, !strcmp(s.body, "abc"));
            if (by_reset)
                end_by_reset(&s);
            else
                end_by_close(&s);
            UNTIL(&s, s.errors == 1 || s.stream->is_ended);
            assert_int_equal(s.error, by_reset ? cases[i].by_reset : cases[i].by_close);
            if (!by_reset && cases[i].by_close == END_SERVER_CLOSED)
                assert_int_equal(s.detail != NULL, cases[i].is_in_head);
            release(&s);
            assert_int_equal(s.closed, 1);
            assert_int_equal(s.idle, 0);
            close_scene(&s);
        }
}

static void a_response_before_the_end_of_the_request_ends_the_connection(void **state)
{
    (void)state;
    struct scene s;
    size_t taken = 0;
    open_scene(&s);
    ask_for(&s, HTTP_POST, "POST", 5, "");
    assert_int_equal(http_send_body(s.stream, "abc", 3, 0, &taken), IO_OK);
    hear(&s, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabc");
    say(&s, OK);
    UNTIL(&s, s.stream->is_ended);
    assert_int_equal(s.statuses[0], 200);
    release(&s); /* what is left of the request would be taken for the next one */
    assert_int_equal(s.idle, 0);
    assert_int_equal(s.closed, 1);
    assert_int_equal(how_it_ended(&s), 0);
    close_scene(&s);
}

static void a_request_that_asks_for_the_end_is_the_last(void **state)
{
    (void)state;
    struct scene s;
    struct http_head head = { .method = HTTP_GET, .method_text = SLICE("GET"), .target = SLICE("/a") };
    struct http_send send = { .head = &head, .authority = SLICE("h"), .wants_close = true };
    open_scene(&s);
    assert_int_equal(http_send_head(s.stream, &send, 0), IO_OK);
    hear(&s, "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    say(&s, OK);
    UNTIL(&s, s.stream->is_ended);
    release(&s);
    assert_int_equal(s.idle, 0);
    assert_int_equal(s.closed, 1);
    close_scene(&s);
}

static void an_idle_connection_ends_with_the_servers_end_and_with_words_unasked(void **state)
{
    (void)state;
    enum { BY_CLOSE, BY_RESET, BY_WORDS, WAYS };
    for (int way = 0; way < WAYS; way++) {
        struct scene s;
        open_scene(&s);
        get(&s);
        say(&s, OK);
        UNTIL(&s, s.stream->is_ended);
        release(&s);
        assert_int_equal(s.idle, 1);
        switch (way) {
        case BY_CLOSE: end_by_close(&s); break;
        case BY_RESET: end_by_reset(&s); break;
        case BY_WORDS: say(&s, "HTTP/1.1 408 Request Timeout\r\n\r\n"); break;
        }
        UNTIL(&s, s.closed == 1);
        assert_int_equal(s.was_closed_by_peer, way != BY_WORDS);
        assert_int_equal(s.errors, 0); /* nobody listens */
        close_scene(&s);
    }
}

static void a_receiver_that_takes_nothing_has_it_kept_until_it_goes_on(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    get(&s);
    s.takes_nothing = true;
    say(&s, OK);
    UNTIL(&s, s.stream->held == 2);
    assert_false(s.stream->is_ended);
    http_stream_resume(s.stream);
    assert_int_equal(s.stream->held, 2);
    s.takes_nothing = false;
    http_stream_resume(s.stream);
    assert_string_equal(s.body, "ok");
    assert_true(s.stream->is_ended);
    release(&s);
    assert_int_equal(s.idle, 1);
    close_scene(&s);
}

static void a_reset_is_seen_as_one_by_the_server(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    get(&s);
    struct http_stream *stream = s.stream;
    http_stream_reset(stream, END_NONE);
    assert_int_equal(s.closed, 1);
    assert_int_equal(s.errors, 0);
    assert_int_equal(how_it_ended(&s), ECONNRESET);
    close_scene(&s);
}

static void a_connection_that_is_let_go_while_it_opens_is_closed(void **state)
{
    (void)state;
    struct scene s;
    init_scene(&s);
    s.client = slab_get(&s.connections);
    memset(s.client, 0, sizeof(*s.client));
    assert_int_equal(h1_client_connect(s.client, &owner, &s.loop, &s.server, NULL, &s.limits), 0);
    lease(&s);
    release(&s);
    assert_int_equal(s.closed, 1);
    assert_int_equal(s.opened, 0);
    close_scene(&s);
}

static void a_refusal_is_told_at_once_or_to_the_exchange(void **state)
{
    (void)state;
    struct scene s;
    init_scene(&s);
    close(s.listener); /* nobody else is given its port so soon */
    s.listener = -1;
    s.client = slab_get(&s.connections);
    memset(s.client, 0, sizeof(*s.client));
    if (h1_client_connect(s.client, &owner, &s.loop, &s.server, NULL, &s.limits) < 0) {
        assert_int_equal(h1_client_connect_reason(&s.client->transport), END_CONNECT_REFUSED);
        on_closed(s.client);
    } else {
        lease(&s);
        UNTIL(&s, s.errors == 1);
        assert_int_equal(s.error, END_CONNECT_REFUSED);
        assert_int_equal(s.opened, 0);
        release(&s);
    }
    close_scene(&s);
}

static enum end_reason reason_of(int error, enum end_reason fault)
{
    const struct transport t = { .saved_errno = error, .fault = (uint8_t)fault };
    return h1_client_connect_reason(&t);
}

static void failures_to_connect_have_names(void **state)
{
    (void)state;
    assert_int_equal(reason_of(ECONNREFUSED, END_NONE), END_CONNECT_REFUSED);
    assert_int_equal(reason_of(ETIMEDOUT, END_NONE), END_CONNECT_TIMEOUT);
    assert_int_equal(reason_of(EMFILE, END_NONE), END_NO_DESCRIPTORS);
    assert_int_equal(reason_of(ENOMEM, END_NONE), END_NO_MEMORY);
    assert_int_equal(reason_of(EHOSTUNREACH, END_NONE), END_CONNECT_FAILED);
    assert_int_equal(reason_of(ETIMEDOUT, END_CONNECT_REFUSED),
                     END_CONNECT_REFUSED); /* the transport knows better */
}

static void on_tunnel_ready(struct transport *t)
{
    (void)t;
}

/* What came behind the 101 goes with the transport, however the head came. */
static void an_upgraded_connection_is_handed_over_with_what_was_read(void **state)
{
    (void)state;
    static const char text[] =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nfirst";
    for (size_t split = 0; split < sizeof(text) - 1; split++) {
        struct scene s;
        struct transport to;
        struct block *held = NULL;
        struct slice bytes = SLICE_NONE;
        char more[8] = "", rest[8] = "";
        size_t got = 0;
        open_scene(&s);
        ask_for(&s, HTTP_GET, "GET", 0, "x");
        hear(&s, "GET /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
        say_bytes(&s, text, split);
        if (split) UNTIL(&s, s.stream->has_received);
        say_bytes(&s, text + split, sizeof(text) - 1 - split);
        UNTIL(&s, s.heads == 1);
        assert_int_equal(s.statuses[0], 101);
        assert_int_equal(s.stream->ops->detach(s.stream, &to, &held, &bytes), 0);
        to.on_ready = on_tunnel_ready;
        assert_int_equal(s.closed, 1); /* the connection is no client any more */
        loop_turn(&s.loop, 0);
        if (bytes.len) memcpy(more, bytes.data, bytes.len);
        /* Split behind the head, the rest may still be in the socket. */
        for (int i = 0; i < TURNS_MAX && bytes.len + got < 5; i++) {
            size_t n = 0;
            loop_turn(&s.loop, 1);
            if (transport_recv(&to, rest + got, sizeof(rest) - 1 - got, &n) == IO_OK) got += n;
        }
        assert_true(bytes.len + got == 5);
        memcpy(more + bytes.len, rest, got);
        assert_string_equal(more, "first");
        block_put(&s.loop.blocks, held);
        transport_close(&to, false);
        assert_int_equal(how_it_ended(&s), 0);
        close_scene(&s);
    }
}

/* The impossible, survived: what still waits to be sent would be lost, and the peer would wait for it. */
static void what_has_not_sent_all_is_not_handed_over(void **state)
{
    (void)state;
    struct scene s;
    struct transport to;
    struct block *held = NULL;
    struct slice bytes = SLICE_NONE;
    struct http_head head = { .method = HTTP_GET, .method_text = SLICE("GET"), .target = SLICE("/a") };
    struct http_send send = { .head = &head, .authority = SLICE("h") };
    open_scene(&s);
    assert_int_equal(http_send_head(s.stream, &send, HTTP_MORE), IO_OK);
    uint64_t before = bug_count(BUG_H1_CONN);
    bug_be_fatal(false);
    assert_int_equal(s.stream->ops->detach(s.stream, &to, &held, &bytes), -1);
    bug_be_fatal(true);
    assert_int_equal(bug_count(BUG_H1_CONN), before + 1);
    assert_true(transport_is_closed(&to));
    assert_null(held);
    assert_int_equal(bytes.len, 0);
    assert_int_equal(s.closed, 1);
    assert_int_equal(how_it_ended(&s), 0); /* not a byte of half a request */
    close_scene(&s);
}

static void without_memory_a_head_in_pieces_ends_its_exchange(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    get(&s);
    block_pool_trim(&s.loop.blocks);
    s.budget.limit = s.budget.used;
    say(&s, "HTTP/1.1 200 O");
    UNTIL(&s, s.errors == 1);
    assert_int_equal(s.error, END_NO_MEMORY);
    s.budget.limit = 1 << 20;
    release(&s);
    assert_int_equal(s.closed, 1);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_carries_one_exchange_after_the_other_and_holds_nothing_between_them),
        cmocka_unit_test(responses_in_one_piece_and_in_many_are_the_same),
        cmocka_unit_test(what_a_server_says_of_its_patience_is_passed_on),
        cmocka_unit_test(interim_responses_come_before_the_final_one_and_can_be_paused),
        cmocka_unit_test(what_is_no_response_is_a_fault_and_the_last_on_its_connection),
        cmocka_unit_test(a_head_that_has_no_end_is_not_read_beyond_its_bound),
        cmocka_unit_test(an_end_before_its_time_is_told_by_where_it_came),
        cmocka_unit_test(a_response_before_the_end_of_the_request_ends_the_connection),
        cmocka_unit_test(a_request_that_asks_for_the_end_is_the_last),
        cmocka_unit_test(an_idle_connection_ends_with_the_servers_end_and_with_words_unasked),
        cmocka_unit_test(a_receiver_that_takes_nothing_has_it_kept_until_it_goes_on),
        cmocka_unit_test(nothing_is_received_over_what_another_has_received),
        cmocka_unit_test(a_reset_is_seen_as_one_by_the_server),
        cmocka_unit_test(a_connection_that_is_let_go_while_it_opens_is_closed),
        cmocka_unit_test(a_refusal_is_told_at_once_or_to_the_exchange),
        cmocka_unit_test(failures_to_connect_have_names),
        cmocka_unit_test(an_upgraded_connection_is_handed_over_with_what_was_read),
        cmocka_unit_test(what_has_not_sent_all_is_not_handed_over),
        cmocka_unit_test(without_memory_a_head_in_pieces_ends_its_exchange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
