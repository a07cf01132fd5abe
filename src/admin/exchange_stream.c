#include <stdlib.h>
#include <string.h>

#include "admin/call.h"
#include "admin/exchange_entry.h"
#include "admin/exchanges.h"
#include "admin/routes.h"
#include "logs/filter.h"
#include "net/loop.h"
#include "proxy/worker.h"
#include "record/flight_ring.h"

/* Exchanges that end while somebody looks on. The flight rings are read as anybody may read them: no worker knows of it, or
 * waits. What comes faster than it is looked at, may be shown or is taken is left out and counted. */

#define ROUND_MS 100u
#define SHOWN_A_ROUND 100u
/* A regular expression may take its time; the control thread has other things to do. For all that look on together. */
#define LOOK_NS_MAX (5 * NS_PER_MS)
#define SUMMARY_ROUNDS 10u
#define EVENT_MAX (32u << 10)

const struct admin_query exchange_stream_query[] = {
    { "where", "string", "Only these exchanges, in the filter language of docs/logs.md." },
    { 0 },
};

/* How many look on. The control thread's, as they are. */
static uint32_t tail_count;

struct tail {
    struct call_ticket ticket;
    struct proxy *proxy;
    struct loop *loop;
    struct timer timer;
    struct filter *filter; /* owned; NULL: every exchange */
    uint64_t seen, shown, skipped;
    uint32_t rounds, found_count;
    struct flight_record found[SHOWN_A_ROUND]; /* of this round */
    uint32_t first_worker;                     /* who is looked at first: another one in each round */
    uint64_t positions[];                      /* of each worker's ring: the next to look at */
};

static const struct flight_ring *ring_of(const struct tail *t, uint32_t worker)
{
    const struct worker *w = t->proxy->workers[worker];
    return w ? w->flights : NULL;
}

static bool is_wanted(struct tail *t, const struct flight_record *r)
{
    struct exchange_entry e;
    if (!t->filter) return true;
    exchange_entry_make(&e, t->proxy, r);
    return filter_takes(t->filter, &e.entry);
}

static void look_at(struct tail *t, uint32_t worker, uint64_t until_ns)
{
    const struct flight_ring *ring = ring_of(t, worker);
    uint64_t *position = &t->positions[worker], written = ring ? flight_written(ring) : 0;
    if (written - *position > FLIGHT_RING_RECORDS && *position < written) {
        t->skipped += written - *position - FLIGHT_RING_RECORDS;
        *position = written - FLIGHT_RING_RECORDS;
    }
    for (; *position < written && clock_now_ns() < until_ns; ++*position) {
        struct flight_record r;
        if (!flight_read(ring, *position, &r)) {
            t->skipped++;
            continue;
        }
        t->seen++;
        if (!is_wanted(t, &r)) continue;
        if (t->found_count == SHOWN_A_ROUND)
            t->skipped++;
        else
            t->found[t->found_count++] = r;
    }
}

static int compare_ends(const void *left, const void *right)
{
    uint64_t a = flight_end_wall_ns(left), b = flight_end_wall_ns(right);
    return (a > b) - (a < b);
}

/* False: it was not taken. */
static bool push(struct tail *t, const char *kind, struct json *j)
{
    struct text text;
    char *memory = j->is_failed ? NULL : malloc(EVENT_MAX + 64);
    if (!memory) return false;
    text = text_over(memory, EVENT_MAX + 64);
    text_printf(&text, "event: %s\ndata: ", kind);
    text_add(&text, j->data, j->len);
    TEXT_LITERAL(&text, "\n\n");
    bool is_taken = !text.is_cut && call_push(t->ticket, text.data, text.len);
    free(memory);
    return is_taken;
}

static void show_found(struct tail *t)
{
    qsort(t->found, t->found_count, sizeof(*t->found), compare_ends);
    for (uint32_t i = 0; i < t->found_count; i++) {
        struct json j;
        json_init(&j, EVENT_MAX, false);
        exchange_print(t->proxy, &t->found[i], false, &j);
        if (push(t, "exchange", &j))
            t->shown++;
        else
            t->skipped++;
        json_fini(&j);
    }
    t->found_count = 0;
}

static void show_summary(struct tail *t)
{
    struct json j;
    json_init(&j, EVENT_MAX, false);
    json_object(&j);
    json_key(&j, "seen");
    json_u64(&j, t->seen);
    json_key(&j, "shown");
    json_u64(&j, t->shown);
    json_key(&j, "skipped");
    json_u64(&j, t->skipped);
    json_object_end(&j);
    push(t, "summary", &j); /* the next one says it as well */
    json_fini(&j);
}

static void on_round(struct timer *timer)
{
    struct tail *t = container_of(timer, struct tail, timer);
    uint64_t until_ns = clock_now_ns() + LOOK_NS_MAX / tail_count;
    for (uint32_t i = 0; i < t->proxy->worker_count; i++)
        look_at(t, (t->first_worker + i) % t->proxy->worker_count, until_ns);
    t->first_worker++;
    show_found(t);
    if (++t->rounds % SUMMARY_ROUNDS == 0) show_summary(t);
    loop_arm(t->loop, &t->timer, ROUND_MS);
}

static void on_gone(void *context)
{
    struct tail *t = context;
    tail_count--;
    loop_disarm(t->loop, &t->timer);
    filter_free(t->filter);
    free(t);
}

/* -1: `out` says why. */
static int compile_where(struct slice where, struct filter **filter, struct answer *out)
{
    struct err err;
    *filter = NULL;
    if (!where.data) return 0;
    if (filter_compile(filter, where, &err) < 0) {
        answer_problem(out, 400, "In `where`: %s", err.text);
        return -1;
    }
    struct slice unsaid = exchange_entry_bind(*filter);
    if (!unsaid.len) return 0;
    answer_problem(
        out, 400,
        "In `where`: exchanges do not say \"%.*s\"; they say status, bytes, request_time, upstream_time, "
        "time, client, method, path, target, listener, route, pool, server, variant, end, origin and "
        "request_id.",
        SLICE_ARGS(unsaid));
    filter_free(*filter);
    return -1;
}

void exchanges_stream(const struct admin_request *rq, struct answer *out)
{
    struct filter *filter;
    if (compile_where(rq->query[0], &filter, out) < 0) return;
    uint32_t count = rq->proxy->worker_count;
    struct tail *t = calloc(1, sizeof(*t) + count * sizeof(*t->positions));
    if (!t) {
        filter_free(filter);
        answer_problem(out, 503, "There is no memory for the stream; try again.");
        return;
    }
    t->proxy = rq->proxy;
    t->loop = rq->loop;
    t->filter = filter;
    for (uint32_t i = 0; i < count; i++)
        if (ring_of(t, i)) t->positions[i] = flight_written(ring_of(t, i));
    tail_count++;
    timer_init(&t->timer, on_round);
    loop_arm(t->loop, &t->timer, ROUND_MS);
    t->ticket = call_stream(rq, "text/event-stream", on_gone, t);
}
