/* Whose turn is next: classes, who came last once not all can be served, and who makes way where the queue is full. */
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "crew.h"
#include "pool/pool_lease.h"

#define QUEUE_MS 1000

struct waiter {
    struct pool_waiter w;
    struct crew *crew;
    uint32_t number, worker;
    struct server *got;
    bool is_displaced;
};

static uint32_t order[64], turns;

static void on_turn(struct pool_waiter *pw)
{
    struct waiter *w = container_of(pw, struct waiter, w);
    struct pool_worker *worker = w->crew->workers[w->worker];
    w->got = pool_offered(worker);
    assert_true(pool_enter(worker, w->got));
    order[turns++] = w->number;
}

static void on_displaced(struct pool_waiter *pw)
{
    struct waiter *w = container_of(pw, struct waiter, w);
    assert_false(w->is_displaced);
    assert_true(list_is_empty(&pw->link));
    w->is_displaced = true;
}

static void start(struct crew *c, uint32_t workers, uint32_t length)
{
    crew_init(c, "least_request", 1);
    c->servers[0].max_connections = 1;
    c->conf.queue.length = length;
    c->conf.timeouts.queue_ms = QUEUE_MS;
    crew_start(c, workers);
    turns = 0;
}

static struct server *only(struct crew *c)
{
    return c->pool->roster->places[0].server;
}

/* A millisecond after the one before. */
static bool ask(struct waiter *w, struct crew *c, uint32_t number, uint32_t worker,
                enum pool_priority priority)
{
    crew_pass_time(c, 1);
    *w = (struct waiter){
        .w = { .on_turn = on_turn, .on_displaced = on_displaced, .priority = (uint8_t)priority },
        .crew = c,
        .number = number,
        .worker = worker,
    };
    list_init(&w->w.link);
    return pool_wait(c->workers[worker], &w->w, false);
}

/* Each is served when the one before is done: the order in which they are. */
static void serve_all(struct crew *c, uint32_t holder, struct waiter *w, uint32_t count)
{
    for (uint32_t i = 0; i <= count; i++) {
        pool_leave(c->workers[holder], only(c));
        crew_turns(c, 3);
        if (i == count) break;
        assert_int_equal(turns, i + 1);
        holder = w[order[i]].worker;
    }
}

static void higher_classes_go_first_on_whatever_worker(void **state)
{
    (void)state;
    static const uint8_t priorities[] = { POOL_PRIORITY_LOW,    POOL_PRIORITY_NORMAL, POOL_PRIORITY_LOW,
                                          POOL_PRIORITY_HIGH,   POOL_PRIORITY_NORMAL, POOL_PRIORITY_HIGH,
                                          POOL_PRIORITY_NORMAL, POOL_PRIORITY_LOW };
    static const uint32_t expected[] = { 3, 5, 1, 4, 6, 0, 2, 7 };
    for (uint32_t workers = 1; workers <= 3; workers++) {
        struct crew c;
        struct waiter w[8];
        start(&c, workers, 64);
        assert_true(pool_enter(c.workers[0], only(&c)));
        for (uint32_t i = 0; i < 8; i++)
            assert_true(ask(&w[i], &c, i, i % workers, (enum pool_priority)priorities[i]));
        serve_all(&c, 0, w, 8);
        assert_memory_equal(order, expected, sizeof(expected));
        crew_stop(&c);
    }
}

static void after_a_refusal_who_came_last_is_next_until_there_was_none_for_a_while(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 3; workers++) {
        for (uint32_t is_calm = 0; is_calm < 2; is_calm++) {
            struct crew c;
            struct waiter w[6];
            start(&c, workers, 64);
            assert_true(pool_enter(c.workers[0], only(&c)));
            pool_waited_in_vain(c.workers[workers - 1]);
            if (is_calm) crew_pass_time(&c, QUEUE_MS);
            for (uint32_t i = 0; i < 6; i++)
                assert_true(ask(&w[i], &c, i, i % workers, POOL_PRIORITY_NORMAL));
            serve_all(&c, 0, w, 6);
            for (uint32_t i = 0; i < 6; i++) assert_int_equal(order[i], is_calm ? i : 5 - i);
            crew_stop(&c);
        }
    }
}

static void whoever_wants_it_first_come_first_served_has_it_so(void **state)
{
    (void)state;
    struct crew c;
    struct waiter w[4];
    crew_init(&c, "least_request", 1);
    c.servers[0].max_connections = 1;
    c.conf.queue = (struct pool_queue_conf){ 3, POOL_QUEUE_FIRST_COME };
    c.conf.timeouts.queue_ms = QUEUE_MS;
    crew_start(&c, 1);
    turns = 0;
    assert_true(pool_enter(c.workers[0], only(&c)));
    for (uint32_t i = 0; i < 3; i++) assert_true(ask(&w[i], &c, i, 0, POOL_PRIORITY_NORMAL));
    assert_false(ask(&w[3], &c, 3, 0, POOL_PRIORITY_NORMAL));
    serve_all(&c, 0, w, 3);
    for (uint32_t i = 0; i < 3; i++) assert_int_equal(order[i], i);
    crew_stop(&c);
}

static void a_full_queue_makes_way_for_a_higher_class(void **state)
{
    (void)state;
    struct crew c;
    struct waiter w[5];
    start(&c, 1, 3);
    assert_true(pool_enter(c.workers[0], only(&c)));
    assert_true(ask(&w[0], &c, 0, 0, POOL_PRIORITY_LOW));
    assert_true(ask(&w[1], &c, 1, 0, POOL_PRIORITY_NORMAL));
    assert_true(ask(&w[2], &c, 2, 0, POOL_PRIORITY_LOW));
    assert_true(ask(&w[3], &c, 3, 0, POOL_PRIORITY_HIGH));
    /* The low one that has waited longest, as not all can be served; told from the loop. */
    assert_false(w[0].is_displaced);
    crew_turns(&c, 1);
    assert_true(w[0].is_displaced);
    assert_false(w[1].is_displaced || w[2].is_displaced);
    assert_true(ask(&w[4], &c, 4, 0, POOL_PRIORITY_LOW));
    crew_turns(&c, 1);
    assert_true(w[2].is_displaced); /* who comes last goes before those of his own class */
    assert_int_equal(c.workers[0]->queue_length, 3);
    static const uint32_t expected[] = { 3, 1, 4 };
    serve_all(&c, 0, w, 3);
    assert_memory_equal(order, expected, sizeof(expected));
    struct waiter high[3], low;
    assert_true(pool_enter(c.workers[0], only(&c)));
    for (uint32_t k = 0; k < 3; k++) assert_true(ask(&high[k], &c, k, 0, POOL_PRIORITY_HIGH));
    assert_false(ask(&low, &c, 3, 0, POOL_PRIORITY_LOW)); /* there is nobody lower */
    turns = 0;
    serve_all(&c, 0, high, 3);
    crew_stop(&c);
}

static void under_overload_the_oldest_makes_way_for_the_newest(void **state)
{
    (void)state;
    struct crew c;
    struct waiter w[4];
    start(&c, 1, 2);
    assert_true(pool_enter(c.workers[0], only(&c)));
    assert_true(ask(&w[0], &c, 0, 0, POOL_PRIORITY_NORMAL));
    assert_true(ask(&w[1], &c, 1, 0, POOL_PRIORITY_NORMAL));
    assert_true(
        ask(&w[2], &c, 2, 0, POOL_PRIORITY_NORMAL)); /* by which it is known that not all can be served */
    assert_true(ask(&w[3], &c, 3, 0, POOL_PRIORITY_NORMAL));
    crew_turns(&c, 1);
    assert_true(w[0].is_displaced && w[1].is_displaced && !w[2].is_displaced && !w[3].is_displaced);
    serve_all(&c, 0, w, 2);
    assert_int_equal(order[0], 3);
    assert_int_equal(order[1], 2);
    crew_stop(&c);
}

static void who_goes_before_he_is_told_that_he_was_displaced_is_not_told(void **state)
{
    (void)state;
    struct crew c;
    struct waiter w[2];
    start(&c, 1, 1);
    assert_true(pool_enter(c.workers[0], only(&c)));
    assert_true(ask(&w[0], &c, 0, 0, POOL_PRIORITY_LOW));
    assert_true(ask(&w[1], &c, 1, 0, POOL_PRIORITY_HIGH));
    pool_stop_waiting(c.workers[0], &w[0].w); /* his client has gone */
    crew_turns(&c, 2);
    assert_false(w[0].is_displaced);
    assert_int_equal(c.workers[0]->queue_length, 1);
    serve_all(&c, 0, &w[0], 1);
    crew_stop(&c);
}

/* A slot that was on its way to him is another's, on whatever worker. */
static void what_was_meant_for_who_made_way_goes_on(void **state)
{
    (void)state;
    struct crew c;
    struct waiter w[3];
    start(&c, 2, 1);
    assert_true(pool_enter(c.workers[0], only(&c)));
    assert_true(ask(&w[0], &c, 0, 0, POOL_PRIORITY_LOW));
    pool_leave(c.workers[0], only(&c)); /* to worker 0, in its next turn */
    assert_true(ask(&w[1], &c, 1, 0, POOL_PRIORITY_HIGH));
    pool_stop_waiting(c.workers[0], &w[1].w);
    assert_true(ask(&w[2], &c, 2, 1, POOL_PRIORITY_NORMAL));
    crew_turns(&c, 4);
    assert_true(w[0].is_displaced);
    assert_int_equal(turns, 1);
    assert_int_equal(order[0], 2);
    pool_leave(c.workers[1], only(&c));
    crew_turns(&c, 3);
    crew_stop(&c);
}

/* Whatever happens in whatever order: no slot is lost, everybody is told one thing once, and all counts come back. */

#define CLIENTS 48

static void nothing_is_lost_whatever_the_order_of_events(void **state)
{
    (void)state;
    static struct waiter w[CLIENTS];
    uint32_t served = 0, displaced = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct crew c;
        struct rng rng;
        bool waits[CLIENTS] = { false };
        rng_seed(&rng, seed);
        crew_init(&c, "least_request", 2);
        c.servers[0].max_connections = 1 + rng_below(&rng, 2);
        c.servers[1].max_connections = 1;
        c.conf.queue.length = 2 + rng_below(&rng, 8);
        c.conf.timeouts.queue_ms = 20;
        crew_start(&c, 1 + rng_below(&rng, CREW_WORKERS_MAX));
        for (uint32_t i = 0; i < CLIENTS; i++) list_init(&w[i].w.link);
        for (uint32_t at = 0; at < 3000; at++) {
            uint32_t i = rng_below(&rng, CLIENTS), worker = rng_below(&rng, c.worker_count);
            turns = 0;
            if (waits[i] && (w[i].got || w[i].is_displaced)) {
                served += w[i].got != NULL;
                displaced += w[i].is_displaced;
                assert_false(w[i].got && w[i].is_displaced);
                if (w[i].got) pool_leave(c.workers[w[i].worker], w[i].got);
                waits[i] = false;
            } else if (!waits[i]) {
                waits[i] = ask(&w[i], &c, i, worker, (enum pool_priority)rng_below(&rng, 3));
            } else if (!rng_below(&rng, 8)) {
                if (rng_below(&rng, 2)) pool_waited_in_vain(c.workers[w[i].worker]);
                pool_stop_waiting(c.workers[w[i].worker], &w[i].w);
                waits[i] = false;
            }
            if (!rng_below(&rng, 3)) loop_turn(&c.loops[rng_below(&rng, c.worker_count)], 0);
            if (!rng_below(&rng, 16)) crew_pass_time(&c, 1 + rng_below(&rng, 40));
        }
        for (uint32_t i = 0; i < CLIENTS; i++)
            if (waits[i] && !w[i].got) pool_stop_waiting(c.workers[w[i].worker], &w[i].w);
        for (uint32_t i = 0; i < CLIENTS; i++)
            if (waits[i] && w[i].got) pool_leave(c.workers[w[i].worker], w[i].got);
        turns = 0;
        crew_turns(&c, 5);
        crew_stop(&c);
    }
    print_message("%u served, %u displaced\n", served, displaced);
    assert_true(served > 5000 && displaced > 5000);
}

/* Ten times as many as can be served, for a minute: 50 a second can, each waits for a second at the most. */

#define RUSH_MS 60000
#define SERVICE_MS 20
#define EVERY_MS 2

struct rush {
    uint32_t served;
    uint64_t median_ms, p99_ms;
};

static int by_size(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static struct rush rush(enum pool_queue_order queue_order)
{
    enum { ALL = RUSH_MS / EVERY_MS };
    static struct waiter w[ALL];
    static uint64_t asked_ms[ALL];
    static uint32_t waited_ms[ALL];
    struct crew c;
    struct rush r = { 0 };
    uint32_t asked = 0, oldest = 0, done_at = 0, holder = 0;
    crew_init(&c, "least_request", 1);
    c.servers[0].max_connections = 1;
    c.conf.queue = (struct pool_queue_conf){ 10000, queue_order };
    c.conf.timeouts.queue_ms = QUEUE_MS;
    crew_start(&c, 1);
    assert_true(pool_enter(c.workers[0], only(&c)));
    for (uint32_t ms = 0; ms < RUSH_MS; ms++) {
        turns = 0;
        if (ms % EVERY_MS == 0) {
            asked_ms[asked] = c.now_ms;
            assert_true(ask(&w[asked], &c, asked, 0, POOL_PRIORITY_NORMAL));
            asked++;
        } else {
            crew_pass_time(&c, 1);
        }
        for (; oldest < asked && c.now_ms - asked_ms[oldest] >= QUEUE_MS; oldest++) {
            if (list_is_empty(&w[oldest].w.link)) continue;
            pool_waited_in_vain(c.workers[0]);
            pool_stop_waiting(c.workers[0], &w[oldest].w);
        }
        if (ms >= done_at) {
            pool_leave(c.workers[0], only(&c));
            crew_turns(&c, 2);
            assert_int_equal(turns, 1);
            holder = order[0];
            waited_ms[r.served++] = (uint32_t)(c.now_ms - asked_ms[holder]);
            done_at = ms + SERVICE_MS;
        }
    }
    for (uint32_t i = oldest; i < asked; i++) pool_stop_waiting(c.workers[0], &w[i].w);
    pool_leave(c.workers[0], only(&c));
    crew_turns(&c, 2);
    crew_stop(&c);
    qsort(waited_ms, r.served, sizeof(*waited_ms), by_size);
    r.median_ms = waited_ms[r.served / 2];
    r.p99_ms = waited_ms[r.served * 99 / 100];
    return r;
}

static void ten_times_too_many_are_served_as_well_as_can_be(void **state)
{
    (void)state;
    struct rush adaptive = rush(POOL_QUEUE_ADAPTIVE), first_come = rush(POOL_QUEUE_FIRST_COME);
    print_message("first_come: %u served, waited %u ms (median), %u ms (p99); adaptive: %u, %u, %u\n",
                  first_come.served, (unsigned)first_come.median_ms, (unsigned)first_come.p99_ms,
                  adaptive.served, (unsigned)adaptive.median_ms, (unsigned)adaptive.p99_ms);
    /* Nobody's slot stands idle. */
    assert_true(adaptive.served >= RUSH_MS / SERVICE_MS * 9 / 10);
    assert_true(first_come.served >= RUSH_MS / SERVICE_MS * 9 / 10);
    assert_true(first_come.median_ms > QUEUE_MS * 9 / 10);
    assert_true(adaptive.median_ms <= EVERY_MS * 2);
    /* The first second, before anybody had been refused, is in it. */
    assert_true(adaptive.p99_ms <= QUEUE_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(higher_classes_go_first_on_whatever_worker),
        cmocka_unit_test(after_a_refusal_who_came_last_is_next_until_there_was_none_for_a_while),
        cmocka_unit_test(whoever_wants_it_first_come_first_served_has_it_so),
        cmocka_unit_test(a_full_queue_makes_way_for_a_higher_class),
        cmocka_unit_test(under_overload_the_oldest_makes_way_for_the_newest),
        cmocka_unit_test(who_goes_before_he_is_told_that_he_was_displaced_is_not_told),
        cmocka_unit_test(what_was_meant_for_who_made_way_goes_on),
        cmocka_unit_test(nothing_is_lost_whatever_the_order_of_events),
        cmocka_unit_test(ten_times_too_many_are_served_as_well_as_can_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
