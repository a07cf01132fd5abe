/* Whatever is sent in pieces of any size, to a kernel that takes any number of bytes at any time: what was taken is what
 * goes out, framed once and ended once; what waits is bounded; and nothing waits while the kernel would take it. */
#include "http/h1_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

#define CASES 20000
#define BODY_MAX (96u << 10)
#define WIRE_MAX (1u << 20)
#define HEAD_MAX (24u << 10)
#define STALLS_MAX 200000
/* What may wait of a body: a block of 16 KiB, and beside it the line of a chunk and the ends of the chunk and the body. */
#define BODY_WAIT_MAX ((16u << 10) + 32)

struct scene {
    struct transport t;
    struct loop loop;
    struct budget budget;
    struct rng rng;
    struct h1_out out;
    uint64_t acceptance; /* bytes that the kernel takes of a send, about; 0: any number */
    unsigned stall_percent;
    size_t len, before; /* of wire; of it, what earlier messages were */
    char *wire, *body;
    char big_value[HEAD_MAX];
};

enum kind { KIND_REQUEST, KIND_RESPONSE, KIND_RESPONSE_1_0, KINDS };

struct plan {
    enum kind kind;
    enum http_body_kind body;
    size_t len, head_max;
    bool has_trailers, ends_apart, head_alone;
    unsigned piece_class;
};

static uint64_t below(struct scene *s, uint64_t bound)
{
    return bound ? rng_next(&s->rng) % bound : 0;
}

static bool chance(struct scene *s, unsigned percent)
{
    return below(s, 100) < percent;
}

static enum io scene_send(struct transport *t, const struct iovec *iov, int count, size_t *sent)
{
    struct scene *s = container_of(t, struct scene, t);
    size_t asked = 0;
    assert_true(t->is_writable && count > 0);
    for (int i = 0; i < count; i++) asked += iov[i].iov_len;
    if (chance(s, s->stall_percent)) {
        t->is_writable = false;
        return IO_AGAIN;
    }
    size_t room = 1 + below(s, s->acceptance ? s->acceptance : asked * 2);
    for (int i = 0; i < count; i++) {
        size_t now = iov[i].iov_len < room ? iov[i].iov_len : room;
        assert_true(iov[i].iov_len > 0 && s->len + now <= WIRE_MAX);
        memcpy(s->wire + s->len, iov[i].iov_base, now);
        s->len += now;
        *sent += now;
        room -= now;
    }
    if (*sent < asked) t->is_writable = false;
    return IO_OK;
}

static const struct transport_ops ops = { .name = "scripted", .send = scene_send };

static struct scene *scene_new(void)
{
    struct err err;
    struct scene *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->wire = malloc(WIRE_MAX);
    s->body = malloc(BODY_MAX);
    assert_true(s->wire && s->body);
    s->budget.limit = 16 << 20;
    for (size_t i = 0; i < BODY_MAX; i++) s->body[i] = (char)('a' + i % 25 + (i >> 8) % 2);
    memset(s->big_value, 'v', sizeof(s->big_value));
    assert_int_equal(loop_init(&s->loop, &s->budget, &err), 0);
    s->t = (struct transport){ .io = { .fd = -1 }, .loop = &s->loop, .ops = &ops, .is_writable = true };
    return s;
}

static void scene_free(struct scene *s)
{
    assert_int_equal(s->loop.blocks.live, 0);
    loop_fini(&s->loop);
    free(s->wire);
    free(s->body);
    free(s);
}

static size_t waiting(const struct scene *s)
{
    return s->out.end - s->out.begin;
}

/* Time passes at the client: it may read something. */
static void pass_time(struct scene *s)
{
    if (chance(s, 60)) s->t.is_writable = true;
    if (chance(s, 50)) assert_int_not_equal(h1_out_flush(&s->out, &s->t), IO_FAIL);
}

static void flush_all(struct scene *s)
{
    for (unsigned i = 0; !h1_out_is_empty(&s->out); i++) {
        assert_true(i < STALLS_MAX);
        s->t.is_writable = true;
        assert_int_not_equal(h1_out_flush(&s->out, &s->t), IO_FAIL);
    }
    assert_null(s->out.block);
}

static void make_plan(struct scene *s, struct plan *p)
{
    static const uint64_t acceptances[] = { 0, 200, 5000, 70000, 1, 7 };
    static const size_t lens[] = { 0, 1, 30, 300, 5000, 40000, BODY_MAX };
    s->stall_percent = (unsigned)below(s, 3) * 30;
    p->kind = (enum kind)below(s, KINDS);
    p->body = chance(s, 70) ? HTTP_BODY_UNKNOWN : HTTP_BODY_LENGTH;
    p->len = below(s, lens[below(s, 7)] + 1);
    s->acceptance = acceptances[below(s, p->len > 5000 ? 4 : 6)];
    p->head_max = s->acceptance && s->acceptance < 200 ? 300 : chance(s, 20) ? HEAD_MAX : 4500;
    p->piece_class = (unsigned)below(s, 6);
    p->has_trailers = p->body == HTTP_BODY_UNKNOWN && chance(s, 30);
    p->ends_apart = chance(s, 50);
    p->head_alone = chance(s, 50);
    if (p->body == HTTP_BODY_LENGTH && !p->len) p->len = 1;
}

static size_t piece_len(struct scene *s, const struct plan *p)
{
    static const uint64_t bounds[] = { 1, 3, 26, 1030, 40000 };
    /* Often what leaves next to no room in the block: frames and ends have to find their place all the same. */
    size_t room = s->out.block ? s->out.block->cap - s->out.end : 0;
    size_t spare = below(s, 40);
    if (room > spare && chance(s, 70)) return room - spare < 1024 ? room - spare : 900 + below(s, 124);
    return 1 + below(s, bounds[p->piece_class < 5 ? p->piece_class : below(s, 5)]);
}

/* A head of any length, so that the body begins with any room behind it. The bytes of the head on the wire. */
static size_t send_head(struct scene *s, const struct plan *p)
{
    struct http_field field = { .name = "X-Big", .value = s->big_value, .name_len = 5 };
    field.value_len = (uint32_t)below(s, p->head_max);
    struct http_head head = { .method = HTTP_POST,
                              .method_text = SLICE("POST"),
                              .target = SLICE("/"),
                              .status = 200,
                              .fields = &field,
                              .field_count = 1 };
    struct http_send send = {
        .head = &head, .authority = SLICE("h"), .body = p->body, .content_length = p->len
    };
    bool closes = false;
    s->out.is_ended = false;
    enum io io = p->kind == KIND_REQUEST
                     ? h1_out_request(&s->out, &s->loop, &send)
                     : h1_out_response(&s->out, &s->loop, &send, p->kind == KIND_RESPONSE_1_0, &closes);
    assert_int_equal(io, IO_OK);
    assert_int_equal(closes, p->kind == KIND_RESPONSE_1_0 && p->body == HTTP_BODY_UNKNOWN);
    size_t head_len = waiting(s);
    if (p->head_alone) assert_int_not_equal(h1_out_flush(&s->out, &s->t), IO_FAIL);
    return head_len;
}

/* One call, and what must hold after any. */
static enum io offer(struct scene *s, const char *data, size_t len, unsigned flags, size_t head_len,
                     size_t *taken)
{
    enum io io = h1_out_body(&s->out, &s->t, data, len, flags, taken);
    assert_true(io == IO_OK || io == IO_AGAIN);
    assert_true(*taken <= len && (io == IO_AGAIN || *taken == len));
    size_t bound = head_len > BODY_WAIT_MAX ? head_len : BODY_WAIT_MAX;
    if (waiting(s) > bound + 32) fail_msg("%zu bytes wait", waiting(s));
    if (io == IO_AGAIN || !(flags & HTTP_MORE)) assert_true(h1_out_is_empty(&s->out) || !s->t.is_writable);
    return io;
}

/* The source: what was not taken comes again, with or without more behind it, when the receiver is ready or before. */
static void send_body(struct scene *s, struct plan *p, size_t head_len)
{
    size_t at = 0, offered = 0;
    bool is_ended = false;
    for (unsigned stalls = 0; at < p->len || !is_ended;) {
        size_t len = piece_len(s, p);
        if (len > p->len - at) len = p->len - at;
        /* A body of unknown length may end with any of them, but not before what was offered already. */
        if (at + len >= offered && len && p->body == HTTP_BODY_UNKNOWN && chance(s, 15)) p->len = at + len;
        if (at + len > offered) offered = at + len;
        bool is_last = at + len == p->len;
        unsigned flags = 0;
        if (is_last && (!p->ends_apart || !len) && !p->has_trailers) flags = HTTP_END;
        if (!is_last && chance(s, 40)) flags = HTTP_MORE;
        if (!len && p->has_trailers) break;
        /* There is room again, and nobody has noticed yet. */
        if (chance(s, 30)) s->t.is_writable = true;
        size_t taken = 0;
        enum io io = offer(s, s->body + at, len, flags, head_len, &taken);
        at += taken;
        if (taken == len && (flags & HTTP_END)) is_ended = true;
        assert_int_equal(s->out.is_ended, is_ended);
        assert_true(taken || ++stalls < STALLS_MAX);
        if (io == IO_AGAIN || chance(s, 30)) pass_time(s);
    }
    if (!p->has_trailers) return;
    const struct http_field sum = { .name = "X-Sum", .value = "1", .name_len = 5, .value_len = 1 };
    assert_int_equal(h1_out_trailers(&s->out, &s->t, &sum, 1), IO_OK);
    assert_true(s->out.is_ended);
    size_t none = 0;
    if (chance(s, 20)) assert_int_equal(h1_out_body(&s->out, &s->t, NULL, 0, HTTP_END, &none), IO_OK);
}

/* Reads a chunked body with our own decoder; the test of h1_out shows the bytes themselves. */
static void check_chunks(struct scene *s, const struct plan *p, struct slice bytes)
{
    static const struct h1_limits limits = { 65536, 128 };
    const struct http_head head = { .body = HTTP_BODY_UNKNOWN };
    const struct h1_framing framing = { .is_chunked = true };
    struct http_field fields[HTTP_FIELDS_MAX + 1];
    struct h1_body body;
    struct h1_fault fault;
    size_t payload = 0;
    uint32_t count = 0, used = 0;
    bool had_trailers = false;
    h1_body_init(&body, &head, &framing, p->kind != KIND_REQUEST);
    for (;;) {
        struct slice data = SLICE_NONE;
        enum h1_body_event event = h1_body_step(&body, bytes, &limits, &used, &data, fields, &count, &fault);
        bytes = (struct slice){ bytes.data + used, bytes.len - used };
        if (event == H1_BODY_EVENT_DATA) {
            assert_true(payload + data.len <= p->len);
            assert_memory_equal(data.data, s->body + payload, data.len);
            payload += data.len;
        } else if (event == H1_BODY_EVENT_TRAILERS) {
            had_trailers = count == 1 && fields[0].value_len == 1;
        } else {
            assert_int_equal(event, H1_BODY_EVENT_END);
            break;
        }
    }
    assert_int_equal(bytes.len, 0);
    assert_int_equal(payload, p->len);
    assert_int_equal(had_trailers, p->has_trailers);
}

static void check_body(struct scene *s, const struct plan *p, size_t head_len)
{
    struct slice body = { s->wire + s->before + head_len, s->len - s->before - head_len };
    if (p->body == HTTP_BODY_UNKNOWN && p->kind != KIND_RESPONSE_1_0) {
        check_chunks(s, p, body);
        return;
    }
    assert_int_equal(body.len, p->len);
    if (p->len) assert_memory_equal(body.data, s->body, p->len);
}

static void bytes_out_are_bytes_in_framed_once_and_ended_once(void **state)
{
    (void)state;
    struct scene *s = scene_new();
    for (uint64_t i = 0; i < CASES; i++) {
        struct plan p;
        rng_seed(&s->rng, i);
        make_plan(s, &p);
        /* One message behind another on the same connection. */
        if (s->len > WIRE_MAX / 4) s->len = 0;
        s->before = s->len;
        s->t.is_writable = chance(s, 50);
        size_t head_len = send_head(s, &p);
        send_body(s, &p, head_len);
        flush_all(s);
        check_body(s, &p, head_len);
    }
    scene_free(s);
}

/* A client that reads nothing for a while, and a server that sends byte by byte: the bytes wait in one chunk, and beyond
 * the bound they stay where they are. */
static void small_pieces_for_a_slow_reader_are_one_chunk_and_bounded(void **state)
{
    (void)state;
    struct scene *s = scene_new();
    struct plan p = { .kind = KIND_RESPONSE, .body = HTTP_BODY_UNKNOWN, .len = BODY_MAX, .head_max = 100 };
    s->t.is_writable = false;
    size_t head_len = send_head(s, &p);
    size_t at = 0, taken = 1;
    for (; taken; at += taken) assert_true(offer(s, s->body + at, 1, 0, head_len, &taken) != IO_FAIL);
    assert_in_range(at, 15000, 16384);
    assert_int_equal(s->loop.blocks.live_bytes, 16384);
    assert_in_range(waiting(s), head_len + at + 6,
                    head_len + at + 8); /* the size of the chunk and two ends of lines */
    /* It reads again: the rest comes behind it. */
    for (; at < p.len; at += taken) {
        s->t.is_writable = true;
        offer(s, s->body + at, p.len - at, HTTP_END, head_len, &taken);
    }
    flush_all(s);
    check_body(s, &p, head_len);
    scene_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_out_are_bytes_in_framed_once_and_ended_once),
        cmocka_unit_test(small_pieces_for_a_slow_reader_are_one_chunk_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
