#include "self/leak_watch.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "profile/heap.h"
#include "proxy/census.h"
#include "proxy/listener.h"
#include "self/descriptors.h"

#define LATE_MS 10000u /* an audit of which a worker has said nothing is given up */
/* A walk takes about a tenth of a microsecond for each: nobody is kept waiting longer than by a large response. */
#define WALKED_MAX 50000u
#define DESCRIPTORS_RISE 3
#define HEAP_RISE (4.0 * 1048576)
#define SOURCE_BYTES (33.0 * 1048576)
#define SITE_BYTES_MIN (1 << 20)

/* What a worker is asked; its own until it has answered. */
struct worker_walk {
    struct leak_watch *watch;
    struct worker *worker;
    struct loop_task task;
    struct census census;
    uint64_t audit;
};

struct leak_watch {
    struct leak_watch_options o;
    struct timer timer;
    struct leak_audit audit;
    struct leak_finding findings[LEAK_KINDS];
    struct worker_walk *walks;
    uint64_t audits, begun_ms; /* audits: begun; the latest is the one that counts */
    uint32_t waits_for;        /* workers; 0: none is going on */
    bool is_stopped;
    struct census sum;
    uint64_t requests, counted_ns;
    struct leak_asker asked[LEAK_ASKERS_MAX];
    uint32_t asked_count;
    uint64_t *heap_since; /* HEAP_SITES_MAX */
    uint32_t heap_count;
    uint64_t heap_audit; /* when that was */
};

/* looking */

static uint64_t count_requests(const struct proxy *p)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < p->listener_count; i++)
        total += metric_count(p->metrics, p->listeners[i]->meter_seconds);
    return total;
}

static double heap_bytes(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.arena ? (double)m.uordblks + (double)m.hblkhd : NAN; /* a sanitizer's says nothing */
}

static uint64_t live_objects(const struct proxy *p)
{
    struct census c = { 0 };
    uint64_t total = 0;
    for (uint32_t i = 0; i < p->worker_count; i++) census_count(p->workers[i], &c);
    for (unsigned kind = CENSUS_EXCHANGES; kind <= CENSUS_SERVER_CONNECTIONS; kind++)
        total += c.counted[kind];
    return total;
}

static struct leak_sample make_sample(struct leak_watch *l, bool is_walked)
{
    uint64_t requests = count_requests(l->o.proxy), now_ns = l->o.loop->now_ns;
    double passed_s = (double)(now_ns - l->counted_ns) / 1e9;
    struct leak_sample s = { .time_s = (double)now_ns / 1e9, .is_walked = is_walked };
    if (l->counted_ns && passed_s > 0) s.load = (double)(requests - l->requests) / passed_s;
    l->requests = requests;
    l->counted_ns = now_ns;
    _Static_assert((int)LEAK_TIMERS == (int)CENSUS_TIMERS && LEAK_WALKED == CENSUS_KINDS, "the same kinds");
    for (unsigned kind = 0; kind < LEAK_WALKED; kind++) {
        s.live[kind] = (double)l->sum.counted[kind];
        s.lost[kind] = s.live[kind] - (double)l->sum.reached[kind];
    }
    s.live[LEAK_DESCRIPTORS] = is_walked ? descriptors_open() - (double)l->sum.descriptors : NAN;
    s.live[LEAK_HEAP] = heap_bytes();
    return s;
}

static struct leak_options options(const struct leak_watch *l)
{
    return (struct leak_options){ DESCRIPTORS_RISE, HEAP_RISE + SOURCE_BYTES * l->o.log_sources };
}

static void say_leak(unsigned kind, const struct leak_finding *f)
{
    log_event(LOG_WARN, "leak", "kind=%s live=%.0f lost=%.0f per_hour=%.0f remedy=\"weir leaks\"",
              leak_kind_names[kind], f->live, isfinite(f->lost) ? f->lost : 0, f->growth.slope_per_s * 3600);
}

static void judge_audit(struct leak_watch *l)
{
    struct leak_finding found[LEAK_KINDS];
    const struct leak_options o = options(l);
    leak_audit_judge(&l->audit, &o, found);
    for (unsigned kind = 0; kind < LEAK_KINDS; kind++) {
        if (found[kind].is_leak && !l->findings[kind].is_leak) say_leak(kind, &found[kind]);
        l->findings[kind] = found[kind];
    }
}

/* What has grown is told as of then: the start, or when an hour had passed in which nothing did. */
static void note_heap(struct leak_watch *l)
{
    bool is_old = l->audits >= l->heap_audit + LEAK_AUDIT_SAMPLES && !l->findings[LEAK_HEAP].is_leak;
    if (l->heap_audit && !is_old) return;
    l->heap_count = heap_is_sampled() ? heap_in_use(l->heap_since) : 0;
    l->heap_audit = l->audits;
}

static void tell_all(struct leak_watch *l);

static void conclude(struct leak_watch *l, bool is_walked)
{
    struct leak_sample s = make_sample(l, is_walked);
    leak_audit_add(&l->audit, &s);
    judge_audit(l);
    note_heap(l);
    tell_all(l);
}

/* asking the workers */

static void on_walked(void *reader, const struct mail *m)
{
    (void)reader;
    struct worker_walk *k = m->object;
    struct leak_watch *l = k->watch;
    if (m->number != l->audits || !l->waits_for || l->is_stopped) return; /* too late */
    for (unsigned kind = 0; kind < CENSUS_KINDS; kind++) {
        l->sum.counted[kind] += k->census.counted[kind];
        l->sum.reached[kind] += k->census.reached[kind];
    }
    l->sum.descriptors += k->census.descriptors;
    if (--l->waits_for == 0) conclude(l, true);
}

/* On the worker's thread, like the next. */
static void walk_worker(struct loop_task *t)
{
    struct worker_walk *k = container_of(t, struct worker_walk, task);
    struct mail m = { .deliver = on_walked, .object = k, .number = k->audit };
    k->census = (struct census){ 0 };
    census_take(k->worker, &k->census);
    if (!mailbox_post(k->watch->o.control, &m)) return; /* the audit is given up in its time */
}

static void on_ask(void *reader, const struct mail *m)
{
    struct worker *w = reader;
    struct worker_walk *k = m->object;
    k->audit = m->number;
    loop_at_end(&w->loop, &k->task);
}

static void begin_audit(struct leak_watch *l, bool is_asked)
{
    const struct proxy *p = l->o.proxy;
    uint64_t now_ms = loop_now_ms(l->o.loop);
    if (l->waits_for && now_ms < l->begun_ms + LATE_MS) return;
    l->audits++;
    l->begun_ms = now_ms;
    l->waits_for = 0;
    l->sum = (struct census){ 0 };
    if (!is_asked && live_objects(p) > WALKED_MAX) {
        for (uint32_t i = 0; i < p->worker_count; i++) census_count(p->workers[i], &l->sum);
        conclude(l, false);
        return;
    }
    for (uint32_t i = 0; i < p->worker_count; i++) {
        struct mail m = { .deliver = on_ask, .object = &l->walks[i], .number = l->audits };
        if (mailbox_post(p->workers[i]->box, &m)) l->waits_for++;
    }
}

static void on_time(struct timer *t)
{
    struct leak_watch *l = container_of(t, struct leak_watch, timer);
    begin_audit(l, false);
    loop_arm(l->o.loop, t, l->o.interval_ms);
}

/* telling */

/* The names are looked up on the jobs' thread. */
struct question {
    struct job job; /* first */
    struct leak_asker asked[LEAK_ASKERS_MAX];
    uint32_t asked_count;
    struct leak_report report;
    uint32_t heap_count;
    uint64_t heap_since[HEAP_SITES_MAX];
};

static int by_value(const void *left, const void *right)
{
    const struct profile_sample *const *a = left, *const *b = right;
    return ((*a)->values[0] < (*b)->values[0]) - ((*a)->values[0] > (*b)->values[0]);
}

static void print_stack(const struct profile *p, const struct profile_sample *s, char out[LEAK_STACK_TEXT])
{
    struct text t = text_over(out, LEAK_STACK_TEXT);
    for (uint32_t i = 0; i < s->depth; i++) {
        const struct profile_location *at = &p->locations[p->frames[s->stack_at + i]];
        const struct profile_string *name = &p->strings[p->functions[at->function].name];
        if (i) TEXT_LITERAL(&t, " < ");
        text_add(&t, p->text + name->at, name->len);
    }
    text_cstr(&t);
}

static void find_sites(struct question *q)
{
    struct leak_report *r = &q->report;
    struct profile *p = NULL;
    struct err err;
    if (!heap_is_sampled() || heap_grown(q->heap_since, q->heap_count, &p, &err) < 0) return;
    const struct profile_sample **order = calloc(p->sample_count + 1, sizeof(*order));
    for (uint32_t i = 0; order && i < p->sample_count; i++) order[i] = &p->samples[i];
    if (order) qsort(order, p->sample_count, sizeof(*order), by_value); // NOLINT(bugprone-sizeof-expression)
    for (uint32_t i = 0; order && i < p->sample_count && r->site_count < LEAK_SITES_MAX; i++) {
        if (order[i]->values[0] < SITE_BYTES_MIN) break;
        struct leak_site *site = &r->sites[r->site_count++];
        site->grown_bytes = (uint64_t)order[i]->values[0];
        print_stack(p, order[i], site->stack);
    }
    free(order);
    profile_free(p);
}

static void name_sites(struct job *job)
{
    find_sites((struct question *)job);
}

static void on_named(struct job *job)
{
    struct question *q = (struct question *)job;
    for (uint32_t i = 0; i < q->asked_count; i++)
        q->asked[i].tell(&q->asked[i], job_has_run(job) ? &q->report : NULL);
    free(q);
}

static void tell_all(struct leak_watch *l)
{
    const struct leak_audit *a = &l->audit;
    if (!l->asked_count) return;
    struct question *q = calloc(1, sizeof(*q));
    if (!q) return; /* they are told that it took too long */
    q->job.run = name_sites;
    q->job.done = on_named;
    memcpy(q->asked, l->asked, sizeof(l->asked));
    q->asked_count = l->asked_count;
    memcpy(q->report.findings, l->findings, sizeof(l->findings));
    memcpy(q->heap_since, l->heap_since, l->heap_count * sizeof(*l->heap_since));
    q->heap_count = l->heap_count;
    q->report.audits = a->count;
    const struct leak_sample *last = &a->samples[(a->first + a->count - 1) % LEAK_AUDIT_SAMPLES];
    q->report.span_s = last->time_s - a->samples[a->first].time_s;
    q->report.load = last->load;
    l->asked_count = 0;
    if (!jobs_post(l->o.jobs, &q->job)) on_named(&q->job);
}

bool leak_watch_ask(struct leak_watch *l, const struct leak_asker *who)
{
    if (l->asked_count == LEAK_ASKERS_MAX) return false;
    l->asked[l->asked_count++] = *who;
    begin_audit(l, true);
    return true;
}

/* beginning and end */

int leak_watch_new(struct leak_watch **out, const struct leak_watch_options *o, struct err *err)
{
    struct leak_watch *l = calloc(1, sizeof(*l));
    if (l) l->heap_since = calloc(HEAP_SITES_MAX, sizeof(*l->heap_since));
    if (l) l->walks = calloc(o->proxy->worker_count, sizeof(*l->walks));
    if (!l || !l->heap_since || !l->walks) {
        leak_watch_free(l);
        return err_set(err, "out of memory for what looks for leaks");
    }
    l->o = *o;
    timer_init(&l->timer, on_time);
    *out = l;
    return 0;
}

void leak_watch_start(struct leak_watch *l)
{
    for (uint32_t i = 0; i < l->o.proxy->worker_count; i++) {
        struct worker_walk *k = &l->walks[i];
        k->watch = l;
        k->worker = l->o.proxy->workers[i];
        loop_task_init(&k->task, walk_worker);
    }
    loop_arm(l->o.loop, &l->timer, l->o.interval_ms);
}

void leak_watch_use(struct leak_watch *l, uint32_t log_sources)
{
    l->o.log_sources = log_sources;
}

void leak_watch_stop(struct leak_watch *l)
{
    if (!l) return;
    loop_disarm(l->o.loop, &l->timer);
    l->is_stopped = true;
}

void leak_watch_free(struct leak_watch *l)
{
    if (!l) return;
    free(l->walks);
    free(l->heap_since);
    free(l);
}
