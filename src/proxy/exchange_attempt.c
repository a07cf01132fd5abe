/* Servers: choosing one, connecting, what to do when that fails; the queue. */
#include "base/bug.h"
#include "proxy/exchange_hedge.h"
#include "proxy/exchange_steps.h"
#include "proxy/exchange_trace.h"
#include "proxy/forward.h"
#include "proxy/route_set.h"
#include "proxy/upgrade.h"
#include "route/route_conf.h"

static bool is_connect_failure(enum end_reason reason)
{
    return end_reason_info(reason)->is_connect;
}

void exchange_mark_tried(struct exchange *x, uint32_t peer)
{
    if (bug_if(EXCHANGE, !x->view || peer >= x->view->set->count))
        return; /* of another set it is another server */
    if (x->tried_count < EXCHANGE_TRIED_MAX) x->tried[x->tried_count++] = peer;
}

uint32_t exchange_peer_of(const struct exchange *x, const struct server *s)
{
    if (bug_if(EXCHANGE, !x->view)) return BALANCE_NONE; /* whoever may ask another still has it */
    for (uint32_t i = 0; i < x->view->set->count; i++)
        if (x->view->set->servers[i] == s) return i;
    return BALANCE_NONE;
}

/* Not this one again. False: there is no other for this request. */
static bool give_up_on(struct exchange *x, const struct server *s, uint32_t peer)
{
    if (s == x->named) {
        if (x->named_reason == BALANCE_PINNED) return false;
        x->named = NULL;
    }
    const struct flight_attempt *last = attempt_kept(&x->attempt);
    if (peer != BALANCE_NONE)
        exchange_mark_tried(x, peer);
    else if (last && last->reason == BALANCE_OVERFLOW)
        x->has_overflow_failed = true; /* it is in no set that could remember it: the queue, then */
    return true;
}

/* Where the request goes next. */
enum sequel {
    SEQUEL_NONE,    /* nowhere: the client hears of it */
    SEQUEL_ADDRESS, /* to the next address of an egress route's target */
    SEQUEL_AGAIN, /* to the same server on a new connection: that a kept one dies is no fault of the server, once */
    SEQUEL_OTHER /* to another server */
};

/* An HTTP/2 server has said that it did not act on the request. One that closes a connection in good order takes it on
 * another; one that refuses may have no room, and is asked again only if there is nobody else. */
static enum sequel sequel_of_refusal(const struct exchange *x, enum end_reason reason)
{
    bool has_others = x->view && x->view->set->count > x->tried_count + 1;
    return reason == END_SERVER_REFUSED && has_others ? SEQUEL_OTHER : SEQUEL_AGAIN;
}

/* While the attempt is still in hand. */
static enum sequel sequel_of(const struct exchange *x, enum end_reason reason, enum pool_retry why)
{
    const struct http_stream *s = x->attempt.stream;
    if (why == POOL_RETRY_NONE) return SEQUEL_NONE;
    if (is_connect_failure(reason)) return x->egress ? SEQUEL_ADDRESS : SEQUEL_OTHER;
    if (reason == END_SERVER_GOAWAY || reason == END_SERVER_REFUSED) return sequel_of_refusal(x, reason);
    bool is_kept = why == POOL_RETRY_STALE || why == POOL_RETRY_UNREACHED;
    return is_kept && s && s->is_reused && !s->has_received && !x->was_replaced ? SEQUEL_AGAIN : SEQUEL_OTHER;
}

/* False: it cannot go there. */
static bool prepare_sequel(struct exchange *x, enum sequel sequel, const struct server *failed)
{
    x->wants_fresh = sequel == SEQUEL_AGAIN;
    switch (sequel) {
    case SEQUEL_NONE: return false;
    case SEQUEL_ADDRESS: return egress_next_address(x);
    case SEQUEL_AGAIN: x->was_replaced = true; return true;
    case SEQUEL_OTHER: return !failed || give_up_on(x, failed, exchange_peer_of(x, failed));
    }
    return false;
}

enum step exchange_leave_attempt(struct exchange *x, enum end_reason reason, const char *detail,
                                 uint32_t number, enum pool_retry why)
{
    enum sequel sequel = sequel_of(x, reason, why);
    const struct server *failed = x->attempt.server;
    /* What the connection says of itself ends with it. */
    x->detail = detail ? arena_copy(&x->arena, (struct slice){ detail, strlen(detail) + 1 }).data : NULL;
    attempt_end(&x->attempt, reason);
    attempt_leave(&x->attempt);
    x->detail_number = number;
    x->end = (uint8_t)reason;
    if (!prepare_sequel(x, sequel, failed)) return exchange_fail(x, reason);
    x->request = REQUEST_NONE;
    x->replay_sent = 0;
    return exchange_enter(x, EXCHANGE_PICK);
}

enum step exchange_attempt_failed(struct exchange *x, enum end_reason reason, const char *detail,
                                  uint32_t number)
{
    if (x->state == EXCHANGE_DONE || x->state == EXCHANGE_REPLY) return STEP_WAIT;
    char mention[MENTION_MAX];
    if (bug_if(EXCHANGE, !attempt_is_in_hand(&x->attempt))) return exchange_end_of_bug(x);
    attempt_say_tls_failed(&x->attempt, reason, detail, exchange_mention(x, mention));
    if (x->hedge) { /* another has been asked already */
        exchange_hedge_take_over(x, reason);
        return STEP_WAIT;
    }
    return exchange_leave_attempt(x, reason, detail, number, exchange_retry(x, reason));
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
    const struct flight_attempt *last = attempt_kept(&x->attempt);
    struct server *s = last ? roster_server_by_id(x->view->set->roster, last->server) : NULL;
    if (!s) return false;
    *out = (struct found){ s, exchange_peer_of(x, s), (enum balance_reason)last->reason };
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

/* A slot is held for it: its turn in the queue has come. It may be one of a server that was named and has gone. */
static bool find_offered(const struct exchange *x, struct found *out)
{
    struct server *s = pool_offered(x->pool);
    bool is_named = s && s == x->named;
    if (s && !is_named && !roster_place_of(x->view->set->roster, s)) return false;
    *out = (struct found){ s, s ? exchange_peer_of(x, s) : BALANCE_NONE,
                           is_named ? (enum balance_reason)x->named_reason : BALANCE_QUEUED };
    return s != NULL;
}

static bool find_server(struct exchange *x, struct search *search, struct found *out)
{
    if (find_offered(x, out)) return true;
    if (x->wants_fresh && find_last(x, out)) return true;
    x->wants_fresh = false;
    if (x->named && !search->named_is_full) {
        *out = (struct found){ x->named, exchange_peer_of(x, x->named),
                               (enum balance_reason)x->named_reason };
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
    if (f->peer != BALANCE_NONE) exchange_mark_tried(x, f->peer);
}

/* The connection could not even be begun. STEP_WAIT in state PICK: the next, please. */
static enum step lease_failed(struct exchange *x, const struct found *f, enum end_reason why)
{
    x->end = (uint8_t)why;
    if (!is_connect_failure(why) || exchange_retry(x, why) == POOL_RETRY_NONE) return exchange_fail(x, why);
    bool may_go_on = x->egress ? egress_next_address(x) : give_up_on(x, f->server, f->peer);
    return may_go_on ? STEP_WAIT : exchange_fail(x, why);
}

static void note_begun(struct exchange *x)
{
    if (x->attempts++) metric_add(x->worker->metrics, x->pool->pool->meter_retries[x->retried_for], 1);
    x->is_again = false; /* his turn was not in vain: should it fail he waits as whoever comes does */
    if (x->retry->per_try_ms) exchange_try_until(x, exchange_now_ms(x) + x->retry->per_try_ms);
    x->detail = NULL;
    x->detail_number = 0;
    x->record.picked_us = exchange_since_start_us(x);
    x->record.connected_us = x->record.sent_us = x->record.first_byte_us = FLIGHT_NEVER;
    if (x->trace) exchange_trace_attempt(x, x->record.picked_us);
    exchange_hedge_plan(x);
}

static enum lease_need need_of(const struct exchange *x)
{
    if (x->wants_fresh) return LEASE_FRESH;
    if (!exchange_is_replayable(x)) return LEASE_YOUNG;
    return x->head.body == HTTP_BODY_NONE && !x->upgrade.len ? LEASE_SHARED : LEASE_ANY;
}

/* Likewise. */
static enum step lease(struct exchange *x, struct search *search, const struct found *f)
{
    enum lease_need need = need_of(x);
    x->wants_fresh = false;
    enum end_reason why = END_INTERNAL;
    if (bug_if(EXCHANGE, x->attempt.view != x->view || x->hedge)) return exchange_end_of_bug(x);
    x->attempt.is_hedge = false; /* the one before it may have been */
    enum lease got = attempt_lease(&x->attempt, f->server, f->reason, need, egress_target(x), &why);
    if (got == LEASE_FULL) {
        x->wants_fresh = need == LEASE_FRESH && x->attempts >= x->retry->attempts;
        if (x->wants_fresh) return exchange_enter(x, EXCHANGE_QUEUE);
        note_full(x, search, f);
        return STEP_WAIT;
    }
    note_begun(x);
    if (got == LEASE_FAILED) return lease_failed(x, f, why);
    exchange_listen_to_server(x);
    if (got == LEASE_OPEN && !upgrade_awaits_word(x)) return request_begin(x);
    return exchange_enter(x, EXCHANGE_CONNECT);
}

/* Places in the set before become places in the one that the exchange goes by now. */
static void look_up_tried(struct exchange *x, const struct peer_set *before)
{
    uint32_t count = x->tried_count, tried[EXCHANGE_TRIED_MAX];
    memcpy(tried, x->tried, count * sizeof(*tried));
    x->tried_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (bug_if(EXCHANGE, tried[i] >= before->count)) continue;
        uint32_t peer = exchange_peer_of(x, before->servers[tried[i]]);
        if (peer != BALANCE_NONE) exchange_mark_tried(x, peer);
    }
}

/* Whom a configuration has may be asked as long as it is held; who was found, as long as he is there. */
static bool has_named_gone(const struct exchange *x, const struct roster *before)
{
    const struct roster *now = x->view->set->roster;
    return x->named && x->is_named_found && now != before && !roster_place_of(now, x->named);
}

bool exchange_use_view(struct exchange *x)
{
    struct pool_view *old = x->view;
    /* What an attempt shows is told of by its view. */
    if (bug_if(EXCHANGE, old && (attempt_is_in_hand(&x->attempt) || x->hedge))) return true;
    x->view = x->attempt.view = pool_view_get(x->pool);
    x->pool_conf = x->view->set->roster->conf;
    const struct route_conf *route = x->route->conf;
    x->retry = route && route->retry ? route->retry : &x->pool_conf->retry.how;
    if (!old) return true;
    look_up_tried(x, old->set);
    bool has_gone = has_named_gone(x, old->set->roster);
    pool_view_put(old);
    if (!has_gone) return true;
    x->named = NULL;
    x->has_current_cookie = false;
    return x->named_reason != BALANCE_PINNED;
}

enum step exchange_pick(struct exchange *x)
{
    if (bug_if(EXCHANGE, attempt_is_in_hand(&x->attempt) || !x->view)) return exchange_end_of_bug(x);
    if (!x->view->is_current && !exchange_use_view(x)) return exchange_fail(x, END_PIN_UNKNOWN);
    struct search search = { .failed = x->tried_count };
    while (x->state == EXCHANGE_PICK) {
        if (x->attempts >= x->retry->attempts && !x->wants_fresh)
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
    bool may_go_on = exchange_use_view(x);
    x->tried_count = 0;
    if (may_go_on)
        exchange_enter(x, EXCHANGE_PICK);
    else
        exchange_fail(x, END_PIN_UNKNOWN);
    exchange_advance(x);
}

static void on_displaced(struct pool_waiter *w)
{
    struct exchange *x = container_of(w, struct exchange, waiter);
    if (bug_if(EXCHANGE, x->state != EXCHANGE_QUEUE)) return;
    exchange_fail(x, END_QUEUE_FULL);
    exchange_advance(x);
}

enum step exchange_wait_slot(struct exchange *x)
{
    const struct route_conf *route = x->route->conf;
    if (bug_if(EXCHANGE, attempt_is_in_hand(&x->attempt) || !list_is_empty(&x->waiter.link)))
        return exchange_end_of_bug(x);
    x->waiter.on_turn = on_turn;
    x->waiter.on_displaced = on_displaced;
    x->waiter.priority = (uint8_t)(route ? route->priority : POOL_PRIORITY_NORMAL);
    x->waiter.named = x->named;
    if (!pool_wait(x->pool, &x->waiter, x->is_again)) return exchange_fail(x, END_QUEUE_FULL);
    return STEP_WAIT;
}
