#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/profiler.h"
#include "admin/routes.h"
#include "base/number.h"
#include "net/jobs.h"
#include "profile/heap.h"
#include "profile/pprof.h"
#include "profile/profile_names.h"
#include "profile/stack_text.h"
#include "proxy/proxy.h"
#include "proxy/remains.h"

#define WAIT_MS 30000u
#define SECONDS_MAX 600.0
#define DEBUG_MAX 2u /* as Go knows it: 0 is pprof, 1 and 2 are text */

const struct admin_query live_query[] = {
    { "debug", "integer", "0: pprof's format; 1: text; 2 of goroutine: each thread." },
    { "seconds", "number", "Of heap and allocs: only what came in that time." },
    { "gc", "integer", "What Go's tools send; there is no collector." },
    { 0 },
};

enum live_kind { LIVE_GOROUTINE, LIVE_THREADS, LIVE_HEAP, LIVE_ALLOCS };

/* One question, on its way through the jobs' thread; with a time to wait in between for a difference. */
struct live_question {
    struct job job; /* first */
    enum live_kind kind;
    unsigned debug;
    uint64_t wait_ms; /* 0: no difference is asked for */
    struct call_ticket ticket;
    struct proxy *proxy;
    struct loop *loop;
    struct timer timer;
    struct profile *before;
    struct answer answer;
    struct err fault;
    bool has_failed;
    _Atomic bool is_gone; /* nobody wants the answer */
};

/* what is live beside threads: counted, with a name for each */

struct collecting {
    struct profile *profile;
    const struct memory_view *memory;
    const struct remains_proxy *remains;
};

static void add_stack(struct profile *p, const char *leaf, const char *middle, const char *root,
                      int64_t count)
{
    uint32_t stack[3], depth = 0;
    if (!count) return;
    if (leaf) stack[depth++] = profile_add_name(p, slice_of(leaf));
    if (middle) stack[depth++] = profile_add_name(p, slice_of(middle));
    stack[depth++] = profile_add_name(p, slice_of(root));
    profile_add(p, stack, depth, NULL, 0, &count);
}

static bool on_exchange(void *context, const struct remains_exchange *x)
{
    const struct collecting *c = context;
    char name[REMAINS_NAME_MAX], pool[REMAINS_NAME_MAX + 8];
    snprintf(pool, sizeof(pool), "pool %s", remains_name(c->memory, c->remains, x->record.pool, name));
    add_stack(c->profile, x->state, pool, "exchanges", 1);
    return true;
}

static void add_worker(const struct collecting *c, const struct remains_worker *w)
{
    char name[32];
    int64_t idle = w->live.idle_server_connections, all = w->live.server_connections;
    snprintf(name, sizeof(name), "worker %u", w->index);
    add_stack(c->profile, NULL, name, "tunnels", w->live.tunnels);
    add_stack(c->profile, NULL, name, "client connections", w->live.client_connections);
    add_stack(c->profile, "idle", name, "server connections", idle);
    add_stack(c->profile, "in use", name, "server connections", all > idle ? all - idle : 0);
    remains_exchanges(c->memory, w, on_exchange, (void *)(uintptr_t)c);
}

/* Read as from a dead process: what is being changed meanwhile is left out, never followed. */
static void add_objects(struct profile *p, struct proxy *proxy)
{
    struct memory_view memory = memory_of_self();
    struct remains_proxy remains;
    struct remains_worker worker;
    struct collecting c = { p, &memory, &remains };
    if (!remains_find_proxy(&memory, (uint64_t)(uintptr_t)proxy, &remains)) return;
    for (uint32_t i = 0; i < remains.worker_count; i++)
        if (remains_find_worker(&memory, &remains, i, &worker)) add_worker(&c, &worker);
    for (uint32_t i = 0; i < proxy->worker_count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "worker %u", i);
        add_stack(p, NULL, name, "timers",
                  __atomic_load_n(&proxy->workers[i]->loop.timers.count, __ATOMIC_RELAXED));
        add_stack(p, NULL, name, "blocks",
                  __atomic_load_n(&proxy->workers[i]->loop.blocks.live, __ATOMIC_RELAXED));
    }
}

/* making it: on the jobs' thread */

static void answer_stream(struct answer *out, char *body, size_t len, FILE *f)
{
    if (fclose(f) == 0) return;
    (void)len;
    free(body);
    answer_problem(out, 503, "There is no memory for the answer.");
}

static int make_profile(struct live_question *q, struct profile **out)
{
    static const struct profile_type threads_type[] = { { "threads", "count" } },
                                     live_type[] = { { "goroutine", "count" } };
    struct threads *t = NULL;
    if (q->kind == LIVE_HEAP || q->kind == LIVE_ALLOCS)
        return heap_profile(out, q->kind == LIVE_ALLOCS, &q->fault);
    if (threads_read(&t, 0, &q->fault) < 0) return -1;
    *out = profile_new(q->kind == LIVE_THREADS ? threads_type : live_type, 1);
    if (*out) {
        profile_add_program(*out, t->symbolizer);
        threads_add(t, *out);
        if (q->kind == LIVE_GOROUTINE) add_objects(*out, q->proxy);
    } else {
        err_set(&q->fault, "out of memory for a profile");
    }
    threads_free(t);
    return *out ? 0 : -1;
}

static const char *const kind_names[] = { "goroutine", "threadcreate", "heap", "allocs" };

static int write_text(struct live_question *q, const struct profile *p)
{
    char *body = NULL;
    size_t len = 0;
    struct threads *t = NULL;
    FILE *f = open_memstream(&body, &len);
    if (!f) return err_set(&q->fault, "out of memory for the answer");
    if (q->debug == 2 && q->kind == LIVE_GOROUTINE && threads_read(&t, 0, &q->fault) == 0)
        stack_text_threads(t, f);
    else
        stack_text_write(p, kind_names[q->kind], f);
    threads_free(t);
    fflush(f);
    answer_body(&q->answer, "text/plain; charset=utf-8", body, len);
    answer_stream(&q->answer, body, len, f);
    return 0;
}

static int make_answer(struct live_question *q, const struct profile *p)
{
    char *body = NULL;
    size_t len = 0;
    if (q->debug) return write_text(q, p);
    if (pprof_write(p, &body, &len, &q->fault) < 0) return -1;
    answer_body(&q->answer, "application/octet-stream", body, len);
    return 0;
}

static void run(struct job *job)
{
    struct live_question *q = (struct live_question *)job;
    struct profile *p = NULL;
    if (q->is_gone) return;
    if (make_profile(q, &p) < 0) {
        q->has_failed = true;
    } else if (q->wait_ms && !q->before) {
        q->before = p;
        return;
    } else {
        if (q->before) profile_merge(p, q->before, -1);
        q->has_failed = make_answer(q, p) < 0;
    }
    profile_free(p);
}

/* and its way back */

static void end(struct live_question *q)
{
    if (q->has_failed) profiler_fault(&q->answer, 500, "%s\n", q->fault.text);
    if (!q->answer.status) profiler_fault(&q->answer, 503, "weir is stopping\n");
    call_answer(q->ticket, &q->answer);
    profile_free(q->before);
    free(q);
}

static void done(struct job *job)
{
    struct live_question *q = (struct live_question *)job;
    if (!q->is_gone && q->before && q->wait_ms && !q->has_failed && !q->answer.status && job_has_run(job)) {
        loop_arm(q->loop, &q->timer, q->wait_ms);
        q->wait_ms = 0;
        return;
    }
    end(q);
}

/* What lies with the jobs ends when it comes back; what waits for its second look, now. */
static void on_gone(void *context)
{
    struct live_question *q = context;
    q->is_gone = true;
    if (!timer_is_armed(&q->timer)) return;
    loop_disarm(q->loop, &q->timer);
    end(q);
}

static void on_timer(struct timer *t)
{
    struct live_question *q = container_of(t, struct live_question, timer);
    q->job.run = run;
    if (!jobs_post(q->job.jobs, &q->job)) end(q);
}

static void ask(const struct admin_request *rq, enum live_kind kind, struct answer *out)
{
    double seconds = 0;
    uint64_t debug = 0;
    if (rq->query[1].data && (!number_decimal(rq->query[1], &seconds) || seconds > SECONDS_MAX)) {
        profiler_fault(out, 400, "seconds=%.32s is no number up to %.0f\n", rq->query[1].data, SECONDS_MAX);
        return;
    }
    if (rq->query[0].data && (!number_u64(rq->query[0], &debug) || debug > DEBUG_MAX)) {
        profiler_fault(out, 400, "debug=%.32s is no number up to %u\n", rq->query[0].data, DEBUG_MAX);
        return;
    }
    struct live_question *q = rq->jobs ? calloc(1, sizeof(*q)) : NULL;
    if (!q) {
        profiler_fault(out, 503, "there is no memory for the question; try again\n");
        return;
    }
    q->job.run = run;
    q->job.done = done;
    q->kind = kind;
    q->debug = (unsigned)debug;
    q->wait_ms = (uint64_t)(seconds * 1000);
    q->proxy = rq->proxy;
    q->loop = rq->loop;
    timer_init(&q->timer, on_timer);
    if (!jobs_post(rq->jobs, &q->job)) {
        free(q);
        profiler_fault(out, 503, "too much is being worked on; try again\n");
        return;
    }
    q->ticket = call_wait(rq, WAIT_MS + q->wait_ms, on_gone, q);
}

void pprof_goroutine(const struct admin_request *rq, struct answer *out)
{
    ask(rq, LIVE_GOROUTINE, out);
}

void pprof_threadcreate(const struct admin_request *rq, struct answer *out)
{
    ask(rq, LIVE_THREADS, out);
}

void pprof_heap(const struct admin_request *rq, struct answer *out)
{
    ask(rq, LIVE_HEAP, out);
}

void pprof_allocs(const struct admin_request *rq, struct answer *out)
{
    ask(rq, LIVE_ALLOCS, out);
}
