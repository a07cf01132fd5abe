#include "pool/pool_worker.h"

#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/count.h"
#include "pool/queue.h"
#include "pool/slot.h"
#include "pool/upstream.h"

/* Of the configuration in force. */
static const struct pool_conf *conf_of(const struct pool_worker *pw)
{
    return pw->view->set->roster->conf;
}

static bool is_egress(const struct pool_worker *pw)
{
    return pw->pool->kind == POOL_EGRESS;
}

bool server_worker_keeps_idle(const struct server_worker *sw)
{
    const struct server *s = sw->server;
    if (atomic_load_explicit(&s->is_retired, memory_order_relaxed)) return false;
    return server_is_enabled(s) ||
           (sw->pool->view->set->roster->sticky && atomic_load(&s->admin) == SERVER_DRAIN);
}

/* views */

/* Looked for from `first` on: sets keep the order of the configuration. */
static uint32_t index_in(const struct peer_set *set, const struct server *s, uint32_t first)
{
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t at = (first + i) % set->count;
        if (set->servers[at] == s) return at;
    }
    return BALANCE_NONE;
}

/* Sets change every few seconds while servers warm up, on a quiet site oftener than a light server's turn comes: what
 * this worker remembers goes over. Without memory for that it begins anew. */
static void inherit(const struct pool_worker *pw, struct pool_view *view, const struct pool_view *old)
{
    const struct peer_set *set = view->set;
    const struct balance_method *m = set->method;
    if (!m->inherit || m != old->set->method || !set->count || !old->set->count) return;
    uint32_t *from = malloc(set->count * sizeof(*from)), next = 0;
    if (!from) return;
    for (uint32_t i = 0; i < set->count; i++) {
        from[i] = index_in(old->set, set->servers[i], next);
        if (from[i] != BALANCE_NONE) next = from[i] + 1;
    }
    m->inherit(view->balance.table, view->balance.state, old->balance.table, old->balance.state, from,
               &pw->env->loop->rng);
    free(from);
}

static struct pool_view *view_new(const struct pool_worker *pw, struct peer_set *set)
{
    const struct balance_method *m = set->method;
    size_t state = m->state_size + set->count * m->state_size_per_peer;
    struct pool_view *view = calloc(1, sizeof(*view) + state + 16);
    if (!view) return NULL;
    view->set = set;
    view->is_current = true;
    view->balance = (struct balance){ .method = m, .table = set->table, .state = state ? view + 1 : NULL };
    if (pw->view) inherit(pw, view, pw->view);
    return view;
}

static void view_free(struct pool_view *view)
{
    peer_set_put(view->set);
    free(view);
}

void pool_view_put(struct pool_view *view)
{
    if (bug_if(POOL_WORKER, !view->users)) return; /* leaked rather than freed under somebody */
    if (--view->users == 0 && !view->is_current) view_free(view);
}

static void use_limits(struct pool_worker *pw)
{
    const struct pool_limits_conf *limits = &conf_of(pw)->limits;
    pw->limits = (struct h1_limits){ .head_max = (uint32_t)limits->head_bytes, .field_max = limits->headers };
}

/* By and by: there may be thousands. */
static void close_unwanted_idle(struct pool_worker *pw, const struct roster *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct server_worker *sw = server_worker_of(pw, r->places[i].server);
        if (!list_is_empty(&sw->idle) && list_is_empty(&sw->unwanted_link))
            list_push_back(&pw->unwanted, &sw->unwanted_link);
    }
    if (!list_is_empty(&pw->unwanted)) loop_defer(pw->env->loop, &pw->unwanted_task);
}

static bool close_an_unwanted(struct server_worker *sw)
{
    return server_worker_keeps_idle(sw) ? upstream_close_outdated(sw) : upstream_close_oldest(sw);
}

static void on_unwanted(struct loop_task *t)
{
    struct pool_worker *pw = container_of(t, struct pool_worker, unwanted_task);
    for (uint32_t i = 0; i < POOL_CLOSES_A_TURN; i++) {
        while (!list_is_empty(&pw->unwanted)) {
            struct server_worker *sw = container_of(pw->unwanted.next, struct server_worker, unwanted_link);
            if (close_an_unwanted(sw)) break;
            server_worker_forget(sw);
        }
        if (list_is_empty(&pw->unwanted)) return;
    }
    loop_defer(pw->env->loop, t);
}

void server_worker_forget(struct server_worker *sw)
{
    list_remove(&sw->unwanted_link);
}

void pool_worker_publish(struct pool_worker *pw, struct peer_set *set)
{
    struct pool_view *view = bug_if(POOL_WORKER, set->roster->pool != pw->pool) ? NULL : view_new(pw, set);
    if (!view) {
        peer_set_put(set); /* goes on with the old one: the next change tries again */
        return;
    }
    struct pool_view *old = pw->view;
    bool was_marked = pw->is_marked;
    if (old) queue_mark(pw, false);
    pw->view = view;
    use_limits(pw);
    if (!old) return;
    queue_mark(pw, was_marked);
    close_unwanted_idle(pw, old->set->roster);
    if (set->roster != old->set->roster) close_unwanted_idle(pw, set->roster);
    old->is_current = false;
    if (!old->users) view_free(old);
    queue_look(pw);
}

/* counting */

void pool_unlease(struct pool_worker *pw, struct server *s)
{
    slot_free(pw, s);
}

static void one_less_open(struct pool_worker *pw, struct server *s)
{
    count_own(&server_worker_of(pw, s)->moves);
    slot_give(&s->peer.open_connections);
    count_less(POOL_WORKER, pw->env->upstream_live);
    count_less(POOL_WORKER, &pw->open);
}

void pool_connection_closed(struct pool_worker *pw, struct server *s)
{
    one_less_open(pw, s);
    slot_pass(pw, s);
}

bool pool_enter(struct pool_worker *pw, struct server *s)
{
    if (bug_if(POOL_WORKER, s->pool != pw->pool) || !slot_enter(pw, s)) return false;
    count_own(&server_worker_of(pw, s)->moves);
    atomic_fetch_add(&s->peer.open_connections, 1);
    count_add(pw->env->upstream_live, 1);
    count_add(&pw->open, 1);
    return true;
}

void pool_leave(struct pool_worker *pw, struct server *s)
{
    one_less_open(pw, s);
    slot_free(pw, s);
}

/* leases */

enum lease pool_lease(struct pool_worker *pw, struct server *s, enum lease_need need,
                      const struct pool_target *target, struct http_stream **stream, enum end_reason *reason)
{
    struct server_worker *sw = server_worker_of(pw, s);
    if (bug_if(POOL_WORKER, s->pool != pw->pool) || is_egress(pw) != (target != NULL)) {
        *reason = END_INTERNAL;
        return LEASE_FAILED;
    }
    if (!slot_enter(pw, s)) return LEASE_FULL;
    struct upstream *u = upstream_find(sw, need, target);
    if (bug_if(POOL_WORKER, u && u->home != sw)) u = NULL; /* it leads to another server */
    if (u && (*stream = upstream_lease(u, need))) {
        metric_add(pw->env->metrics, s->meter_reuses, 1);
        return u->is_opening ? LEASE_OPENING : LEASE_OPEN;
    }
    /* At the cap an idle connection that is too old for this request makes way for a new one. */
    uint32_t cap = server_connection_cap(s);
    if (cap && !list_is_empty(&sw->idle) &&
        atomic_load_explicit(&s->peer.open_connections, memory_order_relaxed) >= cap)
        (void)upstream_close_oldest(sw);
    enum lease got = upstream_connect(sw, need, target, stream, reason);
    /* Full of connections: whoever closes one passes the slot on, and to do it here would go round in circles. */
    if (got == LEASE_FULL) slot_give_up(pw, s);
    if (got == LEASE_FAILED) slot_free(pw, s);
    return got;
}

static void observe(const struct pool_view *view, struct server *s, const struct balance_outcome *outcome)
{
    const struct peer_set *set = view->set;
    if (bug_if(POOL_WORKER, set->roster->pool != s->pool)) return; /* its table is of other servers */
    /* Whoever was named, not picked, may have been asked although nobody can be picked: then there is no
     * table. */
    if (set->method->observe && set->count) set->method->observe(set->table, &s->peer, outcome);
}

static void tell_control(struct pool_worker *pw, struct server *s, enum server_evidence evidence)
{
    if (evidence == SERVER_CONNECTED && !atomic_load_explicit(&s->has_failed, memory_order_relaxed)) return;
    if (evidence == SERVER_CONNECT_FAILED) atomic_store_explicit(&s->has_failed, true, memory_order_relaxed);
    if (!pw->env->control) return;
    struct mail m = { .deliver = pw->env->on_evidence, .object = s, .number = evidence };
    bool is_posted = mailbox_post(pw->env->control, &m);
    (void)is_posted; /* a full box: there is evidence enough in it */
}

/* What a failure is counted as. */
enum fault { FAULT_NONE, FAULT_TIMEOUT, FAULT_GATEWAY, FAULT_ERROR, FAULT_CONNECT };

static enum fault fault_of(const struct pool_evidence *e)
{
    if (e->kind == POOL_ANSWERED || e->kind == POOL_OUTRUN) return FAULT_NONE;
    if (e->kind == POOL_ANSWERED_ERROR)
        return e->status >= 502 && e->status <= 504 ? FAULT_GATEWAY : FAULT_ERROR;
    switch (e->reason) {
    case END_FIRST_BYTE_TIMEOUT:
    case END_TRY_TIMEOUT:
    case END_RESPONSE_TIMEOUT:
    case END_SEND_TIMEOUT: return FAULT_TIMEOUT;
    default: return end_reason_info(e->reason)->is_connect ? FAULT_CONNECT : FAULT_GATEWAY;
    }
}

static void add_relaxed(_Atomic uint32_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static void forget_run(struct server *s, enum fault_run run)
{
    atomic_store_explicit(&s->runs[run], 0, memory_order_relaxed);
}

/* An answer that is none of the server's faults ends all runs. */
static void forget_runs(struct server *s)
{
    atomic_store_explicit(&s->has_runs, false, memory_order_relaxed);
    for (int i = 0; i < FAULT_RUNS; i++) forget_run(s, (enum fault_run)i);
}

static void note_fault(struct pool_worker *pw, struct server *s, enum fault fault)
{
    uint32_t told = atomic_load_explicit(&s->run_told, memory_order_relaxed), longest = 0;
    if (fault == FAULT_CONNECT || !told) return;
    /* A time-out says nothing of what would have been answered; an answer says that there is one. */
    if (fault != FAULT_TIMEOUT) forget_run(s, RUN_TIMEOUTS);
    if (fault == FAULT_ERROR) forget_run(s, RUN_GATEWAY);
    const bool counts[] = {
        [RUN_TIMEOUTS] = fault == FAULT_TIMEOUT, [RUN_GATEWAY] = fault == FAULT_GATEWAY, [RUN_ERRORS] = true
    };
    for (int i = 0; i < FAULT_RUNS; i++) {
        if (!counts[i]) continue;
        uint32_t run = atomic_fetch_add_explicit(&s->runs[i], 1, memory_order_relaxed) + 1;
        if (run > longest) longest = run;
    }
    atomic_store_explicit(&s->has_runs, true, memory_order_relaxed);
    if (longest % told == 0) tell_control(pw, s, SERVER_FAULTS);
}

/* Binary logarithm of the microseconds, in 256ths; linear between powers of two, at most 0.09 off. */
static uint32_t log2_us(uint64_t ns)
{
    uint64_t us = ns / 1000 + 1;
    uint32_t exponent = 63 - (uint32_t)__builtin_clzll(us);
    return exponent * 256 + (uint32_t)((us << (63 - exponent)) >> 55 & 0xff);
}

static void note_wait(struct server_worker *sw, uint64_t ns)
{
    uint64_t before = atomic_load_explicit(&sw->waits, memory_order_relaxed);
    atomic_store_explicit(&sw->waits, before + log2_us(ns), memory_order_relaxed);
    add_relaxed(&sw->answers);
}

/* On the steady path: counters of this worker's own line, and a look at one that nobody writes. */
static void note_answer(struct pool_worker *pw, struct server *s, const struct pool_evidence *e)
{
    struct server_worker *sw = server_worker_of(pw, s);
    enum fault fault = fault_of(e);
    /* Slow it is, but nothing says that it would have failed, nor that it would not. */
    bool is_outrun = e->kind == POOL_OUTRUN;
    if (!e->has_answered && !is_outrun) add_relaxed(&sw->attempts);
    if ((e->kind == POOL_ANSWERED || is_outrun) && e->value != POOL_UNTIMED && conf_of(pw)->ejection.latency)
        note_wait(sw, e->value);
    if (is_outrun) return;
    if (fault == FAULT_NONE) {
        if (atomic_load_explicit(&s->has_runs, memory_order_relaxed)) forget_runs(s);
        return;
    }
    add_relaxed(&sw->faults);
    note_fault(pw, s, fault);
}

/* Whether the server is to blame. */
static bool is_evidence(const struct pool_worker *pw, const struct pool_evidence *e)
{
    if (e->kind == POOL_CONNECTED || e->is_copy || is_egress(pw)) return false;
    /* Whoever closes in good order, and has acted on nothing, has not failed. */
    if (e->kind == POOL_ENDED && e->reason == END_SERVER_GOAWAY) return false;
    bool is_lost = e->kind == POOL_ENDED && (e->reason == END_SERVER_CLOSED ||
                                             e->reason == END_SERVER_RESET || e->reason == END_SEND_FAILED);
    return !(is_lost && e->may_be_stale);
}

/* How long it has taken, or has taken at least. What fails at once says nothing of how much a server bears. */
static void note_concurrency(struct pool_worker *pw, struct server *s, const struct pool_evidence *e)
{
    const struct concurrency_conf *conf = conf_of(pw)->concurrency.adaptive;
    bool says = e->kind == POOL_ANSWERED || e->kind == POOL_OUTRUN ||
                (e->kind == POOL_ENDED && fault_of(e) == FAULT_TIMEOUT);
    if (!conf || !says || e->value == POOL_UNTIMED) return;
    uint32_t more = concurrency_observe(&s->concurrency, conf, &s->peer, e->value / 1000,
                                        loop_now_ms(pw->env->loop));
    for (; more; more--) slot_pass(pw, s);
}

void pool_attempt_ended(struct pool_worker *pw, const struct pool_view *view, struct server *s,
                        const struct pool_evidence *e)
{
    bool is_end = e->kind == POOL_ENDED;
    if (bug_if(POOL_WORKER, !s || s->pool != pw->pool)) return;
    /* It would be held against a server that has done nothing. */
    if (bug_if(POOL_WORKER, is_end && end_reason_info(e->reason)->origin != ORIGIN_SERVER)) return;
    if (e->kind == POOL_CONNECTED) tell_control(pw, s, SERVER_CONNECTED);
    /* Whom an egress route's request goes to says nothing of the address that it leaves by. */
    if (is_end && end_reason_info(e->reason)->is_connect && !is_egress(pw))
        tell_control(pw, s, SERVER_CONNECT_FAILED);
    if (is_evidence(pw, e)) {
        note_answer(pw, s, e);
        note_concurrency(pw, s, e);
    }
    if (!view || e->kind == POOL_CONNECTED || e->value == POOL_UNTIMED) return;
    uint64_t now_ns = pw->env->loop->now_ns;
    observe(view, s, &(struct balance_outcome){ now_ns, e->value, is_end || e->kind == POOL_ANSWERED_ERROR });
}

void server_worker_init(struct server_worker *sw, struct server *s, struct pool_worker *pw)
{
    sw->server = s;
    sw->pool = pw;
    list_init(&sw->idle);
    list_init(&sw->open);
    list_init(&sw->handed_link);
    list_init(&sw->unwanted_link);
}

int pool_worker_new(struct pool_worker **out, struct pool *p, const struct pool_worker_env *env,
                    struct err *err)
{
    struct pool_worker *pw = calloc(1, sizeof(*pw));
    if (!pw) return err_set(err, "out of memory for pool \"%s\"", p->name);
    pw->pool = p;
    pw->env = env;
    list_init(&pw->link);
    list_init(&pw->unwanted);
    loop_task_init(&pw->unwanted_task, on_unwanted);
    queue_init(pw);
    slot_init(pw);
    slab_init(&pw->upstreams, &env->loop->blocks, upstream_size(is_egress(pw)));
    slab_init(&pw->pipelined, &env->loop->blocks, h1_pipeline_stream_size());
    for (uint32_t i = 0; i < p->roster->count; i++) {
        struct server *s = p->roster->places[i].server;
        server_worker_init(server_worker_of(pw, s), s, pw);
    }
    pool_worker_publish(pw, peer_set_get(p->current));
    if (!pw->view) {
        slab_fini(&pw->upstreams);
        slab_fini(&pw->pipelined);
        free(pw);
        return err_set(err, "out of memory for pool \"%s\"", p->name);
    }
    p->workers[env->index] = pw;
    *out = pw;
    return 0;
}

static void close_all_idle(struct server_worker *sw)
{
    while (upstream_close_oldest(sw)) {}
}

void pool_worker_close_idle(struct pool_worker *pw)
{
    const struct roster *r = pw->view->set->roster;
    for (uint32_t i = 0; i < r->count; i++) close_all_idle(server_worker_of(pw, r->places[i].server));
}

void pool_worker_close_unwanted(struct pool_worker *pw)
{
    close_unwanted_idle(pw, pw->view->set->roster);
}

void pool_worker_forget(struct pool_worker *pw)
{
    list_remove(&pw->link);
    loop_cancel(&pw->unwanted_task);
}

bool pool_worker_is_quiet(const struct pool_worker *pw)
{
    return !count_get(&pw->upstreams.live) && !count_get(&pw->pipelined.live) && !count_get(&pw->open) &&
           !count_get(&pw->queue_length);
}

void pool_worker_free(struct pool_worker *pw)
{
    if (!pw) return;
    loop_cancel(&pw->unwanted_task);
    queue_fini(pw);
    slot_fini(pw);
    if (pw->view && !bug_if(POOL_WORKER, pw->view->users)) view_free(pw->view);
    slab_fini(&pw->upstreams);
    slab_fini(&pw->pipelined);
    list_remove(&pw->link);
    pw->pool->workers[pw->env->index] = NULL;
    free(pw);
}
