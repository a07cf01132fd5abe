#include "proxy/overload.h"

#include <stdio.h>

#include "base/bug.h"
#include "base/count.h"
#include "base/log.h"
#include "pool/queue.h"
#include "proxy/proxy_conf.h"
#include "proxy/site.h"
#include "proxy/worker.h"

/* How often a worker that has much to do looks at what that does to those who come. */
#define LOOK_EVERY_MS 20u
/* So long nobody is refused before it is said to be over: what is short to and fro is short. */
#define OVER_AFTER_MS 1000u

static const char *const cause_names[] = { "lag", "memory", "descriptors" };

const char *overload_cause_name(enum overload_cause cause)
{
    return cause_names[cause];
}

static const struct overload_conf *conf_of(const struct worker *w)
{
    return &w->site->site->conf->overload;
}

static bool is_on(const struct overload *o, enum overload_cause cause)
{
    return atomic_load_explicit(&o->states[cause].is_on, memory_order_relaxed);
}

static struct log_limit *limit_of(void)
{
    static _Thread_local struct log_limit limit;
    return &limit;
}

/* beginning and end */

/* What ends with the worker, and a look that was under way, would begin something that nobody ends. */
static bool has_stopped(const struct overload *o)
{
    return o->look_ns == UINT64_MAX;
}

static void begin(struct worker *w, enum overload_cause cause)
{
    struct overload *o = &w->overload;
    struct overload_state *s = &o->states[cause];
    uint32_t suppressed = 0;
    if (has_stopped(o)) return;
    s->since_ms = s->latest_ms = loop_now_ms(&w->loop);
    s->refused_before = atomic_load_explicit(&s->refused, memory_order_relaxed);
    atomic_store_explicit(&s->is_on, true, memory_order_relaxed);
    o->look_ns = 0;
    loop_arm(&w->loop, &o->timer, LAG_STEP_MS);
    if (!log_limit_pass(limit_of(), w->loop.now_ns, 4, &suppressed)) return;
    log_event(LOG_WARN, "overload", "worker=%u cause=%s waited_ms=%llu memory_bytes=%llu suppressed=%u",
              w->index, cause_names[cause],
              (unsigned long long)atomic_load_explicit(&o->waited_ms, memory_order_relaxed),
              (unsigned long long)atomic_load_explicit(&w->loop.blocks.budget->used, memory_order_relaxed),
              suppressed);
}

static void end(struct worker *w, enum overload_cause cause)
{
    struct overload_state *s = &w->overload.states[cause];
    uint32_t suppressed = 0;
    atomic_store_explicit(&s->is_on, false, memory_order_relaxed);
    if (!log_limit_pass(limit_of(), w->loop.now_ns, 4, &suppressed)) return;
    uint64_t refused = atomic_load_explicit(&s->refused, memory_order_relaxed) - s->refused_before;
    log_event(LOG_WARN, "overload_over", "worker=%u cause=%s ms=%llu refused=%llu suppressed=%u", w->index,
              cause_names[cause], (unsigned long long)(loop_now_ms(&w->loop) - s->since_ms),
              (unsigned long long)refused, suppressed);
}

static enum overload_cause cause_of(enum end_reason reason)
{
    switch (reason) {
    case END_OVERLOADED: return OVERLOAD_LAG;
    case END_NO_MEMORY: return OVERLOAD_MEMORY;
    case END_NO_DESCRIPTORS: return OVERLOAD_DESCRIPTORS;
    default: return OVERLOAD_CAUSES;
    }
}

void overload_note(struct worker *w, enum end_reason reason)
{
    enum overload_cause cause = cause_of(reason);
    if (cause == OVERLOAD_CAUSES) return;
    struct overload_state *s = &w->overload.states[cause];
    if (!is_on(&w->overload, cause)) begin(w, cause);
    count_own(&s->refused);
    s->latest_ms = loop_now_ms(&w->loop);
}

/* looking */

static void on_answer(void *reader, const struct mail *m)
{
    struct worker *w = reader;
    struct overload *o = &w->overload;
    bool is_asked = o->is_asking;
    o->is_asking = false;
    /* Asked once, and before now: else it has waited for years. */
    if (bug_if(WORKER, !is_asked || m->number > w->loop.now_ns)) return;
    uint64_t waited_ms = (w->loop.now_ns - m->number) / NS_PER_MS;
    atomic_store_explicit(&o->waited_ms, waited_ms, memory_order_relaxed);
    switch (lag_look(&o->lag, conf_of(w), waited_ms, loop_now_ms(&w->loop))) {
    case LAG_SAME: return;
    case LAG_BEGUN: begin(w, OVERLOAD_LAG); return;
    case LAG_ENDED: end(w, OVERLOAD_LAG); return;
    }
}

/* As of the turn's begin: so long whoever came right after it waits. */
static void ask(struct worker *w)
{
    struct mail m = { .deliver = on_answer, .number = w->loop.now_ns };
    if (!w->overload.is_asking) w->overload.is_asking = mailbox_post(w->box, &m);
}

static void on_timer(struct timer *t)
{
    struct overload *o = container_of(t, struct overload, timer);
    struct worker *w = container_of(o, struct worker, overload);
    uint64_t now_ms = loop_now_ms(&w->loop);
    bool is_any = is_on(o, OVERLOAD_LAG); /* which ends by its own word */
    for (unsigned i = OVERLOAD_MEMORY; i < OVERLOAD_CAUSES; i++) {
        if (!is_on(o, i)) continue;
        if (now_ms - o->states[i].latest_ms >= OVER_AFTER_MS)
            end(w, i);
        else
            is_any = true;
    }
    if (is_any) {
        ask(w);
        loop_arm(&w->loop, t, LAG_STEP_MS);
    } else {
        o->look_ns = w->loop.now_ns;
    }
}

/* From nine tenths on those of low class are refused, from nineteen twentieths on others; who is of the highest has what is
 * left. */
static bool is_memory_short(const struct block_pool *pool, uint32_t priority)
{
    uint64_t limit = pool->budget->limit;
    if (!block_pool_is_short(pool) || priority == POOL_PRIORITY_HIGH) return false;
    if (priority == POOL_PRIORITY_LOW) return true;
    return atomic_load_explicit(&pool->budget->used, memory_order_relaxed) >
           limit / 20 * 19 + pool->idle_bytes;
}

static enum end_reason refuse(struct worker *w, uint32_t priority)
{
    struct overload *o = &w->overload;
    if (is_memory_short(&w->loop.blocks, priority)) return END_NO_MEMORY;
    if (!o->lag.is_over) return END_NONE;
    return lag_refuses(&o->lag, priority, (uint32_t)(rng_next(&w->loop.rng) >> 32)) ? END_OVERLOADED
                                                                                    : END_NONE;
}

enum end_reason overload_look(struct worker *w, uint32_t priority)
{
    struct overload *o = &w->overload;
    enum end_reason reason = refuse(w, priority);
    if (conf_of(w)->lag_ms) ask(w);
    if (!reason && !is_on(o, OVERLOAD_LAG) && !is_on(o, OVERLOAD_MEMORY))
        o->look_ns = w->loop.now_ns + LOOK_EVERY_MS * NS_PER_MS;
    return reason;
}

void overload_init(struct overload *o)
{
    timer_init(&o->timer, on_timer);
}

void overload_stop(struct worker *w)
{
    loop_disarm(&w->loop, &w->overload.timer);
    w->overload.look_ns = UINT64_MAX;
}

/* metrics */

static uint64_t refused_for(const struct proxy *p, enum overload_cause cause)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->worker_count; i++)
        if (p->workers[i])
            sum += atomic_load_explicit(&p->workers[i]->overload.states[cause].refused, memory_order_relaxed);
    return sum;
}

static uint32_t workers_with(const struct proxy *p, enum overload_cause cause)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < p->worker_count; i++)
        sum += p->workers[i] && is_on(&p->workers[i]->overload, cause);
    return sum;
}

#define CAUSE(id, cause)                                 \
    static double refused_##id(void *p)                  \
    {                                                    \
        return (double)refused_for(p, OVERLOAD_##cause); \
    }                                                    \
    static double workers_##id(void *p)                  \
    {                                                    \
        return workers_with(p, OVERLOAD_##cause);        \
    }
CAUSE(lag, LAG)
CAUSE(memory, MEMORY)
CAUSE(descriptors, DESCRIPTORS)
#undef CAUSE

void overload_show_metrics(struct proxy *p)
{
    static double (*const refused[])(void *) = { refused_lag, refused_memory, refused_descriptors };
    static double (*const workers[])(void *) = { workers_lag, workers_memory, workers_descriptors };
    for (unsigned i = 0; i < OVERLOAD_CAUSES; i++) {
        const struct metric_label label = { "cause", cause_names[i] };
        metric_counter_fn(p->metrics, "weir_overload_refused_total",
                          "Requests, connections and sessions that were refused, or failed, because weir had "
                          "too much to do (lag), no memory or no descriptors.",
                          &label, 1, refused[i], p);
        metric_gauge_fn(p->metrics, "weir_overloaded_workers", "Workers that refuse for that cause now.",
                        &label, 1, workers[i], p);
    }
}
