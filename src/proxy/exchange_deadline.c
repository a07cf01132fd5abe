/* Until when an exchange waits, for what, and what becomes of it then. */
#include "base/bug.h"
#include "pool/queue.h"
#include "proxy/exchange_hedge.h"
#include "proxy/exchange_steps.h"
#include "proxy/grpc.h"
#include "proxy/proxy_conf.h"
#include "proxy/route_set.h"
#include "route/route_conf.h"

#define OF_ROUTE(name) .of_route = offsetof(struct route_timeouts, name)
#define OF_LISTENER(name) .is_listeners = true, .at = offsetof(struct listener_timeouts, name), OF_ROUTE(name)
#define OF_POOL(name) .at = offsetof(struct pool_timeouts, name), OF_ROUTE(name)

/* clang-format off */
static const struct {
    uint8_t timeout; /* enum end_reason */
    bool is_listeners;
    size_t at, of_route; /* the route's goes before the other */
} waits[] = {
    [WAIT_RESOLVED]       = { END_EGRESS_UNRESOLVED, OF_POOL(connect_ms) },
    [WAIT_SLOT]           = { END_QUEUE_TIMEOUT, OF_POOL(queue_ms) },
    [WAIT_CONNECTED]      = { END_CONNECT_TIMEOUT, OF_POOL(connect_ms) },
    [WAIT_BODY]           = { END_BODY_TIMEOUT, OF_LISTENER(body_ms) },
    [WAIT_SEND]           = { END_SEND_TIMEOUT, OF_POOL(response_ms) },
    [WAIT_EARLY_RESPONSE] = { END_SEND_TIMEOUT, OF_POOL(response_ms) },
    [WAIT_FIRST_BYTE]     = { END_FIRST_BYTE_TIMEOUT, OF_POOL(first_byte_ms) },
    [WAIT_RESPONSE]       = { END_RESPONSE_TIMEOUT, OF_POOL(response_ms) },
    [WAIT_WRITE]          = { END_WRITE_TIMEOUT, OF_LISTENER(write_ms) },
};

static const uint8_t request_waits[] = {
    [REQUEST_READING] = WAIT_BODY,
    [REQUEST_WRITING] = WAIT_SEND,
    [REQUEST_REFUSED] = WAIT_EARLY_RESPONSE,
    [REQUEST_UNWANTED] = WAIT_NONE,
};
/* clang-format on */

static enum exchange_wait wait_of(const struct exchange *x)
{
    return x->is_behind ? WAIT_WRITE : exchange_waits_for((enum exchange_state)x->state);
}

uint64_t exchange_stalled_since_ms(const struct exchange *x)
{
    return wait_of(x) == WAIT_WRITE && x->state != EXCHANGE_TUNNEL ? x->since_ms : 0;
}

static uint64_t deadline_ms(const struct exchange *x, enum exchange_wait wait, uint64_t since_ms)
{
    if (wait == WAIT_NONE) return UINT64_MAX;
    const struct route_timeouts *own = exchange_route_timeouts(x);
    uint64_t may_ms = own ? *(const uint64_t *)((const char *)own + waits[wait].of_route) : 0;
    if (!may_ms && !waits[wait].is_listeners && !x->pool_conf)
        return UINT64_MAX; /* of a file: a reader answers */
    if (!may_ms) {
        const void *other = waits[wait].is_listeners ? (const void *)&x->routes->conf->timeouts
                                                     : exchange_pool_timeouts(x);
        may_ms = *(const uint64_t *)((const char *)other + waits[wait].at);
    }
    if (wait == WAIT_BODY && exchange_request_rate(x)) may_ms = pace_left_ms(&x->request_pace, may_ms);
    if (wait == WAIT_WRITE && (x->is_behind || x->state == EXCHANGE_REPLY))
        may_ms = pace_left_ms(&x->response_pace, may_ms);
    return since_ms + may_ms;
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void set_timer(struct exchange *x)
{
    uint64_t at = earliest(
        deadline_ms(x, wait_of(x), x->since_ms),
        deadline_ms(x, (enum exchange_wait)request_waits[x->request], x->request_since_ms));
    if (x->total_deadline_ms) at = earliest(at, x->total_deadline_ms);
    if (x->try_deadline_ms) at = earliest(at, x->try_deadline_ms);
    if (x->hedge_ms) at = earliest(at, x->hedge_ms);
    if (!x->is_watched) at = earliest(at, x->watch_ms);
    if (x->state == EXCHANGE_DELAY) at = earliest(at, x->resume_ms);
    if (x->state == EXCHANGE_AUTH) at = earliest(at, exchange_auth_until_ms(x));
    if (at != UINT64_MAX) timer_arm(&x->worker->loop.timers, &x->timer, at);
}

/* A timer that is due before looks for itself what is next. */
void exchange_be_called_by(struct exchange *x, uint64_t at_ms)
{
    if (!timer_is_armed(&x->timer) || x->timer.deadline_ms > at_ms) set_timer(x);
}

void exchange_moved(struct exchange *x)
{
    x->since_ms = exchange_now_ms(x);
    exchange_be_called_by(x, deadline_ms(x, wait_of(x), x->since_ms));
}

void exchange_request_is(struct exchange *x, enum exchange_request request)
{
    if (bug_if(EXCHANGE, x->request == REQUEST_UNWANTED && request != REQUEST_UNWANTED))
        return; /* it was thrown away */
    if (x->request == REQUEST_READING) exchange_pace_request(x);
    x->request = (uint8_t)request;
    x->request_since_ms = exchange_now_ms(x);
    exchange_be_called_by(x, deadline_ms(x, (enum exchange_wait)request_waits[request], x->request_since_ms));
}

void exchange_take_deadline(struct exchange *x)
{
    uint64_t ms = 0;
    if (!grpc_timeout_in(x->head.fields, x->head.field_count, &ms)) return;
    x->has_own_deadline = true;
    x->total_deadline_ms = exchange_now_ms(x) + ms;
    exchange_be_called_by(x, x->total_deadline_ms);
}

void exchange_set_total(struct exchange *x)
{
    uint64_t total_ms = exchange_total_ms(x);
    uint64_t at = total_ms ? exchange_now_ms(x) + total_ms : UINT64_MAX;
    if (!total_ms || (x->has_own_deadline && x->total_deadline_ms <= at)) return;
    x->has_own_deadline = false;
    x->total_deadline_ms = at;
    exchange_be_called_by(x, at);
}

void exchange_try_until(struct exchange *x, uint64_t at_ms)
{
    x->try_deadline_ms = at_ms;
    exchange_be_called_by(x, at_ms);
}

static enum end_reason connect_timeout(const struct exchange *x)
{
    const struct http_stream *s = x->attempt.stream;
    return s && s->overdue ? (enum end_reason)s->overdue : END_CONNECT_TIMEOUT;
}

static void on_deadline(struct exchange *x, enum end_reason reason)
{
    enum step step;
    if (x->state == EXCHANGE_CONNECT && reason == END_CONNECT_TIMEOUT) reason = connect_timeout(x);
    /* The time for all of it is over for both. */
    bool is_of_all = reason == END_TOTAL_TIMEOUT || reason == END_GRPC_TIMEOUT;
    if (x->hedge && x->state < EXCHANGE_RESPONSE && !is_of_all) {
        exchange_hedge_take_over(x, reason);
        return;
    }
    if (x->state == EXCHANGE_CONNECT)
        step = exchange_attempt_failed(x, reason, NULL, 0);
    else if (x->state <= EXCHANGE_RESPONSE)
        step = exchange_fail(x, reason);
    else
        step = exchange_cut(x, exchange_own_end(x, reason));
    if (step == STEP_GO) exchange_advance(x);
}

/* The attempt in hand has taken as long as one may: true if another server is asked in its place. Else it is waited for,
 * until that can be. */
static bool try_is_over(struct exchange *x, uint64_t now)
{
    if (!x->try_deadline_ms || now < x->try_deadline_ms) return false;
    x->try_deadline_ms = 0;
    if (x->state < EXCHANGE_CONNECT || x->state >= EXCHANGE_RESPONSE || x->is_behind) return false;
    x->try_deadline_ms = now + x->retry->per_try_ms;
    if (x->state == EXCHANGE_REQUEST && x->request == REQUEST_READING) return false;
    enum end_reason reason = x->state == EXCHANGE_CONNECT ? connect_timeout(x) : END_TRY_TIMEOUT;
    if (x->hedge) { /* another has been asked already */
        exchange_hedge_take_over(x, reason);
        return true;
    }
    if (!exchange_try_another(x, reason)) return false;
    exchange_advance(x);
    return true;
}

/* The client has taken something else meanwhile, which went before, and not too little of it. */
static bool has_taken_others(struct exchange *x)
{
    bool is_paced = x->is_behind || x->state == EXCHANGE_REPLY;
    if (!is_paced || exchange_client_took(x) <= x->response_pace.bytes) return false;
    exchange_pace_response(x, exchange_now_ms(x) - x->since_ms);
    exchange_moved(x);
    return deadline_ms(x, WAIT_WRITE, x->since_ms) > exchange_now_ms(x);
}

void exchange_on_timer(struct timer *t)
{
    struct exchange *x = container_of(t, struct exchange, timer);
    uint64_t now = exchange_now_ms(x);
    if (bug_if(EXCHANGE, !x->client)) return; /* a tunnel has a time of its own */
    if (!x->is_watched && now >= x->watch_ms) {
        x->is_watched = true;
        http_stream_watch(x->client);
    }
    if (x->state == EXCHANGE_DONE || try_is_over(x, now)) return;
    exchange_hedge_look(x, now);
    if (x->state == EXCHANGE_DONE) return;
    enum exchange_wait wait = wait_of(x), request = (enum exchange_wait)request_waits[x->request];
    if (x->total_deadline_ms && now >= x->total_deadline_ms)
        on_deadline(x, x->has_own_deadline ? END_GRPC_TIMEOUT : END_TOTAL_TIMEOUT);
    else if (x->state == EXCHANGE_DELAY && now >= x->resume_ms)
        exchange_advance(x);
    else if (x->state == EXCHANGE_AUTH && now >= exchange_auth_until_ms(x))
        on_deadline(x, END_AUTH_TIMEOUT);
    else if (now >= deadline_ms(x, wait, x->since_ms)) {
        if (wait == WAIT_WRITE && has_taken_others(x)) return;
        if (wait == WAIT_SLOT) pool_waited_in_vain(x->pool);
        on_deadline(x, (enum end_reason)waits[wait].timeout);
    } else if (now >= deadline_ms(x, request, x->request_since_ms))
        on_deadline(x, (enum end_reason)waits[request].timeout);
    else
        set_timer(x);
}
