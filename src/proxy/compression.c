/* The body on its way: see compression_head.c for whether and how it begins. */
#include "proxy/compression.h"

#include "base/bug.h"
#include "proxy/exchange_steps.h"
#include "proxy/listener.h"

/* What is made is kept in a block of this until it is sent. */
#define OUT_BYTES ((BLOCK_MIN << 2) - sizeof(struct block))
/* What is encoded before the clock is looked at: well below a millisecond for every algorithm. */
#define PIECE_BYTES (16u << 10)
#define TURN_NS (1000u * 1000u)
/* After so long without anything from the server the client is to have what has come. */
#define PAUSE_MS 10

static struct compression_worker *worker_of(const struct exchange *x)
{
    return &x->worker->compression;
}

/* turns */

static void wait_turn(struct exchange *x)
{
    struct compression_worker *w = worker_of(x);
    exchange_moved(x); /* it is not the server that is waited for */
    if (!list_is_empty(&x->compression->turn)) return;
    list_push_back(&w->waiting, &x->compression->turn);
    loop_defer(w->loop, &w->task);
}

static uint64_t *spent_ns(struct compression_worker *w)
{
    if (w->turn != w->loop->turns) {
        w->turn = w->loop->turns;
        w->spent_ns = 0;
    }
    return &w->spent_ns;
}

static bool may_go_on(struct exchange *x)
{
    struct compression_worker *w = worker_of(x);
    if (x->compression->is_served) return true;
    return list_is_empty(&w->waiting) && *spent_ns(w) < TURN_NS;
}

static bool has_used_turn(const struct exchange *x)
{
    return *spent_ns(worker_of(x)) >= TURN_NS;
}

static void serve(struct compression *c)
{
    struct exchange *x = c->exchange;
    if (bug_if(CODING, x->compression != c || !c->encoder)) return; /* it has ended, and waits */
    c->is_served = true;
    if (!x->is_behind && compression_go_on(x)) http_stream_resume(exchange_source(x));
    c->is_served = false;
}

static void on_turn(struct loop_task *t)
{
    struct compression_worker *w = container_of(t, struct compression_worker, task);
    /* One at least, so that it goes on however long the rest of a turn takes. */
    do {
        struct list *first = list_pop_front(&w->waiting);
        if (!first) return;
        serve(container_of(first, struct compression, turn));
    } while (*spent_ns(w) < TURN_NS);
    if (!list_is_empty(&w->waiting)) loop_defer(w->loop, &w->task);
}

void compression_worker_init(struct compression_worker *w, struct loop *l, uint32_t worker_count)
{
    w->loop = l;
    encoder_pool_init(&w->encoders, &l->blocks, worker_count);
    list_init(&w->waiting);
    loop_task_init(&w->task, on_turn);
}

void compression_worker_fini(struct compression_worker *w)
{
    if (!w->loop) return;
    loop_cancel(&w->task);
    encoder_pool_fini(&w->encoders);
}

/* what was made */

static void drop_made(struct exchange *x)
{
    struct compression *c = x->compression;
    block_put(&x->worker->loop.blocks, c->out);
    c->out = NULL;
    c->begin = c->end = 0;
}

/* False: it is over, or the client is behind and will say when it takes more. */
static bool send_made(struct exchange *x, unsigned flags)
{
    struct compression *c = x->compression;
    size_t taken = 0;
    enum io io = http_send_body(x->client, c->out ? c->out->data + c->begin : NULL, c->end - c->begin, flags,
                                &taken);
    x->body_out += taken;
    c->begin += (uint32_t)taken;
    if (c->begin == c->end) drop_made(x);
    if (io == IO_OK) return true;
    if (io == IO_FAIL)
        exchange_client_failed(x);
    else
        exchange_wait_for_client(x);
    return false;
}

static bool make_room(struct exchange *x)
{
    struct compression *c = x->compression;
    if (bug_if(CODING, !c->encoder || c->end > OUT_BYTES || c->begin > c->end)) {
        exchange_end_of_bug(x);
        return false;
    }
    if (c->end == OUT_BYTES && !send_made(x, 0)) return false;
    if (c->out || (c->out = block_get(&x->worker->loop.blocks, OUT_BYTES))) return true;
    exchange_cut(x, END_NO_MEMORY);
    return false;
}

/* Takes from *in. False: as above, or it is cut. */
static bool encode(struct exchange *x, enum encoder_op op, struct slice *in)
{
    struct compression *c = x->compression;
    uint64_t begun_ns = clock_now_ns();
    size_t before = in->len;
    enum encoder_result result = ENCODER_FULL;
    do {
        size_t made = 0;
        if (!make_room(x)) break;
        result = encoder_run(c->encoder, op, in, c->out->data + c->end, OUT_BYTES - c->end, &made);
        c->end += (uint32_t)made;
        c->made += made;
    } while (result == ENCODER_FULL);
    if (bug_if(CODING, in->len > before)) *in = SLICE_NONE;
    c->taken += before - in->len;
    *spent_ns(worker_of(x)) += clock_now_ns() - begun_ns;
    if (result == ENCODER_FAILED) exchange_cut(x, END_NO_MEMORY);
    return result == ENCODER_DONE;
}

/* the end */

void compression_end(struct exchange *x)
{
    struct compression *c = x->compression;
    if (!c || !c->encoder) return;
    const struct compression_meters *m = &x->listener->listener->compression;
    metric_add(x->worker->metrics, m->bytes_in[c->coding], c->taken);
    metric_add(x->worker->metrics, m->bytes_out[c->coding], c->made);
    encoder_pool_put(&worker_of(x)->encoders, c->encoder);
    c->encoder = NULL;
    list_remove(&c->turn);
    loop_disarm(&x->worker->loop, &c->pause);
    drop_made(x);
}

bool compression_has_all(const struct exchange *x)
{
    return x->compression && x->compression->owes == ENCODER_END;
}

/* All was made, and all of it goes. */
static void finish(struct exchange *x)
{
    struct compression *c = x->compression;
    if (!send_made(x, c->trailer_count ? 0 : HTTP_END)) return;
    if (c->trailer_count && http_send_trailers(x->client, c->trailers, c->trailer_count) == IO_FAIL)
        exchange_client_failed(x);
    else
        exchange_response_is_whole(x);
}

/* What it owes is made. True: it owes nothing more, and is not at its end. */
static bool settle(struct exchange *x)
{
    struct compression *c = x->compression;
    struct slice none = SLICE_NONE;
    if (c->owes != ENCODER_GO_ON && !c->is_encoded) {
        if (!encode(x, (enum encoder_op)c->owes, &none)) return false;
        c->has_unflushed = false;
        c->is_encoded = c->owes == ENCODER_END;
        if (!c->is_encoded) c->owes = ENCODER_GO_ON;
    }
    if (!c->is_encoded) return true;
    finish(x);
    return false;
}

/* pauses */

static void expect_pause(struct exchange *x)
{
    struct compression *c = x->compression;
    if (!c->encoder || !c->has_unflushed || timer_is_armed(&c->pause)) return;
    loop_arm(&x->worker->loop, &c->pause, PAUSE_MS);
}

void compression_flush_at_pause(struct compression *c)
{
    struct exchange *x = c->exchange;
    if (!c->encoder || !c->has_unflushed || x->is_behind || !list_is_empty(&c->turn)) return;
    if (exchange_now_ms(x) < c->fed_ms + PAUSE_MS) {
        expect_pause(x);
        return;
    }
    c->owes = ENCODER_FLUSH;
    if (settle(x)) send_made(x, 0);
}

/* what comes */

/* One piece. False: nothing more can be taken now. */
static bool take_piece(struct exchange *x, struct slice *in, bool flushes)
{
    struct compression *c = x->compression;
    size_t len = in->len < PIECE_BYTES ? in->len : PIECE_BYTES, before = len;
    struct slice piece = { in->data, len };
    bool is_done = encode(x, ENCODER_GO_ON, &piece);
    size_t taken = before - piece.len;
    *in = taken < in->len ? (struct slice){ in->data + taken, in->len - taken } : SLICE_NONE;
    if (taken) c->has_unflushed = true;
    c->fed_ms = exchange_now_ms(x);
    if (flushes && !in->len) c->owes = ENCODER_FLUSH;
    return is_done && settle(x);
}

/* False: as above. */
static bool take_all(struct exchange *x, struct slice *in, unsigned flags)
{
    bool flushes = x->compression->is_live && !(flags & (HTTP_MORE | HTTP_END));
    while (in->len) {
        if (!take_piece(x, in, flushes)) return false;
        if (!in->len || !has_used_turn(x)) continue;
        if (send_made(x, 0)) wait_turn(x);
        return false;
    }
    return true;
}

size_t compression_take(struct exchange *x, const char *data, size_t len, unsigned flags)
{
    struct compression *c = x->compression;
    struct slice in = { data, len };
    bool ends = flags & HTTP_END;
    if (bug_if(CODING, len && c->owes == ENCODER_END)) { /* its end was told */
        exchange_end_of_bug(x);
        return len;
    }
    /* What came before goes first. */
    if (x->is_behind && len) return 0;
    if (!may_go_on(x)) {
        if (!len && ends) c->owes = ENCODER_END; /* that is not told again */
        wait_turn(x);
        return 0;
    }
    bool is_taken = take_all(x, &in, flags);
    if (!c->encoder) return len; /* it is over */
    if (!in.len && ends) c->owes = ENCODER_END;
    if (is_taken && ends)
        settle(x);
    else if (is_taken && !(flags & HTTP_MORE) && send_made(x, 0))
        exchange_moved(x);
    expect_pause(x);
    return len - in.len;
}

void compression_take_trailers(struct exchange *x, struct http_field *fields, uint32_t count)
{
    struct compression *c = x->compression;
    if (bug_if(CODING, c->owes == ENCODER_END)) {
        exchange_end_of_bug(x);
        return;
    }
    compress_drop_untrue((struct compress_fields){ fields, count });
    c->trailers = fields;
    c->trailer_count = count;
    c->owes = ENCODER_END;
    if (!x->is_behind && list_is_empty(&c->turn)) settle(x);
}

bool compression_go_on(struct exchange *x)
{
    if (!x->compression || !x->compression->encoder) return true;
    if (!settle(x) || !send_made(x, 0)) return false;
    expect_pause(x);
    return true;
}
