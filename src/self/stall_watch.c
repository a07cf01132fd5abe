#include "self/stall_watch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/signal_stack.h"
#include "base/text.h"
#include "profile/thread_look.h"
#include "proxy/exchange.h"
#include "proxy/worker.h"
#include "self/stall.h"
#include "self/thread_use.h"
#include "stack/symbolizer.h"

#define LOOKS_IN_BOUND 4u /* fewer, and a look that comes late would count as one held up */
/* Names of functions take some ten milliseconds to find: not more often, however often threads are stuck. */
#define STACK_EVERY_NS (5 * NS_PER_S)
#define STACK_FRAMES 32u
#define LOG_STACK_TEXT 560u /* what of a stack fits into a line of the log */

struct watched {
    struct stall_watch *watch;
    const struct worker *worker; /* NULL: it is the control thread */
    const struct loop *loop;
    struct mailbox *box;
    struct stall stall; /* under the lock, like the report's, which the watch's thread alone writes */
    struct stall_report report;
    uint64_t asked_cpu_ns; /* the watch's thread's */
    uint32_t own_thread;   /* the control thread's number */
};

struct stall_watch {
    struct stall_watch_options options;
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    pthread_t thread;
    bool has_thread, is_stopping;
    uint64_t stack_at_ns; /* the watch's thread's: when it last found one */
    uint64_t looked_ms;   /* under the lock */
    uint32_t count;
    struct watched items[];
};

static uint64_t now_ms(void)
{
    return clock_now_ns() / NS_PER_MS;
}

/* what it is doing */

static void print_stack(struct symbolizer *names, const uint64_t *pcs, uint32_t depth, struct text *out)
{
    struct symbol found;
    for (uint32_t i = 0; i < depth; i++) {
        bool is_named = symbolizer_find(names, pcs[i], i > 0, &found) && found.name.data;
        if (i) TEXT_LITERAL(out, " < ");
        if (is_named)
            text_add_slice(out, found.name);
        else
            text_add_char(out, '?');
    }
}

static void find_stack(uint32_t thread, struct text *out)
{
    struct modules *modules = NULL;
    struct unwind_space *space = NULL;
    struct symbolizer *names = NULL;
    struct err err;
    uint64_t pcs[STACK_FRAMES];
    if (modules_read(&modules, 0, &err) == 0 && unwind_space_new(&space, modules, &err) == 0 &&
        symbolizer_new(&names, modules, &err) == 0) {
        symbolizer_leave_out_lines(names);
        print_stack(names, pcs, thread_look((pid_t)thread, space, pcs, STACK_FRAMES), out);
    }
    symbolizer_free(names);
    unwind_space_free(space);
    modules_free(modules);
}

static const char *name_of(const struct proxy *p, uint32_t id)
{
    return id ? names_of(&p->names, id) : NULL;
}

static void find_activity(const struct watched *w, struct stall_report *r)
{
    const struct activity *a = w->worker ? atomic_load(&w->worker->activity) : NULL;
    if (!a) return;
    uint32_t phase = atomic_load_explicit(&a->phase, memory_order_relaxed);
    r->listener = name_of(w->worker->proxy, atomic_load_explicit(&a->listener, memory_order_relaxed));
    r->pool = name_of(w->worker->proxy, atomic_load_explicit(&a->pool, memory_order_relaxed));
    if (phase && phase <= EXCHANGE_DONE + 1u)
        r->phase = exchange_state_name((enum exchange_state)(phase - 1));
}

/* telling */

static void add_pair(struct text *t, const char *key, const char *value)
{
    char quoted[LOG_STACK_TEXT];
    if (value && *value) text_printf(t, " %s=%s", key, log_quote(value, quoted, sizeof(quoted)));
}

static void say_stuck(const struct stall_report *r, uint64_t held_ms)
{
    char line[LOG_STACK_TEXT + 320];
    struct text t = text_over(line, sizeof(line));
    add_pair(&t, "listener", r->listener);
    add_pair(&t, "pool", r->pool);
    add_pair(&t, "phase", r->phase);
    add_pair(&t, "stack", r->stack);
    log_event(LOG_WARN, "worker_stuck", "worker=%s thread=%u stuck_ms=%llu cpu_ms=%llu%s", r->name, r->thread,
              (unsigned long long)held_ms, (unsigned long long)r->cpu_ms, text_cstr(&t));
}

static void on_begun(struct stall_watch *s, struct watched *w, uint32_t thread, uint64_t held_ms)
{
    struct stall_report r = w->report;
    uint64_t used_ns = thread_cpu_ns(thread);
    r.thread = thread;
    r.at_ns = clock_wall_ns() - held_ms * NS_PER_MS;
    r.cpu_ms = used_ns > w->asked_cpu_ns ? (used_ns - w->asked_cpu_ns) / NS_PER_MS : 0;
    r.listener = r.pool = r.phase = NULL;
    r.stack[0] = 0;
    find_activity(w, &r);
    if (!s->stack_at_ns || clock_now_ns() - s->stack_at_ns >= STACK_EVERY_NS) {
        struct text stack = text_over(r.stack, sizeof(r.stack));
        find_stack(thread, &stack);
        text_cstr(&stack);
        s->stack_at_ns = clock_now_ns();
    }
    pthread_mutex_lock(&s->lock);
    w->report = r;
    pthread_mutex_unlock(&s->lock);
    say_stuck(&r, held_ms);
}

/* looking */

static void nothing(void *reader, const struct mail *m)
{
    (void)reader, (void)m;
}

static void ask(struct watched *w, uint32_t thread)
{
    struct mail wake = { .deliver = nothing };
    w->asked_cpu_ns = thread_cpu_ns(thread);
    if (!mailbox_post(w->box, &wake)) return; /* it is full: there is enough to wake it */
}

static uint32_t thread_of(const struct watched *w)
{
    return w->worker ? atomic_load(&w->worker->thread_id) : w->own_thread;
}

static uint64_t turns_of(const struct watched *w)
{
    return w->loop ? __atomic_load_n(&w->loop->turns, __ATOMIC_RELAXED) : 0;
}

static void look_at(struct stall_watch *s, struct watched *w)
{
    uint32_t thread = thread_of(w);
    uint64_t turns = turns_of(w), at_ms = now_ms();
    if (!thread) return; /* it does not run yet */
    pthread_mutex_lock(&s->lock);
    uint64_t held_ms = stall_held_ms(&w->stall, at_ms);
    enum stall_news news = stall_look(&w->stall, turns, at_ms, s->options.bound_ms);
    s->looked_ms = at_ms;
    pthread_mutex_unlock(&s->lock);
    switch (news) {
    case STALL_NONE: return;
    case STALL_ASK: ask(w, thread); return;
    case STALL_BEGUN: on_begun(s, w, thread, held_ms); return;
    case STALL_ENDED:
        log_event(LOG_WARN, "worker_turns", "worker=%s thread=%u stuck_ms=%llu", w->report.name, thread,
                  (unsigned long long)held_ms);
        return;
    }
}

/* The next look's time; false: there is to be none. */
static bool wait_for_next(struct stall_watch *s)
{
    uint64_t at = clock_now_ns() + s->options.bound_ms * NS_PER_MS / LOOKS_IN_BOUND;
    const struct timespec until = { (time_t)(at / NS_PER_S), (long)(at % NS_PER_S) };
    pthread_mutex_lock(&s->lock);
    while (!s->is_stopping && pthread_cond_timedwait(&s->stopped, &s->lock, &until) == 0) {}
    bool is_stopping = s->is_stopping;
    pthread_mutex_unlock(&s->lock);
    return !is_stopping;
}

static void *run(void *argument)
{
    struct stall_watch *s = argument;
    signal_stack_open();
    while (wait_for_next(s))
        for (uint32_t i = 0; i < s->count; i++) look_at(s, &s->items[i]);
    signal_stack_close();
    return NULL;
}

/* for those who ask */

uint32_t stall_watch_count(const struct stall_watch *s)
{
    return s->count;
}

void stall_watch_read(struct stall_watch *s, uint32_t index, struct stall_report *out)
{
    struct watched *w = &s->items[index];
    pthread_mutex_lock(&s->lock);
    *out = w->report;
    out->count = w->stall.count;
    out->held_ms = w->stall.is_stuck ? stall_held_ms(&w->stall, now_ms()) : 0;
    out->total_ms = w->stall.past_ms + out->held_ms;
    out->longest_ms = w->stall.longest_ms > out->held_ms ? w->stall.longest_ms : out->held_ms;
    pthread_mutex_unlock(&s->lock);
    out->thread = thread_of(w);
    out->turns = turns_of(w);
}

/* The watch itself may be what stands still. */
uint64_t stall_watch_held_ms(struct stall_watch *s)
{
    uint64_t at_ms = now_ms();
    pthread_mutex_lock(&s->lock);
    uint64_t longest_ms = at_ms - s->looked_ms > 2 * s->options.bound_ms ? at_ms - s->looked_ms : 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct watched *w = &s->items[i];
        uint64_t held_ms = turns_of(w) == w->stall.turns ? stall_held_ms(&w->stall, at_ms) : 0;
        if (held_ms > longest_ms) longest_ms = held_ms;
    }
    pthread_mutex_unlock(&s->lock);
    return longest_ms;
}

static struct stall_report read_one(void *context)
{
    struct watched *w = context;
    struct stall_report r;
    stall_watch_read(w->watch, (uint32_t)(w - w->watch->items), &r);
    return r;
}

static double count_of(void *context)
{
    return (double)read_one(context).count;
}

static double total_of(void *context)
{
    return (double)read_one(context).total_ms / 1e3;
}

static double held_of(void *context)
{
    return (double)read_one(context).held_ms / 1e3;
}

static double cpu_of(void *context)
{
    return (double)thread_cpu_ns(thread_of(context)) / (double)NS_PER_S;
}

static double wait_of(void *context)
{
    return thread_wait_seconds(thread_of(context));
}

static double buffers_of(void *context)
{
    const struct watched *w = context;
    return w->loop ? (double)loop_buffer_bytes(w->loop) : 0;
}

static double slabs_of(void *context)
{
    const struct watched *w = context;
    return w->worker ? (double)worker_slab_bytes(w->worker) : 0;
}

static double lag_of(void *context)
{
    const struct watched *w = context;
    return w->worker ? (double)atomic_load(&w->worker->overload.waited_ms) / 1e3 : 0;
}

/* How much of what it has a thread uses, and how long work waits for it. */
static void show_use(struct watched *w, struct metric_registry *m, bool is_worker)
{
    const struct metric_label label = { "worker", w->report.name };
    (void)metric_counter_fn(m, "weir_worker_cpu_seconds_total", "CPU time that a thread took.", &label, 1,
                            cpu_of, w);
    if (thread_wait_is_known())
        (void)metric_counter_fn(m, "weir_worker_wait_seconds_total",
                                "How long a thread could have run and waited for a CPU: others had them all.",
                                &label, 1, wait_of, w);
    (void)metric_gauge_fn(
        m, "weir_worker_buffer_bytes",
        "Memory of a thread's that holds bytes on the move, of its share of limits: memory.", &label, 1,
        buffers_of, w);
    if (!is_worker) return;
    (void)metric_gauge_fn(m, "weir_worker_slab_bytes",
                          "Memory of a worker for its clients' connections, exchanges, tunnels and sessions, "
                          "with places that are free.",
                          &label, 1, slabs_of, w);
    (void)metric_gauge_fn(m, "weir_worker_lag_seconds",
                          "How long what came waited until its worker turned to it, when that was last "
                          "looked at.",
                          &label, 1, lag_of, w);
}

static void show_metrics(struct watched *w, struct metric_registry *m)
{
    const struct metric_label label = { "worker", w->report.name };
    (void)metric_counter_fn(m, "weir_worker_stalls_total",
                            "How often a thread's loop did not turn for the bound (profile: stalls).", &label,
                            1, count_of, w);
    (void)metric_counter_fn(m, "weir_worker_stall_seconds_total",
                            "For how long a thread's loop did not turn, of stalls alone.", &label, 1,
                            total_of, w);
    (void)metric_gauge_fn(m, "weir_worker_stalled_seconds",
                          "For how long a thread's loop has not turned, while it is stuck; else 0.", &label,
                          1, held_of, w);
}

/* beginning and end */

static void name_all(struct stall_watch *s)
{
    struct proxy *p = s->options.proxy;
    for (uint32_t i = 0; i < s->count; i++) {
        struct watched *w = &s->items[i];
        bool is_worker = i < p->worker_count;
        w->watch = s;
        if (is_worker)
            snprintf(w->report.name, sizeof(w->report.name), "%u", i);
        else
            snprintf(w->report.name, sizeof(w->report.name), "control");
        show_metrics(w, p->metrics);
        show_use(w, p->metrics, is_worker);
    }
}

int stall_watch_new(struct stall_watch **out, const struct stall_watch_options *o, struct err *err)
{
    uint32_t count = o->proxy->worker_count + 1;
    struct stall_watch *s = calloc(1, sizeof(*s) + count * sizeof(s->items[0]));
    pthread_condattr_t monotonic;
    if (!s) return err_set(err, "out of memory for what watches the workers");
    s->options = *o;
    s->count = count;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->stopped, &monotonic);
    pthread_condattr_destroy(&monotonic);
    name_all(s);
    *out = s;
    return 0;
}

/* Nobody has looked at them yet. */
static void find_all(struct stall_watch *s)
{
    struct proxy *p = s->options.proxy;
    struct watched *control = &s->items[p->worker_count];
    for (uint32_t i = 0; i < p->worker_count; i++) {
        s->items[i].worker = p->workers[i];
        s->items[i].loop = &p->workers[i]->loop;
        s->items[i].box = p->workers[i]->box;
    }
    control->own_thread = (uint32_t)gettid();
    control->box = s->options.control;
    control->loop = s->options.loop;
    s->looked_ms = now_ms();
}

int stall_watch_start(struct stall_watch *s, struct err *err)
{
    sigset_t before;
    find_all(s);
    signal_block_all_but_faults(&before);
    int fault = pthread_create(&s->thread, NULL, run, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (fault) return err_set(err, "cannot start the thread that watches the workers: %s", strerror(fault));
    pthread_setname_np(s->thread, "weir-watch");
    s->has_thread = true;
    return 0;
}

void stall_watch_stop(struct stall_watch *s)
{
    if (!s || !s->has_thread) return;
    pthread_mutex_lock(&s->lock);
    s->is_stopping = true;
    pthread_cond_signal(&s->stopped);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->has_thread = false;
}

void stall_watch_free(struct stall_watch *s)
{
    if (!s) return;
    stall_watch_stop(s);
    pthread_cond_destroy(&s->stopped);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
