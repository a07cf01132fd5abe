#include "proxy/exchange_hedge.h"

#include "base/bug.h"
#include "proxy/exchange_steps.h"
#include "proxy/exchange_trace.h"
#include "proxy/forward.h"
#include "proxy/hedge.h"
#include "proxy/mirror.h"

/* Of those that are found at their cap: more are not looked for. */
#define PICKS_MAX 3

static enum hedge_bar bar_of(const struct exchange *x)
{
    const struct hedge_conf *conf = x->retry->hedge;
    struct hedge_facts f = { .latency_us = conf ? pool_latency_us(&x->pool->pool->latency, conf->percentile)
                                                : 0,
                             .servers = x->view->set->count,
                             .attempts = x->attempts,
                             .since_start_ms = exchange_since_start_us(x) / 1000,
                             .is_repeatable = exchange_is_replayable(x),
                             .is_named = x->named != NULL,
                             .is_upgrade = x->upgrade.len > 0,
                             .expects_continue = x->head.expects_continue,
                             .was_hedged = x->was_hedged,
                             .is_whole = x->request_ended && x->body_in == x->replay_len,
                             .is_begun = x->state >= EXCHANGE_RESPONSE || x->is_informed };
    return x->egress ? HEDGE_BAR_ALONE : hedge_bar(x->retry, &f);
}

void exchange_hedge_plan(struct exchange *x)
{
    x->hedge_ms = 0;
    if (!x->retry->hedge) return;
    enum hedge_bar bar = bar_of(x);
    /* What a body lacks may still come. */
    if (bar != HEDGE_BAR_NONE && bar != HEDGE_BAR_BODY) return;
    const struct hedge_conf *conf = x->retry->hedge;
    uint32_t us = pool_latency_us(&x->pool->pool->latency, conf->percentile);
    x->hedge_ms = exchange_now_ms(x) + hedge_after_ms(conf, us);
    exchange_be_called_by(x, x->hedge_ms);
}

/* Over for a reason of its own: the one in hand goes on as if there had been none. */
static void fail(struct exchange *x, enum end_reason reason)
{
    exchange_mark_tried(x, x->hedge->peer);
    exchange_hedge_drop(x, reason);
}

void exchange_hedge_drop(struct exchange *x, enum end_reason reason)
{
    struct exchange_hedge *h = x->hedge;
    if (bug_if(EXCHANGE, !h)) return;
    x->hedge = NULL;
    if (reason == END_OUTRUN)
        attempt_outrun(&h->attempt);
    else
        attempt_end(&h->attempt, reason);
    attempt_leave(&h->attempt);
}

/* the request, once more */

static bool request_go_on_beside(struct exchange *x)
{
    struct exchange_hedge *h = x->hedge;
    struct http_stream *s = h->attempt.stream;
    bool ends_with_bytes = !x->trailer_count;
    /* All of it was kept, and still is. */
    if (bug_if(EXCHANGE, !s || h->replay_sent > x->replay_len || (x->replay_len && !x->replay))) return false;
    while (h->replay_sent < x->replay_len) {
        size_t taken = 0;
        enum io io = http_send_body(s, x->replay->data + h->replay_sent, x->replay_len - h->replay_sent,
                                    ends_with_bytes ? HTTP_END : 0, &taken);
        h->replay_sent += (uint32_t)taken;
        if (io == IO_FAIL) return false;
        if (io == IO_AGAIN) return true;
    }
    size_t none = 0;
    enum io io = IO_OK;
    if (x->trailer_count)
        io = http_send_trailers(s, x->trailers, x->trailer_count);
    else if (!x->replay_len)
        io = http_send_body(s, NULL, 0, HTTP_END, &none);
    h->is_sent = true;
    return io != IO_FAIL;
}

static bool has_body(const struct exchange *x)
{
    return x->head.body != HTTP_BODY_NONE && !(x->head.body == HTTP_BODY_LENGTH && !x->head.content_length);
}

static void send_beside(struct exchange *x)
{
    struct exchange_hedge *h = x->hedge;
    if (bug_if(EXCHANGE, h->is_open || !h->attempt.stream)) return; /* once */
    bool follows = has_body(x);
    struct http_send send;
    h->is_open = true;
    h->connected_us = exchange_since_start_us(x);
    h->since_ms = exchange_now_ms(x);
    if (x->trace) exchange_trace_use(x, h->attempt.number);
    request_describe(x, h->attempt.server, &send);
    bool is_sent = http_send_head(h->attempt.stream, &send, follows ? HTTP_MORE : 0) == IO_OK;
    if (is_sent && follows) is_sent = request_go_on_beside(x);
    if (!follows) h->is_sent = true;
    if (h->is_sent) h->sent_us = exchange_since_start_us(x);
    if (!is_sent) fail(x, END_SEND_FAILED);
}

/* its stream's events */

/* What an attempt says that was left is nobody's. */
static bool is_left(const struct exchange *x, struct http_stream *s)
{
    if (!bug_if(EXCHANGE, !x->hedge || x->hedge->attempt.stream != s)) return false;
    s->events = NULL;
    return true;
}

static void on_open(struct http_stream *s)
{
    struct exchange *x = s->owner;
    exchange_note(x);
    if (is_left(x, s)) return;
    attempt_opened(&x->hedge->attempt);
    send_beside(x);
}

static void listen_to(struct exchange *x, struct http_stream *s);

static void on_moved(struct http_stream *s, struct http_stream *to)
{
    struct exchange *x = s->owner;
    if (is_left(x, s)) {
        http_stream_reset(to, END_INTERNAL);
        return;
    }
    x->hedge->attempt.stream = to;
    listen_to(x, to);
}

/* Whoever speaks first is the one that is listened to; but a server that fails has not answered while another may. */
static void on_head(struct http_stream *s, struct http_head *head, unsigned flags)
{
    struct exchange *x = s->owner;
    exchange_note(x);
    if (is_left(x, s)) return;
    if (head->status == 101) { /* nobody has asked for it */
        fail(x, END_BAD_RESPONSE);
    } else if (!hedge_is_good(x->retry, head->status)) {
        attempt_answered(&x->hedge->attempt, head->status);
        fail(x, END_ANSWER_GIVEN_UP);
    } else {
        exchange_hedge_take_over(x, END_OUTRUN);
        if (x->hedge) return; /* a bug has ended the exchange */
        metric_add(x->worker->metrics, x->pool->pool->meter_hedges_won, 1);
        s->events->on_head(s, head, flags);
    }
}

static void on_error(struct http_stream *s, const struct http_fault *fault)
{
    struct exchange *x = s->owner;
    char mention[MENTION_MAX];
    exchange_note(x);
    if (is_left(x, s)) return;
    attempt_say_tls_failed(&x->hedge->attempt, fault->reason, fault->detail, exchange_mention(x, mention));
    fail(x, fault->reason);
}

static void on_writable(struct http_stream *s)
{
    struct exchange *x = s->owner;
    exchange_note(x);
    if (is_left(x, s)) return;
    struct exchange_hedge *h = x->hedge;
    if (!h->is_open || h->is_sent) return;
    h->since_ms = exchange_now_ms(x);
    bool goes_on = request_go_on_beside(x);
    if (h->is_sent) h->sent_us = exchange_since_start_us(x);
    if (!goes_on) fail(x, END_SEND_FAILED);
}

/* Before its head there is no body; behind it the stream is the exchange's. */
static const struct http_stream_events events = {
    .on_open = on_open,
    .on_moved = on_moved,
    .on_head = on_head,
    .may_take = exchange_may_take_response,
    .on_error = on_error,
    .on_writable = on_writable,
};

static void listen_to(struct exchange *x, struct http_stream *s)
{
    s->events = &events;
    s->owner = x;
}

/* asking another */

/* LEASE_FULL: none has begun. */
static enum lease lease_another(struct exchange *x, struct exchange_hedge *h)
{
    uint32_t tried[EXCHANGE_TRIED_MAX], count = x->tried_count,
                                        first = exchange_peer_of(x, x->attempt.server);
    memcpy(tried, x->tried, count * sizeof(*tried));
    if (first != BALANCE_NONE && count < EXCHANGE_TRIED_MAX) tried[count++] = first;
    for (int i = 0; i < PICKS_MAX && count < EXCHANGE_TRIED_MAX; i++) {
        struct balance_choice choice = { .peer = BALANCE_NONE };
        struct balance_query q = { .peers = x->view->set->peers,
                                   .peer_count = x->view->set->count,
                                   .tried = tried,
                                   .tried_count = count,
                                   .hash = x->hash,
                                   .now_ns = x->worker->loop.now_ns,
                                   .rng = &x->worker->loop.rng };
        enum end_reason why = END_INTERNAL;
        balance_pick(&x->view->balance, &q, &choice);
        if (choice.peer == BALANCE_NONE) return LEASE_FULL;
        struct server *s = x->view->set->servers[choice.peer];
        h->peer = choice.peer;
        /* Not on a connection that may be dead: that would have been for nothing. */
        if (s != x->attempt.server) {
            enum lease got = attempt_lease(&h->attempt, s, choice.reason, LEASE_YOUNG, NULL, &why);
            if (got != LEASE_FULL) return got;
        }
        tried[count++] = choice.peer;
    }
    return LEASE_FULL;
}

static bool is_affordable(struct exchange *x)
{
    if (retry_budget_take(x->pool, x->is_retrying, false)) {
        x->is_retrying = true;
        return true;
    }
    metric_add(x->worker->metrics, x->pool->pool->meter_hedges_denied, 1);
    x->record.is_hedge_denied = true;
    return false;
}

static void ask_another(struct exchange *x)
{
    struct exchange_hedge *h = arena_alloc(&x->arena, sizeof(*h));
    if (!h) return; /* without memory the one in hand is waited for */
    *h = (struct exchange_hedge){
        .attempt = { .pool = x->pool, .view = x->view, .record = &x->record, .is_hedge = true },
        .begun_ms = exchange_now_ms(x),
        .since_ms = exchange_now_ms(x),
        .picked_us = exchange_since_start_us(x),
        .connected_us = FLIGHT_NEVER,
        .sent_us = FLIGHT_NEVER
    };
    enum lease got = lease_another(x, h);
    if (got == LEASE_FULL) return;
    x->attempts++;
    metric_add(x->worker->metrics, x->pool->pool->meter_hedges, 1);
    if (x->trace) exchange_trace_attempt(x, h->picked_us);
    if (got == LEASE_FAILED) {
        exchange_mark_tried(x, h->peer);
        return;
    }
    x->hedge = h;
    listen_to(x, h->attempt.stream);
    if (got == LEASE_OPEN) send_beside(x);
}

void exchange_hedge_look(struct exchange *x, uint64_t now_ms)
{
    if (!x->hedge_ms || now_ms < x->hedge_ms) return;
    x->hedge_ms = 0;
    bool is_waiting = x->state >= EXCHANGE_CONNECT && x->state <= EXCHANGE_ANSWER;
    if (!is_waiting || x->hedge || bug_if(EXCHANGE, !attempt_is_in_hand(&x->attempt))) return;
    if (bar_of(x) != HEDGE_BAR_NONE || !exchange_has_another_server(x)) return;
    x->was_hedged = true;
    if (is_affordable(x)) ask_another(x);
}

/* whoever is left */

/* By way of PICK, as whoever has chosen another server. */
static void enter_state_of(struct exchange *x, const struct exchange_hedge *h)
{
    exchange_enter(x, EXCHANGE_PICK);
    x->request = REQUEST_NONE;
    x->replay_sent = h->replay_sent;
    exchange_enter(x, h->is_open ? EXCHANGE_REQUEST : EXCHANGE_CONNECT);
    if (h->is_sent) {
        x->request = REQUEST_SENT;
        if (x->mirror) mirror_request_ended(x->mirror); /* the first may never have had all of it */
        exchange_enter(x, EXCHANGE_ANSWER);
    } else if (h->is_open) {
        exchange_request_is(x, REQUEST_WRITING);
        x->request_since_ms = h->since_ms;
    }
    x->since_ms = h->since_ms;
}

void exchange_hedge_take_over(struct exchange *x, enum end_reason reason)
{
    struct exchange_hedge *h = x->hedge;
    if (bug_if(EXCHANGE, !h || !attempt_is_in_hand(&x->attempt))) {
        exchange_end_of_bug(x);
        return;
    }
    uint32_t left = exchange_peer_of(x, x->attempt.server);
    if (left != BALANCE_NONE) exchange_mark_tried(x, left);
    if (reason == END_OUTRUN)
        attempt_outrun(&x->attempt);
    else
        attempt_end(&x->attempt, reason);
    attempt_leave(&x->attempt);
    x->hedge = NULL;
    x->hedge_ms = 0;
    x->attempt = h->attempt;
    x->detail = NULL;
    x->detail_number = 0;
    x->record.picked_us = h->picked_us;
    x->record.connected_us = h->connected_us;
    x->record.sent_us = h->sent_us;
    flight_tell_of(&x->record, h->attempt.number);
    exchange_listen_to_server(x);
    enter_state_of(x, h);
    x->try_deadline_ms = x->retry->per_try_ms ? h->begun_ms + x->retry->per_try_ms : 0;
    exchange_be_called_by(x, h->begun_ms); /* its time began then */
}
