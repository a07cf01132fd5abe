#include <math.h>
#include <time.h>

#include "admin/call.h"
#include "admin/routes.h"
#include "base/clock.h"
#include "base/count.h"
#include "proxy/worker.h"
#include "self/stall_watch.h"
#include "self/thread_use.h"

#define TIME_TEXT_MAX 32

struct stall_answer {
    const char *time, *listener, *pool, *phase, *stack;
    double cpu_seconds;
};

static const struct shape_field stall_fields[] = {
    SHAPE_ROW(stall_answer, time, STRING, "When it should have turned; null: it was never stuck.",
              .may_be_null = true),
    SHAPE_ROW(stall_answer, cpu_seconds, NUMBER,
              "Processor time that it had had when it was found: little of it is a host that is short of it, "
              "or a wait.",
              .may_be_null = true),
    SHAPE_ROW(stall_answer, listener, STRING, "Whose work it did; null: nobody's.", .may_be_null = true),
    SHAPE_ROW(stall_answer, pool, STRING, "Likewise.", .may_be_null = true),
    SHAPE_ROW(stall_answer, phase, STRING, "How far that was: a state of an exchange.", .may_be_null = true),
    SHAPE_ROW(stall_answer, stack, STRING,
              "Where in the code it was, the innermost call first; null: that could not be had.",
              .may_be_null = true),
    { 0 },
};
static const struct shape stall_shape = { "Stall", sizeof(struct stall_answer), stall_fields };

struct worker_answer {
    const char *worker;
    uint64_t thread, turns;
    uint64_t exchanges, tunnels, client_connections, server_connections, handed_over, taken_over;
    double cpu_seconds, wait_seconds;
    uint64_t buffer_bytes, slab_bytes;
    double lag_seconds;
    const char *overload;
    uint64_t refused;
    uint64_t stalls;
    double stalled_seconds, stall_seconds, longest_stall_seconds;
    struct stall_answer last_stall;
};

static const struct shape_field worker_fields[] = {
    SHAPE_ROW(worker_answer, worker, STRING,
              "Its number, from 0; `control` is the thread that answers this."),
    SHAPE_ROW(worker_answer, thread, COUNT, "The kernel's number of it."),
    SHAPE_ROW(worker_answer, turns, COUNT, "Of its loop, since the start."),
    SHAPE_ROW(worker_answer, exchanges, COUNT, "That go on.", .may_be_null = true),
    SHAPE_ROW(worker_answer, tunnels, COUNT, "That are open.", .may_be_null = true),
    SHAPE_ROW(worker_answer, client_connections, COUNT, "That are open.", .may_be_null = true),
    SHAPE_ROW(worker_answer, server_connections, COUNT, "That are open, idle ones too.", .may_be_null = true),
    SHAPE_ROW(worker_answer, handed_over, COUNT,
              "Connections that came to it and were handed to a worker that had fewer.", .may_be_null = true),
    SHAPE_ROW(worker_answer, taken_over, COUNT, "And those that it was handed.", .may_be_null = true),
    SHAPE_ROW(worker_answer, cpu_seconds, NUMBER, "CPU time that it took."),
    SHAPE_ROW(worker_answer, wait_seconds, NUMBER,
              "How long it could have run and waited for a CPU; null: the kernel does not say.",
              .may_be_null = true),
    SHAPE_ROW(worker_answer, buffer_bytes, COUNT, "Of its memory: what holds bytes on the move."),
    SHAPE_ROW(
        worker_answer, slab_bytes, COUNT,
        "And what is for clients' connections, exchanges, tunnels and sessions, with places that are free.",
        .may_be_null = true),
    SHAPE_ROW(worker_answer, lag_seconds, NUMBER,
              "How long what came to it waited until it turned to it, when that was last looked at.",
              .may_be_null = true),
    SHAPE_ROW(worker_answer, overload, STRING,
              "Why it refuses a part of what comes: `lag`, `memory` or `descriptors`; null: it does not.",
              .may_be_null = true),
    SHAPE_ROW(worker_answer, refused, COUNT, "For any of these, since the start.", .may_be_null = true),
    SHAPE_ROW(worker_answer, stalls, COUNT,
              "How often its loop did not turn for as long as `profile: {stalls}` says."),
    SHAPE_ROW(worker_answer, stalled_seconds, NUMBER, "For how long it is stuck now; 0: it turns."),
    SHAPE_ROW(worker_answer, stall_seconds, NUMBER, "For how long it was stuck, all times together."),
    SHAPE_ROW(worker_answer, longest_stall_seconds, NUMBER, "The longest of them."),
    SHAPE_ROW(worker_answer, last_stall, OBJECT, "What it did when it was stuck last.", .of = &stall_shape),
    { 0 },
};
const struct shape worker_shape = { "Worker", sizeof(struct worker_answer), worker_fields };

static const char *print_time(uint64_t wall_ns, char out[TIME_TEXT_MAX])
{
    time_t s = (time_t)(wall_ns / NS_PER_S);
    struct tm tm;
    strftime(out, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&s, &tm));
    return out;
}

static void add_overload(const struct overload *o, struct worker_answer *a)
{
    a->lag_seconds = (double)atomic_load(&o->waited_ms) / 1e3;
    a->refused = 0;
    for (unsigned i = 0; i < OVERLOAD_CAUSES; i++) {
        a->refused += atomic_load(&o->states[i].refused);
        if (!a->overload && atomic_load(&o->states[i].is_on)) a->overload = overload_cause_name(i);
    }
}

static void print_worker(const struct admin_request *rq, uint32_t i, struct json *j)
{
    struct stall_report r;
    char time[TIME_TEXT_MAX];
    bool is_worker = i < rq->proxy->worker_count;
    const struct loop *l = is_worker ? &rq->proxy->workers[i]->loop : rq->loop;
    stall_watch_read(rq->stalls, i, &r);
    struct worker_answer a = { .worker = r.name,
                               .thread = r.thread,
                               .turns = r.turns,
                               .exchanges = SHAPE_NULL,
                               .tunnels = SHAPE_NULL,
                               .client_connections = SHAPE_NULL,
                               .server_connections = SHAPE_NULL,
                               .handed_over = SHAPE_NULL,
                               .taken_over = SHAPE_NULL,
                               .cpu_seconds = (double)thread_cpu_ns(r.thread) / (double)NS_PER_S,
                               .wait_seconds = thread_wait_seconds(r.thread),
                               .buffer_bytes = loop_buffer_bytes(l),
                               .slab_bytes = SHAPE_NULL,
                               .lag_seconds = NAN,
                               .refused = SHAPE_NULL,
                               .stalls = r.count,
                               .stalled_seconds = (double)r.held_ms / 1e3,
                               .stall_seconds = (double)r.total_ms / 1e3,
                               .longest_stall_seconds = (double)r.longest_ms / 1e3,
                               .last_stall = { .cpu_seconds = NAN } };
    if (is_worker) {
        const struct worker_live *live = &rq->proxy->workers[i]->live;
        a.exchanges = count_get(&live->exchanges);
        a.slab_bytes = worker_slab_bytes(rq->proxy->workers[i]);
        a.tunnels = count_get(&live->tunnels);
        a.client_connections = count_get(&live->client_connections);
        a.server_connections = count_get(&live->server_connections);
        a.handed_over = atomic_load(&rq->proxy->workers[i]->share.handed_over);
        a.taken_over = atomic_load(&rq->proxy->workers[i]->share.taken_over);
        add_overload(&rq->proxy->workers[i]->overload, &a);
    }
    if (r.at_ns)
        a.last_stall = (struct stall_answer){
            print_time(r.at_ns, time), r.listener, r.pool, r.phase, *r.stack ? r.stack : NULL,
            (double)r.cpu_ms / 1e3
        };
    shape_print(&worker_shape, &a, j);
}

void workers_list(const struct admin_request *rq, struct answer *out)
{
    struct json j;
    if (!rq->stalls) {
        answer_problem(out, 503, "This weir does not look at its workers.");
        return;
    }
    json_init(&j, ANSWER_MAX, true);
    json_object(&j);
    json_key(&j, "workers");
    json_array(&j);
    for (uint32_t i = 0; i < stall_watch_count(rq->stalls); i++) print_worker(rq, i, &j);
    json_array_end(&j);
    json_object_end(&j);
    answer_json(out, 200, &j);
}
