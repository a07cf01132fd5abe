/* Servers: choosing one, connecting, what to do when that fails; the queue. */
#include "base/bug.h"
#include "proxy/exchange_steps.h"
#include "proxy/forward.h"

void attempt_leave(struct exchange *x, bool is_clean)
{
    if (x->server_stream) {
        if (is_clean)
            http_stream_release(x->server_stream);
        else
            http_stream_reset(x->server_stream);
        x->server_stream = NULL;
    }
    if (x->server) {
        pool_unlease(x->pool, x->server);
        x->server = NULL;
    }
}

bool attempt_is_replayable(const struct exchange *x)
{
    return http_method_is_idempotent(x->head.method) || (x->route->conf && x->route->conf->idempotent);
}

static void begin_attempt(struct exchange *x, struct server *s, enum balance_reason reason, bool is_reused)
{
    /* One at a time: what the last one holds would never be given back. */
    if (bug_if(EXCHANGE, x->server || x->server_stream)) attempt_leave(x, false);
    x->attempts++;
    x->attempt_ns = x->worker->loop.now_ns;
    x->server = s;
    x->detail = NULL;
    x->detail_number = 0;
    x->record.picked_us = exchange_since_start_us(x);
    x->record.connected_us = x->record.sent_us = x->record.first_byte_us = FLIGHT_NEVER;
    flight_begin_attempt(&x->record, x->server->id, reason, is_reused);
    metric_add(x->worker->metrics, x->server->meter_attempts, 1);
}

/* For methods that go by latency. */
static void observe(const struct exchange *x, bool is_error)
{
    uint64_t now_ns = x->worker->loop.now_ns;
    struct balance_outcome outcome = { now_ns, now_ns - x->attempt_ns, is_error };
    if (x->view) pool_observe(x->view, x->server, &outcome);
}

void attempt_end(struct exchange *x, enum end_reason reason)
{
    struct flight_attempt *a = flight_last_attempt(&x->record);
    if (!a || a->end) return;
    a->end = (uint8_t)reason;
    uint32_t took = flight_us(x->attempt_ns, x->worker->loop.now_ns);
    if (a->first_byte_us == FLIGHT_NEVER) a->first_byte_us = took;
    if (reason == END_OK || !x->server || end_reason_info(reason)->origin != ORIGIN_SERVER) return;
    metric_add(x->worker->metrics, x->server->meter_failures, 1);
    if (!a->status) observe(x, true);
}

void attempt_answered(struct exchange *x, uint16_t status)
{
    struct flight_attempt *a = flight_last_attempt(&x->record);
    if (bug_if(EXCHANGE, !a || !x->server)) return;
    uint64_t took = x->worker->loop.now_ns - x->attempt_ns;
    a->first_byte_us = flight_us(x->attempt_ns, x->worker->loop.now_ns);
    a->status = status;
    x->record.first_byte_us = exchange_since_start_us(x);
    metric_observe(x->worker->metrics, x->server->meter_latency, took / 1000);
    observe(x, status >= 500);
}

static bool is_connect_failure(enum end_reason reason)
{
    return end_reason_info(reason)->is_connect;
}

static void mark_tried(struct exchange *x, uint32_t peer)
{
    if (x->tried_count < EXCHANGE_TRIED_MAX) x->tried[x->tried_count++] = peer;
}

static uint32_t peer_of(const struct exchange *x, const struct server *s)
{
    for (uint32_t i = 0; i < x->view->set->count; i++)
        if (x->view->set->servers[i] == s) return i;
    return BALANCE_NONE;
}

/* May the request go out once more (SEAMS: twice)? Either no byte of it was handed to the kernel, or it is safe to
 * repeat and nothing came back; and all of its body so far is here. */
static bool may_retry(const struct exchange *x, enum end_reason reason)
{
    const struct http_stream *s = x->server_stream;
    if (x->response_started || x->is_informed || x->body_in != x->replay_len) return false;
    if (reason == END_TOTAL_TIMEOUT) return false;
    if (x->attempts >= x->pool_conf->retry.attempts && !(s && s->is_reused && !x->was_replaced)) return false;
    if (is_connect_failure(reason) || !s || !s->has_sent) return true;
    bool is_broken = reason == END_SERVER_CLOSED || reason == END_SERVER_RESET || reason == END_SEND_FAILED;
    return is_broken && !s->has_received && attempt_is_replayable(x);
}

/* Not this one again. False: there is no other for this request. */
static bool give_up_on(struct exchange *x, const struct server *s, uint32_t peer)
{
    if (s == x->named) {
        if (x->named_reason == BALANCE_PINNED) return false;
        x->named = NULL;
    }
    const struct flight_attempt *last = flight_last_attempt(&x->record);
    if (peer != BALANCE_NONE)
        mark_tried(x, peer);
    else if (last && last->reason == BALANCE_OVERFLOW)
        x->has_overflow_failed = true; /* it is in no set that could remember it: the queue, then */
    return true;
}

enum step attempt_failed(struct exchange *x, enum end_reason reason, const char *detail, uint32_t number)
{
    if (x->state == EXCHANGE_DONE || x->state == EXCHANGE_REPLY) return STEP_WAIT;
    bool may = may_retry(x, reason);
    bool is_targets = x->egress && is_connect_failure(reason);
    bool is_stale = x->server_stream && x->server_stream->is_reused && !x->server_stream->has_received &&
                    !is_connect_failure(reason);
    struct server *s = x->server;
    if (x->server_stream) pool_stream_failed(x->server_stream, reason, x->attempt_ns);
    attempt_end(x, reason);
    /* Whom an egress route's request goes to says nothing of the address that it leaves by. */
    if (s && is_connect_failure(reason) && !is_targets) pool_report(x->pool, s, SERVER_CONNECT_FAILED);
    attempt_leave(x, false);
    x->detail = detail;
    x->detail_number = number;
    x->end = (uint8_t)reason;
    x->request_deadline_ms = x->response_deadline_ms = 0;
    if (!may || (is_targets && !egress_next_address(x))) return exchange_fail(x, reason);
    /* A kept connection that dies is no fault of the server: the same one, on a new connection, once. */
    x->wants_fresh = is_stale && !x->was_replaced;
    if (x->wants_fresh) x->was_replaced = true;
    if (!x->wants_fresh && s && !is_targets && !give_up_on(x, s, peer_of(x, s)))
        return exchange_fail(x, reason);
    x->request_done = false;
    x->replay_sent = 0;
    x->send_failed = false;
    return exchange_enter(x, EXCHANGE_PICK);
}

static enum step no_server_left(struct exchange *x, bool is_full)
{
    /* A pinned request would stand in the way of those whom another server's free slot would serve. */
    if (is_full && x->named && x->named_reason == BALANCE_PINNED) return exchange_fail(x, END_QUEUE_FULL);
    if (is_full) return exchange_enter(x, EXCHANGE_QUEUE);
    /* The last failure says more than that none is left. */
    return exchange_fail(x, x->attempts ? (enum end_reason)x->end : END_NO_SERVER);
}

/* One search for a server, from state PICK until an attempt begins or none is left. */
struct search {
    uint32_t failed; /* of x->tried; behind these: found at their cap in this search */
    bool is_full;    /* somebody would be usable but for the cap */
    bool named_is_full, overflow_is_full;
};

struct found {
    struct server *server;
    uint32_t peer; /* in the view; BALANCE_NONE: not in it */
    enum balance_reason reason;
};

/* The one whose kept connection was dead. */
static bool find_last(const struct exchange *x, struct found *out)
{
    const struct flight_attempt *last = flight_last_attempt((struct flight_record *)&x->record);
    struct server *s = last ? roster_server_by_id(x->view->set->roster, last->server) : NULL;
    if (!s) return false;
    *out = (struct found){ s, peer_of(x, s), (enum balance_reason)last->reason };
    return true;
}

static bool find_by_method(struct exchange *x, struct search *search, struct found *out)
{
    const struct peer_set *set = x->view->set;
    struct balance_choice choice = { .peer = BALANCE_NONE, .reason = BALANCE_ALL_TRIED };
    struct balance_query q = { .peers = set->peers,
                               .peer_count = set->count,
                               .tried = x->tried,
                               .tried_count = x->tried_count,
                               .hash = x->hash,
                               .now_ns = x->worker->loop.now_ns,
                               .rng = &x->worker->loop.rng };
    if (set->count) balance_pick(&x->view->balance, &q, &choice);
    if (choice.reason == BALANCE_ALL_FULL) search->is_full = true;
    if (choice.peer == BALANCE_NONE) return false;
    *out = (struct found){ set->servers[choice.peer], choice.peer, choice.reason };
    return true;
}

/* Those that the pool prefers are full: a later tier, another zone. */
static bool find_overflow(const struct exchange *x, const struct search *search, struct found *out)
{
    if (!search->is_full || search->overflow_is_full || x->has_overflow_failed) return false;
    *out = (struct found){ peer_set_overflow(x->view->set), BALANCE_NONE, BALANCE_OVERFLOW };
    return out->server != NULL;
}

/* A slot is held for it: its turn in the queue has come. */
static bool find_offered(const struct exchange *x, struct found *out)
{
    struct server *s = pool_offered(x->pool);
    bool is_named = s && s == x->named;
    *out = (struct found){ s, s ? peer_of(x, s) : BALANCE_NONE,
                           is_named ? (enum balance_reason)x->named_reason : BALANCE_QUEUED };
    return s != NULL;
}

static bool find_server(struct exchange *x, struct search *search, struct found *out)
{
    if (find_offered(x, out)) return true;
    if (x->wants_fresh && find_last(x, out)) return true;
    x->wants_fresh = false;
    if (x->named && !search->named_is_full) {
        *out = (struct found){ x->named, peer_of(x, x->named), (enum balance_reason)x->named_reason };
        return true;
    }
    if (x->named && x->named_reason == BALANCE_PINNED) return false;
    if (x->tried_count == EXCHANGE_TRIED_MAX) return false;
    return find_by_method(x, search, out) || find_overflow(x, search, out);
}

static void note_full(struct exchange *x, struct search *search, const struct found *f)
{
    search->is_full = true;
    if (f->server == x->named) search->named_is_full = true;
    if (f->reason == BALANCE_OVERFLOW) search->overflow_is_full = true;
    if (f->peer != BALANCE_NONE) mark_tried(x, f->peer);
}

/* The connection could not even be begun. */
static enum step lease_failed(struct exchange *x, const struct found *f, enum end_reason why)
{
    attempt_end(x, why);
    x->server = NULL; /* the lease was not granted */
    x->end = (uint8_t)why;
    if (!is_connect_failure(why)) return exchange_fail(x, why);
    /* Whom an egress route's request goes to says nothing of the address that it leaves by. */
    if (x->egress) return egress_next_address(x) ? STEP_WAIT : exchange_fail(x, why);
    pool_report(x->pool, f->server, SERVER_CONNECT_FAILED);
    return give_up_on(x, f->server, f->peer) ? STEP_WAIT : exchange_fail(x, why);
}

/* STEP_WAIT in state PICK: the next, please. */
static enum step lease(struct exchange *x, struct search *search, const struct found *f)
{
    enum lease_need need = attempt_is_replayable(x) ? LEASE_ANY : LEASE_YOUNG;
    if (x->wants_fresh) need = LEASE_FRESH;
    x->wants_fresh = false;
    enum end_reason why = END_INTERNAL;
    struct http_stream *stream = NULL;
    enum lease got = pool_lease(x->pool, f->server, need, egress_target(x), &stream, &why);
    if (got == LEASE_FULL) {
        x->wants_fresh = need == LEASE_FRESH && x->attempts >= x->pool_conf->retry.attempts;
        if (x->wants_fresh) return exchange_enter(x, EXCHANGE_QUEUE);
        note_full(x, search, f);
        return STEP_WAIT;
    }
    begin_attempt(x, f->server, f->reason, got == LEASE_OPEN);
    if (got == LEASE_FAILED) return lease_failed(x, f, why);
    x->server_stream = stream;
    exchange_listen_to_server(x);
    if (got == LEASE_OPEN) {
        flight_last_attempt(&x->record)->connect_us = 0;
        return request_begin(x);
    }
    exchange_expect_response(x, exchange_pool_timeouts(x)->connect_ms, END_CONNECT_TIMEOUT);
    return exchange_enter(x, EXCHANGE_CONNECT);
}

/* Who may be picked has changed since: those that were tried are looked up anew. */
static void renew_view(struct exchange *x)
{
    struct pool_view *old = x->view;
    uint32_t count = x->tried_count, tried[EXCHANGE_TRIED_MAX];
    memcpy(tried, x->tried, count * sizeof(*tried));
    exchange_use_view(x);
    x->tried_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (bug_if(EXCHANGE, tried[i] >= old->set->count)) continue;
        uint32_t peer = peer_of(x, old->set->servers[tried[i]]);
        if (peer != BALANCE_NONE) mark_tried(x, peer);
    }
    pool_view_put(old);
}

enum step attempt_pick(struct exchange *x)
{
    if (!x->view->is_current) renew_view(x);
    struct search search = { .failed = x->tried_count };
    while (x->state == EXCHANGE_PICK) {
        if (x->attempts >= x->pool_conf->retry.attempts && !x->wants_fresh)
            return exchange_fail(x, (enum end_reason)x->end);
        struct found f;
        if (!find_server(x, &search, &f)) {
            x->tried_count = search.failed;
            return no_server_left(x, search.is_full);
        }
        enum step step = lease(x, &search, &f);
        if (x->state != EXCHANGE_PICK) return step;
    }
    return STEP_GO;
}

/* the queue */

static void on_turn(struct pool_waiter *w)
{
    struct exchange *x = container_of(w, struct exchange, waiter);
    /* Who does not wait has no turn: the slot goes to the next. */
    if (bug_if(EXCHANGE, x->state != EXCHANGE_QUEUE)) return;
    x->is_again = true;
    /* Who may be picked can have changed meanwhile. */
    pool_view_put(x->view);
    exchange_use_view(x);
    x->tried_count = 0;
    exchange_enter(x, EXCHANGE_PICK);
    exchange_advance(x);
}

enum step attempt_wait_slot(struct exchange *x)
{
    x->waiter.on_turn = on_turn;
    x->waiter.named = x->named;
    if (!pool_wait(x->pool, &x->waiter, x->is_again)) return exchange_fail(x, END_QUEUE_FULL);
    /* Who had his turn in vain goes on with the time that he was given; whose attempt failed has none left. */
    if (!x->response_deadline_ms)
        exchange_expect_response(x, exchange_pool_timeouts(x)->queue_ms, END_QUEUE_TIMEOUT);
    return STEP_WAIT;
}
