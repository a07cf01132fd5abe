#include "pool/pool_evidence.h"

#include "base/bug.h"
#include "base/count.h"
#include "pool/slot.h"

/* Of the configuration in force. */
static const struct pool_conf *conf_of(const struct pool_worker *pw)
{
    return pw->view->set->roster->conf;
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
    if (e->kind == POOL_CONNECTED || e->is_copy || pw->pool->kind == POOL_EGRESS) return false;
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
    if (is_end && end_reason_info(e->reason)->is_connect && pw->pool->kind != POOL_EGRESS)
        tell_control(pw, s, SERVER_CONNECT_FAILED);
    if (is_evidence(pw, e)) {
        note_answer(pw, s, e);
        note_concurrency(pw, s, e);
    }
    if (!view || e->kind == POOL_CONNECTED || e->value == POOL_UNTIMED) return;
    uint64_t now_ns = pw->env->loop->now_ns;
    observe(view, s, &(struct balance_outcome){ now_ns, e->value, is_end || e->kind == POOL_ANSWERED_ERROR });
}
