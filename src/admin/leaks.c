#include "admin/leaks.h"

#include <dirent.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/call.h"
#include "admin/routes.h"
#include "base/log.h"
#include "net/jobs.h"
#include "profile/heap.h"
#include "proxy/census.h"
#include "self/leak_audit.h"

#define ASKED_MAX 16u
#define ANSWER_MS 30000u
#define LATE_MS 10000u /* an audit of which a worker has said nothing is given up */
/* A walk takes about a tenth of a microsecond for each: nobody is kept waiting longer than by a large response. */
#define WALKED_MAX 50000u
#define DESCRIPTORS_RISE 3
#define HEAP_RISE (4.0 * 1048576)
#define SOURCE_BYTES (33.0 * 1048576)
#define SITES_SHOWN 5u
#define SITE_BYTES_MIN (1 << 20)
#define STACK_TEXT 1024u

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
    struct call_ticket asked[ASKED_MAX];
    struct jobs *jobs; /* of those who asked */
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

static uint64_t count_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    uint64_t count = 0;
    if (!d) return 0;
    while (readdir(d)) count++;
    closedir(d);
    return count - 3; /* ".", "..", and the directory itself */
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
    s.live[LEAK_DESCRIPTORS] = is_walked ? (double)count_descriptors() - (double)l->sum.descriptors : NAN;
    s.live[LEAK_HEAP] = heap_bytes();
    return s;
}

static struct leak_options options(const struct leak_watch *l)
{
    return (struct leak_options){ DESCRIPTORS_RISE, HEAP_RISE + SOURCE_BYTES * l->o.log_sources };
}

static void say(unsigned kind, const struct leak_finding *f)
{
    log_event(LOG_WARN, "leak", "kind=%s live=%.0f lost=%.0f per_hour=%.0f remedy=\"weir leaks\"",
              leak_kind_names[kind], f->live, isfinite(f->lost) ? f->lost : 0, f->growth.slope_per_s * 3600);
}

static void judge(struct leak_watch *l)
{
    struct leak_finding found[LEAK_KINDS];
    const struct leak_options o = options(l);
    leak_audit_judge(&l->audit, &o, found);
    for (unsigned kind = 0; kind < LEAK_KINDS; kind++) {
        if (found[kind].is_leak && !l->findings[kind].is_leak) say(kind, &found[kind]);
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

static void answer_all(struct leak_watch *l);

static void conclude(struct leak_watch *l, bool is_walked)
{
    struct leak_sample s = make_sample(l, is_walked);
    leak_audit_add(&l->audit, &s);
    judge(l);
    note_heap(l);
    answer_all(l);
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
static void walk(struct loop_task *t)
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

static void begin(struct leak_watch *l, bool is_asked)
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
    begin(l, false);
    loop_arm(l->o.loop, t, l->o.interval_ms);
}

/* answering */

struct kind_answer {
    const char *kind, *verdict;
    double live, lost, per_hour, p;
};

static const struct shape_field kind_fields[] = {
    SHAPE_ROW(kind_answer, kind, STRING, "What is counted."),
    SHAPE_ROW(kind_answer, verdict, STRING,
              "lost: some are counted that nothing leads to; leak: it grows by itself; with_load: it grew as "
              "the load did; "
              "stayed: it rose and rises no more; steady; unknown: not long enough looked at."),
    SHAPE_ROW(kind_answer, live, NUMBER, "How many there are now.", .may_be_null = true),
    SHAPE_ROW(kind_answer, lost, NUMBER, "How many of them nothing leads to; null: that cannot be told.",
              .may_be_null = true),
    SHAPE_ROW(kind_answer, per_hour, NUMBER, "How much it grows in an hour at the same load.",
              .may_be_null = true),
    SHAPE_ROW(kind_answer, p, NUMBER, "How likely chance alone makes such a trend.", .may_be_null = true),
    { 0 },
};
static const struct shape kind_shape = { "LeakKind", sizeof(struct kind_answer), kind_fields };

struct site_answer {
    uint64_t grown_bytes;
    const char *stack;
};

static const struct shape_field site_fields[] = {
    SHAPE_ROW(site_answer, grown_bytes, COUNT, "By how much what it took and has not given back has grown."),
    SHAPE_ROW(site_answer, stack, STRING, "Who took it: the caller of malloc() first."),
    { 0 },
};
static const struct shape site_shape = { "HeapSite", sizeof(struct site_answer), site_fields };

struct leaks_answer {
    struct shape_list leaks; /* const char * */
    uint64_t audits;
    double span_seconds, requests_per_second;
    struct shape_list kinds, heap_sites;
};

static const struct shape_field leaks_fields[] = {
    SHAPE_ROW(leaks_answer, leaks, LIST, "What leaks; empty: nothing that is known of."),
    SHAPE_ROW(leaks_answer, audits, COUNT, "How often it was looked at that is still remembered."),
    SHAPE_ROW(leaks_answer, span_seconds, NUMBER, "From the first of these to the last."),
    SHAPE_ROW(leaks_answer, requests_per_second, NUMBER, "The load at the last."),
    SHAPE_ROW(leaks_answer, kinds, LIST, "Each kind of thing that could leak.", .of = &kind_shape),
    SHAPE_ROW(leaks_answer, heap_sites, LIST,
              "Who holds more memory than at the start, or an hour ago: sampled, 1 MiB and more.",
              .of = &site_shape),
    { 0 },
};
const struct shape leaks_shape = { "Leaks", sizeof(struct leaks_answer), leaks_fields };

/* The names are looked up on the jobs' thread. */
struct leaks_question {
    struct job job; /* first */
    struct call_ticket asked[ASKED_MAX];
    uint32_t asked_count;
    struct leak_finding findings[LEAK_KINDS];
    uint64_t audits;
    double span_s, load;
    uint32_t heap_count;
    struct answer answer;
    uint64_t heap_since[HEAP_SITES_MAX];
};

static int by_value(const void *left, const void *right)
{
    const struct profile_sample *const *a = left, *const *b = right;
    return ((*a)->values[0] < (*b)->values[0]) - ((*a)->values[0] > (*b)->values[0]);
}

static void print_stack(const struct profile *p, const struct profile_sample *s, char out[STACK_TEXT])
{
    struct text t = text_over(out, STACK_TEXT);
    for (uint32_t i = 0; i < s->depth; i++) {
        const struct profile_location *at = &p->locations[p->frames[s->stack_at + i]];
        const struct profile_string *name = &p->strings[p->functions[at->function].name];
        if (i) TEXT_LITERAL(&t, " < ");
        text_add(&t, p->text + name->at, name->len);
    }
    text_cstr(&t);
}

struct sites {
    struct site_answer items[SITES_SHOWN];
    uint32_t count;
    char texts[SITES_SHOWN][STACK_TEXT];
};

static void find_sites(const struct leaks_question *q, struct sites *out)
{
    struct profile *p = NULL;
    struct err err;
    out->count = 0;
    if (!heap_is_sampled() || heap_grown(q->heap_since, q->heap_count, &p, &err) < 0) return;
    const struct profile_sample **order = calloc(p->sample_count + 1, sizeof(*order));
    for (uint32_t i = 0; order && i < p->sample_count; i++) order[i] = &p->samples[i];
    if (order) qsort(order, p->sample_count, sizeof(*order), by_value); // NOLINT(bugprone-sizeof-expression)
    for (uint32_t i = 0; order && i < p->sample_count && out->count < SITES_SHOWN; i++) {
        if (order[i]->values[0] < SITE_BYTES_MIN) break;
        print_stack(p, order[i], out->texts[out->count]);
        out->items[out->count] = (struct site_answer){ (uint64_t)order[i]->values[0],
                                                       out->texts[out->count] };
        out->count++;
    }
    free(order);
    profile_free(p);
}

static void run(struct job *job)
{
    struct leaks_question *q = (struct leaks_question *)job;
    struct kind_answer kinds[LEAK_KINDS];
    const char *leaks[LEAK_KINDS];
    struct sites *sites = calloc(1, sizeof(*sites));
    struct leaks_answer a = { .audits = q->audits,
                              .span_seconds = q->span_s,
                              .requests_per_second = q->load,
                              .leaks = { leaks, 0 },
                              .kinds = { kinds, LEAK_KINDS } };
    for (unsigned i = 0; i < LEAK_KINDS; i++) {
        const struct leak_finding *f = &q->findings[i];
        bool is_known = f->growth.verdict != GROWTH_UNKNOWN;
        if (f->is_leak) leaks[a.leaks.count++] = leak_kind_names[i];
        kinds[i] = (struct kind_answer){ leak_kind_names[i],
                                         f->is_leak && i < LEAK_WALKED
                                             ? "lost"
                                             : growth_verdict_names[f->growth.verdict],
                                         f->live,
                                         f->lost,
                                         is_known ? f->growth.slope_per_s * 3600 : NAN,
                                         is_known ? f->growth.p : NAN };
    }
    if (sites) {
        find_sites(q, sites);
        a.heap_sites = (struct shape_list){ sites->items, sites->count };
    }
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    shape_print(&leaks_shape, &a, &j);
    answer_json(&q->answer, 200, &j);
    free(sites);
}

/* One answer's bytes go to one call: the others get copies. */
static struct answer copy_of(const struct answer *a)
{
    struct answer copy = { 0 };
    char *body = malloc(a->body_len ? a->body_len : 1);
    if (body) memcpy(body, a->body, a->body_len);
    answer_body(&copy, a->content_type, body, a->body_len);
    if (body) copy.status = a->status;
    return copy;
}

static void done(struct job *job)
{
    struct leaks_question *q = (struct leaks_question *)job;
    if (!q->answer.status) answer_problem(&q->answer, 503, "weir is stopping.");
    for (uint32_t i = 0; i < q->asked_count; i++) {
        struct answer a = i + 1 < q->asked_count ? copy_of(&q->answer) : q->answer;
        call_answer(q->asked[i], &a);
    }
    free(q);
}

static void answer_all(struct leak_watch *l)
{
    const struct leak_audit *a = &l->audit;
    if (!l->asked_count) return;
    struct leaks_question *q = calloc(1, sizeof(*q));
    if (!q) return; /* they are told that it took too long */
    q->job.run = run;
    q->job.done = done;
    memcpy(q->asked, l->asked, sizeof(l->asked));
    q->asked_count = l->asked_count;
    memcpy(q->findings, l->findings, sizeof(l->findings));
    memcpy(q->heap_since, l->heap_since, l->heap_count * sizeof(*l->heap_since));
    q->heap_count = l->heap_count;
    q->audits = a->count;
    const struct leak_sample *last = &a->samples[(a->first + a->count - 1) % LEAK_AUDIT_SAMPLES];
    q->span_s = last->time_s - a->samples[a->first].time_s;
    q->load = last->load;
    l->asked_count = 0;
    if (!jobs_post(l->jobs, &q->job)) done(&q->job);
}

void leaks_show(const struct admin_request *rq, struct answer *out)
{
    struct leak_watch *l = rq->leaks;
    if (!l || !rq->jobs) {
        answer_problem(out, 503, "This weir does not look for leaks.");
        return;
    }
    if (l->asked_count == ASKED_MAX) {
        answer_problem(out, 503, "Too many ask at once; try again.");
        return;
    }
    l->jobs = rq->jobs;
    l->asked[l->asked_count++] = call_wait(rq, ANSWER_MS, NULL, NULL);
    begin(l, true);
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
        loop_task_init(&k->task, walk);
    }
    loop_arm(l->o.loop, &l->timer, l->o.interval_ms);
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
