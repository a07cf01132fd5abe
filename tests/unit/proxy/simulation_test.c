/* A seeded simulation: exchanges on several workers, a pool, its balancing and queues, against servers that only
 * exist in numbers: they take their time, refuse connections for a while, fail in several ways, are drained by the
 * operator. Whoever may be tried again is, and whoever takes long is asked for at another server too, by the rules and the
 * budget of traffic. No socket is
 * opened and no time passes. WEIR_SIMULATION_SEEDS=N plays N seeds instead of the few of every test run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "balance/peers.h"
#include "pool/crew.h"
#include "pool/ejection.h"
#include "pool/pool_evidence.h"
#include "pool/pool_lease.h"
#include "proxy/hedge.h"
#include "proxy/retry.h"

#define SEEDS 300
#define EXCHANGES 1000
#define EVENTS_MAX 8192
#define ARRIVALS_END_MS 20000
#define CALM_MS 60000 /* long enough for every ejection to end */
#define ATTEMPTS_MAX 3
#define PER_TRY_MS 3000
#define QUEUE_MS 5000
#define SETTLE_TURNS 64
#define PICKS_PER_WEIGHT 400

enum event_kind {
    EVENT_ARRIVAL,
    EVENT_REFUSED,
    EVENT_ANSWERED,
    EVENT_LOST, /* the connection breaks without an answer */
    EVENT_SLOW, /* the time of a try is over */
    EVENT_LONG, /* it takes longer than most do */
    EVENT_QUEUE_TIMEOUT,
    EVENT_DRAIN,
    EVENT_ENABLE,
    EVENT_TICK
};

struct event {
    uint64_t at_ms, number; /* number: of two at the same time the earlier made is first */
    enum event_kind kind;
    uint32_t subject; /* exchange or server */
    uint32_t attempt; /* of the exchange: the one that it is of */
};

enum fate {
    FATE_NONE,
    FATE_ANSWERED,
    FATE_REFUSED,
    FATE_FAILED, /* no answer, or an error, after all attempts that it might have */
    FATE_NO_SERVER,
    FATE_QUEUE_FULL,
    FATE_QUEUE_TIMEOUT,
    FATE_COUNT
};

struct simulation;

/* One try at one server. */
struct leg {
    struct server *server; /* it holds a slot of */
    uint32_t number;
    bool is_kept, was_seen; /* its connection; the server has acted on it */
};

struct exchange {
    struct pool_waiter waiter;
    struct simulation *sim;
    struct pool_view *view;
    struct leg own, rival;      /* the one in hand; one beside it, whose server is NULL if there is none */
    uint64_t hash, deadline_ms; /* of its waiting */
    uint32_t worker, attempts, tried_count;
    uint32_t tried[CREW_SERVERS_MAX];
    bool is_waiting, is_again;
    bool is_repeatable, is_retrying, was_replaced, was_hedged;
    uint32_t acted; /* how many servers may have */
    enum fate fate;
};

struct model_server {
    uint64_t fails_from_ms, fails_until_ms;
    /* In that time it answers, and so many of a hundred answers are errors; flaps: only in every other second. */
    uint64_t errs_from_ms, errs_until_ms;
    uint32_t errs_percent;
    bool flaps;
    uint32_t running, attempts;
};

struct simulation {
    struct crew crew;
    struct rng rng;
    uint64_t seed, start_ms, event_count;
    double mean_ms; /* of a request's service */
    uint32_t server_count, begun, live;
    uint64_t attempts_begun, attempts_ended, ejections, panics;
    uint32_t fates[FATE_COUNT];
    uint32_t queued; /* events */
    uint64_t ticks, judged;
    uint64_t retries, denied; /* that the budget was asked for; granted and not */
    uint64_t replaced, hedged, won, outrun, taken_over;
    uint32_t on[3];
    struct retry_conf retry;
    struct hedge_conf hedge;
    struct model_server servers[CREW_SERVERS_MAX];
    struct exchange exchanges[EXCHANGES];
    struct event events[EVENTS_MAX]; /* a heap */
};

/* events */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->number < b->number;
}

static void add_attempts_event(struct simulation *s, uint64_t after_ms, enum event_kind kind,
                               uint32_t subject, uint32_t attempt)
{
    assert_true(s->queued < EVENTS_MAX);
    struct event e = { s->crew.now_ms + after_ms, s->event_count++, kind, subject, attempt };
    uint32_t at = s->queued++;
    for (; at && is_before(&e, &s->events[(at - 1) / 2]); at = (at - 1) / 2)
        s->events[at] = s->events[(at - 1) / 2];
    s->events[at] = e;
}

static void add_event(struct simulation *s, uint64_t after_ms, enum event_kind kind, uint32_t subject)
{
    add_attempts_event(s, after_ms, kind, subject, 0);
}

static struct event next_event(struct simulation *s)
{
    struct event first = s->events[0], last = s->events[--s->queued];
    uint32_t at = 0, child;
    while ((child = 2 * at + 1) < s->queued) {
        if (child + 1 < s->queued && is_before(&s->events[child + 1], &s->events[child])) child++;
        if (!is_before(&s->events[child], &last)) break;
        s->events[at] = s->events[child];
        at = child;
    }
    s->events[at] = last;
    return first;
}

static uint64_t draw_ms(struct simulation *s, double mean_ms)
{
    double unit = (double)(rng_next(&s->rng) >> 11) / 9007199254740992.0; /* 2^53 */
    return (uint64_t)(-log(1 - unit) * mean_ms) + 1;
}

static bool draw_one_in(struct simulation *s, uint32_t n)
{
    return rng_below(&s->rng, n) == 0;
}

/* exchanges: what proxy/exchange_states.c and proxy/tcp.c do with the pool */

static void try_next(struct exchange *x);

static void end_exchange(struct exchange *x, enum fate fate)
{
    assert_int_equal(x->fate, FATE_NONE);
    assert_null(x->own.server);
    assert_null(x->rival.server);
    assert_false(x->is_waiting);
    x->fate = fate;
    x->sim->fates[fate]++;
    x->sim->live--;
    retry_budget_ended(x->sim->crew.workers[x->worker], x->is_retrying);
    pool_view_put(x->view);
}

static void on_turn(struct pool_waiter *w)
{
    struct exchange *x = container_of(w, struct exchange, waiter);
    struct pool_worker *pw = x->sim->crew.workers[x->worker];
    assert_true(x->is_waiting);
    x->is_waiting = false;
    x->is_again = true;
    pool_view_put(x->view);
    x->view = pool_view_get(pw);
    x->tried_count = 0;
    try_next(x);
}

static void on_displaced(struct pool_waiter *w)
{
    struct exchange *x = container_of(w, struct exchange, waiter);
    assert_true(x->is_waiting);
    x->is_waiting = false;
    end_exchange(x, FATE_QUEUE_FULL);
}

static void wait_in_queue(struct exchange *x)
{
    struct simulation *s = x->sim;
    x->waiter.on_turn = on_turn;
    x->waiter.on_displaced = on_displaced;
    x->waiter.priority = (uint8_t)(x->hash % POOL_PRIORITY_COUNT);
    if (!pool_wait(s->crew.workers[x->worker], &x->waiter, x->is_again)) {
        end_exchange(x, FATE_QUEUE_FULL);
        return;
    }
    x->is_waiting = true;
    if (x->deadline_ms) return;
    x->deadline_ms = s->crew.now_ms + QUEUE_MS;
    add_event(s, QUEUE_MS, EVENT_QUEUE_TIMEOUT, (uint32_t)(x - s->exchanges));
}

/* An ejected or drained server gets nothing from those who look now. */
static void check_choice(const struct exchange *x, const struct server *server)
{
    if (x->view->is_current && !server_is_usable(server))
        assert_true(x->view->set->is_panic && server_is_enabled(server));
}

static bool errs_now(struct simulation *s, const struct model_server *m);

static void add_leg_event(struct exchange *x, const struct leg *leg, uint64_t after_ms, enum event_kind kind)
{
    add_attempts_event(x->sim, after_ms, kind, (uint32_t)(x - x->sim->exchanges), leg->number);
}

/* A kept connection may have been dead before the server saw anything. */
static void begin_loss(struct exchange *x, struct leg *leg)
{
    struct simulation *s = x->sim;
    bool is_slow = draw_one_in(s, 2);
    leg->was_seen = is_slow || !leg->is_kept || draw_one_in(s, 2);
    x->acted += leg->was_seen;
    add_leg_event(x, leg, is_slow ? PER_TRY_MS : rng_below(&s->rng, 30), is_slow ? EVENT_SLOW : EVENT_LOST);
}

static void start_leg(struct exchange *x, struct leg *leg, struct server *server)
{
    struct simulation *s = x->sim;
    struct model_server *m = &s->servers[crew_index(server)];
    check_choice(x, server);
    *leg = (struct leg){ .server = server, .number = ++x->attempts, .is_kept = draw_one_in(s, 2) };
    m->running++;
    m->attempts++;
    s->attempts_begun++;
    if (s->crew.now_ms >= m->fails_from_ms && s->crew.now_ms < m->fails_until_ms)
        add_leg_event(x, leg, rng_below(&s->rng, 30), EVENT_REFUSED);
    else if (errs_now(s, m) && draw_one_in(s, 2))
        begin_loss(x, leg);
    else
        add_leg_event(x, leg, draw_ms(s, s->mean_ms), EVENT_ANSWERED);
}

static enum hedge_bar hedge_bar_of(const struct exchange *x)
{
    const struct hedge_facts f = { .latency_us = (uint32_t)(x->sim->mean_ms * 2000),
                                   .servers = x->view->set->count,
                                   .attempts = x->attempts,
                                   .is_repeatable = x->is_repeatable,
                                   .was_hedged = x->was_hedged,
                                   .is_whole = true };
    return hedge_bar(&x->sim->retry, &f);
}

static void start_attempt(struct exchange *x, struct server *server)
{
    struct simulation *s = x->sim;
    /* Twice only by proof. */
    assert_true(!x->acted || x->is_repeatable);
    assert_null(x->rival.server);
    x->deadline_ms = 0;
    start_leg(x, &x->own, server);
    if (hedge_bar_of(x) == HEDGE_BAR_NONE)
        add_leg_event(x, &x->own, hedge_after_ms(&s->hedge, (uint32_t)(s->mean_ms * 2000)), EVENT_LONG);
}

/* Its turn in the queue has come. */
static bool take_offered(struct exchange *x)
{
    struct pool_worker *pw = x->sim->crew.workers[x->worker];
    struct server *server = pool_offered(pw);
    if (!server || x->attempts == ATTEMPTS_MAX) return false;
    assert_true(pool_enter(pw, server));
    start_attempt(x, server);
    return true;
}

static void try_next(struct exchange *x)
{
    struct simulation *s = x->sim;
    struct pool_worker *pw = s->crew.workers[x->worker];
    if (take_offered(x)) return;
    uint32_t failed = x->tried_count; /* behind these: found full in this round */
    bool is_full = false;
    while (x->attempts < ATTEMPTS_MAX) {
        struct balance_choice choice = { .peer = BALANCE_NONE };
        const struct balance_query q = { .peers = x->view->set->peers,
                                         .peer_count = x->view->set->count,
                                         .tried = x->tried,
                                         .tried_count = x->tried_count,
                                         .hash = x->hash,
                                         .now_ns = s->crew.loops[x->worker].now_ns,
                                         .rng = &s->crew.loops[x->worker].rng };
        if (q.peer_count) balance_pick(&x->view->balance, &q, &choice);
        if (choice.peer == BALANCE_NONE) {
            x->tried_count = failed;
            if (is_full || (q.peer_count && choice.reason == BALANCE_ALL_FULL))
                wait_in_queue(x);
            else
                end_exchange(x, x->attempts ? FATE_REFUSED : FATE_NO_SERVER);
            return;
        }
        struct server *server = x->view->set->servers[choice.peer];
        if (pool_enter(pw, server)) {
            start_attempt(x, server);
            return;
        }
        is_full = true;
        x->tried[x->tried_count++] = choice.peer;
    }
    end_exchange(x, FATE_REFUSED);
}

static bool errs_now(struct simulation *s, const struct model_server *m)
{
    uint64_t now_ms = s->crew.now_ms;
    if (now_ms < m->errs_from_ms || now_ms >= m->errs_until_ms) return false;
    if (m->flaps && now_ms / 1000 % 2) return false;
    return rng_below(&s->rng, 100) < m->errs_percent;
}

static void leave_leg(struct exchange *x, struct leg *leg, enum end_reason reason, uint16_t status)
{
    struct simulation *s = x->sim;
    struct pool_worker *pw = s->crew.workers[x->worker];
    struct pool_evidence e = { .kind = POOL_CONNECTED, .reason = END_OK, .value = POOL_UNTIMED };
    if (reason != END_CONNECT_REFUSED) pool_attempt_ended(pw, NULL, leg->server, &e);
    e.kind = reason == END_OUTRUN ? POOL_OUTRUN
             : status >= 500      ? POOL_ANSWERED_ERROR
             : status             ? POOL_ANSWERED
                                  : POOL_ENDED;
    e.reason = reason;
    e.status = status;
    e.may_be_stale = leg->is_kept;
    pool_attempt_ended(pw, NULL, leg->server, &e);
    s->servers[crew_index(leg->server)].running--;
    s->attempts_ended++;
    struct server *server = leg->server;
    leg->server = NULL;
    pool_leave(pw, server);
}

static void arrive(struct simulation *s)
{
    struct exchange *x = &s->exchanges[s->begun++];
    memset(x, 0, sizeof(*x));
    list_init(&x->waiter.link);
    x->sim = s;
    x->worker = rng_below(&s->rng, s->crew.worker_count);
    x->hash = rng_next(&s->rng);
    x->is_repeatable = !draw_one_in(s, 3);
    retry_budget_began(s->crew.workers[x->worker]);
    x->view = pool_view_get(s->crew.workers[x->worker]);
    s->live++;
    try_next(x);
}

/* Never more than is configured: a fifth of all that came, or three; and whoever joins those that are there again is within a
 * fifth of those that go on, and three. */
static void check_budget(struct simulation *s, bool is_entering)
{
    uint64_t fifth = s->begun / 5;
    assert_true(s->retries <= (fifth > 3 ? fifth : 3));
    if (is_entering) assert_true(s->crew.pool->retries.retrying <= 3 + s->live / 5);
}

static bool pay(struct exchange *x)
{
    struct simulation *s = x->sim;
    bool is_granted = retry_budget_take(s->crew.workers[x->worker], x->is_retrying, false);
    bool is_entering = is_granted && !x->is_retrying;
    x->is_retrying |= is_granted;
    if (is_granted)
        s->retries++;
    else
        s->denied++;
    check_budget(s, is_entering);
    return is_granted;
}

static bool may_go_on(struct exchange *x, enum end_reason reason)
{
    struct simulation *s = x->sim;
    struct retry_facts f = { .reason = reason,
                             .attempts = x->attempts,
                             .is_repeatable = x->is_repeatable,
                             .is_kept = x->own.is_kept && reason != END_CONNECT_REFUSED,
                             .was_replaced = x->was_replaced,
                             .is_whole = true };
    enum pool_retry why = retry_decide(&s->retry, &f);
    if (why == POOL_RETRY_NONE || x->attempts == ATTEMPTS_MAX) return false;
    if (why == POOL_RETRY_STALE) {
        x->was_replaced = true;
        s->replaced++;
    }
    if (retry_is_free(why)) return true;
    return pay(x);
}

static void mark_tried(struct exchange *x, const struct server *server)
{
    for (uint32_t i = 0; i < x->view->set->count; i++)
        if (x->view->set->servers[i] == server) x->tried[x->tried_count++] = i;
}

/* The other one is the one in hand now. */
static void take_over(struct exchange *x, enum end_reason reason, uint16_t status)
{
    mark_tried(x, x->own.server);
    leave_leg(x, &x->own, reason, status);
    x->own = x->rival;
    x->rival.server = NULL;
}

/* Another server is asked beside the one in hand. */
static void on_long(struct exchange *x)
{
    struct simulation *s = x->sim;
    struct pool_worker *pw = s->crew.workers[x->worker];
    if (hedge_bar_of(x) != HEDGE_BAR_NONE || !x->view->set->count) return;
    uint32_t tried[CREW_SERVERS_MAX], count = x->tried_count;
    memcpy(tried, x->tried, count * sizeof(*tried));
    for (uint32_t i = 0; i < x->view->set->count; i++)
        if (x->view->set->servers[i] == x->own.server) tried[count++] = i;
    struct balance_choice choice = { .peer = BALANCE_NONE };
    const struct balance_query q = { .peers = x->view->set->peers,
                                     .peer_count = x->view->set->count,
                                     .tried = tried,
                                     .tried_count = count,
                                     .hash = x->hash,
                                     .now_ns = s->crew.loops[x->worker].now_ns,
                                     .rng = &s->crew.loops[x->worker].rng };
    balance_pick(&x->view->balance, &q, &choice);
    if (choice.peer == BALANCE_NONE) return;
    x->was_hedged = true;
    if (!pay(x)) return;
    struct server *server = x->view->set->servers[choice.peer];
    assert_ptr_not_equal(server, x->own.server);
    assert_true(x->is_repeatable);
    if (!pool_enter(pw, server)) return; /* at its cap: it has been paid for, and nothing comes of it */
    start_leg(x, &x->rival, server);
    s->hedged++;
}

static void on_failed(struct exchange *x, enum end_reason reason, uint16_t status)
{
    enum end_reason told = reason == END_ANSWER_GIVEN_UP ? END_OK : reason;
    if (x->rival.server) {
        x->sim->taken_over++;
        take_over(x, told, status);
        return;
    }
    bool goes_on = may_go_on(x, reason);
    if (goes_on) mark_tried(x, x->own.server);
    leave_leg(x, &x->own, told, status);
    if (goes_on)
        try_next(x);
    else
        end_exchange(x, reason == END_CONNECT_REFUSED ? FATE_REFUSED : FATE_FAILED);
}

static uint16_t draw_status(struct simulation *s, const struct leg *leg)
{
    static const uint16_t errors[] = { 500, 502, 503, 504 };
    bool is_error = errs_now(s, &s->servers[crew_index(leg->server)]);
    return is_error ? errors[rng_below(&s->rng, 4)] : 200;
}

static void on_answered(struct exchange *x)
{
    struct simulation *s = x->sim;
    uint16_t status = draw_status(s, &x->own);
    x->acted++;
    if (status == 503 || (x->rival.server && !hedge_is_good(&s->retry, status))) {
        on_failed(x, END_ANSWER_GIVEN_UP, status);
        return;
    }
    if (x->rival.server) {
        s->outrun++;
        leave_leg(x, &x->rival, END_OUTRUN, 0);
    }
    leave_leg(x, &x->own, END_OK, status);
    end_exchange(x, FATE_ANSWERED);
}

static void on_rival_failed(struct exchange *x, enum end_reason reason, uint16_t status)
{
    mark_tried(x, x->rival.server);
    leave_leg(x, &x->rival, reason, status);
}

static void on_rival_answered(struct exchange *x)
{
    struct simulation *s = x->sim;
    uint16_t status = draw_status(s, &x->rival);
    x->acted++;
    if (!hedge_is_good(&s->retry, status)) {
        on_rival_failed(x, END_OK, status);
        return;
    }
    s->won++;
    take_over(x, END_OUTRUN, 0);
    leave_leg(x, &x->own, END_OK, status);
    end_exchange(x, FATE_ANSWERED);
}

/* What was broken off says nothing more; and whose time is over beside the one in hand is waited for as long as that is. */
static void on_attempt(struct simulation *s, const struct event *e)
{
    static const enum end_reason reasons[] = { [EVENT_REFUSED] = END_CONNECT_REFUSED,
                                               [EVENT_LOST] = END_SERVER_CLOSED,
                                               [EVENT_SLOW] = END_TRY_TIMEOUT };
    struct exchange *x = &s->exchanges[e->subject];
    bool is_own = x->own.server && x->own.number == e->attempt;
    bool is_rivals = x->rival.server && x->rival.number == e->attempt;
    if (is_own && e->kind == EVENT_LONG)
        on_long(x);
    else if (is_own && e->kind == EVENT_ANSWERED)
        on_answered(x);
    else if (is_own)
        on_failed(x, reasons[e->kind], 0);
    else if (is_rivals && e->kind == EVENT_ANSWERED)
        on_rival_answered(x);
    else if (is_rivals && e->kind != EVENT_SLOW)
        on_rival_failed(x, reasons[e->kind], 0);
    else if (is_rivals)
        add_attempts_event(s, 10, EVENT_SLOW, e->subject, e->attempt);
}

/* the world */

static void set_admin(struct simulation *s, uint32_t server, enum server_admin admin)
{
    atomic_store(&s->crew.pool->roster->places[server].server->admin, admin);
    crew_publish(&s->crew);
}

static void handle(struct simulation *s, const struct event *e)
{
    switch (e->kind) {
    case EVENT_ARRIVAL:
        arrive(s);
        if (s->begun < EXCHANGES && s->crew.now_ms < s->start_ms + ARRIVALS_END_MS)
            add_event(s, draw_ms(s, (double)ARRIVALS_END_MS / EXCHANGES) - 1, EVENT_ARRIVAL, 0);
        break;
    case EVENT_REFUSED:
    case EVENT_ANSWERED:
    case EVENT_LOST:
    case EVENT_SLOW:
    case EVENT_LONG: on_attempt(s, e); break;
    case EVENT_QUEUE_TIMEOUT: {
        struct exchange *x = &s->exchanges[e->subject];
        if (!x->is_waiting || x->deadline_ms != e->at_ms) break;
        pool_waited_in_vain(s->crew.workers[x->worker]);
        pool_stop_waiting(s->crew.workers[x->worker], &x->waiter);
        x->is_waiting = false;
        end_exchange(x, FATE_QUEUE_TIMEOUT);
        break;
    }
    case EVENT_DRAIN: set_admin(s, e->subject, draw_one_in(s, 2) ? SERVER_DRAIN : SERVER_MAINTENANCE); break;
    case EVENT_ENABLE: set_admin(s, e->subject, SERVER_ENABLED); break;
    case EVENT_TICK:
        crew_readmit(&s->crew);
        if (s->ticks++ % (EJECTION_LOOK_MS / 100) == 0) crew_judge(&s->crew);
        if (e->at_ms < s->start_ms + CALM_MS) add_event(s, 100, EVENT_TICK, 0);
        break;
    }
}

static void check_counts(struct simulation *s)
{
    uint32_t ejected = 0, judged = 0;
    for (uint32_t i = 0; i < s->server_count; i++) {
        const struct server *server = s->crew.pool->roster->places[i].server;
        /* Some are on their way to those who wait. */
        assert_true(server->peer.in_flight >= s->servers[i].running);
        assert_int_equal(server->peer.open_connections, s->servers[i].running);
        assert_true(!server->peer.cap || server->peer.in_flight <= server->peer.cap);
        if (server->health == SERVER_EJECTED) ejected++;
        if (server->health == SERVER_EJECTED && server->state.reason != SERVER_BY_CONNECT_FAILURES) judged++;
    }
    /* By their answers never more than may be; the others are out because nobody can connect to them. */
    assert_true(judged <= (s->server_count / 2 ? s->server_count / 2 : 1));
    s->judged += judged;
    s->ejections += ejected;
    s->panics += s->crew.pool->current->is_panic;
}

static bool is_stuck(const struct simulation *s)
{
    for (uint32_t i = 0; i < s->crew.worker_count; i++) {
        const struct pool_worker *pw = s->crew.workers[i];
        for (uint32_t j = 0; pw->queue_length && j < pw->view->set->count; j++) {
            const struct balance_peer *peer = pw->view->set->peers[j];
            if (!balance_peer_is_full(peer) && !atomic_load(&peer->is_out)) return true;
        }
    }
    return false;
}

/* With nothing else to do, nobody goes on waiting beside a free slot. */
static void check_queues(struct simulation *s)
{
    for (int i = 0; i < SETTLE_TURNS && is_stuck(s); i++) crew_turns(&s->crew, 1);
    if (is_stuck(s)) fail_msg("seed %u: somebody waits beside a free slot", (unsigned)s->seed);
}

static void turn_some(struct simulation *s)
{
    if (draw_one_in(s, 2)) loop_turn(&s->crew.control, 0);
    loop_turn(&s->crew.loops[rng_below(&s->rng, s->crew.worker_count)], 0);
}

static void run(struct simulation *s)
{
    for (uint64_t n = 0; s->queued; n++) {
        struct event e = next_event(s);
        assert_true(e.at_ms >= s->crew.now_ms);
        if (e.at_ms > s->crew.now_ms) crew_pass_time(&s->crew, e.at_ms - s->crew.now_ms);
        handle(s, &e);
        turn_some(s);
        if (n % 8 == 0) check_counts(s);
        if (n % 32 == 0) check_queues(s);
    }
    crew_turns(&s->crew, 3);
}

static const char *method_of(uint64_t seed)
{
    uint32_t count = 0;
    while (balance_methods[count]) count++;
    return balance_methods[seed % count]->name;
}

/* Sizes 2 to 100, whose ends come often. */
static uint32_t draw_size(struct simulation *s)
{
    if (draw_one_in(s, 4)) return draw_one_in(s, 2) ? 2 : 100;
    return 2 + rng_below(&s->rng, 99);
}

static void setup(struct simulation *s, uint64_t seed)
{
    memset(s, 0, sizeof(*s));
    s->seed = seed;
    rng_seed(&s->rng, seed);
    s->server_count = draw_size(s);
    crew_init(&s->crew, method_of(seed), s->server_count);
    uint32_t cap = draw_one_in(s, 4) ? 0 : 1 + rng_below(&s->rng, 5);
    bool is_weighted = draw_one_in(s, 2);
    for (uint32_t i = 0; i < s->server_count; i++) {
        s->crew.servers[i].max_connections = cap;
        if (is_weighted) s->crew.servers[i].weight = 1 + rng_below(&s->rng, 3);
    }
    s->crew.conf.queue.length = 1 + rng_below(&s->rng, 50);
    s->crew.conf.timeouts.queue_ms = QUEUE_MS;
    s->crew.conf.retry.budget = (struct retry_budget_conf){ .share = 20, .reserve = 3 };
    s->on[0] = RETRY_ON_CONNECT, s->on[1] = RETRY_ON_RESET, s->on[2] = 503;
    s->retry = (struct retry_conf){ .attempts = ATTEMPTS_MAX, .on = { s->on, 3 }, .per_try_ms = PER_TRY_MS };
    s->hedge = (struct hedge_conf){ .percentile = 86, .at_least_ms = 1 };
    if (draw_one_in(s, 2)) s->retry.hedge = &s->hedge;
    crew_start(&s->crew, 1 + rng_below(&s->rng, CREW_WORKERS_MAX));
    s->start_ms = s->crew.now_ms;
    /* From half idle to more than they can do. */
    double load = 0.5 + 0.1 * rng_below(&s->rng, 8);
    s->mean_ms = load * s->server_count * (cap ? cap : 2) * ARRIVALS_END_MS / EXCHANGES;
    /* In one of three all fail at some time. */
    uint32_t one_in = draw_one_in(s, 3) ? 1 : 3;
    bool is_emptied = draw_one_in(s, 8);
    for (uint32_t i = 0; i < s->server_count; i++) {
        if (draw_one_in(s, one_in)) {
            s->servers[i].fails_from_ms = s->start_ms + rng_below(&s->rng, ARRIVALS_END_MS / 2);
            s->servers[i].fails_until_ms = s->servers[i].fails_from_ms + 500 + rng_below(&s->rng, 8000);
        }
        if (draw_one_in(s, 3)) {
            struct model_server *m = &s->servers[i];
            m->errs_from_ms = s->start_ms + rng_below(&s->rng, ARRIVALS_END_MS / 2);
            m->errs_until_ms = m->errs_from_ms + 2000 + rng_below(&s->rng, 12000);
            m->errs_percent = draw_one_in(s, 2) ? 100 : 10 + rng_below(&s->rng, 90);
            m->flaps = draw_one_in(s, 3);
        }
        if (is_emptied) {
            add_event(s, 5000, EVENT_DRAIN, i);
            add_event(s, 5500, EVENT_ENABLE, i);
        }
        if (!draw_one_in(s, 8)) continue;
        uint32_t from_ms = rng_below(&s->rng, ARRIVALS_END_MS / 2);
        add_event(s, from_ms, EVENT_DRAIN, i);
        add_event(s, from_ms + 1000 + rng_below(&s->rng, 5000), EVENT_ENABLE, i);
    }
    add_event(s, 0, EVENT_ARRIVAL, 0);
    add_event(s, 0, EVENT_TICK, 0);
}

/* When all is calm again every server is back, and has its share. */
static void check_calm(struct simulation *s)
{
    struct crew *c = &s->crew;
    assert_int_equal(c->pool->current->count, s->server_count);
    assert_false(c->pool->current->is_panic);
    for (uint32_t i = 0; i < s->server_count; i++) s->servers[i].attempts = 0;
    for (uint32_t n = 0; n < 60 * s->server_count; n++) {
        const struct balance_query q = { .hash = rng_next(&s->rng) };
        struct server *server = crew_pick(c, n % c->worker_count, &q);
        assert_non_null(server);
        s->servers[crew_index(server)].attempts++;
    }
    for (uint32_t i = 0; i < s->server_count; i++)
        if (!s->servers[i].attempts)
            fail_msg("seed %u: server %u of %u gets nothing", (unsigned)s->seed, i, s->server_count);
}

static uint32_t seed_count(void)
{
    const char *text = getenv("WEIR_SIMULATION_SEEDS");
    return text && atoi(text) > 0 ? (uint32_t)atoi(text) : SEEDS;
}

static void whatever_servers_do_no_exchange_is_lost_and_no_rule_broken(void **state)
{
    (void)state;
    struct simulation *s = malloc(sizeof(*s));
    uint64_t fates[FATE_COUNT] = { 0 }, ejections = 0, panics = 0, judged = 0;
    uint64_t retries = 0, denied = 0, replaced = 0, hedged = 0, won = 0, outrun = 0, taken_over = 0;
    assert_non_null(s);
    for (uint64_t seed = 1; seed <= seed_count(); seed++) {
        setup(s, seed);
        run(s);
        uint32_t ended = 0;
        for (int i = 1; i < FATE_COUNT; i++) ended += s->fates[i];
        if (ended != s->begun || s->live || s->attempts_begun != s->attempts_ended)
            fail_msg("seed %u: %u exchanges begun, %u ended, %u live; attempts: %u begun, %u ended",
                     (unsigned)seed, s->begun, ended, s->live, (unsigned)s->attempts_begun,
                     (unsigned)s->attempts_ended);
        check_counts(s);
        check_calm(s);
        for (int i = 0; i < FATE_COUNT; i++) fates[i] += s->fates[i];
        ejections += s->ejections;
        panics += s->panics;
        judged += s->judged;
        assert_int_equal(s->crew.pool->retries.retrying, 0);
        retries += s->retries;
        denied += s->denied;
        replaced += s->replaced;
        hedged += s->hedged;
        won += s->won;
        outrun += s->outrun;
        taken_over += s->taken_over;
        crew_stop(&s->crew);
    }
    free(s);
    /* The simulation is worth something only if all of it happens. */
    for (int i = 1; i < FATE_COUNT; i++)
        if (!fates[i]) fail_msg("no exchange had fate %d", i);
    assert_true(fates[FATE_ANSWERED] > 10 * fates[FATE_REFUSED]);
    assert_true(ejections && panics && judged && retries && denied && replaced);
    assert_true(hedged && won && outrun && taken_over && hedged > won + outrun);
}

/* Many exchanges go on at once, and whichever ends is replaced by the next. */
static void run_shares(const char *method, uint32_t server_count, bool is_weighted, uint64_t seed)
{
    static struct crew c;
    static struct server *running[CREW_SERVERS_MAX * 64];
    uint64_t seen[CREW_SERVERS_MAX] = { 0 };
    uint32_t weights[CREW_SERVERS_MAX], all = 0, level = 0;
    struct rng rng;
    rng_seed(&rng, seed);
    crew_init(&c, method, server_count);
    for (uint32_t i = 0; i < server_count; i++) {
        weights[i] = is_weighted ? 1 + i % 3 : 1;
        c.servers[i].weight = weights[i];
        all += weights[i];
    }
    crew_start(&c, 1);
    uint32_t picks = all * PICKS_PER_WEIGHT;
    for (uint32_t n = 0; n < picks; n++) {
        uint32_t at = level;
        if (level == 20 * all) {
            at = rng_below(&rng, level);
            pool_leave(c.workers[0], running[at]);
        } else {
            level++;
        }
        const struct balance_query q = { .hash = rng_next(&rng) };
        running[at] = crew_pick(&c, 0, &q);
        assert_non_null(running[at]);
        assert_true(pool_enter(c.workers[0], running[at]));
        seen[crew_index(running[at])]++;
    }
    if (strncmp(method, "least", 5) != 0) {
        if (!shares_fit(seen, weights, server_count))
            fail_msg("%s over %u: shares off", method, server_count);
    } else {
        /* They follow what is in flight, and so are no independent draws: within a quarter of what they should be. */
        for (uint32_t i = 0; i < server_count; i++) {
            double share = (double)seen[i] / ((double)PICKS_PER_WEIGHT * weights[i]);
            if (share < 0.75 || share > 1.25)
                fail_msg("%s over %u: server %u of weight %u has %d%% of its share", method, server_count, i,
                         weights[i], (int)(100 * share));
        }
    }
    for (uint32_t i = 0; i < level; i++) pool_leave(c.workers[0], running[i]);
    crew_stop(&c);
}

static void shares_follow_weights_with_every_method_and_size(void **state)
{
    (void)state;
    static const uint32_t sizes[] = { 2, 3, 10, 64, 65, 100 };
    for (const struct balance_method *const *m = balance_methods; *m; m++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
            for (int is_weighted = 0; is_weighted < 2; is_weighted++)
                run_shares((*m)->name, sizes[i], is_weighted, 7 + i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_servers_do_no_exchange_is_lost_and_no_rule_broken),
        cmocka_unit_test(shares_follow_weights_with_every_method_and_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
