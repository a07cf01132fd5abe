/* What goes on the wire is the same however few bytes the kernel takes at a time; only how a body is cut into chunks
 * depends on it. */
#include "http/h1_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>

#include <cmocka.h>

#include "base/bug.h"
#include "http/h1_render.h"

#define WIRE_MAX 65536
#define PIECES_MAX 5
#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* A kernel that takes `step` bytes of each send. */
struct wire {
    struct transport t;
    struct loop loop;
    struct budget budget;
    size_t step, len;
    uint32_t sends;
    bool is_broken;
    char data[WIRE_MAX];
};

static enum io wire_send(struct transport *t, const struct iovec *iov, int count, size_t *sent)
{
    struct wire *w = container_of(t, struct wire, t);
    size_t room = w->step;
    if (w->is_broken) return IO_FAIL;
    assert_true(t->is_writable && count > 0);
    for (int i = 0; i < count; i++) {
        size_t now = iov[i].iov_len < room ? iov[i].iov_len : room;
        assert_true(iov[i].iov_len > 0 && w->len + now <= WIRE_MAX);
        memcpy(w->data + w->len, iov[i].iov_base, now);
        w->len += now;
        *sent += now;
        room -= now;
        if (now < iov[i].iov_len) t->is_writable = false;
    }
    t->has_sent = true;
    w->sends++;
    return IO_OK;
}

static const struct transport_ops wire_ops = { .name = "wire", .send = wire_send };

static struct wire *wire_new(size_t step)
{
    struct err err;
    struct wire *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->budget.limit = 16 << 20;
    w->step = step;
    assert_int_equal(loop_init(&w->loop, &w->budget, &err), 0);
    w->t = (struct transport){ .io = { .fd = -1 }, .loop = &w->loop, .ops = &wire_ops, .is_writable = true };
    return w;
}

static void wire_free(struct wire *w)
{
    assert_int_equal(w->loop.blocks.live, 0);
    loop_fini(&w->loop);
    free(w);
}

/* Until nothing waits. */
static void flush_all(struct h1_out *out, struct wire *w)
{
    enum io io;
    do {
        w->t.is_writable = true;
        io = h1_out_flush(out, &w->t);
        assert_int_not_equal(io, IO_FAIL);
    } while (io == IO_AGAIN);
    assert_true(h1_out_is_empty(out));
    assert_null(out->block);
}

/* Offers the rest again as often as need be, as on_writable would. */
static void send_body(struct h1_out *out, struct wire *w, struct slice data, unsigned flags)
{
    for (;;) {
        size_t taken = 0;
        enum io io = h1_out_body(out, &w->t, data.data, data.len, flags, &taken);
        assert_int_not_equal(io, IO_FAIL);
        assert_true(taken <= data.len);
        data = (struct slice){ data.data + taken, data.len - taken };
        if (io == IO_OK) break;
        flush_all(out, w);
    }
    assert_int_equal(data.len, 0);
}

struct piece {
    struct slice data;
    unsigned flags;
};

struct message {
    uint16_t status; /* 0: a request */
    bool to_1_0, is_bodiless, wants_close, has_trailers;
    enum http_body_kind body;
    uint64_t length;
    struct slice upgrade;
    unsigned head_flags;
    uint32_t piece_count;
    struct piece pieces[PIECES_MAX];
    bool closes; /* expected */
    const char *wire;
};

/* Fields of the codec's own and dropped ones are never passed on. */
#define FIELD(n, v, i, dropped)                                                                \
    {                                                                                          \
        .name = n, .value = v, .name_len = sizeof(n) - 1, .value_len = sizeof(v) - 1, .id = i, \
        .is_dropped = dropped                                                                  \
    }
static struct http_field fields[] = {
    FIELD("X-A", "1", HTTP_FIELD_OTHER, 0),
    FIELD("Content-Length", "99", HTTP_FIELD_CONTENT_LENGTH, 0),
    FIELD("X-Secret", "2", HTTP_FIELD_OTHER, 1),
    FIELD("Transfer-Encoding", "gzip", HTTP_FIELD_TRANSFER_ENCODING, 0),
};
static const struct http_field trailers[] = {
    FIELD("X-Sum", "abc", HTTP_FIELD_OTHER, 0),
    FIELD("Host", "evil", HTTP_FIELD_HOST, 0),
    FIELD("X-Gone", "3", HTTP_FIELD_OTHER, 1),
};

static void start(struct h1_out *out, struct wire *w, const struct message *m, bool *closes)
{
    struct http_head head = { .method = HTTP_POST,
                              .method_text = SLICE("POST"),
                              .target = SLICE("/a?b"),
                              .status = m->status,
                              .reason = SLICE("Fine"),
                              .fields = fields,
                              .field_count = COUNT(fields) };
    const struct http_field extra = FIELD("Via", "weir", HTTP_FIELD_VIA, 0);
    const struct http_send send = { .head = &head,
                                    .authority = SLICE("h.example"),
                                    .extra = &extra,
                                    .extra_count = 1,
                                    .body = m->body,
                                    .content_length = m->length,
                                    .upgrade = m->upgrade,
                                    .wants_close = m->wants_close,
                                    .is_bodiless = m->is_bodiless };
    enum io io = m->status ? h1_out_response(out, &w->loop, &send, m->to_1_0, closes)
                           : h1_out_request(out, &w->loop, &send);
    assert_int_equal(io, IO_OK);
}

static struct wire *play(const struct message *m, size_t step)
{
    struct wire *w = wire_new(step);
    struct h1_out out = { 0 };
    bool closes = m->wants_close;
    start(&out, w, m, &closes);
    assert_int_equal(closes, m->closes);
    if (!(m->head_flags & HTTP_MORE)) assert_int_not_equal(h1_out_flush(&out, &w->t), IO_FAIL);
    for (uint32_t i = 0; i < m->piece_count; i++) send_body(&out, w, m->pieces[i].data, m->pieces[i].flags);
    if (m->has_trailers) assert_int_equal(h1_out_trailers(&out, &w->t, trailers, COUNT(trailers)), IO_OK);
    flush_all(&out, w);
    assert_true(out.is_ended);
    h1_out_clear(&out, &w->loop);
    return w;
}

#define REQUEST "POST /a?b HTTP/1.1\r\nHost: h.example\r\nX-A: 1\r\nVia: weir\r\n"
#define RESPONSE "HTTP/1.1 200 Fine\r\nX-A: 1\r\nVia: weir\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"
/* 50 bytes, and 1,100: more than is copied behind a head. */
#define FIFTY "0123456789012345678901234567890123456789012345678_"
#define BIG                                                                                               \
    FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY \
        FIFTY FIFTY FIFTY FIFTY FIFTY
#define HELLO             \
    {                     \
        { "hello", 5 }, 0 \
    }
#define HELLO_MORE                \
    {                             \
        { "hello", 5 }, HTTP_MORE \
    }
#define WORLD              \
    {                      \
        { " world", 6 }, 0 \
    }
#define WORLD_END                 \
    {                             \
        { " world", 6 }, HTTP_END \
    }
#define WORLD_MORE                 \
    {                              \
        { " world", 6 }, HTTP_MORE \
    }
#define BIG_PIECE                   \
    {                               \
        { BIG, sizeof(BIG) - 1 }, 0 \
    }
#define BIG_MORE                            \
    {                                       \
        { BIG, sizeof(BIG) - 1 }, HTTP_MORE \
    }
#define BIG_END                            \
    {                                      \
        { BIG, sizeof(BIG) - 1 }, HTTP_END \
    }
#define END                   \
    {                         \
        { NULL, 0 }, HTTP_END \
    }

static const struct message messages[] = {
    { .body = HTTP_BODY_NONE, .wire = REQUEST "\r\n" },
    { .body = HTTP_BODY_NONE,
      .wants_close = true,
      .closes = true,
      .wire = REQUEST "Connection: close\r\n\r\n" },
    { .upgrade = { "websocket", 9 }, .wire = REQUEST "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n" },
    { .body = HTTP_BODY_LENGTH, .wire = REQUEST "Content-Length: 0\r\n\r\n" },
    { .body = HTTP_BODY_LENGTH,
      .length = 11,
      .piece_count = 2,
      .pieces = { HELLO, WORLD_END },
      .wire = REQUEST "Content-Length: 11\r\n\r\nhello world" },
    { .body = HTTP_BODY_LENGTH,
      .length = 11,
      .head_flags = HTTP_MORE,
      .piece_count = 3,
      .pieces = { HELLO_MORE, WORLD, END },
      .wire = REQUEST "Content-Length: 11\r\n\r\nhello world" },
    { .body = HTTP_BODY_LENGTH,
      .length = 2205,
      .head_flags = HTTP_MORE,
      .piece_count = 3,
      .pieces = { HELLO_MORE, BIG_MORE, BIG_END },
      .wire = REQUEST "Content-Length: 2205\r\n\r\nhello" BIG BIG },
    { .body = HTTP_BODY_UNKNOWN,
      .piece_count = 1,
      .pieces = { END },
      .wire = REQUEST CHUNKED "\r\n0\r\n\r\n" },
    { .body = HTTP_BODY_UNKNOWN,
      .piece_count = 2,
      .pieces = { HELLO, WORLD_END },
      .wire = REQUEST CHUNKED "\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n" },
    { .body = HTTP_BODY_UNKNOWN,
      .head_flags = HTTP_MORE,
      .piece_count = 3,
      .pieces = { HELLO_MORE, WORLD_MORE, END },
      .wire = REQUEST CHUNKED "\r\nb\r\nhello world\r\n0\r\n\r\n" },
    { .body = HTTP_BODY_UNKNOWN,
      .head_flags = HTTP_MORE,
      .piece_count = 4,
      .pieces = { BIG_PIECE, HELLO_MORE, BIG_MORE, BIG_END },
      .wire = REQUEST CHUNKED "\r\n44c\r\n" BIG "\r\n5\r\nhello\r\n44c\r\n" BIG "\r\n44c\r\n" BIG
                              "\r\n0\r\n\r\n" },
    { .body = HTTP_BODY_UNKNOWN,
      .piece_count = 1,
      .pieces = { HELLO },
      .has_trailers = true,
      .wire = REQUEST CHUNKED "\r\n5\r\nhello\r\n0\r\nX-Sum: abc\r\n\r\n" },
    { .status = 200,
      .body = HTTP_BODY_LENGTH,
      .length = 6,
      .head_flags = HTTP_MORE,
      .piece_count = 1,
      .pieces = { WORLD_END },
      .wire = RESPONSE "Content-Length: 6\r\n\r\n world" },
    { .status = 200,
      .body = HTTP_BODY_LENGTH,
      .length = 5,
      .piece_count = 1,
      .pieces = { HELLO },
      .has_trailers = true,
      .wire = RESPONSE "Content-Length: 5\r\n\r\nhello" },
    { .status = 200,
      .body = HTTP_BODY_LENGTH,
      .length = 99,
      .is_bodiless = true,
      .wire = RESPONSE "Content-Length: 99\r\n\r\n" },
    { .status = 200, .body = HTTP_BODY_UNKNOWN, .is_bodiless = true, .wire = RESPONSE CHUNKED "\r\n" },
    { .status = 200,
      .body = HTTP_BODY_UNKNOWN,
      .piece_count = 2,
      .pieces = { HELLO, END },
      .wants_close = true,
      .closes = true,
      .wire = RESPONSE CHUNKED "Connection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n" },
    /* To HTTP/1.0 a body of unknown length lasts until close; its trailers have no place. */
    { .status = 200,
      .to_1_0 = true,
      .body = HTTP_BODY_UNKNOWN,
      .closes = true,
      .piece_count = 3,
      .pieces = { HELLO, BIG_MORE, WORLD_END },
      .wire = RESPONSE "Connection: close\r\n\r\nhello" BIG " world" },
    { .status = 200,
      .to_1_0 = true,
      .body = HTTP_BODY_UNKNOWN,
      .closes = true,
      .piece_count = 1,
      .pieces = { HELLO },
      .has_trailers = true,
      .wire = RESPONSE "Connection: close\r\n\r\nhello" },
    { .status = 200,
      .to_1_0 = true,
      .body = HTTP_BODY_LENGTH,
      .length = 5,
      .piece_count = 1,
      .pieces = { { { "hello", 5 }, HTTP_END } },
      .wire = RESPONSE "Content-Length: 5\r\nConnection: keep-alive\r\n\r\nhello" },
    { .status = 101,
      .upgrade = { "websocket", 9 },
      .wire =
          "HTTP/1.1 101 Fine\r\nX-A: 1\r\nVia: weir\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n" },
};

/* Chunks that wait behind one another are merged, which depends on what the kernel takes: what counts is the payload. */
static void join_chunks(struct text *out, const char *wire, size_t len)
{
    static const struct h1_limits limits = { 65536, 128 };
    static const struct h1_play whole = { .limits = &limits, .first = UINT32_MAX, .step = UINT32_MAX };
    const struct http_head head = { .body = HTTP_BODY_UNKNOWN };
    const struct h1_framing framing = { .is_chunked = true };
    const char *end = memmem(wire, len, "\r\n\r\n", 4);
    bool is_chunked = memmem(wire, len, CHUNKED, sizeof(CHUNKED) - 1) != NULL;
    size_t head_len = is_chunked && end ? (size_t)(end - wire) + 4 : len;
    text_add(out, wire, head_len);
    if (head_len == len) return;
    char body[8192];
    struct text t = text_over(body, sizeof(body));
    h1_render_body(&t, (struct slice){ wire + head_len, len - head_len }, &head, &framing, &whole);
    size_t payload = (size_t)((char *)memmem(body, t.len, "] END ", 6) - body);
    text_add(out, body, payload + 6);
    /* The bytes that it took are all; then the trailers. */
    char *bar = memchr(body + payload, '|', t.len - payload);
    assert_int_equal(strtoul(body + payload + 6, NULL, 10), len - head_len);
    if (bar) text_add(out, bar, (size_t)(body + t.len - bar));
}

static void a_message_is_the_same_on_the_wire_however_few_bytes_are_taken_at_a_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(messages); i++) {
        const struct message *m = &messages[i];
        size_t len = strlen(m->wire);
        char expected[8192], seen[8192];
        struct text wanted = text_over(expected, sizeof(expected));
        join_chunks(&wanted, m->wire, len);
        for (size_t step = 1; step <= len + 1; step++) {
            struct wire *w = play(m, step);
            struct text got = text_over(seen, sizeof(seen));
            join_chunks(&got, w->data, w->len);
            if (got.len != wanted.len || memcmp(expected, seen, got.len) != 0)
                fail_msg("message %zu, %zu bytes at a time: %.*s", i, step, (int)w->len, w->data);
            wire_free(w);
        }
    }
}

static void what_waits_together_is_one_chunk(void **state)
{
    (void)state;
    struct wire *w = wire_new(SIZE_MAX);
    struct h1_out out = { 0 };
    bool closes = false;
    const struct message m = { .status = 200, .body = HTTP_BODY_UNKNOWN };
    start(&out, w, &m, &closes);
    flush_all(&out, w);
    size_t head_len = w->len;
    /* Its size grows by a digit at 16 bytes. */
    for (int i = 0; i < 4; i++) send_body(&out, w, SLICE("hello"), HTTP_MORE);
    send_body(&out, w, SLICE(BIG), HTTP_END);
    static const char expected[] = "14\r\nhellohellohellohello\r\n44c\r\n" BIG "\r\n0\r\n\r\n";
    assert_int_equal(w->len - head_len, sizeof(expected) - 1);
    assert_memory_equal(w->data + head_len, expected, w->len - head_len);
    assert_int_equal(w->sends, 2);
    wire_free(w);
}

static void an_interim_response_leaves_the_body_to_the_final_one(void **state)
{
    (void)state;
    struct wire *w = wire_new(SIZE_MAX);
    struct h1_out out = { 0 };
    bool closes = false;
    const struct message interim = { .status = 103 };
    const struct message final = { .status = 200, .body = HTTP_BODY_LENGTH, .length = 5 };
    start(&out, w, &interim, &closes);
    assert_false(out.is_ended);
    start(&out, w, &final, &closes);
    send_body(&out, w, SLICE("hello"), HTTP_END);
    assert_true(out.is_ended);
    static const char expected[] = "HTTP/1.1 103 Fine\r\nX-A: 1\r\nVia: weir\r\n\r\n" RESPONSE
                                   "Content-Length: 5\r\n\r\nhello";
    assert_int_equal(w->len, sizeof(expected) - 1);
    assert_memory_equal(w->data, expected, w->len);
    wire_free(w);
}

static void what_comes_together_goes_in_one_send(void **state)
{
    (void)state;
    static const struct message rows[] = {
        { .status = 200,
          .body = HTTP_BODY_LENGTH,
          .length = 5,
          .head_flags = HTTP_MORE,
          .piece_count = 1,
          .pieces = { { { "hello", 5 }, HTTP_END } } },
        { .status = 200,
          .body = HTTP_BODY_LENGTH,
          .length = 1100,
          .head_flags = HTTP_MORE,
          .piece_count = 1,
          .pieces = { BIG_END } },
        { .status = 200,
          .body = HTTP_BODY_UNKNOWN,
          .head_flags = HTTP_MORE,
          .piece_count = 1,
          .pieces = { BIG_END } },
        { .status = 200,
          .body = HTTP_BODY_UNKNOWN,
          .head_flags = HTTP_MORE,
          .piece_count = 3,
          .pieces = { HELLO_MORE, WORLD_MORE, WORLD_END } },
        { .status = 200,
          .body = HTTP_BODY_UNKNOWN,
          .head_flags = HTTP_MORE,
          .piece_count = 2,
          .pieces = { HELLO_MORE, WORLD_MORE },
          .has_trailers = true },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wire *w = play(&rows[i], SIZE_MAX);
        if (w->sends != 1) fail_msg("message %zu took %u sends", i, w->sends);
        wire_free(w);
    }
}

/* After a partial send the rest may be offered again with more behind it: the chunk that is open is filled first. */
static void a_rest_offered_again_with_more_behind_it_is_no_chunk_of_its_own(void **state)
{
    (void)state;
    static const struct h1_limits limits = { 65536, 128 };
    static const struct message m = { .status = 200, .body = HTTP_BODY_UNKNOWN };
    const struct http_head head = { .body = HTTP_BODY_UNKNOWN };
    const struct h1_framing framing = { .is_chunked = true };
    const struct h1_play play_whole = {
        .limits = &limits, .first = UINT32_MAX, .step = UINT32_MAX, .is_response = true
    };
    char all[600];
    for (size_t i = 0; i < sizeof(all); i++) all[i] = (char)('a' + i % 26);
    for (size_t step = 1; step < 300; step++) {
        struct wire *w = wire_new(step);
        struct h1_out out = { 0 };
        bool closes = false;
        size_t at = 0, offered = 0;
        start(&out, w, &m, &closes);
        flush_all(&out, w);
        size_t head_len = w->len;
        while (!out.is_ended) {
            size_t taken = 0;
            offered = offered + 100 < sizeof(all) ? offered + 100 : sizeof(all);
            enum io io = h1_out_body(&out, &w->t, all + at, offered - at,
                                     offered == sizeof(all) ? HTTP_END : 0, &taken);
            assert_int_not_equal(io, IO_FAIL);
            at += taken;
            flush_all(&out, w);
        }
        assert_int_equal(at, sizeof(all));
        char line[2048], expected[2048];
        struct text got = text_over(line, sizeof(line)), wanted = text_over(expected, sizeof(expected));
        h1_render_body(&got, (struct slice){ w->data + head_len, w->len - head_len }, &head, &framing,
                       &play_whole);
        text_add_char(&wanted, '[');
        text_add(&wanted, all, sizeof(all));
        TEXT_LITERAL(&wanted, "] END ");
        text_add_u64(&wanted, w->len - head_len);
        if (got.len != wanted.len || memcmp(line, expected, got.len) != 0)
            fail_msg("%zu bytes at a time: %.*s", step, (int)got.len, line);
        wire_free(w);
    }
}

static void no_more_is_held_than_was_taken(void **state)
{
    (void)state;
    struct wire *w = wire_new(SIZE_MAX);
    struct h1_out out = { 0 };
    bool closes = false;
    size_t taken = 0;
    const struct message m = { .status = 200, .body = HTTP_BODY_LENGTH, .length = 20000 };
    static const char data[20000];
    start(&out, w, &m, &closes);
    flush_all(&out, w);
    w->t.is_writable = false;
    assert_int_equal(h1_out_body(&out, &w->t, data, sizeof(data), HTTP_END, &taken), IO_AGAIN);
    assert_int_equal(taken, 0);
    assert_null(out.block);
    assert_int_equal(out.left, 20000);
    wire_free(w);
}

static void a_broken_connection_and_spent_memory_are_told(void **state)
{
    (void)state;
    struct wire *w = wire_new(SIZE_MAX);
    struct h1_out out = { 0 };
    struct http_head head = { .method_text = SLICE("GET"), .target = SLICE("/") };
    const struct http_send send = { .head = &head, .authority = SLICE("h"), .body = HTTP_BODY_UNKNOWN };
    size_t taken = 0;
    w->budget.limit = 0;
    assert_int_equal(h1_out_request(&out, &w->loop, &send), IO_FAIL);
    assert_null(out.block);
    w->budget.limit = BLOCK_MIN;
    assert_int_equal(h1_out_request(&out, &w->loop, &send), IO_OK);
    w->is_broken = true;
    assert_int_equal(h1_out_body(&out, &w->t, "hello", 5, HTTP_END, &taken), IO_FAIL);
    assert_int_equal(h1_out_flush(&out, &w->t), IO_FAIL);
    h1_out_clear(&out, &w->loop);
    wire_free(w);
}

/* The impossible, survived: what would not be as long as its head says ends its connection before a byte of it is out. */
static void a_body_of_another_length_than_was_said_is_never_sent(void **state)
{
    (void)state;
    static const struct {
        enum http_body_kind body;
        const char *first, *second;
        unsigned flags; /* of the second */
        bool ends_with_trailers;
    } cases[] = {
        { HTTP_BODY_LENGTH, "ab", "cdef", 0, false }, /* one too many */
        { HTTP_BODY_LENGTH, "ab", "cdef", HTTP_END, false },
        { HTTP_BODY_LENGTH, "ab", "cd", HTTP_END, false }, /* one too few */
        { HTTP_BODY_LENGTH, "ab", "", HTTP_END, false },
        { HTTP_BODY_LENGTH, "ab", "", 0, true },
    };
    bug_be_fatal(false);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wire *w = wire_new(WIRE_MAX);
        struct h1_out out = { 0 };
        struct http_head head = { .status = 200, .reason = SLICE("OK") };
        struct http_send send = { .head = &head, .body = cases[i].body, .content_length = 5 };
        bool closes = false;
        size_t taken = 0;
        uint64_t before = bug_count(BUG_H1_OUT);
        assert_int_equal(h1_out_response(&out, &w->loop, &send, false, &closes), IO_OK);
        send_body(&out, w, slice_of(cases[i].first), 0);
        flush_all(&out, w);
        size_t sent = w->len;
        struct slice second = slice_of(cases[i].second);
        enum io io = cases[i].ends_with_trailers
                         ? h1_out_trailers(&out, &w->t, trailers, COUNT(trailers))
                         : h1_out_body(&out, &w->t, second.data, second.len, cases[i].flags, &taken);
        assert_int_equal(io, IO_FAIL);
        assert_int_equal(taken, 0);
        assert_int_equal(w->len, sent);
        assert_false(out.is_ended); /* its connection is not kept */
        assert_int_equal(w->t.saved_errno, EPROTO);
        assert_int_equal(bug_count(BUG_H1_OUT), before + 1);
        h1_out_clear(&out, &w->loop);
        wire_free(w);
    }
    bug_be_fatal(true);
}

static void what_is_broken_sends_nothing_more(void **state)
{
    (void)state;
    struct wire *w = wire_new(4);
    struct h1_out out = { 0 };
    struct http_head head = { .status = 200, .reason = SLICE("OK") };
    struct http_send send = { .head = &head, .body = HTTP_BODY_UNKNOWN };
    bool closes = false;
    size_t taken = 0;
    assert_int_equal(h1_out_response(&out, &w->loop, &send, false, &closes), IO_OK);
    out.is_broken = true;
    assert_int_equal(h1_out_body(&out, &w->t, "ab", 2, 0, &taken), IO_FAIL);
    assert_int_equal(h1_out_flush(&out, &w->t), IO_FAIL);
    assert_int_equal(w->len, 0);
    h1_out_clear(&out, &w->loop);
    assert_false(out.is_broken);
    wire_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_of_another_length_than_was_said_is_never_sent),
        cmocka_unit_test(what_is_broken_sends_nothing_more),
        cmocka_unit_test(a_message_is_the_same_on_the_wire_however_few_bytes_are_taken_at_a_time),
        cmocka_unit_test(what_waits_together_is_one_chunk),
        cmocka_unit_test(an_interim_response_leaves_the_body_to_the_final_one),
        cmocka_unit_test(what_comes_together_goes_in_one_send),
        cmocka_unit_test(a_rest_offered_again_with_more_behind_it_is_no_chunk_of_its_own),
        cmocka_unit_test(no_more_is_held_than_was_taken),
        cmocka_unit_test(a_broken_connection_and_spent_memory_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
