/* A connection to an HTTP/2 server that is this test, over TCP on loopback: an owner that keeps it while idle, and exchanges
 * that note what they are told. What is said to the server is told as text: a frame a line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/slab.h"
#include "http/h2_client.h"
#include "http/h2_session.h"
#include "net/loopback.h"

#define STREAMS_MAX 8

struct asker {
    struct http_stream *stream;
    unsigned opened, heads, trailers, errors, writable, ends;
    uint16_t statuses[4];
    char body[64];
    size_t body_len;
    enum end_reason error;
    const char *detail;
    bool takes_nothing;
};

struct scene {
    struct budget budget;
    struct loop loop;
    struct slab connections;
    struct h2_worker h2;
    struct h1_limits limits;
    struct address server;
    int listener, far;
    struct h2_client *client;
    struct asker askers[STREAMS_MAX];
    unsigned opened, idle, closed, rooms;
    bool was_closed_by_peer;
    char heard[65536];
    size_t heard_len;
    bool has_preface;
};

static struct scene *the_scene; /* for the owner's calls, which know connections only */

/* the owner */

static void on_opened(struct h2_client *c)
{
    (void)c;
    the_scene->opened++;
}

static void on_room(struct h2_client *c)
{
    (void)c;
    the_scene->rooms++;
}

static void on_idle(struct h2_client *c)
{
    (void)c;
    the_scene->idle++;
}

static void bury(struct loop_grave *g)
{
    slab_put(&the_scene->connections, container_of(g, struct h2_client, grave));
}

static void on_closed(struct h2_client *c)
{
    the_scene->closed++;
    the_scene->was_closed_by_peer = c->closed_by_peer;
    the_scene->client = NULL;
    loop_bury(&the_scene->loop, &c->grave, bury);
}

static const struct h2_client_owner owner = {
    .on_opened = on_opened, .on_room = on_room, .on_idle = on_idle, .on_closed = on_closed
};

/* exchanges */

static void on_open(struct http_stream *stream)
{
    ((struct asker *)stream->owner)->opened++;
}

static void on_head(struct http_stream *stream, struct http_head *head, unsigned flags)
{
    struct asker *a = stream->owner;
    (void)flags;
    assert_true(a->heads < sizeof(a->statuses) / sizeof(*a->statuses));
    a->statuses[a->heads++] = head->status;
}

static size_t on_body(struct http_stream *stream, const char *data, size_t len, unsigned flags)
{
    struct asker *a = stream->owner;
    if (a->takes_nothing && len) return 0;
    for (size_t i = 0; i < len && a->body_len + i < sizeof(a->body); i++) a->body[a->body_len + i] = data[i];
    a->body_len += len;
    a->ends += (flags & HTTP_END) != 0;
    return len;
}

static void on_trailers(struct http_stream *stream, const struct http_field *fields, uint32_t count)
{
    struct asker *a = stream->owner;
    (void)fields;
    a->trailers += count;
    a->ends++;
}

static void on_error(struct http_stream *stream, const struct http_fault *fault)
{
    struct asker *a = stream->owner;
    a->errors++;
    a->error = fault->reason;
    a->detail = fault->detail;
}

static void on_writable(struct http_stream *stream)
{
    ((struct asker *)stream->owner)->writable++;
}

static const struct http_stream_events events = { .on_open = on_open,
                                                  .on_head = on_head,
                                                  .on_body = on_body,
                                                  .on_trailers = on_trailers,
                                                  .on_error = on_error,
                                                  .on_writable = on_writable };

static struct asker *lease(struct scene *s, unsigned i)
{
    struct asker *a = &s->askers[i];
    memset(a, 0, sizeof(*a));
    a->stream = h2_client_lease(s->client);
    assert_non_null(a->stream);
    a->stream->events = &events;
    a->stream->owner = a;
    return a;
}

static void ask(struct asker *a, enum http_method method, uint64_t body_len)
{
    struct http_head head = { .version = HTTP_VERSION_1_1,
                              .method = method,
                              .method_text = slice_of(http_method_name(method)),
                              .target = SLICE("/a") };
    struct http_send send = { .head = &head,
                              .authority = SLICE("h"),
                              .body = body_len ? HTTP_BODY_LENGTH : HTTP_BODY_NONE,
                              .content_length = body_len };
    assert_true(a->stream->is_unprocessed);
    assert_int_equal(http_send_head(a->stream, &send, 0), IO_OK);
}

static void let_go(struct asker *a)
{
    struct http_stream *stream = a->stream;
    a->stream = NULL;
    if (stream && a->errors)
        http_stream_reset(stream, a->error);
    else if (stream)
        http_stream_release(stream);
}

/* the server */

static void receive(struct scene *s)
{
    ssize_t n = recv(s->far, s->heard + s->heard_len, sizeof(s->heard) - s->heard_len, MSG_DONTWAIT);
    if (n > 0) s->heard_len += (size_t)n;
    size_t preface = sizeof(H2_PREFACE) - 1;
    if (s->has_preface || s->heard_len < preface) return;
    assert_memory_equal(s->heard, H2_PREFACE, preface);
    s->heard_len -= preface;
    memmove(s->heard, s->heard + preface, s->heard_len);
    s->has_preface = true;
}

static size_t tell_frame(char *to, size_t room, const struct h2_frame *f, const char *payload)
{
    static const char *const names[] = { "DATA",          "HEADERS",      "PRIORITY", "RST_STREAM",
                                         "SETTINGS",      "PUSH_PROMISE", "PING",     "GOAWAY",
                                         "WINDOW_UPDATE", "CONTINUATION" };
    int n = snprintf(to, room, "%s", names[f->type]);
    bool is_end = f->type <= H2_HEADERS && (f->flags & H2_END_STREAM);
    if (f->stream) n += snprintf(to + n, room - (size_t)n, " %u", f->stream);
    if (f->type == H2_DATA) n += snprintf(to + n, room - (size_t)n, " len=%u", f->len);
    if (f->type == H2_RST_STREAM)
        n += snprintf(to + n, room - (size_t)n, " %s", h2_error_name(h2_read_u32(payload)));
    if (f->type == H2_GOAWAY)
        n += snprintf(to + n, room - (size_t)n, " %s", h2_error_name(h2_read_u32(payload + 4)));
    if (f->type == H2_WINDOW_UPDATE) n += snprintf(to + n, room - (size_t)n, " by=%u", h2_read_u32(payload));
    if ((f->type == H2_SETTINGS || f->type == H2_PING) && (f->flags & H2_ACK))
        n += snprintf(to + n, room - (size_t)n, " ack");
    n += snprintf(to + n, room - (size_t)n, is_end ? " end\n" : "\n");
    return (size_t)n;
}

/* The whole frames that are here, a line each. */
static const char *tell_heard(const struct scene *s)
{
    static char text[16384];
    size_t len = 0;
    text[0] = 0;
    for (size_t at = 0; s->has_preface && at + H2_FRAME_HEAD <= s->heard_len;) {
        struct h2_frame f = h2_frame_read(s->heard + at);
        if (at + H2_FRAME_HEAD + f.len > s->heard_len) break;
        len += tell_frame(text + len, sizeof(text) - len, &f, s->heard + at + H2_FRAME_HEAD);
        at += H2_FRAME_HEAD + f.len;
    }
    return text;
}

/* Exactly these frames come. */
static void hear(struct scene *s, const char *expected)
{
    for (int i = 0; i < TURNS_MAX && strlen(tell_heard(s)) < strlen(expected); i++) {
        loop_turn(&s->loop, 1);
        receive(s);
    }
    assert_string_equal(tell_heard(s), expected);
    s->heard_len = 0;
}

static void say(struct scene *s, const void *bytes, size_t len)
{
    assert_int_equal(send(s->far, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static size_t put_frame(char *to, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
                        size_t len)
{
    struct h2_frame f = { (uint32_t)len, type, flags, stream };
    h2_frame_write(to, &f);
    if (len) memcpy(to + H2_FRAME_HEAD, payload, len);
    return H2_FRAME_HEAD + len;
}

static void say_frame(struct scene *s, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
                      size_t len)
{
    static char bytes[H2_FRAME_HEAD + H2_PAYLOAD_MAX];
    say(s, bytes, put_frame(bytes, type, flags, stream, payload, len));
}

static void say_u32(struct scene *s, uint8_t type, uint32_t stream, uint32_t value)
{
    char payload[4];
    h2_write_u32(payload, value);
    say_frame(s, type, 0, stream, payload, sizeof(payload));
}

static void say_goaway(struct scene *s, uint32_t last, enum h2_error error)
{
    char payload[8];
    h2_write_u32(payload, last);
    h2_write_u32(payload + 4, error);
    say_frame(s, H2_GOAWAY, 0, 0, payload, sizeof(payload));
}

#define OK_BLOCK "\x88" /* :status 200 */

static void say_ok(struct scene *s, uint32_t stream, bool ends)
{
    say_frame(s, H2_HEADERS, (uint8_t)(H2_END_HEADERS | (ends ? H2_END_STREAM : 0)), stream, OK_BLOCK, 1);
}

static void accept_it(struct scene *s)
{
    struct pollfd p = { .fd = s->listener, .events = POLLIN };
    assert_int_equal(poll(&p, 1, TURNS_MAX), 1);
    s->far = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(s->far >= 0);
}

/* the scene */

static void on_timer(struct timer *t)
{
    h2_client_look(container_of(t, struct h2_client, timer));
}

static void begin_scene(struct scene *s)
{
    struct err err;
    memset(s, 0, sizeof(*s));
    the_scene = s;
    s->far = -1;
    s->limits = (struct h1_limits){ .head_max = 16384, .field_max = 32 };
    s->budget.limit = 8 << 20;
    assert_int_equal(loop_init(&s->loop, &s->budget, &err), 0);
    s->loop.is_virtual = true;
    slab_init(&s->connections, &s->loop.blocks, sizeof(struct h2_client));
    h2_worker_init(&s->h2, &s->loop);
    s->listener = loopback_open(SOCK_STREAM, &s->server);
    s->client = slab_get(&s->connections);
    assert_non_null(s->client);
    memset(s->client, 0, sizeof(*s->client));
    s->client->limits = (struct h2_limits){ .streams = 6,
                                            .window_bytes = 65535,
                                            .memory_bytes = 256 << 10,
                                            .continuations = 4,
                                            .floods = { 20, 20, 20, 20, 20 } };
    s->client->write_timeout_ms = 3000;
    assert_int_equal(h2_client_connect(s->client, &owner, &s->h2, &s->server, NULL, &s->limits), 0);
    s->client->timer.on_timer = on_timer;
}

#define SETTINGS "\0\0\0\4\0\0\0\0\0"
#define WELCOME "SETTINGS\nWINDOW_UPDATE by=65535\n"

/* Open, the first of its askers has asked. */
static void open_scene(struct scene *s)
{
    begin_scene(s);
    struct asker *a = lease(s, 0);
    UNTIL(s, a->opened == 1);
    accept_it(s);
    ask(a, HTTP_GET, 0);
    hear(s, WELCOME "HEADERS 1 end\n");
    say(s, SETTINGS, 9);
    hear(s, "SETTINGS ack\n");
}

static void close_scene(struct scene *s)
{
    for (unsigned i = 0; i < STREAMS_MAX; i++) let_go(&s->askers[i]);
    if (s->client) h2_client_close(s->client);
    for (int i = 0; i < 3; i++) loop_turn(&s->loop, 0);
    assert_int_equal(s->closed, 1);
    assert_int_equal(s->loop.fd_count, 0);
    assert_int_equal(s->loop.timers.count, 0);
    assert_int_equal(s->loop.blocks.live, 0);
    assert_int_equal(s->connections.live, 0);
    assert_int_equal(s->h2.sessions.live, 0);
    assert_int_equal(s->h2.streams.live, 0);
    if (s->far >= 0) close(s->far);
    if (s->listener >= 0) close(s->listener);
    slab_fini(&s->connections);
    h2_worker_fini(&s->h2);
    loop_fini(&s->loop);
    assert_int_equal(s->budget.used, 0);
}

/* tests */

static void what_is_leased_while_it_opens_is_told_and_sent_in_its_turn(void **state)
{
    (void)state;
    struct scene s;
    begin_scene(&s);
    struct asker *a = lease(&s, 0), *b = lease(&s, 1);
    assert_false(a->stream->is_reused);
    UNTIL(&s, a->opened && b->opened);
    assert_int_equal(s.opened, 1);
    accept_it(&s);
    ask(b, HTTP_POST, 5);
    ask(a, HTTP_GET, 0);
    size_t taken = 0;
    assert_int_equal(http_send_body(b->stream, "hello", 5, HTTP_END, &taken), IO_OK);
    hear(&s, WELCOME "HEADERS 1\nHEADERS 3 end\nDATA 1 len=5 end\n");
    close_scene(&s);
}

static void a_connection_carries_one_exchange_after_the_other_and_says_when_it_is_idle(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    for (uint32_t i = 0; i < 3; i++) {
        struct asker *a = &s.askers[0];
        say_ok(&s, 1 + 2 * i, false);
        say_frame(&s, H2_DATA, H2_END_STREAM, 1 + 2 * i, "ok", 2);
        UNTIL(&s, a->ends == 1);
        assert_int_equal(a->statuses[0], 200);
        assert_memory_equal(a->body, "ok", 2);
        assert_true(a->stream->is_ended);
        let_go(a);
        assert_int_equal(s.idle, i + 1);
        lease(&s, 0);
        assert_true(a->stream->is_reused);
        ask(a, HTTP_GET, 0);
        char expected[32];
        snprintf(expected, sizeof(expected), "HEADERS %u end\n", 3 + 2 * i);
        hear(&s, expected);
    }
    close_scene(&s);
}

static void cuts_make_no_difference(void **state)
{
    (void)state;
    char bytes[256];
    size_t len = put_frame(bytes, H2_HEADERS, H2_END_HEADERS, 1,
                           "\x08\x03"
                           "103",
                           5);
    len += put_frame(bytes + len, H2_HEADERS, 0, 1, "\x88\x00\x01", 3);
    len += put_frame(bytes + len, H2_CONTINUATION, H2_END_HEADERS, 1,
                     "a\x01"
                     "b",
                     3);
    len += put_frame(bytes + len, H2_DATA, H2_PADDED, 1, "\2hello\0\0", 8);
    len += put_frame(bytes + len, H2_PING, 0, 0, "12345678", 8);
    len += put_frame(bytes + len, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1,
                     "\x00\x01"
                     "c\x01"
                     "d",
                     5);
    for (size_t cut = 1; cut < len; cut++) {
        struct scene s;
        open_scene(&s);
        struct asker *a = &s.askers[0];
        say(&s, bytes, cut);
        for (int i = 0; i < 2; i++) loop_turn(&s.loop, 0);
        say(&s, bytes + cut, len - cut);
        UNTIL(&s, a->ends == 1);
        assert_int_equal(a->heads, 2);
        assert_int_equal(a->statuses[0], 103);
        assert_int_equal(a->statuses[1], 200);
        assert_int_equal(a->body_len, 5);
        assert_int_equal(a->trailers, 1);
        assert_int_equal(a->errors, 0);
        hear(&s, "PING ack\n");
        close_scene(&s);
    }
}

static void a_goaway_gives_back_what_is_above_its_last_stream(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct asker *below = &s.askers[0], *above = lease(&s, 1);
    ask(above, HTTP_POST, 5);
    hear(&s, "HEADERS 3\n");
    assert_false(above->stream->is_unprocessed);
    say_goaway(&s, 1, H2_NO_ERROR);
    UNTIL(&s, above->errors == 1);
    assert_int_equal(above->error, END_SERVER_GOAWAY);
    assert_true(above->stream->is_unprocessed);
    assert_int_equal(h2_client_room(s.client), 0);
    let_go(above);
    say_ok(&s, 1, true);
    UNTIL(&s, below->heads == 1);
    assert_int_equal(below->errors, 0);
    assert_int_equal(s.closed, 0);
    let_go(below);
    assert_int_equal(s.closed, 1);
    assert_int_equal(s.idle, 0);
    close_scene(&s);
}

static void a_stream_that_is_refused_was_not_acted_on(void **state)
{
    (void)state;
    static const struct {
        enum h2_error error;
        enum end_reason reason;
        bool is_unprocessed;
    } rows[] = { { H2_REFUSED_STREAM, END_SERVER_REFUSED, true },
                 { H2_INTERNAL_ERROR, END_SERVER_RESET, false },
                 { H2_NO_ERROR, END_SERVER_RESET, false } };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct scene s;
        open_scene(&s);
        struct asker *a = &s.askers[0];
        say_u32(&s, H2_RST_STREAM, 1, rows[i].error);
        UNTIL(&s, a->errors == 1);
        assert_int_equal(a->error, rows[i].reason);
        assert_string_equal(a->detail, h2_error_name(rows[i].error));
        assert_int_equal(a->stream->is_unprocessed, rows[i].is_unprocessed);
        assert_true(a->stream->is_alone);
        let_go(a);
        assert_int_equal(s.idle, 1); /* the connection goes on */
        close_scene(&s);
    }
}

static void a_server_that_has_answered_may_refuse_the_rest(void **state)
{
    (void)state;
    struct scene s;
    size_t taken;
    open_scene(&s);
    struct asker *a = lease(&s, 1);
    ask(a, HTTP_POST, 10);
    say_ok(&s, 3, true);
    say_u32(&s, H2_RST_STREAM, 3, H2_NO_ERROR);
    UNTIL(&s, a->writable == 1);
    assert_int_equal(a->heads, 1);
    assert_int_equal(a->errors, 0);
    assert_int_equal(http_send_body(a->stream, "x", 1, 0, &taken), IO_FAIL);
    let_go(a);
    hear(&s, "HEADERS 3\n"); /* and no RST_STREAM */
    close_scene(&s);
}

static void what_was_not_handed_over_was_not_acted_on(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct asker *old = &s.askers[0], *fresh = lease(&s, 1);
    ask(fresh, HTTP_POST, 5);
    close(s.far); /* heard of at the next turn, before what waits is sent */
    s.far = -1;
    UNTIL(&s, old->errors == 1 && fresh->errors == 1);
    assert_int_equal(old->error, END_SERVER_CLOSED);
    assert_false(old->stream->is_unprocessed);
    assert_true(fresh->stream->is_unprocessed);
    close_scene(&s);
    assert_true(s.was_closed_by_peer);
}

/* Its last word is GOAWAY, behind all that waited: of that the server may make what it likes. */
static void what_is_sent_before_the_last_word_may_be_acted_on(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct asker *fresh = lease(&s, 1);
    ask(fresh, HTTP_POST, 5);
    say_ok(&s, 99, true); /* to what was not asked: the connection ends */
    UNTIL(&s, fresh->errors == 1);
    assert_int_equal(fresh->error, END_SERVER_HTTP2);
    assert_false(fresh->stream->is_unprocessed);
    assert_false(fresh->stream->is_alone);
    close_scene(&s);
}

/* A client is slow, and the server gone by then. */
static void what_has_come_whole_is_given_when_the_server_has_closed(void **state)
{
    (void)state;
    struct scene s;
    size_t none;
    open_scene(&s);
    struct asker *whole = &s.askers[0], *cut = lease(&s, 1), *early = lease(&s, 2);
    ask(cut, HTTP_GET, 0);
    ask(early, HTTP_POST, 10);
    whole->takes_nothing = early->takes_nothing = true;
    say_ok(&s, 1, false);
    say_frame(&s, H2_DATA, H2_END_STREAM, 1, "all", 3);
    say_ok(&s, 5, false);
    say_frame(&s, H2_DATA, H2_END_STREAM, 5, "all", 3);
    say_ok(&s, 3, false);
    say_frame(&s, H2_DATA, 0, 3, "half", 4);
    UNTIL(&s, cut->body_len == 4 && whole->stream->held == 3 && early->stream->held == 3);
    receive(&s); /* lest the kernel make a reset of it */
    close(s.far);
    s.far = -1;
    UNTIL(&s, cut->errors == 1);
    assert_int_equal(cut->error, END_RESPONSE_CUT);
    assert_int_equal(early->writable, 1); /* what is left of its request has nowhere to go */
    assert_int_equal(http_send_body(early->stream, "x", 1, 0, &none), IO_FAIL);
    whole->takes_nothing = early->takes_nothing = false;
    http_stream_resume(whole->stream);
    http_stream_resume(early->stream);
    for (struct asker *a = whole; a; a = a == whole ? early : NULL) {
        assert_int_equal(a->errors, 0);
        assert_memory_equal(a->body, "all", 3);
        assert_int_equal(a->ends, 1);
    }
    assert_int_equal(s.closed, 0); /* but with the last of them */
    close_scene(&s);
}

static void nobody_listens(void **state)
{
    (void)state;
    struct scene s;
    begin_scene(&s);
    h2_client_close(s.client);
    loop_turn(&s.loop, 0);
    close(s.listener);
    s.listener = -1;
    s.client = slab_get(&s.connections);
    memset(s.client, 0, sizeof(*s.client));
    s.client->limits.streams = 6;
    s.closed = 0;
    if (h2_client_connect(s.client, &owner, &s.h2, &s.server, NULL, &s.limits) == 0) {
        struct asker *a = lease(&s, 0), *b = lease(&s, 1);
        UNTIL(&s, a->errors && b->errors);
        assert_int_equal(a->error, END_CONNECT_REFUSED);
        assert_true(b->stream->is_unprocessed);
    }
    close_scene(&s);
}

static void room_is_what_both_sides_allow(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    assert_int_equal(h2_client_room(s.client), 5);
    assert_int_equal(h2_client_streams_allowed(s.client), UINT32_MAX);
    say_frame(&s, H2_SETTINGS, 0, 0, "\0\3\0\0\0\3", 6);
    hear(&s, "SETTINGS ack\n");
    assert_int_equal(h2_client_streams_allowed(s.client), 3);
    assert_int_equal(h2_client_room(s.client), 2);
    lease(&s, 1);
    lease(&s, 2);
    assert_int_equal(h2_client_room(s.client), 0);
    unsigned rooms = s.rooms;
    let_go(&s.askers[2]);
    assert_int_equal(s.rooms, rooms + 1);
    assert_int_equal(h2_client_room(s.client), 1);
    close_scene(&s);
}

static void a_body_goes_as_far_as_the_windows(void **state)
{
    (void)state;
    struct scene s;
    static char body[70000];
    size_t taken = 0, more = 0;
    open_scene(&s);
    struct asker *a = lease(&s, 1);
    ask(a, HTTP_POST, sizeof(body));
    assert_int_equal(http_send_body(a->stream, body, sizeof(body), HTTP_END, &taken), IO_AGAIN);
    assert_int_equal(taken, 65535);
    say_u32(&s, H2_WINDOW_UPDATE, 0, 1 << 20);
    say_u32(&s, H2_WINDOW_UPDATE, 3, 100);
    UNTIL(&s, a->writable == 1);
    assert_int_equal(http_send_body(a->stream, body, sizeof(body) - taken, HTTP_END, &more), IO_AGAIN);
    assert_int_equal(more, 100);
    say_frame(&s, H2_SETTINGS, 0, 0, "\0\4\0\1\377\377", 6); /* all windows grow by 65536 */
    UNTIL(&s, a->writable == 2);
    assert_int_equal(http_send_body(a->stream, body, sizeof(body) - taken - 100, HTTP_END, &more), IO_OK);
    close_scene(&s);
}

static void what_is_not_taken_is_held_within_the_streams_window(void **state)
{
    (void)state;
    struct scene s;
    static char body[H2_PAYLOAD_MAX];
    open_scene(&s);
    struct asker *stalled = &s.askers[0], *other = lease(&s, 1);
    ask(other, HTTP_GET, 0);
    stalled->takes_nothing = true;
    say_ok(&s, 1, false);
    for (int i = 0; i < 3; i++) say_frame(&s, H2_DATA, 0, 1, body, sizeof(body));
    say_ok(&s, 3, false);
    say_frame(&s, H2_DATA, H2_END_STREAM, 3, "ok", 2);
    UNTIL(&s, other->ends == 1);
    UNTIL(&s, stalled->stream->held == 3 * sizeof(body));
    stalled->takes_nothing = false;
    http_stream_resume(stalled->stream);
    assert_int_equal(stalled->body_len, 3 * sizeof(body));
    assert_int_equal(stalled->stream->held, 0);
    say_frame(&s, H2_DATA, H2_END_STREAM, 1, "", 0);
    UNTIL(&s, stalled->ends == 1);
    close_scene(&s);
}

/* All of a window of each, and the connection's is as open for one more as before. */
static void streams_that_are_not_taken_leave_the_connections_window_open(void **state)
{
    (void)state;
    struct scene s;
    static char body[H2_PAYLOAD_MAX];
    open_scene(&s);
    for (unsigned i = 0; i < 5; i++) {
        struct asker *a = i ? lease(&s, i) : &s.askers[0];
        if (i) ask(a, HTTP_GET, 0);
        a->takes_nothing = true;
        say_ok(&s, 2 * i + 1, false);
        for (unsigned left = H2_WINDOW_FIRST; left;) {
            unsigned now = left < sizeof(body) ? left : sizeof(body);
            say_frame(&s, H2_DATA, 0, 2 * i + 1, body, now);
            left -= now;
        }
        UNTIL(&s, a->stream->held == H2_WINDOW_FIRST);
    }
    struct h2_session *session = s.client->session;
    assert_int_equal(session->held, 5 * H2_WINDOW_FIRST);
    assert_true(session->receive_window > (int32_t)session->window / 2);
    struct asker *other = lease(&s, 5);
    ask(other, HTTP_GET, 0);
    say_ok(&s, 11, false);
    for (int i = 0; i < 8; i++) {
        say_frame(&s, H2_DATA, 0, 11, body, sizeof(body));
        UNTIL(&s, other->body_len == (size_t)(i + 1) * sizeof(body));
    }
    assert_int_equal(s.askers[0].errors + other->errors, 0);
    close_scene(&s);
}

static void windows_grow_within_a_bound_of_all_streams_together(void **state)
{
    (void)state;
    struct scene s;
    static char body[H2_PAYLOAD_MAX];
    open_scene(&s);
    struct h2_session *session = s.client->session;
    s.client->limits.window_bytes = 256 << 10;
    session->grown = 8 * (256 << 10) - 65535; /* as others have */
    say_ok(&s, 1, false);
    for (int i = 0; i < 40; i++) {
        say_frame(&s, H2_DATA, 0, 1, body, sizeof(body));
        UNTIL(&s, s.askers[0].body_len == (size_t)(i + 1) * sizeof(body));
    }
    assert_int_equal(session->grown, 8 * (256 << 10));
    session->grown = 65535;
    let_go(&s.askers[0]);
    assert_int_equal(session->grown, 0);
    close_scene(&s);
}

static void a_cancelled_stream_is_reset_and_what_comes_of_it_is_ignored(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct asker *other = lease(&s, 1);
    ask(other, HTTP_GET, 0);
    http_stream_reset(s.askers[0].stream, END_CLIENT_ABORT);
    s.askers[0].stream = NULL;
    hear(&s, "HEADERS 3 end\nRST_STREAM 1 CANCEL\n");
    say_ok(&s, 1, false);
    say_frame(&s, H2_DATA, H2_END_STREAM, 1, "late", 4);
    say_ok(&s, 3, true);
    UNTIL(&s, other->heads == 1);
    close_scene(&s);
}

/* Frames of a stream's own fault end that alone, others the connection; what is said of both. */
struct wrong {
    const char *bytes;
    size_t len;
    const char *answer;
    enum end_reason reason;
    bool is_of_stream;
};
#define BYTES(literal) literal, sizeof(literal) - 1

static const struct wrong wrongs[] = {
    { BYTES("\0\0\4\5\4\0\0\0\1\0\0\0\2"), "GOAWAY PROTOCOL_ERROR\n", END_SERVER_HTTP2, false }, /* a push */
    { BYTES("\0\0\1\1\4\0\0\0\3\x88"), "GOAWAY PROTOCOL_ERROR\n", END_SERVER_HTTP2, false }, /* not asked */
    { BYTES("\0\0\1\1\4\0\0\0\2\x88"), "GOAWAY PROTOCOL_ERROR\n", END_SERVER_HTTP2, false },
    { BYTES("\0\0\1\0\0\0\0\0\5x"), "GOAWAY PROTOCOL_ERROR\n", END_SERVER_HTTP2, false }, /* data, likewise */
    { BYTES("\0\0\6\4\0\0\0\0\0\0\2\0\0\0\1"), "SETTINGS ack\nGOAWAY PROTOCOL_ERROR\n", END_SERVER_HTTP2,
      false }, /* it allows to push */
    { BYTES("\0\0\1\1\4\0\0\0\1\xff"), "GOAWAY COMPRESSION_ERROR\n", END_SERVER_HTTP2, false },
    { BYTES("\0\x40\1\0\0\0\0\0\1"), "GOAWAY FRAME_SIZE_ERROR\n", END_SERVER_HTTP2, false },
    { BYTES("\0\0\4\x08\0\0\0\0\0\0\0\0\0"), "GOAWAY PROTOCOL_ERROR\n", END_SERVER_HTTP2, false },
    { BYTES("\0\0\1\0\0\0\0\0\1x"), "RST_STREAM 1 PROTOCOL_ERROR\n", END_BAD_RESPONSE_BODY, true },
    { BYTES("\0\0\5\1\4\0\0\0\1\x08\x03"
            "101"),
      "RST_STREAM 1 PROTOCOL_ERROR\n", END_BAD_RESPONSE, true },
    { BYTES("\0\0\5\1\5\0\0\0\1\x08\x03"
            "100"),
      "RST_STREAM 1 PROTOCOL_ERROR\n", END_BAD_RESPONSE, true }, /* and the end */
    { BYTES("\0\0\5\1\5\0\0\0\1\x08\x03"
            "2x0"),
      "RST_STREAM 1 PROTOCOL_ERROR\n", END_BAD_RESPONSE, true },
    { BYTES("\0\0\5\1\5\0\0\0\1\0\1a\1b"), "RST_STREAM 1 PROTOCOL_ERROR\n", END_BAD_RESPONSE, true },
    { BYTES("\0\0\2\1\5\0\0\0\1\x88\x84"), "RST_STREAM 1 PROTOCOL_ERROR\n", END_BAD_RESPONSE,
      true }, /* :path */
    { BYTES("\0\0\5\1\5\0\0\0\1\x88\x0f\x0d\1"
            "5"),
      "RST_STREAM 1 PROTOCOL_ERROR\n", END_BAD_RESPONSE, true }, /* content-length: 5, and the end */
    { BYTES("\0\0\5\1\4\0\0\0\1\x88\x0f\x0d\1"
            "5\0\0\1\0\1\0\0\0\1x"),
      "RST_STREAM 1 PROTOCOL_ERROR\n", END_BAD_RESPONSE_BODY, true },
};

static void faults_of_the_server_end_what_they_are_of(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wrongs) / sizeof(*wrongs); i++) {
        const struct wrong *w = &wrongs[i];
        struct scene s;
        open_scene(&s);
        struct asker *a = &s.askers[0];
        say(&s, w->bytes, w->len);
        UNTIL(&s, a->errors == 1);
        assert_int_equal(a->error, w->reason);
        assert_non_null(a->detail);
        hear(&s, w->answer);
        let_go(a);
        assert_int_equal(s.closed, w->is_of_stream ? 0 : 1);
        close_scene(&s);
    }
}

static void what_is_no_http2_is_told_so(void **state)
{
    (void)state;
    struct scene s;
    begin_scene(&s);
    struct asker *a = lease(&s, 0);
    UNTIL(&s, a->opened == 1);
    accept_it(&s);
    ask(a, HTTP_GET, 0);
    say(&s, BYTES("HTTP/1.1 400 Bad Request\r\n\r\n"));
    UNTIL(&s, a->errors == 1);
    assert_int_equal(a->error, END_SERVER_HTTP2);
    assert_non_null(strstr(a->detail, "SETTINGS"));
    close_scene(&s);
}

static void floods_end_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } floods[] = { { BYTES("\0\0\0\4\0\0\0\0\0") },
                   { BYTES("\0\0\x08\6\0\0\0\0\0"
                           "12345678") },
                   { BYTES("\0\0\x08\6\1\0\0\0\0"
                           "12345678") },
                   { BYTES("\0\0\4\x08\0\0\0\0\0\0\0\0\1") },
                   { BYTES("\0\0\5\2\0\0\0\0\1\0\0\0\0\0") },
                   { BYTES("\0\0\x08\7\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\0") },
                   { BYTES("\0\0\1\x77\0\0\0\0\0x") } };
    for (size_t i = 0; i < sizeof(floods) / sizeof(*floods); i++) {
        struct scene s;
        open_scene(&s);
        for (int k = 0; k < 30; k++) say(&s, floods[i].bytes, floods[i].len);
        UNTIL(&s, s.askers[0].errors == 1);
        assert_int_equal(s.askers[0].error, END_SERVER_HTTP2_FLOOD);
        close_scene(&s);
    }
}

static void a_head_in_too_many_pieces_ends_the_connection(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    say_frame(&s, H2_HEADERS, 0, 1, OK_BLOCK, 1);
    for (int i = 0; i < 5; i++) say_frame(&s, H2_CONTINUATION, 0, 1, "", 0);
    UNTIL(&s, s.askers[0].errors == 1);
    assert_int_equal(s.askers[0].error, END_SERVER_HTTP2_FLOOD);
    close_scene(&s);
}

static void a_silent_connection_gets_nothing_more(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    s.loop.now_ns += 1000 * NS_PER_MS;
    http_stream_reset(s.askers[0].stream, END_FIRST_BYTE_TIMEOUT);
    s.askers[0].stream = NULL;
    assert_int_equal(s.closed, 1);
    close_scene(&s);
}

static void a_server_that_takes_nothing_is_left_in_time(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct asker *a = lease(&s, 1);
    static char body[32768];
    size_t taken = 0;
    ask(a, HTTP_POST, UINT32_MAX);
    say_u32(&s, H2_WINDOW_UPDATE, 0, H2_WINDOW_MAX - 65535);
    say_u32(&s, H2_WINDOW_UPDATE, 3, H2_WINDOW_MAX - 65535);
    hear(&s, "HEADERS 3\n");
    for (int i = 0; i < 100; i++) loop_turn(&s.loop, 0);
    while (http_send_body(a->stream, body, sizeof(body), 0, &taken) == IO_OK) {}
    s.loop.now_ns += 3001 * NS_PER_MS;
    h2_client_look(s.client);
    assert_int_equal(a->errors, 1);
    assert_int_equal(a->error, END_SEND_TIMEOUT);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_leased_while_it_opens_is_told_and_sent_in_its_turn),
        cmocka_unit_test(a_connection_carries_one_exchange_after_the_other_and_says_when_it_is_idle),
        cmocka_unit_test(cuts_make_no_difference),
        cmocka_unit_test(a_goaway_gives_back_what_is_above_its_last_stream),
        cmocka_unit_test(a_stream_that_is_refused_was_not_acted_on),
        cmocka_unit_test(a_server_that_has_answered_may_refuse_the_rest),
        cmocka_unit_test(what_was_not_handed_over_was_not_acted_on),
        cmocka_unit_test(what_is_sent_before_the_last_word_may_be_acted_on),
        cmocka_unit_test(what_has_come_whole_is_given_when_the_server_has_closed),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(room_is_what_both_sides_allow),
        cmocka_unit_test(a_body_goes_as_far_as_the_windows),
        cmocka_unit_test(what_is_not_taken_is_held_within_the_streams_window),
        cmocka_unit_test(streams_that_are_not_taken_leave_the_connections_window_open),
        cmocka_unit_test(windows_grow_within_a_bound_of_all_streams_together),
        cmocka_unit_test(a_cancelled_stream_is_reset_and_what_comes_of_it_is_ignored),
        cmocka_unit_test(faults_of_the_server_end_what_they_are_of),
        cmocka_unit_test(what_is_no_http2_is_told_so),
        cmocka_unit_test(floods_end_the_connection),
        cmocka_unit_test(a_head_in_too_many_pieces_ends_the_connection),
        cmocka_unit_test(a_silent_connection_gets_nothing_more),
        cmocka_unit_test(a_server_that_takes_nothing_is_left_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
