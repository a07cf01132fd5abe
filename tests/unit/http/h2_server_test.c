/* A client's HTTP/2 connection over a pair of sockets and a virtual clock, with a service that answers when the test says
 * so. What comes back is told as text: a frame a line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the above */
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "http/h1_server.h"
#include "http/h2_frame.h"
#include "http/h2_server.h"
#include "http/h2_session.h"

#define STREAMS_MAX 256

struct scene {
    struct http_service service; /* first */
    struct budget budget;
    struct loop loop;
    struct slab connections;
    struct h2_worker h2;
    struct list among;
    struct http_stream *streams[STREAMS_MAX]; /* in the order of their requests */
    unsigned requests, faults, errors, opened, closed, trailers, writable;
    uint64_t body;
    unsigned ends;
    bool takes;   /* bodies at once */
    bool answers; /* each request at once, with "ok" */
    enum end_reason error;
    uint8_t end;
    char targets[256];
    char upgrade[16]; /* of the last one */
    int far;
    char heard[32768];
};

static struct scene *scene_of(struct http_service *service)
{
    return container_of(service, struct scene, service);
}

static size_t on_body(struct http_stream *stream, const char *data, size_t len, unsigned flags)
{
    struct scene *s = stream->owner;
    (void)data;
    if (!s->takes && len) return 0;
    s->body += len;
    s->ends += (flags & HTTP_END) != 0;
    return len;
}

static void on_trailers(struct http_stream *stream, const struct http_field *fields, uint32_t count)
{
    struct scene *s = stream->owner;
    (void)fields;
    s->trailers += count;
    s->ends++;
}

static void on_error(struct http_stream *stream, const struct http_fault *fault)
{
    struct scene *s = stream->owner;
    s->errors++;
    s->error = fault->reason;
}

static void on_writable(struct http_stream *stream)
{
    ((struct scene *)stream->owner)->writable++;
}

static const struct http_stream_events events = {
    .on_body = on_body, .on_trailers = on_trailers, .on_error = on_error, .on_writable = on_writable
};

static void let_go(struct scene *s, unsigned i)
{
    struct http_stream *stream = s->streams[i];
    s->streams[i] = NULL;
    http_stream_release(stream);
}

static void answer(struct scene *s, unsigned i, const char *body, size_t len)
{
    struct http_head head = { .status = 200 };
    struct http_send send = { .head = &head, .body = HTTP_BODY_LENGTH, .content_length = len };
    size_t taken = 0;
    assert_int_equal(http_send_head(s->streams[i], &send, HTTP_MORE), IO_OK);
    if (len) assert_int_equal(http_send_body(s->streams[i], body, len, HTTP_END, &taken), IO_OK);
    assert_int_equal(taken, len);
}

static void on_request(struct http_service *service, struct http_stream *stream, struct http_head *head,
                       unsigned flags)
{
    struct scene *s = scene_of(service);
    (void)flags;
    stream->events = &events;
    stream->owner = s;
    snprintf(s->upgrade, sizeof(s->upgrade), "%.*s", (int)head->upgrade.len, head->upgrade.data);
    if (strlen(s->targets) + head->target.len < sizeof(s->targets))
        strncat(s->targets, head->target.data, head->target.len);
    s->streams[s->requests % STREAMS_MAX] = stream;
    if (s->answers) {
        answer(s, s->requests % STREAMS_MAX, "ok", 2);
        let_go(s, s->requests % STREAMS_MAX);
    }
    s->requests++;
}

static void on_fault(struct http_service *service, struct http_stream *stream, const struct http_fault *fault,
                     struct slice start)
{
    struct scene *s = scene_of(service);
    (void)start;
    s->faults++;
    s->error = fault->reason;
    http_stream_reset(stream, fault->reason);
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
    loop_bury(&s->loop, &c->grave, bury);
}

static void turns(struct scene *s)
{
    for (int i = 0; i < 4; i++) loop_turn(&s->loop, 0);
}

static void pass_time(struct scene *s, uint64_t ms)
{
    s->loop.now_ns += ms * NS_PER_MS;
    turns(s);
}

static void say(struct scene *s, const void *bytes, size_t len)
{
    assert_int_equal(send(s->far, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
    turns(s);
}
#define SAY(s, literal) say((s), (literal), sizeof(literal) - 1)

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

/* Frames that have come since, a line each. HEADERS are told without their fields. */
static const char *hear(struct scene *s)
{
    static const char *const names[] = { "DATA",          "HEADERS",      "PRIORITY", "RST_STREAM",
                                         "SETTINGS",      "PUSH_PROMISE", "PING",     "GOAWAY",
                                         "WINDOW_UPDATE", "CONTINUATION" };
    static char text[16384];
    size_t at = 0, len = 0;
    turns(s);
    ssize_t got = recv(s->far, s->heard, sizeof(s->heard), MSG_DONTWAIT);
    text[0] = 0;
    while (got > 0 && at + H2_FRAME_HEAD <= (size_t)got) {
        struct h2_frame f = h2_frame_read(s->heard + at);
        const char *payload = s->heard + at + H2_FRAME_HEAD;
        assert_true(at + H2_FRAME_HEAD + f.len <= (size_t)got);
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", names[f.type]);
        if (f.stream) len += (size_t)snprintf(text + len, sizeof(text) - len, " %u", f.stream);
        if (f.type == H2_DATA) len += (size_t)snprintf(text + len, sizeof(text) - len, " len=%u", f.len);
        if (f.type == H2_RST_STREAM)
            len += (size_t)snprintf(text + len, sizeof(text) - len, " %s",
                                    h2_error_name(h2_read_u32(payload)));
        if (f.type == H2_GOAWAY)
            len += (size_t)snprintf(text + len, sizeof(text) - len, " last=%u %s", h2_read_u32(payload),
                                    h2_error_name(h2_read_u32(payload + 4)));
        if (f.type == H2_WINDOW_UPDATE)
            len += (size_t)snprintf(text + len, sizeof(text) - len, " by=%u", h2_read_u32(payload));
        if ((f.flags & H2_ACK) && (f.type == H2_SETTINGS || f.type == H2_PING))
            len += (size_t)snprintf(text + len, sizeof(text) - len, " ack");
        if ((f.flags & H2_END_STREAM) && (f.type == H2_DATA || f.type == H2_HEADERS))
            len += (size_t)snprintf(text + len, sizeof(text) - len, " end");
        len += (size_t)snprintf(text + len, sizeof(text) - len, "\n");
        at += H2_FRAME_HEAD + f.len;
    }
    return text;
}

/* One more connection: its far end. */
static int join(struct scene *s)
{
    struct address nobody = { .len = sizeof(sa_family_t) };
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    nobody.sa.any.sa_family = AF_UNIX;
    struct h1_server *c = slab_get(&s->connections);
    assert_non_null(c);
    s->opened++;
    h1_server_start(c, &s->service, &s->loop, fds[0], &nobody, s->opened, &s->among);
    return fds[1];
}

static void open_scene(struct scene *s)
{
    struct err err;
    memset(s, 0, sizeof(*s));
    s->service = (struct http_service){ .on_request = on_request,
                                        .on_fault = on_fault,
                                        .on_closed = on_closed,
                                        .limits = { .head_max = 16384, .field_max = 64 },
                                        .h2 = &s->h2,
                                        .h2_limits = { .streams = 50,
                                                       .window_bytes = 65535,
                                                       .memory_bytes = 256 << 10,
                                                       .continuations = 4,
                                                       .floods = { 20, 20, 20, 20, 20 } },
                                        .header_timeout_ms = 1000,
                                        .keep_alive_timeout_ms = 2000,
                                        .write_timeout_ms = 3000 };
    s->takes = true;
    s->budget.limit = 8 << 20;
    assert_int_equal(loop_init(&s->loop, &s->budget, &err), 0);
    s->loop.is_virtual = true;
    slab_init(&s->connections, &s->loop.blocks, sizeof(struct h1_server));
    h2_worker_init(&s->h2, &s->loop);
    list_init(&s->among);
    s->far = join(s);
}

static void close_scene(struct scene *s)
{
    http_conn_kill_all(&s->among, END_DRAINED);
    for (unsigned i = 0; i < STREAMS_MAX; i++)
        if (s->streams[i]) let_go(s, i);
    turns(s);
    assert_int_equal(s->closed, s->opened);
    assert_int_equal(s->loop.timers.count, 0);
    assert_true(list_is_empty(&s->among));
    assert_int_equal(s->loop.blocks.live, 0);
    assert_int_equal(s->h2.sessions.live, 0);
    assert_int_equal(s->h2.streams.live, 0);
    close(s->far);
    slab_fini(&s->connections);
    h2_worker_fini(&s->h2);
    loop_fini(&s->loop);
}

#define SETTINGS "\0\0\0\4\0\0\0\0\0"
#define HELLO H2_PREFACE SETTINGS
#define WELCOME "SETTINGS\nWINDOW_UPDATE by=65535\nSETTINGS ack\n"
#define GET_BLOCK          \
    "\x82\x86\x84\x41\x01" \
    "a"
#define POST_BLOCK         \
    "\x83\x86\x84\x41\x01" \
    "a"

static void say_get(struct scene *s, uint32_t id)
{
    say_frame(s, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, id, GET_BLOCK, 6);
}

static void say_post(struct scene *s, uint32_t id)
{
    say_frame(s, H2_HEADERS, H2_END_HEADERS, id, POST_BLOCK, 6);
}

static void open_greeted(struct scene *s)
{
    open_scene(s);
    SAY(s, HELLO);
    assert_string_equal(hear(s), WELCOME);
}

static void a_request_is_answered(void **state)
{
    (void)state;
    struct scene s;
    open_greeted(&s);
    say_get(&s, 1);
    assert_int_equal(s.requests, 1);
    assert_string_equal(s.targets, "/");
    answer(&s, 0, "hello", 5);
    let_go(&s, 0);
    assert_string_equal(hear(&s), "HEADERS 1\nDATA 1 len=5 end\n");
    close_scene(&s);
}

static void streams_of_one_turn_leave_together_and_in_any_order(void **state)
{
    (void)state;
    struct scene s;
    open_greeted(&s);
    for (uint32_t id = 1; id <= 5; id += 2) say_get(&s, id);
    answer(&s, 2, "c", 1);
    answer(&s, 0, "a", 1);
    answer(&s, 1, "", 0);
    assert_string_equal(hear(&s),
                        "HEADERS 5\nDATA 5 len=1 end\nHEADERS 1\nDATA 1 len=1 end\nHEADERS 3 end\n");
    close_scene(&s);
}

static const struct h2_session *session_of(const struct scene *s)
{
    return ((const struct h2_server *)(const void *)http_conn_at(s->among.next))->session;
}

/* Its connection's sends are counted from now on. */
static struct transport_ops counting;
static const struct transport_ops *counted;
static unsigned sends;

static enum io counting_send(struct transport *t, const struct iovec *iov, int count, size_t *sent)
{
    sends++;
    return counted->send(t, iov, count, sent);
}

static void count_sends(struct scene *s)
{
    struct transport *t = &http_conn_at(s->among.next)->transport;
    counted = t->ops;
    counting = *counted;
    counting.send = counting_send;
    t->ops = &counting;
    sends = 0;
}

static unsigned count_ends(const char *heard)
{
    unsigned ends = 0;
    for (; (heard = strstr(heard, " end\n")) != NULL; heard++) ends++;
    return ends;
}

static void a_hundred_answers_of_one_turn_leave_in_one_send(void **state)
{
    (void)state;
    struct scene s;
    char body[100] = { 0 };
    open_greeted(&s);
    s.service.h2_limits.streams = 100;
    for (uint32_t i = 0; i < 100; i++) say_get(&s, 2 * i + 1);
    count_sends(&s);
    for (unsigned i = 0; i < 100; i++) answer(&s, i, body, sizeof(body));
    assert_int_equal(sends, 0);
    assert_int_equal(count_ends(hear(&s)), 100);
    assert_int_equal(sends, 1);
    for (unsigned i = 0; i < 100; i++) let_go(&s, i);
    close_scene(&s);
}

/* Of a large answer, as much as its stream's window lets go. */
static void answer_until_stalled(struct scene *s)
{
    static const char large[70000];
    struct http_head head = { .status = 200 };
    struct http_send send = { .head = &head, .body = HTTP_BODY_LENGTH, .content_length = sizeof(large) };
    size_t taken = 0;
    say_frame(s, H2_WINDOW_UPDATE, 0, 0, "\0\x10\0\0", 4);
    assert_int_equal(http_send_head(s->streams[0], &send, HTTP_MORE), IO_OK);
    assert_int_equal(http_send_body(s->streams[0], large, sizeof(large), HTTP_END, &taken), IO_AGAIN);
    assert_int_equal(taken, H2_WINDOW_FIRST);
    turns(s);
    while (recv(s->far, s->heard, sizeof(s->heard), MSG_DONTWAIT) > 0) {}
    assert_int_equal(session_of(s)->stalled, 1);
}

/* Each of the others' answers is with the client in the turn that made it, by as many sends as ever. */
static void beside_one_stream_that_is_stalled_the_others_take_no_longer(void **state)
{
    (void)state;
    enum { FAST = 99, ROUNDS = 2 };
    char body[64] = { 0 };
    for (int is_stalled = 0; is_stalled < 2; is_stalled++) {
        struct scene s;
        open_greeted(&s);
        s.service.h2_limits.streams = FAST + 1;
        say_get(&s, 1);
        if (is_stalled) answer_until_stalled(&s);
        count_sends(&s);
        for (unsigned round = 0; round < ROUNDS; round++) {
            unsigned first = s.requests;
            for (unsigned i = 0; i < FAST; i++) say_get(&s, 2 * (first + i) + 1);
            assert_int_equal(s.requests, first + FAST);
            while (recv(s.far, s.heard, sizeof(s.heard), MSG_DONTWAIT) > 0) {}
            sends = 0;
            for (unsigned i = 0; i < FAST; i++) answer(&s, (first + i) % STREAMS_MAX, body, sizeof(body));
            loop_turn(&s.loop, 0);
            assert_int_equal(sends, 1);
            assert_int_equal(count_ends(hear(&s)), FAST);
            assert_int_equal(sends, 1);
            for (unsigned i = 0; i < FAST; i++) let_go(&s, (first + i) % STREAMS_MAX);
            turns(&s);
        }
        close_scene(&s);
    }
}

static void cuts_make_no_difference(void **state)
{
    (void)state;
    char bytes[512], whole[512];
    size_t len = sizeof(HELLO) - 1;
    memcpy(bytes, HELLO, len);
    len += put_frame(bytes + len, H2_HEADERS, H2_END_HEADERS, 1, POST_BLOCK, 6);
    len += put_frame(bytes + len, H2_DATA, H2_PADDED, 1, "\2hello\0\0", 8);
    len += put_frame(bytes + len, H2_DATA, H2_END_STREAM, 1, "world", 5);
    len += put_frame(bytes + len, H2_HEADERS, H2_END_STREAM, 3, GET_BLOCK, 4);
    len += put_frame(bytes + len, H2_CONTINUATION, H2_END_HEADERS, 3, GET_BLOCK + 4, 2);
    len += put_frame(bytes + len, H2_PING, 0, 0, "12345678", 8);
    for (size_t cut = 0; cut < len; cut++) {
        struct scene s;
        open_scene(&s);
        s.answers = true;
        if (cut) say(&s, bytes, cut);
        say(&s, bytes + cut, len - cut);
        assert_int_equal(s.requests, 2);
        const char *heard = hear(&s);
        if (!cut) strcpy(whole, heard);
        assert_non_null(strstr(heard, "HEADERS 3\nDATA 3 len=2 end\n"));
        assert_non_null(strstr(heard, "PING ack\n"));
        close_scene(&s);
    }
    assert_non_null(strstr(whole, "DATA 1 len=2 end\n"));
}

static void bodies_and_trailers_reach_the_service(void **state)
{
    (void)state;
    struct scene s;
    open_greeted(&s);
    say_post(&s, 1);
    say_frame(&s, H2_DATA, 0, 1, "hello", 5);
    say_frame(&s, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1, "\x00\x01x\x01y", 5);
    assert_int_equal(s.body, 5);
    assert_int_equal(s.trailers, 1);
    assert_int_equal(s.ends, 1);
    close_scene(&s);
}

static void what_is_not_taken_is_held_and_not_credited(void **state)
{
    (void)state;
    struct scene s;
    static char body[16384];
    open_greeted(&s);
    s.takes = false;
    say_post(&s, 1);
    for (int i = 0; i < 3; i++) say_frame(&s, H2_DATA, 0, 1, body, sizeof(body));
    say_frame(&s, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1, "\x00\x01x\x01y", 5);
    assert_string_equal(hear(&s),
                        ""); /* the stream's window stays closed; the connection's is not half empty */
    assert_int_equal(s.streams[0]->held, 3 * sizeof(body));
    /* Another stream is not kept from its own. */
    say_post(&s, 3);
    s.takes = true;
    for (int i = 0; i < 2; i++) say_frame(&s, H2_DATA, 0, 3, body, sizeof(body));
    assert_string_equal(hear(&s), "WINDOW_UPDATE by=65536\n"
                                  "WINDOW_UPDATE 3 by=32768\n");
    http_stream_resume(s.streams[0]);
    assert_int_equal(s.body, 5 * sizeof(body));
    assert_int_equal(s.trailers, 1); /* behind the last byte */
    close_scene(&s);
}

static void nothing_is_sent_beyond_a_window(void **state)
{
    (void)state;
    struct scene s;
    static char body[100000];
    struct http_head head = { .status = 200 };
    struct http_send send = { .head = &head, .body = HTTP_BODY_UNKNOWN };
    size_t taken = 0;
    open_scene(&s);
    SAY(&s, H2_PREFACE "\0\0\6\4\0\0\0\0\0\0\4\0\0\0\xa"); /* a window of ten bytes */
    say_get(&s, 1);
    hear(&s);
    assert_int_equal(http_send_head(s.streams[0], &send, HTTP_MORE), IO_OK);
    assert_int_equal(http_send_body(s.streams[0], body, sizeof(body), HTTP_END, &taken), IO_AGAIN);
    assert_int_equal(taken, 10);
    assert_string_equal(hear(&s), "HEADERS 1\nDATA 1 len=10\n");
    assert_int_equal(s.writable, 0);
    say_frame(&s, H2_WINDOW_UPDATE, 0, 1, "\0\1\0\0", 4); /* 65536: the connection's has 65525 left */
    assert_int_equal(s.writable, 1);
    assert_int_equal(http_send_body(s.streams[0], body, sizeof(body), HTTP_END, &taken), IO_AGAIN);
    assert_int_equal(taken, 65525);
    say_frame(&s, H2_WINDOW_UPDATE, 0, 0, "\0\1\0\0", 4);
    assert_int_equal(s.writable, 2);
    close_scene(&s);
}

static void a_change_of_the_initial_window_moves_open_streams(void **state)
{
    (void)state;
    struct scene s;
    struct http_head head = { .status = 200 };
    struct http_send send = { .head = &head, .body = HTTP_BODY_UNKNOWN };
    size_t taken = 0;
    open_greeted(&s);
    say_get(&s, 1);
    SAY(&s, "\0\0\6\4\0\0\0\0\0\0\4\0\0\0\0");
    hear(&s);
    assert_int_equal(http_send_head(s.streams[0], &send, 0), IO_OK);
    assert_int_equal(http_send_body(s.streams[0], "x", 1, HTTP_END, &taken), IO_AGAIN);
    SAY(&s, "\0\0\6\4\0\0\0\0\0\0\4\0\0\0\1");
    assert_int_equal(s.writable, 1);
    assert_int_equal(http_send_body(s.streams[0], "x", 1, HTTP_END, &taken), IO_OK);
    assert_string_equal(hear(&s), "HEADERS 1\nSETTINGS ack\nDATA 1 len=1 end\n");
    close_scene(&s);
}

static void malformed_requests_end_their_stream_alone(void **state)
{
    (void)state;
    struct scene s;
    open_greeted(&s);
    say_frame(&s, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1,
              "\x82\x86\x84\x41\x01"
              "a\x00\x01X\x01y",
              11);
    assert_int_equal(s.faults, 1);
    assert_int_equal(s.error, END_BAD_REQUEST);
    s.answers = true;
    say_get(&s, 3);
    assert_non_null(strstr(hear(&s), "DATA 3 len=2 end\n"));
    close_scene(&s);
}

static void a_body_of_another_length_than_said_is_cut(void **state)
{
    (void)state;
    struct scene s;
    open_greeted(&s);
    say_frame(&s, H2_HEADERS, H2_END_HEADERS, 1,
              "\x83\x86\x84\x41\x01"
              "a\x5c\x01"
              "5",
              9);
    say_frame(&s, H2_DATA, H2_END_STREAM, 1, "four", 4);
    assert_int_equal(s.error, END_BAD_REQUEST_BODY);
    assert_string_equal(hear(&s), "RST_STREAM 1 PROTOCOL_ERROR\n");
    say_frame(&s, H2_HEADERS, H2_END_HEADERS, 3,
              "\x83\x86\x84\x41\x01"
              "a\x5c\x01"
              "5",
              9);
    say_frame(&s, H2_DATA, 0, 3, "sixsix", 6);
    assert_string_equal(hear(&s), "RST_STREAM 3 PROTOCOL_ERROR\n");
    assert_int_equal(s.ends, 0);
    close_scene(&s);
}

static void open_answered_post(struct scene *s)
{
    open_greeted(s);
    s->answers = true;
    say_post(s, 1);
    assert_string_equal(hear(s), "HEADERS 1\nDATA 1 len=2 end\n");
}

static void the_rest_of_an_answered_request_is_thrown_away_and_its_window_opened(void **state)
{
    (void)state;
    struct scene s;
    static char body[16384];
    open_answered_post(&s);
    for (int i = 0; i < 20; i++) {
        say_frame(&s, H2_DATA, 0, 1, body, sizeof(body));
        assert_null(strstr(hear(&s), "RST_STREAM"));
    }
    say_frame(&s, H2_DATA, H2_END_STREAM, 1, "end", 3);
    assert_null(strstr(hear(&s), "RST_STREAM"));
    assert_int_equal(s.h2.streams.live, 0);
    say_frame(&s, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 3, GET_BLOCK, 6);
    assert_string_equal(hear(&s), "HEADERS 3\nDATA 3 len=2 end\n");
    close_scene(&s);
}

static void trailers_and_resets_end_the_rest_as_well(void **state)
{
    (void)state;
    struct scene s;
    open_answered_post(&s);
    say_frame(&s, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1, "\0\1x\1y", 5);
    assert_string_equal(hear(&s), "");
    assert_int_equal(s.h2.streams.live, 0);
    say_post(&s, 3);
    say_frame(&s, H2_RST_STREAM, 0, 3, "\0\0\0\0", 4);
    assert_string_equal(hear(&s), "HEADERS 3\nDATA 3 len=2 end\n");
    assert_int_equal(s.h2.streams.live, 0);
    close_scene(&s);
}

static void the_rest_is_not_waited_for_without_end(void **state)
{
    (void)state;
    struct scene s;
    open_answered_post(&s);
    pass_time(&s, 2999);
    assert_string_equal(hear(&s), "");
    pass_time(&s, 2);
    assert_string_equal(hear(&s), "RST_STREAM 1 NO_ERROR\n");
    say_frame(&s, H2_DATA, H2_END_STREAM, 1, "late", 4); /* it was on its way: no fault */
    assert_string_equal(hear(&s), "");
    close_scene(&s);
}

static void the_rest_is_not_read_without_end(void **state)
{
    (void)state;
    struct scene s;
    static char body[16384];
    open_answered_post(&s);
    bool is_reset = false;
    for (int i = 0; i < 65 && !is_reset; i++) {
        say_frame(&s, H2_DATA, 0, 1, body, sizeof(body));
        is_reset = strstr(hear(&s), "RST_STREAM 1 NO_ERROR\n") != NULL;
        assert_int_equal(is_reset, i == 64); /* 1 MiB is let pass */
    }
    close_scene(&s);
}

static void the_rest_keeps_no_request_out(void **state)
{
    (void)state;
    struct scene s;
    open_greeted(&s);
    s.answers = true;
    for (uint32_t i = 0; i < 50; i++) say_post(&s, 2 * i + 1);
    assert_int_equal(s.h2.streams.live, 50);
    assert_null(strstr(hear(&s), "RST_STREAM"));
    say_post(&s, 101);
    assert_int_equal(s.requests, 51);
    assert_int_equal(s.h2.streams.live, 1);
    const char *heard = hear(&s);
    assert_null(strstr(heard, "REFUSED"));
    assert_non_null(strstr(heard, "RST_STREAM 1 NO_ERROR\n"));
    assert_non_null(strstr(heard, "DATA 101 len=2 end\n"));
    close_scene(&s);
}

static void a_connection_that_ends_takes_the_rest_with_it(void **state)
{
    (void)state;
    struct scene s;
    open_answered_post(&s);
    say_frame(&s, H2_PING, 0, 1, "12345678", 8); /* of a stream: a fault */
    assert_non_null(strstr(hear(&s), "GOAWAY"));
    assert_int_equal(s.h2.streams.live, 0);
    close_scene(&s);
    open_answered_post(&s);
    close_scene(&s);
}

static void more_streams_than_allowed_are_refused(void **state)
{
    (void)state;
    struct scene s;
    open_greeted(&s);
    for (uint32_t i = 0; i <= 50; i++) say_get(&s, 2 * i + 1);
    assert_int_equal(s.requests, 50);
    assert_string_equal(hear(&s), "RST_STREAM 101 REFUSED_STREAM\n");
    close_scene(&s);
}

static void a_drained_connection_loses_no_request(void **state)
{
    (void)state;
    struct scene s;
    open_greeted(&s);
    say_get(&s, 1);
    http_conn_drain(http_conn_at(s.among.next));
    assert_string_equal(hear(&s), "GOAWAY last=2147483647 NO_ERROR\nPING\n");
    say_get(&s, 3); /* on its way when it was drained */
    assert_int_equal(s.requests, 2);
    SAY(&s, "\0\0\x08\6\1\0\0\0\0leaving\0");
    assert_string_equal(hear(&s), "GOAWAY last=3 NO_ERROR\n");
    say_get(&s, 5);
    assert_int_equal(s.requests, 2);
    for (unsigned i = 0; i < 2; i++) {
        answer(&s, i, "", 0);
        let_go(&s, i);
    }
    assert_string_equal(hear(&s), "HEADERS 1 end\nHEADERS 3 end\n");
    shutdown(s.far, SHUT_WR);
    turns(&s);
    assert_int_equal(s.closed, 1);
    assert_int_equal(s.end, END_NONE);
    close_scene(&s);
}

static void an_idle_connection_closes_in_time(void **state)
{
    (void)state;
    struct scene s;
    open_greeted(&s);
    pass_time(&s, 1999);
    assert_string_equal(hear(&s), "");
    pass_time(&s, 2);
    assert_string_equal(hear(&s), "GOAWAY last=0 NO_ERROR\n");
    pass_time(&s, 5001); /* a client that does not close its side */
    assert_int_equal(s.closed, 1);
    close_scene(&s);
}

static void one_that_leaves_and_is_not_read_from_waits_for_its_time(void **state)
{
    static const char body[6000];
    (void)state;
    struct scene s;
    open_greeted(&s);
    struct http_conn *http = http_conn_at(s.among.next);
    assert_int_equal(setsockopt(http->transport.io.fd, SOL_SOCKET, SO_SNDBUF, &(int){ 1 }, sizeof(int)), 0);
    for (unsigned i = 0; i < 8; i++) say_get(&s, 2 * i + 1);
    for (unsigned i = 0; i < 8; i++) {
        answer(&s, i, body, sizeof(body));
        let_go(&s, i);
    }
    turns(&s);
    pass_time(&s, 2001); /* idle for too long: it is to go, and its client takes nothing */
    assert_true(timer_is_armed(&http->timer));
    assert_true(http->timer.deadline_ms > loop_now_ms(&s.loop)); /* one in the past fires at every turn */
    assert_int_equal(s.closed, 0);
    pass_time(&s, 1000);
    assert_int_equal(s.closed, 1);
    close_scene(&s);
}

static void a_head_that_does_not_come_ends_in_time(void **state)
{
    (void)state;
    struct scene s;
    open_greeted(&s);
    SAY(&s, "\0\0\x40\1\4\0\0\0\1\x82");
    pass_time(&s, 1001);
    assert_string_equal(hear(&s), "GOAWAY last=0 NO_ERROR\n");
    assert_int_equal(((struct http_conn *)http_conn_at(s.among.next))->end, END_HEADER_TIMEOUT);
    close_scene(&s);
}

/* Each kind of flood: a frame, how often, and what it ends with. */
static const struct flood {
    const char *name;
    uint8_t type, flags;
    uint32_t stream;
    struct slice payload;
    enum end_reason end;
} floods[] = {
    { "settings", H2_SETTINGS, 0, 0, { "", 0 }, END_HTTP2_SETTINGS },
    { "pings", H2_PING, 0, 0, { "12345678", 8 }, END_HTTP2_PINGS },
    { "empty data", H2_DATA, 0, 1, { "", 0 }, END_HTTP2_EMPTY_FRAMES },
    { "priorities", H2_PRIORITY, 0, 9, { "\0\0\0\3\1", 5 }, END_HTTP2_EMPTY_FRAMES },
    { "unknown frames", 0x55, 0, 0, { "x", 1 }, END_HTTP2_EMPTY_FRAMES },
    { "window updates", H2_WINDOW_UPDATE, 0, 0, { "\0\0\0\1", 4 }, END_HTTP2_WINDOWS },
};

static void floods_end_the_connection(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(floods) / sizeof(*floods); i++) {
        const struct flood *f = &floods[i];
        struct scene s;
        open_greeted(&s);
        say_post(&s, 1);
        for (int k = 0; k < 40 && !s.errors; k++)
            say_frame(&s, f->type, f->flags, f->stream, f->payload.data, f->payload.len);
        if (!strstr(hear(&s), "GOAWAY last=1 ENHANCE_YOUR_CALM\n")) fail_msg("%s: no GOAWAY", f->name);
        assert_int_equal(s.error, f->end);
        close_scene(&s);
    }
}

static void what_is_slow_is_no_flood(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(floods) / sizeof(*floods); i++) {
        const struct flood *f = &floods[i];
        struct scene s;
        open_greeted(&s);
        say_post(&s, 1);
        for (int k = 0; k < 60; k++) {
            say_frame(&s, f->type, f->flags, f->stream, f->payload.data, f->payload.len);
            pass_time(&s, 600);
        }
        assert_int_equal(s.errors, 0);
        close_scene(&s);
    }
}

static void requests_that_are_taken_back_are_counted(void **state)
{
    (void)state;
    struct scene s;
    open_greeted(&s);
    for (uint32_t id = 1; id < 60 && list_is_empty(&s.among) == false && s.error != END_HTTP2_RESETS;
         id += 2) {
        say_get(&s, id);
        say_frame(&s, H2_RST_STREAM, 0, id, "\0\0\0\x08", 4);
        unsigned latest = s.requests - 1;
        if (s.streams[latest]) let_go(&s, latest);
    }
    assert_non_null(strstr(hear(&s), "ENHANCE_YOUR_CALM"));
    assert_int_equal(s.requests, 21);
    close_scene(&s);
    assert_int_equal(s.end, END_HTTP2_RESETS);
}

static void a_head_in_too_many_pieces_ends_the_connection(void **state)
{
    (void)state;
    struct scene s;
    open_greeted(&s);
    say_frame(&s, H2_HEADERS, 0, 1, GET_BLOCK, 1);
    for (int i = 0; i < 5; i++) say_frame(&s, H2_CONTINUATION, 0, 1, GET_BLOCK + 1, 1);
    assert_string_equal(hear(&s), "GOAWAY last=0 ENHANCE_YOUR_CALM\n");
    close_scene(&s);
    assert_int_equal(s.end, END_HTTP2_CONTINUATIONS);
}

/* A field of a kilobyte goes into the table, and each byte of the next head refers to it. */
static void references_that_make_much_of_little_end_the_connection(void **state)
{
    (void)state;
    struct scene s;
    char block[2048] = GET_BLOCK "\x40\x01x\x7f\xe9\x06"; /* 127 + 105 + 6 * 128 = 1000 */
    size_t len = 12;
    open_greeted(&s);
    memset(block + len, 'v', 1000);
    say_frame(&s, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1, block, len + 1000);
    assert_int_equal(s.requests, 1);
    memset(block + 6, '\xbf', 1000); /* behind :authority, which comes anew */
    say_frame(&s, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 3, block, 1006);
    assert_int_equal(s.requests, 1);
    assert_string_equal(hear(&s), "GOAWAY last=3 ENHANCE_YOUR_CALM\n");
    let_go(&s, 0);
    turns(&s);
    close_scene(&s);
    assert_int_equal(s.end, END_HTTP2_MEMORY);
}

static void heads_that_are_held_are_counted(void **state)
{
    (void)state;
    struct scene s;
    char block[16384] = GET_BLOCK "\x00\x01x\x7f\xc1\x5d"; /* 127 + 65 + 93 * 128 = 12096 */
    open_greeted(&s);
    memset(block + 12, 'v', 12096);
    for (uint32_t id = 1; id < 30; id += 2)
        say_frame(&s, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, id, block, 12 + 12096);
    assert_int_equal(s.requests, 10); /* half of 256 KiB */
    assert_non_null(strstr(hear(&s), "RST_STREAM 29 REFUSED_STREAM\n"));
    close_scene(&s);
}

/* An entry of 3,900 bytes, then requests that refer to it four times, in four bytes. */
static void refer(struct scene *s)
{
    char block[4096] = "\x82\x86\x84\x01\x01"
                       "a\x40\x01x\x7f\xbd\x1d"; /* 127 + 61 + 29 * 128 = 3900 */
    memset(block + 12, 'v', 3900);
    say_frame(s, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1, block, 12 + 3900);
    memset(block + 6, '\xbe', 4);
    for (uint32_t id = 3; id < 30; id += 2)
        say_frame(s, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, id, block, 10);
}

/* What one client may hold has an end: then its connection's window runs dry, and opens again as it is taken. */
static void a_client_whose_bodies_are_not_taken_is_stopped_at_its_memory(void **state)
{
    (void)state;
    struct scene s;
    static char body[16384];
    open_greeted(&s);
    const struct h2_session *session = session_of(&s);
    s.takes = false;
    for (uint32_t id = 1; id < 13; id += 2) {
        say_post(&s, id);
        for (int i = 0; i < 4; i++) say_frame(&s, H2_DATA, 0, id, body, sizeof(body) - (i == 3));
    }
    assert_int_equal(session->held, 6 * 65535);
    assert_int_equal(session->receive_window, 0);
    hear(&s);
    s.takes = true;
    http_stream_resume(s.streams[0]);
    http_stream_resume(s.streams[1]);
    assert_int_equal(session->held, 4 * 65535);
    assert_non_null(strstr(hear(&s), "WINDOW_UPDATE by=131070\n"));
    assert_int_equal(session->receive_window, 131070);
    close_scene(&s);
}

static void what_is_kept_beyond_what_was_sent_is_little_once_memory_is_half_used(void **state)
{
    (void)state;
    const uint64_t others = 20 << 20;
    for (int is_half_used = 0; is_half_used < 2; is_half_used++) {
        struct scene s;
        open_greeted(&s);
        s.budget.limit = 32 << 20;
        if (is_half_used) s.budget.used += others;
        refer(&s);
        const struct h2_session *session = session_of(&s);
        assert_true(session->received < 5000);
        if (is_half_used)
            assert_true(session->held_heads <= (16 << 10) + session->received);
        else
            assert_true(session->held_heads > 100 << 10); /* as long as there is memory, they are welcome */
        assert_true(session->held_heads <= 128 << 10);    /* half of what it may hold */
        assert_int_equal(s.requests, is_half_used ? 2 : 9);
        assert_non_null(strstr(hear(&s), "RST_STREAM 29 REFUSED_STREAM\n"));
        if (is_half_used) s.budget.used -= others;
        close_scene(&s);
    }
}

static void what_a_connection_holds_is_known(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    SAY(&s, H2_PREFACE "\0\0\6\4\0\0\0\0\0\0\4\0\0\0\0"); /* windows of nothing */
    struct http_conn *c = http_conn_at(s.among.next);
    uint64_t before = c->ops->held(c);
    for (uint32_t id = 1; id < 7; id += 2) say_get(&s, id);
    assert_in_range(c->ops->held(c) - before, 3 * (8 << 10), 3 * (9 << 10));
    struct http_head head = { .status = 200 };
    struct http_send send = { .head = &head, .body = HTTP_BODY_LENGTH, .content_length = 5 };
    size_t taken = 0;
    assert_int_equal(http_send_head(s.streams[0], &send, HTTP_MORE), IO_OK);
    for (int i = 0; i < 3; i++) /* it is one stream however often it is tried */
        assert_int_equal(http_send_body(s.streams[0], "hello", 5, HTTP_END, &taken), IO_AGAIN);
    assert_int_equal(session_of(&s)->stalled, 1);
    for (unsigned i = 0; i < 3; i++) let_go(&s, i);
    turns(&s);
    assert_int_equal(session_of(&s)->stalled, 0);
    assert_true(c->ops->held(c) <= before + 1024);
    close_scene(&s);
}

static void a_request_that_is_taken_back_with_its_head_is_not_begun(void **state)
{
    (void)state;
    struct scene s;
    char bytes[2 * H2_FRAME_HEAD + 16];
    open_greeted(&s);
    for (uint32_t id = 1; id < 60 && s.closed == 0 && !strstr(hear(&s), "GOAWAY"); id += 2) {
        size_t len = put_frame(bytes, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, id, GET_BLOCK, 6);
        len += put_frame(bytes + len, H2_RST_STREAM, 0, id, "\0\0\0\x08", 4);
        say(&s, bytes, len);
    }
    assert_int_equal(s.requests, 0);
    close_scene(&s);
    assert_int_equal(s.end, END_HTTP2_RESETS);
}

static void faults_of_framing_end_the_connection(void **state)
{
    (void)state;
    static const struct {
        uint8_t type, flags;
        uint32_t stream;
        struct slice payload;
        const char *error;
    } cases[] = {
        { H2_DATA, 0, 3, { "x", 1 }, "PROTOCOL_ERROR" },          /* not open */
        { H2_HEADERS, 5, 2, { GET_BLOCK, 6 }, "PROTOCOL_ERROR" }, /* an even number */
        { H2_HEADERS, 0, 2, { GET_BLOCK, 1 }, "PROTOCOL_ERROR" }, /* and more of it may never come */
        { H2_HEADERS, 5, 5, { "\x80", 1 }, "COMPRESSION_ERROR" },
        { H2_HEADERS, 13, 5, { "\7\x82", 2 }, "PROTOCOL_ERROR" }, /* all padding */
        { H2_CONTINUATION, 4, 1, { "", 0 }, "PROTOCOL_ERROR" },
        { H2_RST_STREAM, 0, 9, { "\0\0\0\0", 4 }, "PROTOCOL_ERROR" },
        { H2_WINDOW_UPDATE, 0, 0, { "\0\0\0\0", 4 }, "PROTOCOL_ERROR" },
        { H2_WINDOW_UPDATE, 0, 0, { "\x7f\xff\xff\xff", 4 }, "FLOW_CONTROL_ERROR" },
        { H2_SETTINGS, 0, 0, { "\0\4\xff\xff\xff\xff", 6 }, "FLOW_CONTROL_ERROR" },
        { H2_PUSH_PROMISE, 0, 1, { "\0\0\0\2", 4 }, "PROTOCOL_ERROR" },
        { H2_PING, 0, 0, { "1234567", 7 }, "FRAME_SIZE_ERROR" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct scene s;
        open_greeted(&s);
        say_post(&s, 1);
        say_frame(&s, cases[i].type, cases[i].flags, cases[i].stream, cases[i].payload.data,
                  cases[i].payload.len);
        const char *heard = hear(&s);
        if (!strstr(heard, "GOAWAY") || !strstr(heard, cases[i].error)) fail_msg("case %zu: %s", i, heard);
        assert_int_equal(s.error, END_HTTP2_PROTOCOL); /* the stream that was open has heard of it */
        close_scene(&s);
    }
}

static void settings_are_acknowledged_once(void **state)
{
    (void)state;
    struct scene s;
    open_greeted(&s);
    say_frame(&s, H2_SETTINGS, H2_ACK, 0, "", 0);
    assert_string_equal(hear(&s), "");
    say_frame(&s, H2_SETTINGS, H2_ACK, 0, "", 0);
    assert_string_equal(hear(&s), "GOAWAY last=0 PROTOCOL_ERROR\n");
    close_scene(&s);
}

static void data_beyond_the_window_is_a_fault_of_its_stream(void **state)
{
    (void)state;
    struct scene s;
    static char body[16384];
    open_greeted(&s);
    s.takes = false;
    say_post(&s, 1);
    for (int i = 0; i < 4; i++) say_frame(&s, H2_DATA, 0, 1, body, sizeof(body));
    assert_string_equal(hear(&s), "RST_STREAM 1 FLOW_CONTROL_ERROR\nWINDOW_UPDATE by=65536\n");
    close_scene(&s);
}

static void what_is_no_http_2_is_closed(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    SAY(&s, "PRI * HTTP/2.0\r\n\r\n");
    SAY(&s, "XX");
    assert_non_null(strstr(hear(&s), "PROTOCOL_ERROR"));
    close_scene(&s);
}

/* `count` requests behind one another; how many bytes. */
static size_t put_gets(char *to, uint32_t first_id, unsigned count)
{
    size_t len = 0;
    for (unsigned i = 0; i < count; i++)
        len += put_frame(to + len, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, first_id + 2 * i, GET_BLOCK,
                         6);
    return len;
}

static void one_connection_begins_a_bounded_number_of_requests_in_a_turn(void **state)
{
    (void)state;
    struct scene s;
    static char bytes[1000 * 15];
    open_greeted(&s);
    s.answers = true;
    size_t len = put_gets(bytes, 1, 1000);
    assert_int_equal(send(s.far, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
    loop_turn(&s.loop, 0);
    /* As many as a client may have at the same time are begun at once; not all that a client can send. */
    assert_in_range(s.requests, 100, 300);
    for (unsigned before = 0; s.requests < 1000 && s.requests > before; loop_turn(&s.loop, 0)) {
        assert_in_range(s.requests - before, 1, 300);
        before = s.requests;
    }
    assert_int_equal(s.requests, 1000);
    assert_true(list_is_empty(&s.h2.waiting));
    close_scene(&s);
}

#define GREEDY 40u

static void who_asks_for_little_is_served_beside_many_who_ask_for_much(void **state)
{
    (void)state;
    struct scene s;
    static char bytes[400 * 15];
    int greedy[GREEDY];
    size_t len = put_gets(bytes, 1, 400);
    open_greeted(&s);
    s.answers = true;
    for (unsigned i = 0; i < GREEDY; i++) {
        greedy[i] = join(&s);
        assert_int_equal(send(greedy[i], HELLO, sizeof(HELLO) - 1, MSG_NOSIGNAL), sizeof(HELLO) - 1);
    }
    turns(&s);
    for (unsigned i = 0; i < GREEDY; i++)
        assert_int_equal(send(greedy[i], bytes, len, MSG_NOSIGNAL), (ssize_t)len);
    for (uint32_t id = 1; id <= 9; id += 2) {
        unsigned before = s.requests;
        assert_int_equal(send(s.far, bytes + (id - 1) / 2 * 15, 15, MSG_NOSIGNAL), 15);
        loop_turn(&s.loop, 0);
        char answer[64];
        assert_in_range(recv(s.far, answer, sizeof(answer), MSG_DONTWAIT), 9, sizeof(answer));
        assert_in_range(s.requests - before, 2, 600); /* of 16,000 that are there */
    }
    for (unsigned i = 0; i < 400 && s.requests < GREEDY * 400 + 5; i++) loop_turn(&s.loop, 0);
    assert_int_equal(s.requests, GREEDY * 400 + 5);
    for (unsigned i = 0; i < GREEDY; i++) close(greedy[i]);
    close_scene(&s);
}

static void who_waits_in_line_may_do_a_little_meanwhile(void **state)
{
    (void)state;
    struct scene s;
    static char bytes[400 * 15];
    int greedy[GREEDY];
    size_t len = put_gets(bytes, 1, 400);
    open_greeted(&s);
    const struct h2_session *own = session_of(&s);
    s.answers = true;
    for (unsigned i = 0; i < GREEDY; i++) {
        greedy[i] = join(&s);
        assert_int_equal(send(greedy[i], HELLO, sizeof(HELLO) - 1, MSG_NOSIGNAL), sizeof(HELLO) - 1);
    }
    turns(&s);
    for (unsigned i = 0; i < GREEDY; i++)
        assert_int_equal(send(greedy[i], bytes, len, MSG_NOSIGNAL), (ssize_t)len);
    /* One request more than it may begin in any case: the last one waits in line, behind the others. */
    assert_int_equal(send(s.far, bytes, 3 * 15, MSG_NOSIGNAL), 3 * 15);
    loop_turn(&s.loop, 0);
    assert_int_equal(own->last_id, 3);
    assert_false(list_is_empty(&own->wait));
    char heard[512], ping[H2_FRAME_HEAD + 8];
    assert_true(recv(s.far, heard, sizeof(heard), MSG_DONTWAIT) > 0);
    size_t ping_len = put_frame(ping, H2_PING, 0, 0, "12345678", 8);
    assert_int_equal(send(s.far, ping, ping_len, MSG_NOSIGNAL), (ssize_t)ping_len);
    loop_turn(&s.loop, 0);
    /* In the next turn what waited, and then the PING: that it has come later must show. */
    ssize_t got = recv(s.far, heard, sizeof(heard), MSG_DONTWAIT);
    assert_true(got > (ssize_t)ping_len);
    assert_int_equal(own->last_id, 5);
    assert_memory_equal(heard + got - 8, "12345678", 8);
    assert_false(list_is_empty(&s.h2.waiting)); /* the others do wait */
    for (unsigned i = 0; i < 400 && s.requests < GREEDY * 400 + 3; i++) loop_turn(&s.loop, 0);
    assert_int_equal(s.requests, GREEDY * 400 + 3);
    for (unsigned i = 0; i < GREEDY; i++) close(greedy[i]);
    close_scene(&s);
}

/* A quarter of a bound is enough; the clock says that the turns have much to do. */
static void who_comes_near_a_bound_comes_behind_all_others(void **state)
{
    (void)state;
    struct scene s;
    static char bytes[100 * 15];
    char pings[6 * (H2_FRAME_HEAD + 8)], answer[64];
    int greedy[GREEDY];
    size_t ping_len = 0, len = put_gets(bytes, 1, 40);
    while (ping_len < sizeof(pings)) ping_len += put_frame(pings + ping_len, H2_PING, 0, 0, "12345678", 8);
    open_greeted(&s);
    s.answers = true;
    for (unsigned i = 0; i < GREEDY; i++) {
        greedy[i] = join(&s);
        assert_int_equal(send(greedy[i], HELLO, sizeof(HELLO) - 1, MSG_NOSIGNAL), sizeof(HELLO) - 1);
        assert_int_equal(send(greedy[i], pings, ping_len, MSG_NOSIGNAL), (ssize_t)ping_len);
    }
    turns(&s);
    for (unsigned i = 0; i < GREEDY; i++)
        assert_int_equal(send(greedy[i], bytes, len, MSG_NOSIGNAL), (ssize_t)len);
    put_gets(bytes, 1, 100);
    for (unsigned i = 0; i < 32; i++) {
        assert_int_equal(send(s.far, bytes + (size_t)i * 15, 15, MSG_NOSIGNAL), 15);
        s.loop.now_ns += NS_PER_MS;
        loop_turn(&s.loop, 0);
        assert_in_range(recv(s.far, answer, sizeof(answer), MSG_DONTWAIT), 9, sizeof(answer));
    }
    assert_in_range(s.requests, 32 + 1,
                    32 + 40); /* of 1,600 that are there: a sixteenth of the turns is theirs */
    for (unsigned i = 0; i < 400 && s.requests < GREEDY * 40 + 32; i++) loop_turn(&s.loop, 0);
    assert_int_equal(s.requests, GREEDY * 40 + 32); /* where nobody else is there, all are served */
    assert_int_equal(s.closed, 0);
    for (unsigned i = 0; i < GREEDY; i++) close(greedy[i]);
    close_scene(&s);
}

/* Nobody has answered yet, so that nothing waits for a window: what the client announced is enough. */
static void who_announces_tiny_windows_asks_few_servers_while_others_want_to(void **state)
{
    (void)state;
    enum { CLIENTS = 8, REQUESTS = 30 };
    static const struct {
        const char *hello;
        unsigned begun_min, begun_max; /* in the first turns */
    } cases[] = {
        { H2_PREFACE "\0\0\6\4\0\0\0\0\0\0\4\0\0\0\1", 5 * CLIENTS, 7 * CLIENTS },               /* a byte */
        { H2_PREFACE "\0\0\6\4\0\0\0\0\0\0\4\0\0\4\0", REQUESTS * CLIENTS, REQUESTS * CLIENTS }, /* 1 KiB */
    };
    for (size_t k = 0; k < sizeof(cases) / sizeof(*cases); k++) {
        struct scene s;
        static char bytes[REQUESTS * 15];
        char heard[64], ping[H2_FRAME_HEAD + 8];
        int greedy[CLIENTS];
        const ssize_t hello_len = sizeof(H2_PREFACE) - 1 + 15;
        size_t ping_len = put_frame(ping, H2_PING, 0, 0, "12345678", 8), len = put_gets(bytes, 1, REQUESTS);
        open_greeted(&s);
        for (unsigned i = 0; i < CLIENTS; i++) {
            greedy[i] = join(&s);
            assert_int_equal(send(greedy[i], cases[k].hello, (size_t)hello_len, MSG_NOSIGNAL), hello_len);
        }
        turns(&s);
        for (unsigned i = 0; i < CLIENTS; i++)
            assert_int_equal(send(greedy[i], bytes, len, MSG_NOSIGNAL), (ssize_t)len);
        for (unsigned i = 0; i < 5; i++) {
            assert_int_equal(send(s.far, ping, ping_len, MSG_NOSIGNAL), (ssize_t)ping_len);
            s.loop.now_ns += NS_PER_MS;
            loop_turn(&s.loop, 0);
            assert_true(recv(s.far, heard, sizeof(heard), MSG_DONTWAIT) > 0);
        }
        assert_in_range(s.requests, cases[k].begun_min, cases[k].begun_max);
        /* where nobody else is there, all are served */
        for (unsigned i = 0; i < 400 && s.requests < REQUESTS * CLIENTS; i++) loop_turn(&s.loop, 0);
        assert_int_equal(s.requests, REQUESTS * CLIENTS);
        for (unsigned i = 0; i < CLIENTS; i++) close(greedy[i]);
        close_scene(&s);
    }
}

static void a_head_and_its_body_are_not_parted_by_a_turn(void **state)
{
    (void)state;
    struct scene s;
    static char bytes[400 * 40];
    size_t len = 0;
    for (uint32_t i = 0; i < 400; i++) {
        len += put_frame(bytes + len, H2_HEADERS, H2_END_HEADERS, 2 * i + 1, POST_BLOCK, 6);
        len += put_frame(bytes + len, H2_DATA, H2_END_STREAM, 2 * i + 1, "x", 1);
    }
    open_greeted(&s);
    s.service.h2_limits.streams = 1000;
    assert_int_equal(send(s.far, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
    for (unsigned i = 0; i < 400 && s.requests < 400; i++) {
        loop_turn(&s.loop, 0);
        assert_int_equal(s.body, s.requests);
        for (unsigned k = 0; k < STREAMS_MAX; k++)
            if (s.streams[k]) let_go(&s, k);
    }
    assert_int_equal(s.requests, 400);
    close_scene(&s);
}

/* tunnels */

#define ASK_TUNNEL     \
    "\x42\x07"         \
    "CONNECT"          \
    "\x86\x84\x41\x01" \
    "a"                \
    "\x00\x09:protocol\x09websocket"

static void say_connect(struct scene *s, uint32_t id)
{
    say_frame(s, H2_HEADERS, H2_END_HEADERS, id, ASK_TUNNEL, sizeof(ASK_TUNNEL) - 1);
}

struct pipe {
    struct transport transport;
    unsigned calls;
};

static void on_pipe_ready(struct transport *t)
{
    container_of(t, struct pipe, transport)->calls++;
}

/* Such may be asked for. */
static void open_for_tunnels(struct scene *s)
{
    open_scene(s);
    s->service.h2_limits.allows_tunnels = true;
    SAY(s, HELLO);
    assert_string_equal(hear(s), WELCOME);
}

/* The request is granted, and goes on as a transport. */
static void grant(struct scene *s, struct pipe *p)
{
    struct http_head head = { .status = 200 };
    struct http_send send = { .head = &head, .body = HTTP_BODY_UNKNOWN };
    struct block *held;
    struct slice bytes;
    struct http_stream *stream = s->streams[0];
    assert_int_equal(http_send_head(stream, &send, 0), IO_OK);
    s->streams[0] = NULL;
    assert_int_equal(stream->ops->detach(stream, &p->transport, &held, &bytes), 0);
    assert_null(held);
    p->transport.on_ready = on_pipe_ready;
}

static void expect_piped(struct pipe *p, const char *text)
{
    char bytes[64];
    size_t got = 0;
    assert_int_equal(transport_recv(&p->transport, bytes, sizeof(bytes), &got), IO_OK);
    assert_int_equal(got, strlen(text));
    assert_memory_equal(bytes, text, got);
}

static enum io recv_piped(struct pipe *p)
{
    char bytes[64];
    size_t got = 0;
    return transport_recv(&p->transport, bytes, sizeof(bytes), &got);
}

static void send_piped(struct pipe *p, const char *text)
{
    struct iovec iov = { (char *)(uintptr_t)text, strlen(text) };
    size_t sent = 0;
    assert_int_equal(transport_send(&p->transport, &iov, 1, &sent), IO_OK);
    assert_int_equal(sent, strlen(text));
}

static void a_request_for_a_websocket_goes_on_as_a_transport(void **state)
{
    (void)state;
    struct scene s;
    struct pipe p = { .calls = 0 };
    open_for_tunnels(&s);
    say_connect(&s, 1);
    assert_int_equal(s.requests, 1);
    assert_string_equal(s.upgrade, "websocket");
    say_frame(&s, H2_DATA, 0, 1, "early", 5);
    assert_int_equal(s.body, 0);
    grant(&s, &p);
    expect_piped(&p, "early");
    assert_int_equal(recv_piped(&p), IO_AGAIN);
    say_frame(&s, H2_DATA, 0, 1, "later", 5);
    assert_int_equal(p.calls, 1);
    expect_piped(&p, "later");
    send_piped(&p, "answer");
    assert_string_equal(hear(&s), "HEADERS 1\nDATA 1 len=6\n");
    say_frame(&s, H2_DATA, H2_END_STREAM, 1, "last", 4);
    expect_piped(&p, "last");
    assert_int_equal(recv_piped(&p), IO_EOF);
    send_piped(&p, "goes on");
    assert_int_equal(transport_shutdown(&p.transport), IO_OK);
    transport_close(&p.transport, false);
    assert_string_equal(hear(&s), "DATA 1 len=7\nDATA 1 len=0 end\n");
    close_scene(&s);
}

static void a_tunnels_window_opens_as_it_is_read(void **state)
{
    (void)state;
    struct scene s;
    struct pipe p = { .calls = 0 };
    static char body[16384];
    size_t got = 0;
    open_for_tunnels(&s);
    say_connect(&s, 1);
    grant(&s, &p);
    assert_string_equal(hear(&s), "HEADERS 1\n");
    for (int i = 0; i < 3; i++) say_frame(&s, H2_DATA, 0, 1, body, sizeof(body));
    assert_string_equal(hear(&s), "");
    for (int i = 0; i < 2; i++)
        assert_int_equal(transport_recv(&p.transport, body, sizeof(body), &got), IO_OK);
    assert_int_equal(got, sizeof(body));
    assert_string_equal(hear(&s), "WINDOW_UPDATE 1 by=32768\n");
    transport_close(&p.transport, true);
    assert_string_equal(hear(&s), "RST_STREAM 1 CANCEL\n");
    close_scene(&s);
}

static void a_tunnel_waits_for_its_clients_window(void **state)
{
    (void)state;
    struct scene s;
    struct pipe p = { .calls = 0 };
    char text[] = "hello";
    struct iovec iov = { text, 5 };
    size_t sent = 0;
    open_for_tunnels(&s);
    SAY(&s, "\0\0\6\4\0\0\0\0\0\0\4\0\0\0\3"); /* a window of three bytes */
    say_connect(&s, 1);
    grant(&s, &p);
    assert_int_equal(transport_send(&p.transport, &iov, 1, &sent), IO_OK);
    assert_int_equal(sent, 3);
    assert_int_equal(transport_send(&p.transport, &iov, 1, &sent), IO_AGAIN);
    assert_int_equal(p.calls, 0);
    say_frame(&s, H2_WINDOW_UPDATE, 0, 1, "\0\0\0\5", 4);
    assert_int_equal(p.calls, 1);
    assert_int_equal(transport_send(&p.transport, &iov, 1, &sent), IO_OK);
    assert_int_equal(sent, 5);
    assert_string_equal(hear(&s), "SETTINGS ack\nHEADERS 1\nDATA 1 len=3\nDATA 1 len=5\n");
    transport_close(&p.transport, false);
    close_scene(&s);
}

static void a_tunnel_that_its_client_resets_is_broken(void **state)
{
    (void)state;
    struct scene s;
    struct pipe p = { .calls = 0 };
    open_for_tunnels(&s);
    say_connect(&s, 1);
    grant(&s, &p);
    say_frame(&s, H2_RST_STREAM, 0, 1, "\0\0\0\x8", 4);
    assert_int_equal(p.calls, 1);
    assert_int_equal(recv_piped(&p), IO_FAIL);
    transport_close(&p.transport, true);
    assert_string_equal(hear(&s), "HEADERS 1\n");
    close_scene(&s);
}

static void fields_in_a_tunnel_break_it(void **state)
{
    (void)state;
    struct scene s;
    struct pipe p = { .calls = 0 };
    open_for_tunnels(&s);
    say_connect(&s, 1);
    grant(&s, &p);
    say_frame(&s, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1, "\x00\x01x\x01y", 5);
    assert_int_equal(recv_piped(&p), IO_FAIL);
    transport_close(&p.transport, true);
    assert_string_equal(hear(&s), "HEADERS 1\nRST_STREAM 1 PROTOCOL_ERROR\n");
    close_scene(&s);
}

static void a_connection_that_is_killed_breaks_its_tunnels(void **state)
{
    (void)state;
    struct scene s;
    struct pipe p = { .calls = 0 };
    open_for_tunnels(&s);
    say_connect(&s, 1);
    grant(&s, &p);
    http_conn_kill_all(&s.among, END_DRAINED);
    turns(&s);
    assert_int_equal(s.closed, 0); /* somebody has its stream */
    assert_int_equal(p.calls, 1);
    assert_int_equal(recv_piped(&p), IO_FAIL);
    assert_int_equal(p.transport.fault, END_DRAINED);
    transport_close(&p.transport, true);
    close_scene(&s);
}

static void what_follows_a_refused_tunnel_is_thrown_away(void **state)
{
    (void)state;
    struct scene s;
    open_for_tunnels(&s);
    say_connect(&s, 1);
    say_frame(&s, H2_DATA, 0, 1, "early", 5);
    answer(&s, 0, "no", 2);
    let_go(&s, 0);
    say_frame(&s, H2_DATA, 0, 1, "later", 5);
    assert_int_equal(s.h2.streams.live, 1);
    say_frame(&s, H2_DATA, H2_END_STREAM, 1, "", 0);
    assert_int_equal(s.h2.streams.live, 0);
    assert_string_equal(hear(&s), "HEADERS 1\nDATA 1 len=2 end\n");
    close_scene(&s);
}

static void a_tunnel_that_was_not_announced_is_malformed(void **state)
{
    (void)state;
    struct scene s;
    open_greeted(&s);
    say_connect(&s, 1);
    assert_int_equal(s.requests, 0);
    assert_int_equal(s.error, END_BAD_REQUEST);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered),
        cmocka_unit_test(streams_of_one_turn_leave_together_and_in_any_order),
        cmocka_unit_test(a_hundred_answers_of_one_turn_leave_in_one_send),
        cmocka_unit_test(beside_one_stream_that_is_stalled_the_others_take_no_longer),
        cmocka_unit_test(cuts_make_no_difference),
        cmocka_unit_test(bodies_and_trailers_reach_the_service),
        cmocka_unit_test(what_is_not_taken_is_held_and_not_credited),
        cmocka_unit_test(nothing_is_sent_beyond_a_window),
        cmocka_unit_test(a_change_of_the_initial_window_moves_open_streams),
        cmocka_unit_test(malformed_requests_end_their_stream_alone),
        cmocka_unit_test(a_body_of_another_length_than_said_is_cut),
        cmocka_unit_test(the_rest_of_an_answered_request_is_thrown_away_and_its_window_opened),
        cmocka_unit_test(trailers_and_resets_end_the_rest_as_well),
        cmocka_unit_test(the_rest_is_not_waited_for_without_end),
        cmocka_unit_test(the_rest_is_not_read_without_end),
        cmocka_unit_test(the_rest_keeps_no_request_out),
        cmocka_unit_test(a_connection_that_ends_takes_the_rest_with_it),
        cmocka_unit_test(more_streams_than_allowed_are_refused),
        cmocka_unit_test(a_drained_connection_loses_no_request),
        cmocka_unit_test(an_idle_connection_closes_in_time),
        cmocka_unit_test(one_that_leaves_and_is_not_read_from_waits_for_its_time),
        cmocka_unit_test(a_head_that_does_not_come_ends_in_time),
        cmocka_unit_test(floods_end_the_connection),
        cmocka_unit_test(what_is_slow_is_no_flood),
        cmocka_unit_test(requests_that_are_taken_back_are_counted),
        cmocka_unit_test(a_head_in_too_many_pieces_ends_the_connection),
        cmocka_unit_test(references_that_make_much_of_little_end_the_connection),
        cmocka_unit_test(heads_that_are_held_are_counted),
        cmocka_unit_test(a_client_whose_bodies_are_not_taken_is_stopped_at_its_memory),
        cmocka_unit_test(what_is_kept_beyond_what_was_sent_is_little_once_memory_is_half_used),
        cmocka_unit_test(what_a_connection_holds_is_known),
        cmocka_unit_test(a_request_that_is_taken_back_with_its_head_is_not_begun),
        cmocka_unit_test(faults_of_framing_end_the_connection),
        cmocka_unit_test(settings_are_acknowledged_once),
        cmocka_unit_test(data_beyond_the_window_is_a_fault_of_its_stream),
        cmocka_unit_test(what_is_no_http_2_is_closed),
        cmocka_unit_test(one_connection_begins_a_bounded_number_of_requests_in_a_turn),
        cmocka_unit_test(who_asks_for_little_is_served_beside_many_who_ask_for_much),
        cmocka_unit_test(who_waits_in_line_may_do_a_little_meanwhile),
        cmocka_unit_test(who_comes_near_a_bound_comes_behind_all_others),
        cmocka_unit_test(who_announces_tiny_windows_asks_few_servers_while_others_want_to),
        cmocka_unit_test(a_head_and_its_body_are_not_parted_by_a_turn),
        cmocka_unit_test(a_request_for_a_websocket_goes_on_as_a_transport),
        cmocka_unit_test(a_tunnels_window_opens_as_it_is_read),
        cmocka_unit_test(a_tunnel_waits_for_its_clients_window),
        cmocka_unit_test(a_tunnel_that_its_client_resets_is_broken),
        cmocka_unit_test(fields_in_a_tunnel_break_it),
        cmocka_unit_test(a_connection_that_is_killed_breaks_its_tunnels),
        cmocka_unit_test(what_follows_a_refused_tunnel_is_thrown_away),
        cmocka_unit_test(a_tunnel_that_was_not_announced_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
