/* From the client to the server. */
#include "base/bug.h"
#include "proxy/choose.h"
#include "proxy/compression.h"
#include "proxy/exchange_hedge.h"
#include "proxy/exchange_steps.h"
#include "proxy/exchange_trace.h"
#include "proxy/forward.h"
#include "proxy/headers.h"
#include "proxy/mirror.h"
#include "proxy/upgrade.h"

void request_sent(struct exchange *x)
{
    if (bug_if(EXCHANGE, x->request > REQUEST_SENT)) return; /* a part of it was not taken */
    x->request = REQUEST_SENT;
    x->record.sent_us = exchange_since_start_us(x);
    /* What the client took to send it is not the server's. */
    if (x->try_deadline_ms && x->body_in) exchange_try_until(x, exchange_now_ms(x) + x->retry->per_try_ms);
    if (x->body_in && !x->hedge) exchange_hedge_plan(x);
    if (x->mirror) mirror_request_ended(x->mirror);
    if (x->state == EXCHANGE_REQUEST) exchange_enter(x, EXCHANGE_ANSWER);
}

/* The end of a body whose last bytes went without it. */
static enum io send_end(struct exchange *x)
{
    size_t none = 0;
    if (x->trailer_count) return http_send_trailers(x->attempt.stream, x->trailers, x->trailer_count);
    return http_send_body(x->attempt.stream, NULL, 0, HTTP_END, &none);
}

/* By the server's stream. */
static bool request_is_wanted(const struct exchange *x)
{
    return exchange_is_with_server(x) && x->request < REQUEST_REFUSED;
}

/* The server may have answered before it closed: that is seen when it is read. False */
static bool refused(struct exchange *x)
{
    exchange_request_is(x, x->state == EXCHANGE_RESPONSE ? REQUEST_UNWANTED : REQUEST_REFUSED);
    return false;
}

/* What was kept of the body goes again, and its end if that has come. True once all of it is with the server's
 * stream. */
bool request_go_on(struct exchange *x)
{
    bool ends_with_bytes = x->request_ended && !x->trailer_count;
    if (bug_if(EXCHANGE,
               !x->attempt.stream || x->replay_sent > x->replay_len || (x->replay_len && !x->replay))) {
        exchange_end_of_bug(x);
        return false;
    }
    while (x->replay_sent < x->replay_len) {
        size_t taken = 0;
        unsigned flags = ends_with_bytes ? HTTP_END : 0;
        enum io io = http_send_body(x->attempt.stream, x->replay->data + x->replay_sent,
                                    x->replay_len - x->replay_sent, flags, &taken);
        x->replay_sent += (uint32_t)taken;
        if (io == IO_FAIL) return refused(x);
        if (io == IO_AGAIN) {
            exchange_request_is(x, REQUEST_WRITING);
            return false;
        }
    }
    if (!x->request_ended || x->request == REQUEST_SENT) return true;
    if ((!x->replay_len || !ends_with_bytes) && send_end(x) == IO_FAIL) return refused(x);
    request_sent(x);
    return true;
}

void request_describe(const struct exchange *x, const struct server *s, struct http_send *send)
{
    *send = (struct http_send){ .head = &x->head,
                                .authority = forward_authority(x, s),
                                .target = x->target,
                                .extra = x->extra,
                                .extra_count = x->extra_count,
                                .body = x->head.body,
                                .content_length = x->head.content_length,
                                .upgrade = x->upgrade };
}

enum step request_begin(struct exchange *x)
{
    if (bug_if(EXCHANGE, !x->attempt.stream || !x->client)) return exchange_end_of_bug(x);
    const struct http_head *head = &x->head;
    const char *unfit = upgrade_prepare(x);
    if (unfit) return exchange_fail_with(x, END_UPGRADE_NOT_SUPPORTED, unfit);
    struct http_send send;
    if (x->trace && x->was_hedged) exchange_trace_use(x, x->attempt.number);
    request_describe(x, x->attempt.server, &send);
    exchange_enter(x, EXCHANGE_REQUEST);
    x->record.connected_us = exchange_since_start_us(x);
    bool has_body = head->body != HTTP_BODY_NONE &&
                    !(head->body == HTTP_BODY_LENGTH && !head->content_length);
    bool follows = has_body && (x->request_follows || x->replay_len || x->client->held);
    if (http_send_head(x->attempt.stream, &send, follows ? HTTP_MORE : 0) != IO_OK)
        return exchange_attempt_failed(x, END_SEND_FAILED, NULL, 0);
    if (!has_body) {
        request_sent(x);
        return STEP_WAIT;
    }
    exchange_request_is(x, REQUEST_READING);
    if (x->request_follows) return STEP_WAIT; /* on_body comes of itself */
    if (request_go_on(x) && !x->request_ended) http_stream_resume(x->client);
    if (!request_is_wanted(x) || x->attempt.stream->is_flushed) return STEP_WAIT;
    size_t none = 0;
    if (http_send_body(x->attempt.stream, NULL, 0, 0, &none) == IO_FAIL) refused(x);
    return STEP_WAIT;
}

static void keep_for_replay(struct exchange *x, const char *data, size_t len)
{
    uint64_t limit = x->retry->buffer_bytes;
    if (bug_if(EXCHANGE, x->replay_len > x->body_in)) return; /* more than has come */
    if (!len || x->body_in != x->replay_len || x->replay_len + len > limit) return;
    /* Without memory it cannot be sent again: no harm. */
    if (!block_grow(&x->worker->loop.blocks, &x->replay, 0, x->replay_len, len)) return;
    memcpy(x->replay->data + x->replay_len, data, len);
    x->replay_len += (uint32_t)len;
    x->replay_sent = x->replay_len;
}

/* Once nothing can be retried any more, what was kept is of no use. */
void request_drop_replay(struct exchange *x)
{
    block_put(&x->worker->loop.blocks, x->replay);
    x->replay = NULL;
    x->replay_len = x->replay_sent = 0;
}

static bool is_over_body_limit(const struct exchange *x, size_t more)
{
    return x->body_in + more > choose_body_limit(x->routes, x->route);
}

/* The last `rest` of it, which nobody wants any more. `len` */
static size_t throw_away(struct exchange *x, size_t len, size_t rest, unsigned flags)
{
    x->body_in += rest;
    if (flags & HTTP_END) x->request_ended = true;
    return len;
}

static size_t on_request_body(struct http_stream *s, const char *data, size_t len, unsigned flags)
{
    struct exchange *x = s->owner;
    exchange_note(x);
    x->request_follows = false;
    if (x->request == REQUEST_UNWANTED) return throw_away(x, len, len, flags);
    if (is_over_body_limit(x, len)) {
        exchange_fail(x, END_BODY_TOO_LARGE);
        exchange_advance(x);
        return len;
    }
    if (!request_is_wanted(x) || x->replay_sent < x->replay_len) {
        if (!len && (flags & HTTP_END)) x->request_ended = true; /* that is not told again */
        return 0;
    }
    /* The end alone may come behind it: of a body of no bytes. */
    if (bug_if(EXCHANGE, !x->attempt.stream || (x->request == REQUEST_SENT && len))) {
        exchange_end_of_bug(x);
        return len;
    }
    size_t taken = 0;
    enum io io = http_send_body(x->attempt.stream, data, len, flags, &taken);
    keep_for_replay(x, data, taken);
    if (x->mirror) mirror_body(x->mirror, data, taken);
    x->body_in += taken;
    if (io == IO_FAIL) {
        refused(x);
        if (x->request == REQUEST_UNWANTED) return throw_away(x, len, len - taken, flags);
    } else if (taken < len) {
        exchange_request_is(x, REQUEST_WRITING);
    } else if (flags & HTTP_END) {
        x->request_ended = true;
        request_sent(x);
    } else {
        exchange_request_is(x, REQUEST_READING);
    }
    return taken;
}

static void on_request_trailers(struct http_stream *s, const struct http_field *fields, uint32_t count)
{
    struct exchange *x = s->owner;
    exchange_note(x);
    x->request_ended = true;
    /* Without memory they are lost, as they may be (RFC 9110 6.5.1). */
    if (exchange_copy_fields(x, fields, count, &x->trailers) == 0)
        x->trailer_count = headers_of_request_trailers(x, x->trailers, count);
    if (!request_is_wanted(x) || x->replay_sent < x->replay_len) return;
    if (bug_if(EXCHANGE, !x->attempt.stream || x->request == REQUEST_SENT)) {
        exchange_end_of_bug(x);
        return;
    }
    if (send_end(x) == IO_FAIL)
        refused(x);
    else
        request_sent(x);
}

static void on_client_error(struct http_stream *s, const struct http_fault *fault)
{
    struct exchange *x = s->owner;
    exchange_note(x);
    if (x->state == EXCHANGE_DONE || bug_if(EXCHANGE, s != x->client)) return;
    x->detail = fault->detail;
    if (x->state < EXCHANGE_RESPONSE)
        exchange_fail(x, fault->reason);
    else
        exchange_cut(x, fault->reason);
    exchange_advance(x);
}

static void on_client_writable(struct http_stream *s)
{
    struct exchange *x = s->owner;
    exchange_note(x);
    if (bug_if(EXCHANGE, s != x->client)) return;
    if (x->state == EXCHANGE_REPLY && reply_send_more(x) == STEP_WAIT) return;
    if (x->state > EXCHANGE_RESPONSE) {
        exchange_advance(x);
    } else if (x->is_behind) {
        x->is_behind = false;
        exchange_pace_response(x, exchange_now_ms(x) - x->since_ms);
        exchange_moved(x);
        if (compression_go_on(x)) http_stream_resume(exchange_source(x));
    }
}

const struct http_stream_events exchange_client_events = {
    .on_body = on_request_body,
    .on_trailers = on_request_trailers,
    .on_error = on_client_error,
    .on_writable = on_client_writable,
};
