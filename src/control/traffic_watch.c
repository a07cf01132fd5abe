#include "control/traffic_watch.h"

#include <stdlib.h>
#include <string.h>

#include "base/end_reason.h"
#include "net/loop.h"
#include "proxy/listener.h"
#include "proxy/route_set.h"

/* How long a piece of a round may take; the clock is asked only after so many objects. */
#define PIECE_NS (3 * NS_PER_MS)
#define PIECE_OBJECTS 32u
#define ROUND_MS 1000u

struct traffic_watch {
    struct proxy *proxy;
    struct loop *loop;
    struct history *history;
    struct timer timer;
    uint64_t second; /* of the round */
    bool is_within;  /* a round has begun and is not over */
    uint32_t listener, pool, place;
    /* Of the pool whose servers are being looked at: sums over them. */
    uint32_t pool_id;
    bool has_come;
    struct history_tally sum;
    struct history_tally counted, come; /* of the object that is looked at */
};

/* Ids of an object's counters. What has no series (there are too many) counts nothing: all those share cells. */
struct meters {
    uint32_t requests, errors, more_errors, seconds;
};

static uint64_t sum_of(const struct metric_registry *m, uint32_t id)
{
    return id == METRIC_NONE ? 0 : metric_sum(m, id);
}

/* True: w->come has what has come of it. */
static bool look(struct traffic_watch *w, const struct history_key *key, const struct meters *of,
                 uint64_t requests)
{
    const struct metric_registry *m = w->proxy->metrics;
    struct history_series *s = history_open(w->history, key);
    if (!s) return false;
    uint64_t errors = sum_of(m, of->errors) + sum_of(m, of->more_errors);
    bool has_come = false;
    if (history_has_moved(s, requests, errors, sum_of(m, of->seconds))) {
        memset(&w->counted, 0, sizeof(w->counted));
        w->counted.requests = requests;
        w->counted.errors = errors;
        if (of->seconds != METRIC_NONE) metric_fold(m, of->seconds, HISTORY_GROUP_BITS, w->counted.groups);
        has_come = history_since(w->history, s, &w->counted, &w->come);
    }
    history_add(w->history, s, has_come ? &w->come : NULL);
    return has_come;
}

static void look_at_listener(struct traffic_watch *w, const struct listener *l)
{
    const struct history_key key = { HISTORY_LISTENER, 0, l->id };
    uint64_t requests = 0;
    for (unsigned i = 1; i < END_REASON_COUNT; i++) requests += sum_of(w->proxy->metrics, l->meter_ends[i]);
    look(w, &key, &(struct meters){ .errors = l->meter_errors, .seconds = l->meter_seconds }, requests);
}

static void look_at_route(struct traffic_watch *w, const struct listener *l, const struct route *r)
{
    const struct history_key key = { HISTORY_ROUTE, l->id, r->id };
    look(w, &key, &(struct meters){ .errors = r->meters.errors, .seconds = r->meters.seconds },
         sum_of(w->proxy->metrics, r->meters.exchanges));
}

static void add_to_pool(struct traffic_watch *w)
{
    w->has_come = true;
    w->sum.requests += w->come.requests;
    w->sum.errors += w->come.errors;
    for (uint32_t i = 0; i < HISTORY_GROUPS; i++) w->sum.groups[i] += w->come.groups[i];
}

static void look_at_server(struct traffic_watch *w, const struct pool *p, const struct server *s)
{
    const struct history_key key = { HISTORY_SERVER, p->id, s->id };
    const struct meters of = { .errors = s->meter_failures,
                               .more_errors = s->meter_classes[5],
                               .seconds = s->meter_latency };
    if (look(w, &key, &of, sum_of(w->proxy->metrics, s->meter_attempts))) add_to_pool(w);
}

static void begin_pool(struct traffic_watch *w, const struct pool *p)
{
    w->pool_id = p->id;
    w->has_come = false;
    memset(&w->sum, 0, sizeof(w->sum));
}

static void end_pool(struct traffic_watch *w)
{
    const struct history_key key = { HISTORY_POOL, 0, w->pool_id };
    struct history_series *s = history_open(w->history, &key);
    if (s) history_add(w->history, s, w->has_come ? &w->sum : NULL);
}

/* The next object; false: there are no more. Another configuration may have come since the last piece: then somebody may
 * be left out of this round, or looked at twice, and what has come is kept a second later. */
static bool step(struct traffic_watch *w)
{
    const struct proxy *p = w->proxy;
    if (w->listener < p->listener_count) {
        const struct listener *l = p->listeners[w->listener];
        if (w->place == 0) look_at_listener(w, l);
        if (w->place < l->routes->route_count) {
            look_at_route(w, l, &l->routes->routes[w->place]);
            w->place++;
            return true;
        }
        w->place = 0;
        w->listener++;
        return true;
    }
    if (w->pool >= p->pool_count) return false;
    const struct pool *pool = p->pools[w->pool];
    if (w->place == 0) begin_pool(w, pool);
    if (w->pool_id == pool->id && w->place < pool->roster->count) {
        look_at_server(w, pool, pool->roster->places[w->place].server);
        w->place++;
        return true;
    }
    end_pool(w);
    w->place = 0;
    w->pool++;
    return true;
}

static void begin(struct traffic_watch *w)
{
    w->is_within = true;
    w->listener = w->pool = w->place = 0;
    history_begin(w->history, w->second);
}

static void go_on(struct traffic_watch *w)
{
    uint64_t begun_ns = clock_now_ns();
    for (uint32_t i = 1; step(w); i++) {
        if (i % PIECE_OBJECTS || clock_now_ns() - begun_ns < PIECE_NS) continue;
        loop_arm(w->loop, &w->timer, 1);
        return;
    }
    history_end(w->history);
    w->is_within = false;
    loop_arm(w->loop, &w->timer, ROUND_MS - loop_now_ms(w->loop) % ROUND_MS);
}

/* A round is of the second that has just ended. */
static void on_timer(struct timer *t)
{
    struct traffic_watch *w = container_of(t, struct traffic_watch, timer);
    uint64_t ended = w->loop->now_ns / NS_PER_S - 1;
    if (!w->is_within && ended == w->second) {
        loop_arm(w->loop, t, ROUND_MS - loop_now_ms(w->loop) % ROUND_MS);
        return;
    }
    if (!w->is_within) {
        w->second = ended;
        begin(w);
    }
    go_on(w);
}

static double read_memory(void *watch)
{
    return (double)history_memory(((const struct traffic_watch *)watch)->history);
}

static double read_given_up(void *watch)
{
    return (double)history_given_up(((const struct traffic_watch *)watch)->history);
}

static double read_lost(void *watch)
{
    return (double)history_lost(((const struct traffic_watch *)watch)->history);
}

static void add_meters(struct traffic_watch *w)
{
    struct metric_registry *m = w->proxy->metrics;
    metric_gauge_fn(m, "weir_history_bytes", "Memory that the history of traffic takes (admin: history).",
                    NULL, 0, read_memory, w);
    metric_counter_fn(
        m, "weir_history_given_up_total",
        "Pieces of the history of traffic that were given up for newer ones, for want of memory.", NULL, 0,
        read_given_up, w);
    metric_counter_fn(m, "weir_history_lost_total",
                      "Points of the history of traffic for which there was no memory.", NULL, 0, read_lost,
                      w);
}

int traffic_watch_new(struct traffic_watch **out, struct proxy *proxy, struct loop *loop, size_t memory_max,
                      struct err *err)
{
    struct traffic_watch *w = calloc(1, sizeof(*w));
    if (!w || history_new(&w->history, memory_max, err) < 0) {
        free(w);
        return err_set(err, "out of memory for what watches the traffic");
    }
    w->proxy = proxy;
    w->loop = loop;
    timer_init(&w->timer, on_timer);
    loop_arm(loop, &w->timer, ROUND_MS - loop_now_ms(loop) % ROUND_MS);
    add_meters(w);
    *out = w;
    return 0;
}

void traffic_watch_stop(struct traffic_watch *w)
{
    if (w) loop_disarm(w->loop, &w->timer);
}

void traffic_watch_free(struct traffic_watch *w)
{
    if (!w) return;
    traffic_watch_stop(w);
    history_free(w->history);
    free(w);
}

const struct history *traffic_watch_history(const struct traffic_watch *w)
{
    return w ? w->history : NULL;
}
