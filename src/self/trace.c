#include "self/trace.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "net/loop_trace.h"
#include "proxy/worker.h"
#include "record/flight.h"
#include "record/flight_ring.h"

#define LOOK_MS \
    20 /* a ring of 4,096 records is overwritten sooner only beyond 200,000 requests/s on one worker */
#define BYTES_MAX (32u << 20)
#define POSTS_MAX 100000u

struct worker_trace {
    struct trace *trace;
    struct worker *worker;
    struct loop_trace turns;
    uint64_t position; /* the next record of its ring */
    bool is_asked_to_stop;
};

struct trace {
    struct job job; /* first */
    struct trace_options o;
    struct timer timer;
    struct finding found;
    uint64_t begin_wall_ns, begin_ns, end_ms;
    struct flight_record *records;
    uint16_t by_worker[TRACE_EXCHANGES_MAX]; /* whose each of them is */
    uint32_t record_count, worker_count, stopped;
    bool is_stopped; /* weir stops */
    bool is_given_up;
    uint64_t lost;
    struct worker_trace workers[];
};

/* writing it down: on the jobs' thread */

struct writer {
    const struct trace *trace;
    struct json j;
    uint32_t worker; /* of the exchange in hand */
};

static double us_since_begin(const struct writer *w, uint64_t wall_ns)
{
    const struct trace *t = w->trace;
    return wall_ns > t->begin_wall_ns ? (double)(wall_ns - t->begin_wall_ns) / 1000 : 0;
}

static void put_us(struct json *j, double us)
{
    char text[32];
    snprintf(text, sizeof(text), "%.3f", us);
    json_raw(j, slice_of(text));
}

static void begin_event(struct writer *w, const char *phase, const char *name, uint32_t worker, double ts_us)
{
    json_object(&w->j);
    json_key(&w->j, "ph");
    json_string(&w->j, phase);
    json_key(&w->j, "name");
    json_string(&w->j, name);
    json_key(&w->j, "pid");
    json_u64(&w->j, 1);
    json_key(&w->j, "tid");
    json_u64(&w->j, worker + 1);
    json_key(&w->j, "ts");
    put_us(&w->j, ts_us);
}

static void name_it(struct writer *w, const char *what, uint32_t worker, const char *name)
{
    begin_event(w, "M", what, worker, 0);
    json_key(&w->j, "args");
    json_object(&w->j);
    json_key(&w->j, "name");
    json_string(&w->j, name);
    json_object_end(&w->j);
    json_object_end(&w->j);
}

static void write_turns(struct writer *w, uint32_t worker)
{
    const struct trace *t = w->trace;
    const struct loop_trace *turns = &t->workers[worker].turns;
    for (uint32_t i = 0; i < turns->count; i++) {
        const struct loop_trace_turn *turn = &turns->turns[i];
        if (turn->begin_ns < t->begin_ns) continue;
        begin_event(w, "X", "turn", worker, (double)(turn->begin_ns - t->begin_ns) / 1000);
        json_key(&w->j, "dur");
        put_us(&w->j, (double)(turn->end_ns - turn->begin_ns) / 1000);
        json_key(&w->j, "args");
        json_object(&w->j);
        json_key(&w->j, "events");
        json_u64(&w->j, turn->events);
        json_object_end(&w->j);
        json_object_end(&w->j);
    }
}

static void begin_part(struct writer *w, const char *phase, const char *name, uint64_t id, double ts_us)
{
    char text[FLIGHT_ID_TEXT_MAX];
    begin_event(w, phase, name, w->worker, ts_us);
    json_key(&w->j, "cat");
    json_string(&w->j, "exchange");
    json_key(&w->j, "id");
    json_string(&w->j, flight_id_print(id, text));
}

static void write_part(struct writer *w, const char *name, const struct flight_record *r, uint64_t from_us,
                       uint64_t to_us)
{
    if (to_us <= from_us) return;
    begin_part(w, "b", name, r->id, us_since_begin(w, r->start_wall_ns + from_us * 1000));
    json_object_end(&w->j);
    begin_part(w, "e", name, r->id, us_since_begin(w, r->start_wall_ns + to_us * 1000));
    json_object_end(&w->j);
}

/* What came, one after the other; what did not is left out. */
static void write_phases(struct writer *w, const struct flight_record *r)
{
    static const char *const names[] = { "head", "choose", "connect", "send", "wait" };
    const uint32_t ends[] = { r->head_us, r->picked_us, r->connected_us, r->sent_us, r->first_byte_us };
    uint64_t from_us = 0;
    for (unsigned i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        if (ends[i] == FLIGHT_NEVER || ends[i] < from_us || ends[i] > r->total_us) continue;
        write_part(w, names[i], r, from_us, ends[i]);
        from_us = ends[i];
    }
    write_part(w, r->first_byte_us == FLIGHT_NEVER ? "end" : "body", r, from_us, r->total_us);
}

static void write_argument(struct writer *w, const char *key, uint32_t id)
{
    if (!id) return;
    json_key(&w->j, key);
    json_string(&w->j, proxy_name_of(w->trace->o.proxy, id));
}

static void write_exchange(struct writer *w, const struct flight_record *r)
{
    char name[FLIGHT_TARGET_MAX + 32];
    struct text text = text_over(name, sizeof(name));
    if (r->flags & FLIGHT_TCP)
        TEXT_LITERAL(&text, "tcp");
    else
        text_printf(&text, "%s %.*s", http_method_name((enum http_method)r->method), (int)r->target_len,
                    r->target);
    text_cstr(&text);
    begin_part(w, "b", name, r->id, us_since_begin(w, r->start_wall_ns));
    json_key(&w->j, "args");
    json_object(&w->j);
    write_argument(w, "listener", r->listener);
    write_argument(w, "route", r->route);
    write_argument(w, "pool", r->pool);
    uint32_t kept = flight_kept_attempts(r);
    if (kept) write_argument(w, "server", r->attempts[kept - 1].server);
    json_key(&w->j, "status");
    json_u64(&w->j, r->status);
    json_key(&w->j, "end");
    json_string(&w->j, end_reason_info((enum end_reason)r->end)->name);
    json_key(&w->j, "attempts");
    json_u64(&w->j, r->attempt_count);
    json_object_end(&w->j);
    json_object_end(&w->j);
    write_phases(w, r);
    begin_part(w, "e", name, r->id, us_since_begin(w, r->start_wall_ns + r->total_us * 1000));
    json_object_end(&w->j);
}

static void write_rest(struct writer *w)
{
    uint64_t lost = 0;
    for (uint32_t i = 0; i < w->trace->worker_count; i++) lost += w->trace->workers[i].turns.lost;
    json_key(&w->j, "displayTimeUnit");
    json_string(&w->j, "ms");
    json_key(&w->j, "otherData");
    json_object(&w->j);
    json_key(&w->j, "program");
    json_string(&w->j, "weir " WEIR_VERSION);
    json_key(&w->j, "turns_left_out");
    json_u64(&w->j, lost);
    json_key(&w->j, "exchanges_left_out");
    json_u64(&w->j, w->trace->lost);
    json_object_end(&w->j);
}

static void write_trace(struct job *job)
{
    struct trace *t = (struct trace *)job;
    struct writer w = { .trace = t };
    char name[32];
    json_init(&w.j, BYTES_MAX, false);
    json_object(&w.j);
    json_key(&w.j, "traceEvents");
    json_array(&w.j);
    name_it(&w, "process_name", 0, "weir");
    for (uint32_t i = 0; i < t->worker_count; i++) {
        snprintf(name, sizeof(name), "weir/%u", i);
        name_it(&w, "thread_name", i, name);
        write_turns(&w, i);
    }
    for (uint32_t i = 0; i < t->record_count; i++) {
        w.worker = t->by_worker[i];
        write_exchange(&w, &t->records[i]);
    }
    json_array_end(&w.j);
    write_rest(&w);
    json_object_end(&w.j);
    t->found.bytes = json_take(&w.j, &t->found.len);
    if (t->found.bytes)
        t->found.bytes[t->found.len++] = '\n'; /* in the terminator's place */
    else
        err_set(&t->found.fault, "The trace is over %u MiB or memory is out; ask for fewer seconds.",
                BYTES_MAX >> 20);
}

void trace_free(struct trace *t)
{
    if (!t) return;
    for (uint32_t i = 0; i < t->worker_count; i++) free(t->workers[i].turns.turns);
    free(t->found.bytes);
    free(t->records);
    free(t);
}

static void on_written(struct job *job)
{
    struct trace *t = (struct trace *)job;
    if (!t->is_given_up) t->o.asker.tell(&t->o.asker, &t->found);
    t->o.on_end(t->o.keeper);
    trace_free(t);
}

/* looking */

static void take_records(struct trace *t, struct worker_trace *w)
{
    const struct flight_ring *ring = w->worker->flights;
    uint64_t end = flight_written(ring);
    for (; w->position < end; w->position++) {
        if (t->record_count == TRACE_EXCHANGES_MAX ||
            !flight_read(ring, w->position, &t->records[t->record_count]))
            t->lost++;
        else
            t->by_worker[t->record_count++] = (uint16_t)w->worker->index;
    }
}

static void on_stopped(void *reader, const struct mail *m)
{
    (void)reader;
    struct trace *t = ((struct worker_trace *)m->object)->trace;
    if (++t->stopped < t->worker_count || t->is_stopped) return;
    loop_disarm(t->o.loop, &t->timer);
    if (t->is_given_up || !jobs_post(t->o.jobs, &t->job)) on_written(&t->job);
}

/* On the worker's thread, as the next. */
static void stop_one(void *reader, const struct mail *m)
{
    struct worker *w = reader;
    struct mail back = { .deliver = on_stopped, .object = m->object };
    w->loop.trace = NULL;
    /* The control thread empties its box, unless weir ends: then the trace ends with it. */
    for (uint32_t tries = 0; tries < POSTS_MAX; tries++) {
        if (mailbox_post(((struct worker_trace *)m->object)->trace->o.control, &back)) return;
        sched_yield();
    }
}

static void start_one(void *reader, const struct mail *m)
{
    struct worker *w = reader;
    struct worker_trace *t = m->object;
    w->loop.trace = &t->turns;
}

static void on_trace_look(struct timer *timer)
{
    struct trace *t = container_of(timer, struct trace, timer);
    bool is_over = loop_now_ms(t->o.loop) >= t->end_ms;
    for (uint32_t i = 0; i < t->worker_count; i++) {
        struct worker_trace *w = &t->workers[i];
        struct mail m = { .deliver = stop_one, .object = w };
        take_records(t, w);
        if (is_over && !w->is_asked_to_stop) w->is_asked_to_stop = mailbox_post(w->worker->box, &m);
    }
    loop_arm(t->o.loop, timer, LOOK_MS);
}

/* The workers are asked to stop when they are next looked at. */
void trace_give_up(void *trace)
{
    struct trace *t = trace;
    t->is_given_up = true;
    t->end_ms = 0;
}

void trace_stop(struct trace *t)
{
    if (!t) return;
    loop_disarm(t->o.loop, &t->timer);
    t->is_stopped = true;
}

/* beginning */

static struct trace *trace_new(const struct trace_options *o)
{
    uint32_t count = o->proxy->worker_count;
    struct trace *t = calloc(1, sizeof(*t) + count * sizeof(*t->workers));
    if (!t) return NULL;
    t->o = *o;
    t->worker_count = count;
    t->records = calloc(TRACE_EXCHANGES_MAX, sizeof(*t->records));
    bool is_whole = t->records;
    for (uint32_t i = 0; i < count; i++) {
        struct worker_trace *w = &t->workers[i];
        w->trace = t;
        w->worker = o->proxy->workers[i];
        w->turns.turns = calloc(TRACE_TURNS_MAX, sizeof(*w->turns.turns));
        w->turns.room = TRACE_TURNS_MAX;
        w->position = flight_written(w->worker->flights);
        if (!w->turns.turns) is_whole = false;
    }
    if (is_whole) return t;
    trace_free(t);
    return NULL;
}

static bool ask_workers(struct trace *t)
{
    for (uint32_t i = 0; i < t->worker_count; i++) {
        struct mail m = { .deliver = start_one, .object = &t->workers[i] };
        if (!mailbox_post(t->workers[i].worker->box, &m)) return i > 0; /* it has no turns, then */
    }
    return true;
}

struct trace *trace_start(const struct trace_options *o)
{
    struct trace *t = trace_new(o);
    if (!t || !ask_workers(t)) {
        trace_free(t);
        return NULL;
    }
    t->job.run = write_trace;
    t->job.done = on_written;
    t->begin_ns = o->loop->now_ns;
    t->begin_wall_ns = loop_wall_ns(o->loop);
    t->end_ms = loop_now_ms(o->loop) + o->duration_ms;
    timer_init(&t->timer, on_trace_look);
    loop_arm(o->loop, &t->timer, LOOK_MS);
    return t;
}
