/* The queue across workers: who waits longest is next, slots are handed over and never lost. */
#include <stdlib.h>
#include <string.h>

#include "crew.h"

#include "pool/pool_lease.h"

struct waiter {
    struct pool_waiter w;
    struct crew *crew;
    uint32_t number, worker;
    struct server *got;
};

static uint32_t turn_order[64], turn_count;

static void on_turn(struct pool_waiter *pw)
{
    struct waiter *w = container_of(pw, struct waiter, w);
    struct pool_worker *worker = w->crew->workers[w->worker];
    w->got = pool_offered(worker);
    assert_non_null(w->got);
    assert_true(pool_enter(worker, w->got));
    assert_null(pool_offered(worker));
    turn_order[turn_count++] = w->number;
}

/* A millisecond after the one before. */
static void wait_in_line(struct waiter *w, struct crew *c, uint32_t worker, uint32_t number)
{
    crew_pass_time(c, 1);
    *w = (struct waiter){ .w = { .on_turn = on_turn }, .crew = c, .number = number, .worker = worker };
    list_init(&w->w.link);
    assert_true(pool_wait(c->workers[worker], &w->w, false));
}

static void start(struct crew *c, uint32_t servers, uint32_t cap, uint32_t workers)
{
    crew_init(c, "least_request", servers);
    for (uint32_t i = 0; i < servers; i++) c->servers[i].max_connections = cap;
    crew_start(c, workers);
    turn_count = 0;
}

static void who_waits_longest_is_next_on_whatever_worker(void **state)
{
    (void)state;
    static const uint32_t workers[] = { 2, 2, 0, 2, 1, 0, 0, 1 };
    struct crew c;
    struct waiter w[8];
    start(&c, 1, 1, 3);
    struct server *s = c.pool->roster->places[0].server;
    assert_true(pool_enter(c.workers[0], s));
    for (uint32_t i = 0; i < 8; i++) wait_in_line(&w[i], &c, workers[i], i);
    for (uint32_t i = 0, holder = 0; i <= 8; i++) {
        pool_leave(c.workers[holder], s);
        crew_turns(&c, 2);
        if (i == 8) break;
        assert_int_equal(turn_count, i + 1);
        assert_int_equal(turn_order[i], i);
        holder = workers[i];
    }
    crew_stop(&c);
}

static void a_slot_on_its_way_is_nobody_elses(void **state)
{
    (void)state;
    struct crew c;
    struct waiter w;
    start(&c, 1, 1, 3);
    struct server *s = c.pool->roster->places[0].server;
    assert_true(pool_enter(c.workers[0], s));
    wait_in_line(&w, &c, 1, 0);
    pool_leave(c.workers[0], s);
    assert_int_equal(s->peer.in_flight, 1);
    assert_int_equal(s->peer.open_connections, 0);
    for (uint32_t i = 0; i < 3; i++) assert_false(pool_enter(c.workers[i], s));
    crew_turns(&c, 1);
    assert_ptr_equal(w.got, s);
    pool_leave(c.workers[1], s);
    crew_stop(&c);
}

static void a_slot_whose_taker_has_vanished_goes_on(void **state)
{
    (void)state;
    for (uint32_t next = 0; next < 4; next++) {
        struct crew c;
        struct waiter w[2];
        start(&c, 1, 1, 3);
        struct server *s = c.pool->roster->places[0].server;
        assert_true(pool_enter(c.workers[0], s));
        wait_in_line(&w[0], &c, 1, 0);
        if (next < 3) wait_in_line(&w[1], &c, next, 1);
        pool_leave(c.workers[0], s);
        pool_stop_waiting(c.workers[1], &w[0].w); /* timed out while the mail is under way */
        crew_turns(&c, 3);
        assert_int_equal(turn_count, next < 3);
        assert_int_equal(s->peer.in_flight, next < 3);
        if (next < 3) pool_leave(c.workers[next], s);
        /* Nobody waits: whoever comes has it at once. */
        assert_true(pool_enter(c.workers[2], s));
        pool_leave(c.workers[2], s);
        crew_stop(&c);
    }
}

static void ignore(void *reader, const struct mail *m)
{
    (void)reader;
    (void)m;
}

static void a_full_mailbox_loses_no_slot(void **state)
{
    (void)state;
    struct crew c;
    struct waiter w;
    start(&c, 1, 1, 2);
    struct server *s = c.pool->roster->places[0].server;
    assert_true(pool_enter(c.workers[0], s));
    wait_in_line(&w, &c, 1, 0);
    struct mail m = { .deliver = ignore };
    while (mailbox_post(c.boxes[1], &m)) continue;
    pool_leave(c.workers[0], s);
    assert_int_equal(s->peer.in_flight, 1);
    for (uint32_t i = 0; i < 3; i++) loop_turn(&c.loops[0], 0);
    assert_int_equal(turn_count, 0);
    crew_turns(&c, 3);
    assert_int_equal(turn_count, 1);
    pool_leave(c.workers[1], s);
    crew_stop(&c);
}

/* Nobody new goes to a server that drains, but whose cookie names it does. */
static void a_draining_servers_slot_is_for_those_who_are_named_to_it(void **state)
{
    (void)state;
    for (uint32_t has_named = 0; has_named < 2; has_named++) {
        struct crew c;
        struct waiter w[2];
        start(&c, 2, 1, 2);
        struct server *s = c.pool->roster->places[0].server, *other = c.pool->roster->places[1].server;
        assert_true(pool_enter(c.workers[0], s));
        assert_true(pool_enter(c.workers[0], other));
        wait_in_line(&w[0], &c, 1, 0);
        wait_in_line(&w[1], &c, 1, 1);
        if (has_named) w[1].w.named = s;
        atomic_store(&s->admin, SERVER_DRAIN);
        crew_publish(&c);
        pool_leave(c.workers[0], s);
        crew_turns(&c, 3);
        assert_int_equal(turn_count, has_named);
        if (has_named) assert_ptr_equal(w[1].got, s);
        assert_int_equal(s->peer.in_flight, has_named);
        pool_leave(c.workers[0], other);
        crew_turns(&c, 3);
        assert_ptr_equal(w[0].got, other);
        pool_leave(c.workers[1], other);
        if (has_named)
            pool_leave(c.workers[1], s);
        else
            pool_stop_waiting(c.workers[1], &w[1].w);
        crew_turns(&c, 3);
        crew_stop(&c);
    }
}

static void a_server_without_a_cap_that_comes_back_takes_all_who_wait(void **state)
{
    (void)state;
    struct crew c;
    struct waiter w[9];
    crew_init(&c, "least_request", 2);
    c.servers[0].max_connections = 1;
    crew_start(&c, 3);
    turn_count = 0;
    struct server *s = c.pool->roster->places[0].server, *back = c.pool->roster->places[1].server;
    atomic_store(&back->health, SERVER_DOWN);
    crew_publish(&c);
    assert_true(pool_enter(c.workers[0], s));
    for (uint32_t i = 0; i < 9; i++) wait_in_line(&w[i], &c, i % 3, i);
    atomic_store(&back->health, SERVER_UP);
    crew_publish(&c);
    crew_turns(&c, 12);
    assert_int_equal(turn_count, 9);
    for (uint32_t i = 0; i < 9; i++) pool_leave(c.workers[i % 3], w[i].got);
    pool_leave(c.workers[0], s);
    assert_int_equal(back->peer.in_flight, 0);
    crew_stop(&c);
}

/* Clients that send their next request when the last is answered, on several workers, against servers with a cap: each
 * has about as many turns as the others, and waits no longer than it takes to serve all others once. */

#define CLIENTS_MAX 40
#define SERVICE_MS 20 /* on average, from half to half as much again */
#define PLAY_MS 8000

struct client {
    struct waiter w;
    uint64_t asked_ms, done_ms; /* done_ms 0: it waits */
    uint32_t served;
    bool vanishes;
};

struct play {
    struct crew c;
    struct rng rng;
    uint32_t count, slots;
    uint64_t longest_ms;
    struct client clients[CLIENTS_MAX];
};

static void client_served(struct play *p, struct client *k)
{
    uint64_t waited_ms = p->c.now_ms - k->asked_ms;
    if (waited_ms > p->longest_ms) p->longest_ms = waited_ms;
    k->done_ms = p->c.now_ms + SERVICE_MS / 2 + rng_below(&p->rng, SERVICE_MS + 1);
    k->served++;
}

static void client_on_turn(struct pool_waiter *pw)
{
    struct waiter *w = container_of(pw, struct waiter, w);
    struct client *k = container_of(w, struct client, w);
    on_turn(pw);
    turn_count = 0;
    client_served(container_of(w->crew, struct play, c), k);
}

static void client_ask(struct play *p, struct client *k)
{
    struct pool_worker *pw = p->c.workers[k->w.worker];
    k->asked_ms = p->c.now_ms;
    k->done_ms = 0;
    for (uint32_t i = 0; i < p->c.pool->roster->count; i++) {
        if (!pool_enter(pw, p->c.pool->roster->places[i].server)) continue;
        k->w.got = p->c.pool->roster->places[i].server;
        client_served(p, k);
        return;
    }
    assert_true(pool_wait(pw, &k->w.w, false));
}

static void play_step(struct play *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        struct client *k = &p->clients[i];
        if (k->done_ms && k->done_ms <= p->c.now_ms) {
            pool_leave(p->c.workers[k->w.worker], k->w.got);
            client_ask(p, k);
        } else if (k->vanishes && !k->done_ms && rng_below(&p->rng, 30) == 0) {
            pool_stop_waiting(p->c.workers[k->w.worker], &k->w.w);
            client_ask(p, k);
        }
        if (rng_below(&p->rng, 4) == 0) loop_turn(&p->c.loops[rng_below(&p->rng, p->c.worker_count)], 0);
    }
    crew_turns(&p->c, 1);
    crew_pass_time(&p->c, 1);
}

static void play_end(struct play *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        struct client *k = &p->clients[i];
        if (!k->done_ms) pool_stop_waiting(p->c.workers[k->w.worker], &k->w.w);
    }
    for (uint32_t i = 0; i < p->count; i++) {
        struct client *k = &p->clients[i];
        if (k->done_ms) pool_leave(p->c.workers[k->w.worker], k->w.got);
    }
    crew_turns(&p->c, 5);
    crew_stop(&p->c);
}

static void nobody_is_overtaken_whatever_the_order_of_events(void **state)
{
    (void)state;
    static struct play p;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        memset(&p, 0, sizeof(p));
        rng_seed(&p.rng, seed);
        uint32_t servers = 1 + rng_below(&p.rng, 3), cap = 1 + rng_below(&p.rng, 2);
        p.slots = servers * cap;
        p.count = seed == 1 ? 20 : p.slots + 1 + rng_below(&p.rng, CLIENTS_MAX - p.slots);
        if (seed == 1) servers = cap = p.slots = 1;
        start(&p.c, servers, cap, seed == 1 ? 2 : 1 + rng_below(&p.rng, CREW_WORKERS_MAX));
        for (uint32_t i = 0; i < p.count; i++) {
            struct client *k = &p.clients[i];
            k->w = (struct waiter){ .w = { .on_turn = client_on_turn }, .crew = &p.c, .number = i };
            k->w.worker = rng_below(&p.rng, p.c.worker_count);
            k->vanishes = seed % 3 == 0 && i % 4 == 0;
            list_init(&k->w.w.link);
            client_ask(&p, k);
        }
        for (uint32_t ms = 0; ms < PLAY_MS; ms++) play_step(&p);
        uint32_t least = UINT32_MAX, most = 0;
        for (uint32_t i = 0; i < p.count; i++) {
            if (p.clients[i].vanishes) continue;
            if (p.clients[i].served < least) least = p.clients[i].served;
            if (p.clients[i].served > most) most = p.clients[i].served;
        }
        uint64_t bound_ms = (SERVICE_MS * 3 / 2 + 1) * (p.count / p.slots + 1);
        if (p.longest_ms > bound_ms || most * 5 > least * 6)
            fail_msg("seed %u: %u clients, %u slots: the longest wait is %u ms, served %u to %u",
                     (unsigned)seed, p.count, p.slots, (unsigned)p.longest_ms, least, most);
        /* No slot stands idle: as many are served as can be. */
        uint64_t all = 0;
        for (uint32_t i = 0; i < p.count; i++) all += p.clients[i].served;
        assert_true(10 * all >= 9 * (uint64_t)p.slots * PLAY_MS / (SERVICE_MS + 1));
        play_end(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_waits_longest_is_next_on_whatever_worker),
        cmocka_unit_test(a_slot_on_its_way_is_nobody_elses),
        cmocka_unit_test(a_slot_whose_taker_has_vanished_goes_on),
        cmocka_unit_test(a_full_mailbox_loses_no_slot),
        cmocka_unit_test(a_draining_servers_slot_is_for_those_who_are_named_to_it),
        cmocka_unit_test(a_server_without_a_cap_that_comes_back_takes_all_who_wait),
        cmocka_unit_test(nobody_is_overtaken_whatever_the_order_of_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
