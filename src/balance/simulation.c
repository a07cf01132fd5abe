#include "balance/simulation.h"

#include <stdlib.h>
#include <string.h>

/* A request that a server has, until it is answered. */
struct departure {
    uint64_t at_ns, picked_ns;
    uint32_t server;
    bool is_failure;
};

struct simulation {
    struct simulation_conf conf;
    struct rng rng;
    char *states; /* of the workers */
    size_t state_size;
    uint64_t now_ns;
    uint64_t *free_at;            /* [server * slots + slot]: a heap for each server, the earliest first */
    struct departure *departures; /* a heap, the earliest first */
    uint32_t departure_count, departure_room;
    struct simulation_request *queue; /* a ring: who waits for a server under its cap */
    uint32_t queue_head, queue_count;
    struct simulation_server *servers;
    struct simulation_result result;
};

/* A request has a connection to itself: none is kept for the next. */
static void leave(struct balance_peer *peer)
{
    atomic_fetch_sub_explicit(&peer->in_flight, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&peer->open_connections, 1, memory_order_relaxed);
}

int simulation_new(struct simulation **out, const struct simulation_conf *conf, struct err *err)
{
    struct simulation *s = calloc(1, sizeof(*s));
    if (!s) return err_set(err, "out of memory for a simulation");
    s->conf = *conf;
    s->state_size = (conf->method->state_size + conf->count * conf->method->state_size_per_peer + 63) / 64 *
                    64;
    s->departure_room = 4096;
    s->states = calloc(conf->worker_count, s->state_size + 64);
    s->free_at = calloc((size_t)conf->count * conf->slots, sizeof(*s->free_at));
    s->departures = malloc(s->departure_room * sizeof(*s->departures));
    s->servers = calloc(conf->count, sizeof(*s->servers));
    s->result.servers = s->servers;
    rng_seed(&s->rng, conf->seed);
    if (s->states && s->free_at && s->departures && s->servers) {
        *out = s;
        return 0;
    }
    simulation_free(s);
    return err_set(err, "out of memory for a simulation of %u servers", conf->count);
}

void simulation_free(struct simulation *s)
{
    if (!s) return;
    for (uint32_t i = 0; s->departures && i < s->departure_count; i++)
        leave(s->conf.peers[s->departures[i].server]);
    free(s->states);
    free(s->free_at);
    free(s->departures);
    free(s->queue);
    free(s->servers);
    free(s);
}

/* heaps */

static void push_departure(struct simulation *s, const struct departure *d)
{
    uint32_t at = s->departure_count++;
    while (at && s->departures[(at - 1) / 2].at_ns > d->at_ns) {
        s->departures[at] = s->departures[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    s->departures[at] = *d;
}

static struct departure pop_departure(struct simulation *s)
{
    struct departure first = s->departures[0], last = s->departures[--s->departure_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= s->departure_count) break;
        if (child + 1 < s->departure_count && s->departures[child + 1].at_ns < s->departures[child].at_ns)
            child++;
        if (s->departures[child].at_ns >= last.at_ns) break;
        s->departures[at] = s->departures[child];
        at = child;
    }
    s->departures[at] = last;
    return first;
}

/* Takes the slot that is free first, until `until(start)`; returns when service begins. */
static uint64_t take_slot(struct simulation *s, uint32_t server, uint64_t service_ns)
{
    uint64_t *heap = s->free_at + (size_t)server * s->conf.slots;
    uint64_t start = heap[0] > s->now_ns ? heap[0] : s->now_ns, end = start + service_ns;
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= s->conf.slots) break;
        if (child + 1 < s->conf.slots && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= end) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = end;
    return start;
}

/* requests */

static bool has_room(struct simulation *s)
{
    if (s->departure_count < s->departure_room) return true;
    size_t room = (size_t)s->departure_room * 2;
    if (!room || room > SIMULATION_OUTSTANDING_MAX) return false;
    struct departure *more = realloc(s->departures, room * sizeof(*more));
    if (!more) return false;
    s->departures = more;
    s->departure_room = (uint32_t)room;
    return true;
}

static bool draw_failure(struct simulation *s, uint32_t server)
{
    if (!s->conf.failures || !(s->conf.failures[server] > 0)) return false;
    return (double)(rng_next(&s->rng) >> 11) * 0x1p-53 < s->conf.failures[server];
}

static void count_response(struct simulation *s, const struct simulation_request *r,
                           const struct departure *d, uint64_t start_ns)
{
    s->result.requests++;
    if (d->at_ns > s->result.last_ns) s->result.last_ns = d->at_ns;
    if (d->is_failure) {
        s->result.failures++;
        s->servers[d->server].failures++;
        return;
    }
    s->result.wait[histogram_index((start_ns - r->at_ns) / 1000)]++;
    s->result.response[histogram_index((d->at_ns - r->at_ns) / 1000)]++;
}

static void serve(struct simulation *s, const struct simulation_request *r, uint32_t server)
{
    struct simulation_server *to = &s->servers[server];
    bool fails = draw_failure(s, server);
    uint64_t service_ns = fails ? SIMULATION_FAILURE_NS : r->service_ns;
    service_ns = (uint64_t)((double)service_ns / s->conf.speeds[server]);
    uint64_t start_ns = take_slot(s, server, service_ns);
    struct departure d = { start_ns + service_ns, s->now_ns, server, fails || r->is_failure };
    atomic_fetch_add_explicit(&s->conf.peers[server]->open_connections, 1, memory_order_relaxed);
    uint32_t outstanding =
        atomic_fetch_add_explicit(&s->conf.peers[server]->in_flight, 1, memory_order_relaxed) + 1;
    if (outstanding > to->outstanding_max) to->outstanding_max = outstanding;
    to->requests++;
    to->busy_ns += service_ns;
    count_response(s, r, &d, start_ns);
    push_departure(s, &d);
}

/* False: all are at their caps. */
static bool place(struct simulation *s, const struct simulation_request *r)
{
    uint32_t worker = s->conf.worker_count > 1 ? rng_below(&s->rng, s->conf.worker_count) : 0;
    struct balance b = { s->conf.method, s->conf.table, s->states + worker * s->state_size };
    struct balance_choice choice = { .peer = BALANCE_NONE, .reason = BALANCE_ALL_TRIED };
    struct balance_query q = { .peers = (const struct balance_peer *const *)s->conf.peers,
                               .peer_count = s->conf.count,
                               .hash = r->hash,
                               .now_ns = s->now_ns,
                               .rng = &s->rng };
    if (s->conf.count && has_room(s)) balance_pick(&b, &q, &choice);
    if (choice.peer != BALANCE_NONE)
        serve(s, r, choice.peer);
    else if (choice.reason == BALANCE_ALL_FULL)
        return false;
    else
        s->result.refused++;
    return true;
}

static void wait(struct simulation *s, const struct simulation_request *r)
{
    if (!s->queue) s->queue = malloc(SIMULATION_OUTSTANDING_MAX * sizeof(*s->queue));
    if (!s->queue || s->queue_count == SIMULATION_OUTSTANDING_MAX) {
        s->result.refused++;
        return;
    }
    s->queue[(s->queue_head + s->queue_count++) % SIMULATION_OUTSTANDING_MAX] = *r;
    s->result.queued++;
}

static void depart(struct simulation *s)
{
    struct departure d = pop_departure(s);
    struct balance_peer *peer = s->conf.peers[d.server];
    struct balance_outcome outcome = { .now_ns = d.at_ns,
                                       .latency_ns = d.at_ns - d.picked_ns,
                                       .is_error = d.is_failure };
    s->now_ns = d.at_ns;
    leave(peer);
    if (s->conf.method->observe) s->conf.method->observe(s->conf.table, peer, &outcome);
    if (!s->queue_count || !place(s, &s->queue[s->queue_head])) return;
    s->queue_head = (s->queue_head + 1) % SIMULATION_OUTSTANDING_MAX;
    s->queue_count--;
}

void simulation_add(struct simulation *s, const struct simulation_request *r)
{
    while (s->departure_count && s->departures[0].at_ns <= r->at_ns) depart(s);
    s->now_ns = r->at_ns;
    /* A request that comes later waits behind those that wait already. */
    if (s->queue_count || !place(s, r)) wait(s, r);
}

const struct simulation_result *simulation_end(struct simulation *s)
{
    while (s->departure_count) depart(s);
    return &s->result;
}
