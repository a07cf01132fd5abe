#include "self/live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/heap.h"
#include "profile/pprof.h"
#include "profile/profile_names.h"
#include "profile/stack_text.h"
#include "proxy/proxy.h"
#include "proxy/remains.h"

/* One question, on its way through the jobs' thread; with a time to wait in between for a difference. */
struct live_question {
    struct job job; /* first */
    struct live_request what;
    struct timer timer;
    struct profile *before;
    struct finding found;
    bool has_failed, has_waited;
    _Atomic bool is_given_up;
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

static int make_profile(struct live_question *q, struct profile **out)
{
    static const struct profile_type threads_type[] = { { "threads", "count" } },
                                     live_type[] = { { "goroutine", "count" } };
    struct threads *t = NULL;
    if (q->what.kind == LIVE_HEAP || q->what.kind == LIVE_ALLOCS)
        return heap_profile(out, q->what.kind == LIVE_ALLOCS, &q->found.fault);
    if (threads_read(&t, 0, &q->found.fault) < 0) return -1;
    *out = profile_new(q->what.kind == LIVE_THREADS ? threads_type : live_type, 1);
    if (*out) {
        profile_add_program(*out, t->symbolizer);
        threads_add(t, *out);
        if (q->what.kind == LIVE_GOROUTINE) add_objects(*out, q->what.proxy);
    } else {
        err_set(&q->found.fault, "out of memory for a profile");
    }
    threads_free(t);
    return *out ? 0 : -1;
}

static const char *const kind_names[] = { "goroutine", "threadcreate", "heap", "allocs" };

static int write_text(struct live_question *q, const struct profile *p)
{
    char *bytes = NULL;
    size_t len = 0;
    struct threads *t = NULL;
    FILE *f = open_memstream(&bytes, &len);
    if (!f) return err_set(&q->found.fault, "out of memory for the answer");
    if (q->what.debug == 2 && q->what.kind == LIVE_GOROUTINE && threads_read(&t, 0, &q->found.fault) == 0)
        stack_text_threads(t, f);
    else
        stack_text_write(p, kind_names[q->what.kind], f);
    threads_free(t);
    if (fclose(f) != 0) {
        free(bytes);
        return err_set(&q->found.fault, "out of memory for the answer");
    }
    q->found.bytes = bytes;
    q->found.len = len;
    return 0;
}

static int make_finding(struct live_question *q, const struct profile *p)
{
    if (q->what.debug) return write_text(q, p);
    return pprof_write(p, &q->found.bytes, &q->found.len, &q->found.fault);
}

static void look_at_live(struct job *job)
{
    struct live_question *q = (struct live_question *)job;
    struct profile *p = NULL;
    if (q->is_given_up) return;
    if (make_profile(q, &p) < 0) {
        q->has_failed = true;
    } else if (q->what.wait_ms && !q->before) {
        q->before = p;
        return;
    } else {
        if (q->before) profile_merge(p, q->before, -1);
        q->has_failed = make_finding(q, p) < 0;
    }
    profile_free(p);
}

/* and its way back */

static void end(struct live_question *q)
{
    if (!q->is_given_up) q->what.asker.tell(&q->what.asker, &q->found);
    profile_free(q->before);
    free(q->found.bytes);
    free(q);
}

static void on_looked(struct job *job)
{
    struct live_question *q = (struct live_question *)job;
    bool is_half = q->before && !q->has_waited && !q->has_failed;
    if (is_half && !q->is_given_up && job_has_run(job)) {
        q->has_waited = true;
        loop_arm(q->what.loop, &q->timer, q->what.wait_ms);
        return;
    }
    end(q);
}

/* What lies with the jobs ends when it comes back; what waits for its second look, now. */
void live_give_up(void *question)
{
    struct live_question *q = question;
    q->is_given_up = true;
    if (!timer_is_armed(&q->timer)) return;
    loop_disarm(q->what.loop, &q->timer);
    end(q);
}

static void on_second_look(struct timer *t)
{
    struct live_question *q = container_of(t, struct live_question, timer);
    q->job.run = look_at_live;
    if (!jobs_post(q->what.jobs, &q->job)) end(q);
}

struct live_question *live_ask(const struct live_request *what, struct err *err)
{
    struct live_question *q = calloc(1, sizeof(*q));
    if (!q) {
        err_set(err, "there is no memory for the question; try again");
        return NULL;
    }
    q->job.run = look_at_live;
    q->job.done = on_looked;
    q->what = *what;
    timer_init(&q->timer, on_second_look);
    if (jobs_post(what->jobs, &q->job)) return q;
    free(q);
    err_set(err, "too much is being worked on; try again");
    return NULL;
}
