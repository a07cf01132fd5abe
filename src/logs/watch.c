#include "logs/watch.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/signal_stack.h"
#include "logs/watched.h"

#define TICK_MS 500u
#define FETCH_MS 200u
#define MEMORY_MAX (64u << 20)
#define NICENESS 5 /* traffic comes first */

/* to the control thread */

static void post(struct watch *w, void (*deliver)(void *, const struct mail *), void *object)
{
    struct mail m = { .deliver = deliver, .object = object };
    if (object && mailbox_post(w->options.control, &m)) return;
    free(object);
    atomic_fetch_add(&w->lost, 1);
}

static void on_hit(void *context, struct source *s, uint32_t rule, const struct rule_hit *hit)
{
    struct watch *w = context;
    struct watch_hit *h = malloc(sizeof(*h));
    const struct source_conf *conf = source_conf(s);
    if (h) *h = (struct watch_hit){ conf, source_rule_conf(s, rule), *hit };
    post(w, w->options.on_hit, h);
}

static void on_verdict(void *context, struct source *s, const struct upstream_verdict *v)
{
    struct watch *w = context;
    struct watch_verdict *copy = malloc(sizeof(*copy));
    if (copy) *copy = (struct watch_verdict){ source_conf(s), *v };
    post(w, w->options.on_verdict, copy);
}

const struct source_events watch_source_events = { on_hit, on_verdict };

/* questions */

/* Whoever asked waits: the control thread empties its box, so there will be room, unless all of it ends. */
bool watch_tell(struct watch *w, const struct mail *m)
{
    while (!mailbox_post(w->options.control, m)) {
        if (atomic_load(&w->is_stopping)) return false;
        sched_yield();
    }
    return true;
}

static void deliver_done(void *reader, const struct mail *m)
{
    (void)reader;
    struct watch_question *q = m->object;
    q->watch->questions--;
    q->done(q);
}

static void deliver_question(void *reader, const struct mail *m)
{
    struct watch *w = reader;
    struct watch_question *q = m->object;
    struct mail answer = { .deliver = deliver_done, .object = q };
    q->ask(q, q->at, loop_wall_ns(&w->loop) / NS_PER_S);
    (void)watch_tell(w, &answer);
}

/* All that the control thread says is kept in its order: a source is not asked before the observer has it, nor when it is gone. */
bool watch_ask(struct watch *w, struct watch_question *q)
{
    if (!w->is_running || w->questions >= WATCH_QUESTIONS_MAX) return false;
    struct mail m = { .deliver = deliver_question, .object = q };
    q->watch = w;
    q->at = w->in_force[q->source];
    if (!mailbox_keep(w->box, &m)) return false;
    w->questions++;
    return true;
}

/* taps: people who look at a source's records as they come */

struct tap_request {
    uint64_t id;
    struct source *source;
    struct filter *filter;
    struct watch_viewer viewer;
};

struct chunk {
    struct watch_chunk shown;
    void (*on_chunk)(const struct watch_chunk *c);
    char *data; /* owned */
};

static void deliver_chunk(void *reader, const struct mail *m)
{
    (void)reader;
    struct chunk *c = m->object;
    c->on_chunk(&c->shown);
    free(c->data);
    free(c);
}

static struct tap *tap_of(const struct watch_seat *v)
{
    struct list *taps = source_taps(v->source);
    for (struct list *at = taps->next; at != taps; at = at->next) {
        struct tap *t = container_of(at, struct tap, link);
        if (t->id == v->id) return t;
    }
    return NULL;
}

static void fetch_from(struct watch *w, const struct watch_seat *v)
{
    size_t len = 0;
    struct tap *t = tap_of(v);
    char *data = t ? tap_fetch(t, &len) : NULL;
    if (!data) return;
    struct chunk *c = malloc(sizeof(*c));
    if (c) *c = (struct chunk){ { w, v->id, v->to.context, v->to.number, data, len }, v->to.on_chunk, data };
    struct mail m = { .deliver = deliver_chunk, .object = c };
    if (c && mailbox_post(w->options.control, &m)) return;
    t->missed++;
    free(c);
    free(data);
}

static void on_fetch(struct timer *timer)
{
    struct watch *w = container_of(timer, struct watch, fetch);
    for (uint32_t i = 0; i < WATCH_TAPS_MAX; i++)
        if (w->viewers[i].id) fetch_from(w, &w->viewers[i]);
    if (w->viewer_count) loop_arm(&w->loop, timer, FETCH_MS);
}

static void deliver_tap(void *reader, const struct mail *m)
{
    struct watch *w = reader;
    struct tap_request *rq = m->object;
    struct watch_seat *seat = NULL;
    for (uint32_t i = 0; i < WATCH_TAPS_MAX && !seat; i++)
        if (!w->viewers[i].id) seat = &w->viewers[i];
    struct tap *t = seat ? tap_new(rq->id, rq->filter) : NULL;
    if (t) {
        *seat = (struct watch_seat){ rq->id, rq->source, rq->viewer };
        list_push_back(source_taps(rq->source), &t->link);
        if (w->viewer_count++ == 0) loop_arm(&w->loop, &w->fetch, FETCH_MS);
    } else if (!seat) {
        filter_free(rq->filter);
    }
    free(rq);
}

uint64_t watch_tap(struct watch *w, uint32_t source, struct filter *filter, struct watch_viewer viewer)
{
    struct tap_request *rq = w->is_running ? malloc(sizeof(*rq)) : NULL;
    struct mail m = { .deliver = deliver_tap, .object = rq };
    uint64_t id = atomic_fetch_add(&w->next_tap, 1);
    if (rq) *rq = (struct tap_request){ id, w->in_force[source], filter, viewer };
    if (rq && mailbox_keep(w->box, &m)) return id;
    free(rq);
    filter_free(filter);
    return 0;
}

static void leave(struct watch *w, struct watch_seat *v)
{
    struct tap *t = tap_of(v);
    if (t) list_remove(&t->link);
    tap_free(t);
    v->id = 0;
    w->viewer_count--;
}

static void deliver_untap(void *reader, const struct mail *m)
{
    struct watch *w = reader;
    for (uint32_t i = 0; i < WATCH_TAPS_MAX; i++)
        if (w->viewers[i].id && w->viewers[i].id == m->number) leave(w, &w->viewers[i]);
}

bool watch_untap(struct watch *w, uint64_t id)
{
    struct mail m = { .deliver = deliver_untap, .number = id };
    return mailbox_keep(w->box, &m);
}

/* Who cannot be told now, for want of memory, looks at a stream in which nothing comes. */
void watch_end_viewers(struct watch *w, const struct source *s)
{
    for (uint32_t i = 0; i < WATCH_TAPS_MAX; i++) {
        struct watch_seat *v = &w->viewers[i];
        if (!v->id || v->source != s) continue;
        struct chunk *c = malloc(sizeof(*c));
        if (c)
            *c = (struct chunk){ { w, v->id, v->to.context, v->to.number, NULL, 0 }, v->to.on_chunk, NULL };
        struct mail m = { .deliver = deliver_chunk, .object = c };
        leave(w, v);
        if (c && !watch_tell(w, &m)) free(c);
    }
}

/* the thread */

static void on_tick(struct timer *t)
{
    struct watch *w = container_of(t, struct watch, tick);
    for (uint32_t i = 0; i < w->source_count; i++) source_tick(w->sources[i]);
    watch_look_after(w);
}

void watch_look_after(struct watch *w)
{
    if (!w->source_count)
        loop_disarm(&w->loop, &w->tick);
    else if (!timer_is_armed(&w->tick))
        loop_arm(&w->loop, &w->tick, TICK_MS);
}

void watch_say_failed(const struct err *err)
{
    char quoted[ERR_TEXT_MAX + 64];
    log_event(LOG_ERROR, "log_source_failed", "error=%s", log_quote(err->text, quoted, sizeof(quoted)));
}

static void deliver_stop(void *reader, const struct mail *m)
{
    (void)m;
    struct watch *w = reader;
    loop_stop(&w->loop);
}

static void *run(void *argument)
{
    struct watch *w = argument;
    struct err err;
    signal_stack_open();
    pthread_setname_np(pthread_self(), "weir-logs");
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS);
    loop_turn(&w->loop, 0); /* its clock */
    for (uint32_t i = 0; i < w->source_count; i++)
        if (source_start(w->sources[i], &err) < 0) watch_say_failed(&err);
    watch_look_after(w);
    loop_turn(&w->loop, 0); /* the first look at the files */
    sem_post(&w->has_begun);
    loop_run(&w->loop);
    loop_disarm(&w->loop, &w->tick);
    loop_disarm(&w->loop, &w->fetch);
    for (uint32_t i = 0; i < w->source_count; i++) source_stop(w->sources[i]);
    loop_turn(&w->loop, 0); /* its graveyard */
    signal_stack_close();
    return NULL;
}

static int fill(struct watch *w, struct err *err)
{
    const struct source_conf *sources = w->conf->sources.data;
    w->sources = calloc(w->conf->sources.count + 1, sizeof(struct source *));
    w->in_force = calloc(w->conf->sources.count + 1, sizeof(struct source *));
    if (!w->sources || !w->in_force || loop_init(&w->loop, &w->budget, err) < 0)
        return err_set(err, "out of memory for watching logs");
    if (mailbox_new(&w->box, &w->loop, w, 256, err) < 0) return -1;
    for (uint32_t i = 0; i < w->conf->sources.count; i++) {
        if (source_open(&w->sources[i], &sources[i], w->conf, &w->loop, &watch_source_events, w, err) < 0)
            return -1;
        w->in_force[i] = w->sources[i];
        w->source_count++;
    }
    return 0;
}

int watch_new(struct watch **out, const struct watch_options *o, struct err *err)
{
    struct watch *w = calloc(1, sizeof(*w));
    if (!w) return err_set(err, "out of memory for watching logs");
    w->options = *o;
    w->conf = o->conf;
    w->arena = conf_arena_get(o->arena);
    w->budget.limit = MEMORY_MAX;
    w->loop.epoll_fd = -1;
    list_init(&w->changes);
    atomic_init(&w->next_tap, 1);
    sem_init(&w->has_begun, 0, 0);
    timer_init(&w->tick, on_tick);
    timer_init(&w->fetch, on_fetch);
    if (fill(w, err) < 0) {
        watch_free(w);
        return -1;
    }
    *out = w;
    return 0;
}

int watch_start(struct watch *w, struct err *err)
{
    sigset_t before;
    if (w->is_running) return 0;
    signal_block_all_but_faults(&before);
    int fault = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (fault) return err_set(err, "cannot start the thread that watches logs: %s", strerror(fault));
    w->is_running = true;
    while (sem_wait(&w->has_begun) < 0) continue; /* a signal */
    return 0;
}

void watch_stop(struct watch *w)
{
    struct mail m = { .deliver = deliver_stop };
    if (!w || !w->is_running) return;
    atomic_store(&w->is_stopping, true);
    while (!mailbox_keep(w->box, &m)) sched_yield();
    pthread_join(w->thread, NULL);
    w->is_running = false;
}

void watch_free(struct watch *w)
{
    if (!w) return;
    for (uint32_t i = 0; w->in_force && i < w->conf->sources.count; i++) source_close(w->in_force[i]);
    watch_drop_changes(w); /* then: of what they held, those may have the configuration */
    mailbox_free(w->box);
    if (w->loop.epoll_fd >= 0) {
        loop_turn(&w->loop, 0);
        loop_fini(&w->loop);
    }
    sem_destroy(&w->has_begun);
    conf_arena_free(w->arena);
    free(w->in_force);
    free(w->sources);
    free(w);
}

/* for the control thread */

const struct logs_conf *watch_conf(const struct watch *w)
{
    return w->conf;
}

uint32_t watch_source_count(const struct watch *w)
{
    return w->conf->sources.count;
}

const struct source_conf *watch_source_conf(const struct watch *w, uint32_t i)
{
    return (const struct source_conf *)w->conf->sources.data + i;
}

struct source_figures *watch_source_figures(const struct watch *w, uint32_t i)
{
    return source_figures(w->in_force[i]);
}

uint32_t watch_source_by_name(const struct watch *w, struct slice name)
{
    uint32_t i = 0;
    while (i < watch_source_count(w) && !slice_equal(slice_of(watch_source_conf(w, i)->name), name)) i++;
    return i;
}

uint64_t watch_lost(const struct watch *w)
{
    return atomic_load(&w->lost);
}
