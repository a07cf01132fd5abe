/* What a receiver gets of a body is the same however the bytes come and however few it takes at a time. */
#include "http/h1_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define ROUNDS_MAX 400000
#define BIG (1u << 20)

/* A peer whose bytes come `step` at a time, and a receiver that takes `take` at a time. */
struct play {
    struct transport t;
    struct loop loop;
    struct budget budget;
    struct h1_in in;
    struct http_stream stream;
    struct h1_fault fault;
    struct slice source;
    size_t arrived, read; /* of source */
    size_t step, take;
    bool ends, resets; /* behind source; else more might come */
    bool is_released_by_body;
    uint32_t reads, peeks, ends_told, payload_len;
    uint32_t tellings; /* of payload */
    uint32_t nudges;   /* told without bytes or an end: what was sent before shall go */
    struct text line;  /* what was received */
    char *payload;
};

static enum io play_look(struct play *p, char *data, size_t len, size_t *got)
{
    size_t here = p->arrived - p->read;
    *got = here < len ? here : len;
    memcpy(data, p->source.data + p->read, *got);
    if (*got) {
        if (*got < len) p->t.is_readable = false;
        return IO_OK;
    }
    if (p->arrived == p->source.len && p->resets) return IO_FAIL;
    if (p->arrived == p->source.len && p->ends) return IO_EOF;
    p->t.is_readable = false;
    return IO_AGAIN;
}

static enum io play_recv(struct transport *t, char *data, size_t len, size_t *got)
{
    struct play *p = container_of(t, struct play, t);
    enum io io = play_look(p, data, len, got);
    p->reads++;
    p->read += *got;
    return io;
}

static enum io play_peek(struct transport *t, char *data, size_t len, size_t *got)
{
    struct play *p = container_of(t, struct play, t);
    p->peeks++;
    return play_look(p, data, len, got);
}

static enum io play_drop(struct transport *t, size_t len)
{
    struct play *p = container_of(t, struct play, t);
    assert_true(len > 0 && len <= p->arrived - p->read);
    p->read += len;
    return IO_OK;
}

static const struct transport_ops with_peek = {
    .name = "fake", .recv = play_recv, .peek = play_peek, .drop = play_drop
};
static const struct transport_ops without_peek = { .name = "fake", .recv = play_recv };

static size_t on_body(struct http_stream *s, const char *data, size_t len, unsigned flags)
{
    struct play *p = s->owner;
    size_t taken = len < p->take ? len : p->take;
    assert_int_equal(p->ends_told, 0);
    if (!len && !flags) p->nudges++;
    if (len) p->tellings++;
    memcpy(p->payload + p->payload_len, data ? data : "", taken);
    p->payload_len += (uint32_t)taken;
    if (taken == len && (flags & HTTP_END)) p->ends_told++;
    if (p->is_released_by_body) s->events = NULL;
    return taken;
}

static void on_trailers(struct http_stream *s, const struct http_field *fields, uint32_t count)
{
    struct play *p = s->owner;
    assert_int_equal(p->ends_told++, 0);
    for (uint32_t i = 0; i < count; i++) {
        if (fields[i].is_dropped) TEXT_LITERAL(&p->line, "-");
        text_add(&p->line, fields[i].name, fields[i].name_len);
        TEXT_LITERAL(&p->line, ":");
        text_add(&p->line, fields[i].value, fields[i].value_len);
        TEXT_LITERAL(&p->line, "|");
    }
}

static size_t may_take(struct http_stream *s)
{
    return ((struct play *)s->owner)->take;
}

static const struct http_stream_events events = { .on_body = on_body, .on_trailers = on_trailers };
static const struct http_stream_events that_say = { .on_body = on_body,
                                                    .on_trailers = on_trailers,
                                                    .may_take = may_take };
static const struct h1_limits limits = { 8192, 64 };

enum framing { LENGTH, CHUNKED, UNTIL_CLOSE };

static struct play *play_new(enum framing framing, struct slice source, uint64_t length)
{
    struct err err;
    struct play *p = calloc(1, sizeof(*p));
    const struct http_head head = { .body = framing == LENGTH ? HTTP_BODY_LENGTH : HTTP_BODY_UNKNOWN,
                                    .content_length = length };
    const struct h1_framing h1 = { .is_chunked = framing == CHUNKED };
    assert_non_null(p);
    p->payload = malloc(source.len + 1);
    p->line = text_over(malloc(65536), 65536);
    assert_true(p->payload && p->line.data);
    p->budget.limit = 16 << 20;
    p->step = p->take = SIZE_MAX;
    p->source = source;
    assert_int_equal(loop_init(&p->loop, &p->budget, &err), 0);
    p->t = (struct transport){ .io = { .fd = -1 }, .loop = &p->loop, .ops = &with_peek };
    p->stream = (struct http_stream){ .events = &events, .owner = p };
    h1_body_init(&p->in.body, &head, &h1, true);
    return p;
}

static void play_free(struct play *p)
{
    h1_in_clear(&p->in, &p->loop);
    assert_int_equal(p->loop.blocks.live, 0);
    loop_fini(&p->loop);
    free(p->payload);
    free(p->line.data);
    free(p);
}

static void arrive(struct play *p)
{
    size_t left = p->source.len - p->arrived;
    p->arrived += left < p->step ? left : p->step;
    p->t.is_readable = true;
}

static enum h1_pump pump(struct play *p, struct slice bytes)
{
    enum h1_pump got = h1_in_pump(&p->in, &p->t, &p->stream, bytes, &limits, &p->fault);
    assert_true(p->in.end - p->in.begin <= LOOP_HOLD_BYTES);
    if (got != H1_PUMP_GONE) assert_int_equal(p->stream.held, p->in.end - p->in.begin);
    return got;
}

/* As h1_conn does: wait, resume, come back. `first`: how many bytes lie in the scratch buffer behind the head. */
static enum h1_pump play(struct play *p, size_t first)
{
    memcpy(p->loop.scratch, p->source.data, first);
    p->arrived = p->read = first;
    enum h1_pump got = pump(p, (struct slice){ p->loop.scratch, first });
    for (int rounds = 0; rounds < ROUNDS_MAX; rounds++) {
        switch (got) {
        case H1_PUMP_DRY:
            if (p->arrived == p->source.len && !p->ends && !p->resets) return got;
            assert_false(p->t.is_readable);
            arrive(p);
            break;
        case H1_PUMP_BLOCKED:
        case H1_PUMP_YIELD: break;
        default: return got;
        }
        got = pump(p, SLICE_NONE);
    }
    fail_msg("no end after %u of %zu bytes", p->payload_len, p->source.len);
    return got;
}

static const char *end_name(enum h1_pump got)
{
    static const char *const names[] = { "DRY",  "BLOCKED",   "YIELD", "END", "EOF",
                                         "FAIL", "NO_MEMORY", "BAD",   "GONE" };
    return names[got];
}

struct row {
    enum framing framing;
    uint64_t length;
    bool ends;
    const char *source, *payload, *trailers;
    enum h1_pump end;
    uint32_t left; /* bytes behind the message, held for the next */
};

static const struct row rows[] = {
    { LENGTH, 11, false, "hello world", "hello world", "", H1_PUMP_END, 0 },
    { LENGTH, 11, false, "hello worldGET", "hello world", "", H1_PUMP_END, 3 },
    { LENGTH, 0, false, "", "", "", H1_PUMP_END, 0 },
    { LENGTH, 12, true, "hello world", "hello world", "", H1_PUMP_EOF, 0 },
    { LENGTH, 12, false, "hello world", "hello world", "", H1_PUMP_DRY, 0 },
    { UNTIL_CLOSE, 0, true, "hello world", "hello world", "", H1_PUMP_END, 0 },
    { UNTIL_CLOSE, 0, true, "", "", "", H1_PUMP_END, 0 },
    { CHUNKED, 0, false, "0\r\n\r\n", "", "", H1_PUMP_END, 0 },
    { CHUNKED, 0, false, "5\r\nhello\r\n6;x=\"y\"\r\n world\r\n0\r\n\r\n", "hello world", "", H1_PUMP_END,
      0 },
    { CHUNKED, 0, false, "1\r\na\r\n1\r\nb\r\n2\r\ncd\r\n0\r\n\r\nHTTP/1.1", "abcd", "", H1_PUMP_END, 8 },
    { CHUNKED, 0, true, "5\r\nhello\r\n", "hello", "", H1_PUMP_EOF, 0 },
    { CHUNKED, 0, true, "5\r\nhel", "hel", "", H1_PUMP_EOF, 0 },
    { CHUNKED, 0, true, "5\r\nhello\r\n0\r\nX-A: 1\r\n", "hello", "", H1_PUMP_EOF, 8 },
    { CHUNKED, 0, false, "5\r\nhello\r\nzz\r\n", "hello", "", H1_PUMP_BAD, 0 },
    { CHUNKED, 0, false, "3\r\nabc\r\n0\r\nX-A: 1\r\nHost: evil\r\nX-B:  2 \r\n\r\n", "abc",
      "X-A:1|-Host:evil|X-B:2|", H1_PUMP_END, 0 },
    { CHUNKED, 0, false, "0\r\nX-A: 1\r\n\r\nnext", "", "X-A:1|", H1_PUMP_END, 4 },
    { CHUNKED, 0, false, "3\r\nabc\r\n0\r\nX A: 1\r\n\r\n", "abc", "", H1_PUMP_BAD, 0 },
};

static void check_row(size_t i, size_t first, size_t step, size_t take)
{
    const struct row *row = &rows[i];
    struct play *p = play_new(row->framing, slice_of(row->source), row->length);
    p->ends = row->ends;
    p->step = step;
    p->take = take;
    enum h1_pump got = play(p, first);
    bool is_same = got == row->end && p->payload_len == strlen(row->payload) &&
                   memcmp(p->payload, row->payload, p->payload_len) == 0 &&
                   p->line.len == strlen(row->trailers) &&
                   memcmp(p->line.data, row->trailers, p->line.len) == 0;
    if (!is_same)
        fail_msg("row %zu, first %zu, then %zu, taken %zu: [%.*s] %.*s %s", i, first, step, take,
                 (int)p->payload_len, p->payload, (int)p->line.len, p->line.data, end_name(got));
    assert_int_equal(p->ends_told, got == H1_PUMP_END);
    assert_int_equal(p->nudges, 0); /* nothing is told for nothing */
    assert_int_equal(p->stream.is_ended, got == H1_PUMP_END);
    /* What was read beyond the end is kept; the rest has not been read. */
    if (got == H1_PUMP_END) assert_int_equal(p->stream.held + p->source.len - p->read, row->left);
    if (got == H1_PUMP_EOF) assert_int_equal(p->stream.held, row->left);
    if (got == H1_PUMP_BAD) assert_int_equal(p->fault.reason, END_BAD_RESPONSE_BODY);
    play_free(p);
}

static void a_body_is_the_same_wherever_it_is_cut_and_however_little_is_taken(void **state)
{
    (void)state;
    static const size_t takes[] = { SIZE_MAX, 1, 2, 3, 7 };
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t len = strlen(rows[i].source);
        for (size_t first = 0; first <= len; first++)
            for (size_t t = 0; t < COUNT(takes); t++) check_row(i, first, SIZE_MAX, takes[t]);
        for (size_t step = 1; step <= len; step++)
            for (size_t t = 0; t < COUNT(takes); t++) check_row(i, 0, step, takes[t]);
    }
}

static char *big_payload(void)
{
    char *data = malloc(BIG);
    assert_non_null(data);
    for (size_t i = 0; i < BIG; i++) data[i] = (char)('a' + (i * 7 + i / 4096) % 26);
    return data;
}

static char *chunked(const char *payload, size_t size, size_t *len)
{
    char *out = malloc(BIG * 2);
    assert_non_null(out);
    struct text t = text_over(out, BIG * 2);
    for (size_t at = 0; at < BIG; at += size) {
        size_t now = BIG - at < size ? BIG - at : size;
        text_add_hex(&t, now, 8);
        TEXT_LITERAL(&t, "\r\n");
        text_add(&t, payload + at, now);
        TEXT_LITERAL(&t, "\r\n");
    }
    TEXT_LITERAL(&t, "0\r\nX-A: 1\r\n\r\n");
    *len = t.len;
    return out;
}

static void a_large_body_arrives_whole_with_every_transport_and_receiver(void **state)
{
    (void)state;
    static const size_t steps[] = { 1000, LOOP_HOLD_BYTES, 100000, SIZE_MAX };
    static const size_t takes[] = { 999, LOOP_HOLD_BYTES, 100001, SIZE_MAX };
    char *payload = big_payload();
    size_t len;
    char *small_chunks = chunked(payload, 5000, &len);
    size_t small_len = len;
    char *large_chunks = chunked(payload, 300000, &len);
    const struct {
        enum framing framing;
        struct slice source;
    } bodies[] = { { LENGTH, { payload, BIG } },
                   { UNTIL_CLOSE, { payload, BIG } },
                   { CHUNKED, { small_chunks, small_len } },
                   { CHUNKED, { large_chunks, len } } };
    for (size_t i = 0; i < COUNT(bodies) * COUNT(steps) * COUNT(takes) * 2; i++) {
        size_t b = i % COUNT(bodies), s = i / COUNT(bodies) % COUNT(steps);
        size_t t = i / COUNT(bodies) / COUNT(steps) % COUNT(takes);
        bool can_peek = i >= COUNT(bodies) * COUNT(steps) * COUNT(takes);
        struct play *p = play_new(bodies[b].framing, bodies[b].source, BIG);
        p->t.ops = can_peek ? &with_peek : &without_peek;
        p->ends = bodies[b].framing == UNTIL_CLOSE;
        p->step = steps[s];
        p->take = takes[t];
        assert_int_equal(play(p, 1000), H1_PUMP_END);
        assert_int_equal(p->payload_len, BIG);
        assert_memory_equal(p->payload, payload, BIG);
        assert_int_equal(p->ends_told, 1);
        /* Bulk is looked at where it lies, if there is much at once and its framing is known. */
        if (can_peek && steps[s] > LOOP_HOLD_BYTES && takes[t] == SIZE_MAX && b != 2)
            assert_true(p->peeks > 0);
        if (steps[s] < LOOP_HOLD_BYTES) assert_int_equal(p->peeks, 0);
        play_free(p);
    }
    free(payload);
    free(small_chunks);
    free(large_chunks);
}

/* A head that went with HTTP_MORE waits for what was promised; if that is framing alone, it is told so, once. */
static void a_promise_of_more_is_kept_or_taken_back_at_once(void **state)
{
    (void)state;
    static const struct {
        const char *first, *rest;
        uint32_t nudges;
    } promises[] = {
        { "5\r\n", "hello\r\n0\r\n\r\n", 1 },
        { "5", "\r\nhello\r\n0\r\n\r\n", 1 },
        { "0\r\nX-A: 1", "\r\n\r\n", 1 },
        { "5\r\nh", "ello\r\n0\r\n\r\n", 0 },
        { "0\r\n\r\n", "", 0 },
        { "0\r\nX-A: 1\r\n\r\n", "", 0 },
        { "zz", "", 0 },
    };
    for (size_t i = 0; i < COUNT(promises); i++) {
        char whole[64];
        size_t first = strlen(promises[i].first);
        snprintf(whole, sizeof(whole), "%s%s", promises[i].first, promises[i].rest);
        struct play *p = play_new(CHUNKED, slice_of(whole), 0);
        memcpy(p->loop.scratch, whole, first);
        p->arrived = p->read = first;
        p->in.owes_more = true;
        pump(p, (struct slice){ p->loop.scratch, first });
        assert_int_equal(p->nudges, promises[i].nudges);
        arrive(p);
        if (p->read < p->source.len) assert_int_equal(pump(p, SLICE_NONE), H1_PUMP_END);
        assert_int_equal(p->nudges, promises[i].nudges);
        play_free(p);
    }
}

static void a_receiver_that_takes_nothing_costs_32_kib_at_most(void **state)
{
    (void)state;
    char *payload = big_payload();
    size_t len;
    char *chunks = chunked(payload, 5000, &len);
    for (int i = 0; i < 6; i++) {
        enum framing framing = (enum framing)(i % 3);
        struct slice source = { framing == CHUNKED ? chunks : payload, framing == CHUNKED ? len : BIG };
        struct play *p = play_new(framing, source, BIG);
        p->t.ops = i < 3 ? &with_peek : &without_peek;
        p->arrived = source.len;
        p->t.is_readable = true;
        /* First it takes all, so that bulk begins; then nothing any more. */
        p->take = i % 2 ? SIZE_MAX : 0;
        enum h1_pump got = pump(p, SLICE_NONE);
        p->take = 0;
        for (int n = 0; n < 100 && got != H1_PUMP_BLOCKED; n++) got = pump(p, SLICE_NONE);
        assert_int_equal(got, H1_PUMP_BLOCKED);
        size_t read = p->read;
        for (int n = 0; n < 10; n++) assert_int_equal(pump(p, SLICE_NONE), H1_PUMP_BLOCKED);
        assert_int_equal(p->read, read);
        assert_true(p->loop.blocks.live_bytes <= 2 * LOOP_HOLD_BYTES);
        /* Nothing is lost by the pause. */
        p->take = SIZE_MAX;
        p->ends = true;
        do {
            if (got == H1_PUMP_DRY) arrive(p); /* the end, if bytes have no other */
            got = pump(p, SLICE_NONE);
        } while (got == H1_PUMP_YIELD || got == H1_PUMP_DRY);
        assert_int_equal(got, H1_PUMP_END);
        assert_int_equal(p->payload_len, BIG);
        assert_memory_equal(p->payload, payload, BIG);
        play_free(p);
    }
    free(payload);
    free(chunks);
}

/* A window of a byte, of nothing, of 5000, of 40000: no more is read than goes at once, but for a little, and that only once. */
static void of_who_says_what_it_takes_little_more_is_read(void **state)
{
    (void)state;
    static const size_t takes[] = { 1, 0, 5000, 40000 };
    char *payload = big_payload();
    size_t len;
    char *chunks = chunked(payload, 5000, &len);
    for (unsigned i = 0; i < 4 * 4; i++) {
        bool is_chunked = i / 4 % 2, is_bulk = !is_chunked && i < 8;
        size_t take = takes[i % 4], ahead = take > LOOP_LITTLE_BYTES ? 2 * take : LOOP_LITTLE_BYTES;
        struct slice source = { is_chunked ? chunks : payload, is_chunked ? len : BIG };
        struct play *p = play_new(is_chunked ? CHUNKED : LENGTH, source, BIG);
        p->t.ops = i < 8 ? &with_peek : &without_peek;
        p->stream.events = &that_say;
        p->arrived = source.len;
        p->t.is_readable = true;
        p->in.is_bulk = is_bulk;
        p->take = take;
        enum h1_pump got = H1_PUMP_YIELD;
        for (unsigned n = 0; n < 2000 && got != H1_PUMP_END; n++) {
            got = pump(p, SLICE_NONE);
            size_t held = h1_in_held(&p->in).len;
            assert_true(held <= (take > LOOP_LITTLE_BYTES ? LOOP_HOLD_BYTES : LOOP_LITTLE_BYTES));
            if (take <= LOOP_LITTLE_BYTES) assert_true(p->loop.blocks.live_bytes <= 2 * BLOCK_MIN);
            if (n == 0 && !is_bulk) assert_true(p->read <= p->payload_len + ahead);
        }
        /* What is little comes by a few reads, and is looked at in the kernel by none. */
        if (take <= 5000) assert_int_equal(p->peeks, 0);
        if (take == 1) assert_in_range(p->reads, 1, 2);
        p->take = SIZE_MAX;
        while (got == H1_PUMP_YIELD || got == H1_PUMP_BLOCKED) got = pump(p, SLICE_NONE);
        assert_int_equal(got, H1_PUMP_END);
        assert_int_equal(p->payload_len, BIG);
        assert_memory_equal(p->payload, payload, BIG);
        play_free(p);
    }
    free(payload);
    free(chunks);
}

/* The first read brought a head of 81 bytes and was full; `here` bytes have come behind it by then. */
static void check_full_first_read(const char *source, size_t length, size_t here, size_t take, bool resets)
{
    const size_t head = 81, first = LOOP_HOLD_BYTES - head;
    struct play *p = play_new(LENGTH, (struct slice){ source, length + (resets ? 0 : 4) }, length + resets);
    p->resets = resets;
    p->take = take;
    p->in.is_bulk = true;
    memcpy(p->loop.scratch + head, source, first);
    p->read = first;
    p->arrived = first + here < p->source.len ? first + here : p->source.len;
    p->t.is_readable = true;
    p->stream.held = (uint32_t)first;
    enum h1_pump got = pump(p, (struct slice){ p->loop.scratch + head, first });
    while (got == H1_PUMP_DRY || got == H1_PUMP_BLOCKED || got == H1_PUMP_YIELD) {
        if (got == H1_PUMP_DRY) arrive(p);
        got = pump(p, SLICE_NONE);
    }
    assert_int_equal(got, resets ? H1_PUMP_FAIL : H1_PUMP_END);
    assert_int_equal(p->payload_len, length);
    assert_memory_equal(p->payload, source, length);
    assert_int_equal(p->ends_told, !resets);
    if (!resets) assert_int_equal(p->stream.held + p->source.len - p->read, 4);
    bool is_here = here >= length - first && take >= length;
    if (is_here && !resets && length - first < LOOP_SCRATCH_BYTES - 2 * LOOP_HOLD_BYTES)
        assert_int_equal(p->tellings, 1);
    /* What came short says that nothing is behind it: nobody looks again. */
    if (is_here && here == length - first && !resets) assert_false(p->t.is_readable);
    play_free(p);
}

static void a_full_first_read_goes_with_what_is_behind_it(void **state)
{
    (void)state;
    static const size_t lengths[] = {
        LOOP_HOLD_BYTES - 80, LOOP_HOLD_BYTES, 40000, 65536, 200000, 300000, 700000
    };
    static const size_t takes[] = { 1000, LOOP_HOLD_BYTES - 81, LOOP_HOLD_BYTES, 50000, SIZE_MAX };
    char *payload = big_payload();
    for (size_t l = 0; l < COUNT(lengths); l++)
        for (size_t t = 0; t < COUNT(takes); t++)
            for (int resets = 0; resets < 2; resets++) {
                size_t rest = lengths[l] - (LOOP_HOLD_BYTES - 81);
                const size_t here[] = { 0, 1, rest / 2, rest, rest + 4 };
                for (size_t h = 0; h < COUNT(here); h++)
                    check_full_first_read(payload, lengths[l], here[h], takes[t], resets);
            }
    free(payload);
}

static void bulk_that_is_not_taken_stays_where_it_is(void **state)
{
    (void)state;
    char *payload = big_payload();
    struct play *p = play_new(LENGTH, (struct slice){ payload, BIG }, BIG);
    p->arrived = BIG;
    p->t.is_readable = true;
    p->in.is_bulk = true;
    p->take = 12345;
    assert_int_equal(pump(p, SLICE_NONE), H1_PUMP_BLOCKED);
    assert_int_equal(p->read, 12345);
    assert_null(p->in.hold);
    assert_true(p->t.is_readable);
    play_free(p);
    free(payload);
}

static void one_direction_yields_after_its_share_of_a_turn(void **state)
{
    (void)state;
    char *payload = big_payload();
    for (int i = 0; i < 2; i++) {
        struct play *p = play_new(LENGTH, (struct slice){ payload, BIG }, BIG);
        p->t.ops = i ? &with_peek : &without_peek;
        p->arrived = BIG;
        p->t.is_readable = true;
        uint32_t before = 0, turns = 0;
        enum h1_pump got;
        while ((got = pump(p, SLICE_NONE)) == H1_PUMP_YIELD) {
            assert_true(p->payload_len - before >= LOOP_TURN_BYTES);
            assert_true(p->payload_len - before < LOOP_TURN_BYTES + LOOP_SCRATCH_BYTES);
            before = p->payload_len;
            turns++;
        }
        assert_int_equal(got, H1_PUMP_END);
        assert_true(turns >= 2);
        play_free(p);
    }
    free(payload);
}

/* Long trailers outgrow the block that their beginning is held in. */
static void long_trailers_are_the_same_wherever_they_are_cut(void **state)
{
    (void)state;
    static const size_t steps[] = { 1, 17, 1000, 3000 };
    char source[8192], expected[8192];
    struct text s = text_over(source, sizeof(source)), e = text_over(expected, sizeof(expected));
    TEXT_LITERAL(&s, "3\r\nabc\r\n0\r\n");
    for (uint32_t i = 0; i < 60; i++) {
        TEXT_LITERAL(&s, "X-");
        TEXT_LITERAL(&e, "X-");
        text_add_u64(&s, i);
        text_add_u64(&e, i);
        TEXT_LITERAL(&s, ": ");
        TEXT_LITERAL(&e, ":");
        for (int n = 0; n < 90; n++) {
            text_add_char(&s, (char)('a' + n % 26));
            text_add_char(&e, (char)('a' + n % 26));
        }
        TEXT_LITERAL(&s, "\r\n");
        TEXT_LITERAL(&e, "|");
    }
    TEXT_LITERAL(&s, "\r\nnext");
    for (size_t i = 0; i < COUNT(steps) + s.len; i++) {
        struct play *p = play_new(CHUNKED, (struct slice){ source, s.len }, 0);
        if (i < COUNT(steps)) p->step = steps[i];
        p->take = 2;
        assert_int_equal(play(p, i < COUNT(steps) ? 0 : i - COUNT(steps) + 1), H1_PUMP_END);
        assert_int_equal(p->payload_len, 3);
        assert_int_equal(p->line.len, e.len);
        assert_memory_equal(p->line.data, expected, e.len);
        assert_int_equal(p->stream.held + p->source.len - p->read, 4);
        play_free(p);
    }
}

static void trailers_over_the_limit_are_a_fault_wherever_they_are_cut(void **state)
{
    (void)state;
    char source[12000];
    struct text s = text_over(source, sizeof(source));
    TEXT_LITERAL(&s, "0\r\nX-A: ");
    while (s.len < sizeof(source)) text_add_char(&s, 'a');
    for (size_t step = 1; step < 12000; step += 1 + step / 3) {
        struct play *p = play_new(CHUNKED, (struct slice){ source, s.len }, 0);
        p->step = step;
        assert_int_equal(play(p, 0), H1_PUMP_BAD);
        assert_true(p->fault.reason != END_NONE);
        play_free(p);
    }
}

static void a_stream_released_by_its_receiver_is_left_alone(void **state)
{
    (void)state;
    char *payload = big_payload();
    for (int is_bulk = 0; is_bulk < 2; is_bulk++) {
        struct play *p = play_new(LENGTH, (struct slice){ payload, BIG }, BIG);
        p->arrived = BIG;
        p->t.is_readable = true;
        p->in.is_bulk = is_bulk;
        p->is_released_by_body = true;
        assert_int_equal(pump(p, SLICE_NONE), H1_PUMP_GONE);
        play_free(p);
    }
    free(payload);
}

static void a_reset_is_told_after_what_came_before_it(void **state)
{
    (void)state;
    struct play *p = play_new(LENGTH, SLICE("hello"), 9);
    p->resets = true;
    assert_int_equal(play(p, 0), H1_PUMP_FAIL);
    assert_int_equal(p->payload_len, 5);
    assert_int_equal(p->ends_told, 0);
    play_free(p);
}

static void without_memory_what_is_not_taken_ends_the_message(void **state)
{
    (void)state;
    struct play *p = play_new(LENGTH, SLICE("hello world"), 11);
    p->budget.limit = 0;
    p->take = 5;
    assert_int_equal(play(p, 11), H1_PUMP_NO_MEMORY);
    play_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_is_the_same_wherever_it_is_cut_and_however_little_is_taken),
        cmocka_unit_test(a_large_body_arrives_whole_with_every_transport_and_receiver),
        cmocka_unit_test(a_promise_of_more_is_kept_or_taken_back_at_once),
        cmocka_unit_test(a_receiver_that_takes_nothing_costs_32_kib_at_most),
        cmocka_unit_test(of_who_says_what_it_takes_little_more_is_read),
        cmocka_unit_test(a_full_first_read_goes_with_what_is_behind_it),
        cmocka_unit_test(bulk_that_is_not_taken_stays_where_it_is),
        cmocka_unit_test(one_direction_yields_after_its_share_of_a_turn),
        cmocka_unit_test(long_trailers_are_the_same_wherever_they_are_cut),
        cmocka_unit_test(trailers_over_the_limit_are_a_fault_wherever_they_are_cut),
        cmocka_unit_test(a_stream_released_by_its_receiver_is_left_alone),
        cmocka_unit_test(a_reset_is_told_after_what_came_before_it),
        cmocka_unit_test(without_memory_what_is_not_taken_ends_the_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
