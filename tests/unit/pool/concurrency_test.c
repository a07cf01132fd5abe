/* How many exchanges a server bears is found out: the arithmetic, and a server on a virtual clock that ten times as many want
 * as it can serve. */
#include "pool/concurrency.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "crew.h"
#include "pool/pool_evidence.h"
#include "pool/pool_lease.h"
#include "pool/pool_worker.h"

static const struct concurrency_conf conf = {
    .start = 20, .least = 4, .most = 1000, .tolerance = 150, .window_ms = 200, .probe_ms = 30000
};

/* A server that does `lanes` things at a time, each in 20 ms. */
static double mean_us(double in_flight, double lanes)
{
    return 20000 * fmax(1, in_flight / lanes);
}

static uint32_t settle(struct concurrency_state *c, double lanes, uint64_t *now_ms, uint32_t windows)
{
    uint32_t limit = 0;
    for (uint32_t i = 0; i < windows; i++) {
        double busy = c->limit > 0 ? c->limit : conf.start;
        const struct concurrency_window w = { *now_ms += conf.window_ms, mean_us(busy, lanes), busy,
                                              (uint32_t)busy };
        limit = concurrency_step(c, &conf, &w);
    }
    return limit;
}

static void it_settles_at_what_a_server_does_at_a_time_and_a_few_more(void **state)
{
    (void)state;
    static const double lanes[] = { 10, 40, 200 };
    for (size_t i = 0; i < 3; i++) {
        struct concurrency_state c = { 0 };
        uint64_t now_ms = 1000;
        /* It begins with few, so that the first window shows how long an answer takes. */
        c.limit = 8;
        uint32_t limit = settle(&c, lanes[i], &now_ms, 140);
        assert_in_range(limit, lanes[i], lanes[i] * 2.2 + 4);
    }
}

static void a_server_that_gets_slower_bears_fewer_and_more_when_it_is_well_again(void **state)
{
    (void)state;
    struct concurrency_state c = { .limit = 8 };
    uint64_t now_ms = 1000;
    uint32_t well = settle(&c, 40, &now_ms, 140), ill = settle(&c, 5, &now_ms, 60);
    assert_true(ill < well / 3 && ill >= 5);
    assert_true(settle(&c, 40, &now_ms, 140) > well * 3 / 4);
}

/* It was never seen with few: the probe shows. */
static void who_was_busy_from_the_first_is_seen_with_few_by_and_by(void **state)
{
    (void)state;
    struct concurrency_state c = { .limit = 400 };
    uint64_t now_ms = 1000;
    (void)settle(&c, 10, &now_ms, 10); /* the baseline is that of 400 at a time */
    assert_true(c.baseline_us > 100000);
    uint32_t limit = settle(&c, 10, &now_ms, 1200);
    assert_true(c.baseline_us < 60000);
    assert_true(limit < 60);
}

static void what_is_not_asked_for_does_not_raise_it(void **state)
{
    (void)state;
    struct concurrency_state c = { 0 };
    for (uint32_t i = 0; i < 100; i++) {
        const struct concurrency_window w = { 1000 + 200 * i, 20000, 3, 3 };
        assert_int_equal(concurrency_step(&c, &conf, &w), conf.start);
    }
}

static void it_keeps_within_its_bounds(void **state)
{
    (void)state;
    struct concurrency_state c = { 0 };
    struct rng rng;
    rng_seed(&rng, 7);
    for (uint32_t i = 0; i < 5000; i++) {
        const struct concurrency_window w = { 1000 + 200 * i, 1 + rng_below(&rng, 10000000),
                                              rng_below(&rng, 3000), rng_below(&rng, 3000) };
        assert_in_range(concurrency_step(&c, &conf, &w), conf.least, conf.most);
    }
}

static uint32_t observe(struct concurrency *c, struct balance_peer *peer, int count, uint64_t now_ms)
{
    uint32_t more = 0;
    for (int i = 0; i < count; i++) more += concurrency_observe(c, &conf, peer, 20000, now_ms);
    return more;
}

static void a_window_ends_when_it_is_time_and_enough_has_come(void **state)
{
    (void)state;
    struct concurrency c = { .window_from_ms = 1000 };
    struct balance_peer peer = { .in_flight = 20 };
    concurrency_set(&c, &conf, &peer, 0);
    assert_int_equal(peer.cap, conf.start);
    assert_int_equal(observe(&c, &peer, 9, 1300), 0);
    assert_true(observe(&c, &peer, 1, 1300) > 0);
    assert_int_equal(observe(&c, &peer, 30, 1400), 0);
    assert_true(observe(&c, &peer, 1, 1500) > 0);
    assert_true(peer.cap > conf.start);
}

/* Twenty tunnels, and four at a time that are answered within 20 ms: whatever else it is, the limit lets somebody in. */
static void who_has_an_answer_and_goes_on_is_not_reckoned_with_those_who_wait(void **state)
{
    (void)state;
    struct concurrency c = { .window_from_ms = 1000 };
    struct balance_peer peer = { .in_flight = 24 };
    struct concurrency_conf own = conf;
    uint64_t now_ms = 1000;
    own.most = 24;
    concurrency_set(&c, &own, &peer, 0);
    uint32_t probes = 0;
    for (uint32_t i = 0; i < 200; i++) {
        for (uint32_t k = 0; k < 40; k++)
            (void)concurrency_observe(&c, &own, &peer, 20000, now_ms += own.window_ms / 40);
        if (i > 10) assert_true(peer.cap > 20);
        if (c.state.probe_windows) probes++;
    }
    assert_true(probes > 0);
    /* Its answers take ten times as long. */
    for (uint32_t i = 0; i < 200; i++) {
        for (uint32_t k = 0; k < 4; k++)
            (void)concurrency_observe(&c, &own, &peer, 200000, now_ms += own.window_ms / 4);
        assert_true(peer.cap > 20);
    }
}

static void another_configuration_goes_on_from_where_it_is(void **state)
{
    (void)state;
    struct concurrency c = { .window_from_ms = 1000 };
    struct balance_peer peer = { .in_flight = 20 };
    struct concurrency_conf other = conf;
    concurrency_set(&c, NULL, &peer, 7);
    assert_int_equal(peer.cap, 7);
    /* A worker that has yet to hear of it changes nothing. */
    assert_int_equal(observe(&c, &peer, 50, 5000), 0);
    assert_int_equal(peer.cap, 7);
    concurrency_set(&c, &conf, &peer, 0);
    assert_int_equal(peer.cap, conf.start);
    other.most = 9;
    concurrency_set(&c, &other, &peer, 0);
    assert_int_equal(peer.cap, 9);
    concurrency_set(&c, &conf, &peer, 0);
    assert_int_equal(peer.cap, 9);
    concurrency_set(&c, &conf, &peer, 5);
    assert_int_equal(peer.cap, 5);
    observe(&c, &peer, 50, 9000);
    assert_true(peer.cap <= 5);
    concurrency_set(&c, NULL, &peer, 0);
    assert_int_equal(peer.cap, 0);
}

/* A rush: a pool with a queue of a second before a server that does ten things at a time, each in 20 ms: 500 a second. */

#define LANES 10
#define SERVICE_MS 20
#define QUEUE_MS 1000
#define RUSH_MS 40000
#define EACH_MS 5 /* so many come in a millisecond: ten times what can be served */
#define ALL (RUSH_MS * EACH_MS)

struct client {
    struct pool_waiter w;
    uint64_t asked_ms, begun_ms;
    bool is_at_server;
};

struct rush {
    struct crew crew;
    struct rng rng;
    struct client *clients;
    uint32_t asked, oldest;
    uint32_t *at_server, at_count, at_first; /* in the order in which they came there */
    uint64_t done_ms[LANES];                 /* what each lane is at; 0: nothing */
    uint32_t lanes[LANES];
    uint32_t served, refused, most;
    uint32_t *took_ms;
};

static struct rush rush;

static uint32_t worker_of(const struct rush *r, const struct client *c)
{
    return (uint32_t)(c - r->clients) % r->crew.worker_count;
}

static struct server *only(struct rush *r)
{
    return r->crew.pool->roster->places[0].server;
}

static void begin(struct rush *r, struct client *c)
{
    c->is_at_server = true;
    c->begun_ms = r->crew.now_ms;
    r->at_server[r->at_count++] = (uint32_t)(c - r->clients);
}

static void on_turn(struct pool_waiter *w)
{
    struct client *c = container_of(w, struct client, w);
    struct pool_worker *pw = rush.crew.workers[worker_of(&rush, c)];
    assert_true(pool_enter(pw, pool_offered(pw)));
    begin(&rush, c);
}

static void on_displaced(struct pool_waiter *w)
{
    (void)w; /* refused at once */
}

static void arrive(struct rush *r)
{
    struct client *c = &r->clients[r->asked++];
    *c = (struct client){
        .w = { .on_turn = on_turn, .on_displaced = on_displaced, .priority = POOL_PRIORITY_NORMAL },
        .asked_ms = r->crew.now_ms
    };
    list_init(&c->w.link);
    struct pool_worker *pw = r->crew.workers[worker_of(r, c)];
    if (pool_enter(pw, only(r)))
        begin(r, c);
    else if (!pool_wait(pw, &c->w, false))
        r->refused++;
}

static void give_up_the_late(struct rush *r)
{
    for (; r->oldest < r->asked; r->oldest++) {
        struct client *c = &r->clients[r->oldest];
        if (r->crew.now_ms - c->asked_ms < QUEUE_MS) return;
        if (c->is_at_server || list_is_empty(&c->w.link)) continue;
        pool_waited_in_vain(r->crew.workers[worker_of(r, c)]);
        pool_stop_waiting(r->crew.workers[worker_of(r, c)], &c->w);
    }
}

static void end(struct rush *r, uint32_t lane)
{
    struct client *c = &r->clients[r->lanes[lane]];
    struct pool_worker *pw = r->crew.workers[worker_of(r, c)];
    r->done_ms[lane] = 0;
    r->took_ms[r->served++] = (uint32_t)(r->crew.now_ms - c->asked_ms);
    const struct pool_evidence e = { .kind = POOL_ANSWERED,
                                     .status = 200,
                                     .value = (r->crew.now_ms - c->begun_ms) * NS_PER_MS };
    pool_attempt_ended(pw, NULL, only(r), &e);
    pool_leave(pw, only(r));
}

static void serve(struct rush *r)
{
    for (uint32_t lane = 0; lane < LANES; lane++) {
        if (r->done_ms[lane] && r->crew.now_ms >= r->done_ms[lane]) end(r, lane);
        if (r->done_ms[lane] || r->at_first == r->at_count) continue;
        r->lanes[lane] = r->at_server[r->at_first++];
        r->done_ms[lane] = r->crew.now_ms + SERVICE_MS / 2 + rng_below(&r->rng, SERVICE_MS + 1);
    }
}

static int by_size(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void run_rush(uint32_t workers, uint32_t start)
{
    struct rush *r = &rush;
    struct concurrency_conf own = conf;
    own.start = start;
    memset(r, 0, sizeof(*r));
    r->clients = calloc(ALL, sizeof(*r->clients));
    r->at_server = calloc(ALL, sizeof(*r->at_server));
    r->took_ms = calloc(ALL, sizeof(*r->took_ms));
    assert_true(r->clients && r->at_server && r->took_ms);
    rng_seed(&r->rng, 11 + workers);
    crew_init(&r->crew, "least_request", 1);
    r->crew.conf.queue = (struct pool_queue_conf){ .length = 2000, .order = POOL_QUEUE_ADAPTIVE };
    r->crew.conf.timeouts.queue_ms = QUEUE_MS;
    r->crew.conf.concurrency.adaptive = &own;
    crew_start(&r->crew, workers);
    for (uint32_t ms = 0; ms < RUSH_MS; ms++) {
        crew_pass_time(&r->crew, 1);
        for (int i = 0; i < EACH_MS; i++) arrive(r);
        give_up_the_late(r);
        serve(r);
        crew_turns(&r->crew, 1);
        uint32_t in_flight = only(r)->peer.in_flight;
        if (in_flight > r->most) r->most = in_flight;
    }
    uint32_t limit = only(r)->peer.cap, served = r->served;
    qsort(r->took_ms, served, sizeof(*r->took_ms), by_size);
    uint32_t p99_ms = r->took_ms[served - served / 100 - 1];
    uint32_t capacity = RUSH_MS / SERVICE_MS * LANES;
    print_message("%u workers from %u: served %u of %u, p99 %u ms, limit %u, most at the server %u\n",
                  workers, start, served, capacity, p99_ms, limit, r->most);
    assert_true(served >= capacity * 9 / 10);
    assert_true(p99_ms <= 2 * QUEUE_MS);
    assert_in_range(limit, LANES, 4 * LANES);
    /* All of it comes back. */
    for (uint32_t i = 0; i < r->asked; i++)
        if (!list_is_empty(&r->clients[i].w.link))
            pool_stop_waiting(r->crew.workers[worker_of(r, &r->clients[i])], &r->clients[i].w);
    for (uint32_t n = 0; n < 10000; n++) {
        crew_pass_time(&r->crew, 1);
        serve(r);
        crew_turns(&r->crew, 1);
    }
    assert_int_equal(only(r)->peer.in_flight, 0);
    crew_stop(&r->crew);
    free(r->clients);
    free(r->at_server);
    free(r->took_ms);
}

static void ten_times_as_many_as_can_be_served_are_served_as_well_as_can_be(void **state)
{
    (void)state;
    run_rush(1, 20);
    run_rush(3, 20);
    run_rush(1, 200); /* it begins with far too many */
}

/* By the operator or by itself: a server whose queue never empties comes down to it. */
static void a_lower_cap_holds_although_somebody_always_waits(void **state)
{
    (void)state;
    struct crew c;
    struct client w[12];
    crew_init(&c, "least_request", 1);
    c.servers[0].max_requests = 6;
    c.conf.queue = (struct pool_queue_conf){ .length = 100, .order = POOL_QUEUE_FIRST_COME };
    c.conf.timeouts.queue_ms = QUEUE_MS;
    crew_start(&c, 1);
    struct server *s = c.pool->roster->places[0].server;
    memset(&rush, 0, sizeof(rush));
    rush.crew.worker_count = 1;
    rush.crew.workers[0] = c.workers[0];
    uint32_t places[12];
    rush.clients = w;
    rush.at_server = places;
    for (int i = 0; i < 6; i++) assert_true(pool_enter(c.workers[0], s));
    for (int i = 0; i < 12; i++) {
        w[i] = (struct client){
            .w = { .on_turn = on_turn, .on_displaced = on_displaced, .priority = POOL_PRIORITY_NORMAL }
        };
        list_init(&w[i].w.link);
        assert_true(pool_wait(c.workers[0], &w[i].w, false));
    }
    server_set_caps(s, 2, 0, NULL);
    for (int i = 0; i < 4; i++) {
        pool_leave(c.workers[0], s);
        crew_turns(&c, 2);
        assert_int_equal(rush.at_count, 0);
    }
    assert_int_equal(s->peer.in_flight, 2);
    pool_leave(c.workers[0], s);
    crew_turns(&c, 2);
    assert_int_equal(rush.at_count, 1);
    assert_int_equal(s->peer.in_flight, 2);
    for (int i = 0; i < 12; i++)
        if (!list_is_empty(&w[i].w.link)) pool_stop_waiting(c.workers[0], &w[i].w);
    for (int i = 0; i < 2; i++) pool_leave(c.workers[0], s);
    crew_turns(&c, 2);
    crew_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_settles_at_what_a_server_does_at_a_time_and_a_few_more),
        cmocka_unit_test(a_server_that_gets_slower_bears_fewer_and_more_when_it_is_well_again),
        cmocka_unit_test(who_was_busy_from_the_first_is_seen_with_few_by_and_by),
        cmocka_unit_test(what_is_not_asked_for_does_not_raise_it),
        cmocka_unit_test(it_keeps_within_its_bounds),
        cmocka_unit_test(a_window_ends_when_it_is_time_and_enough_has_come),
        cmocka_unit_test(who_has_an_answer_and_goes_on_is_not_reckoned_with_those_who_wait),
        cmocka_unit_test(another_configuration_goes_on_from_where_it_is),
        cmocka_unit_test(ten_times_as_many_as_can_be_served_are_served_as_well_as_can_be),
        cmocka_unit_test(a_lower_cap_holds_although_somebody_always_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
