/* Weights are shares at any load, and what one worker remembers for that. */
#include "balance/shares.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "balance/simulation.h"
#include "peers.h"

#define SERVERS_MAX 100
#define SERVICE_NS 10e6
#define WORKERS 4

static const char *const methods[] = { "least_request", "least_connections", "peak_ewma" };
#define METHODS (sizeof(methods) / sizeof(*methods))

/* Some kinds of sets. Returns how many servers. */
static uint32_t set_weights(uint32_t kind, uint32_t weights[SERVERS_MAX])
{
    static const uint32_t counts[] = { 2, 3, 10, 11, 2, 20, 100 };
    uint32_t count = counts[kind];
    for (uint32_t i = 0; i < count; i++) weights[i] = kind == 2 || kind == 6 ? 1 + i * 7 % 9 : 1;
    switch (kind) {
    case 0: weights[0] = 9; break; /* a canary */
    case 1: weights[2] = 2; break;
    case 3: weights[0] = 10; break;
    case 4: weights[0] = 997, weights[1] = 101; break;
    case 5: weights[7] = 100; break;
    default: break;
    }
    return count;
}
#define KINDS 7

/* In points of a hundred. */
static double farthest_off(const uint64_t *seen, const uint32_t *weights, uint32_t count)
{
    double all = 0, sum = 0, farthest = 0;
    for (uint32_t i = 0; i < count; i++) all += (double)seen[i], sum += weights[i];
    for (uint32_t i = 0; i < count; i++)
        farthest = fmax(farthest, fabs(100 * (double)seen[i] / all - 100 * weights[i] / sum));
    return farthest;
}

static void sequential_requests_are_shared_out_as_weights_say(void **state)
{
    (void)state;
    static const uint32_t weights[] = { 1, 1, 2 };
    for (size_t m = 0; m < METHODS; m++) {
        struct peers p;
        peers_init(&p, methods[m], 3, weights);
        for (uint32_t i = 0; i < 3; i++) atomic_store(&p.lines[i].latency_us, 1000);
        peers_pick_many(&p, 100);
        for (uint32_t i = 0; i < 3; i++) assert_in_range(p.seen[i], 25 * weights[i] - 1, 25 * weights[i] + 1);
        peers_fini(&p);
    }
}

static double uniform(struct rng *rng)
{
    return ((double)(rng_next(rng) >> 11) + 1) * 0x1p-53;
}

/* Poisson arrivals at several workers, exponential service, as many slots as they need. */
static double simulate(const char *method, const uint32_t *weights, uint32_t count, double rps)
{
    struct peers p;
    struct simulation *s;
    struct err err;
    double speeds[SERVERS_MAX], now_ns = 0;
    struct balance_peer *peers[SERVERS_MAX];
    struct rng rng;
    peers_init(&p, method, count, weights);
    for (uint32_t i = 0; i < count; i++) speeds[i] = 1, peers[i] = &p.lines[i];
    struct simulation_conf conf = { .method = p.balance.method,
                                    .table = p.table,
                                    .peers = peers,
                                    .speeds = speeds,
                                    .count = count,
                                    .slots = 256,
                                    .worker_count = WORKERS,
                                    .seed = 1 };
    assert_int_equal(simulation_new(&s, &conf, &err), 0);
    rng_seed(&rng, 2);
    for (uint32_t i = 0; i < 20000; i++) {
        now_ns += -log(uniform(&rng)) * 1e9 / rps;
        struct simulation_request r = { .at_ns = (uint64_t)now_ns,
                                        .service_ns = (uint64_t)(-log(uniform(&rng)) * SERVICE_NS) };
        simulation_add(s, &r);
    }
    const struct simulation_result *result = simulation_end(s);
    for (uint32_t i = 0; i < count; i++) p.seen[i] = result->servers[i].requests;
    double off = farthest_off(p.seen, weights, count);
    simulation_free(s);
    peers_fini(&p);
    return off;
}

static void weights_are_shares_at_any_load(void **state)
{
    (void)state;
    static const double rates[] = { 1, 10, 100, 300, 1000, 3000, 10000 };
    uint32_t weights[SERVERS_MAX];
    for (size_t m = 0; m < METHODS; m++)
        for (uint32_t kind = 0; kind < KINDS; kind++)
            for (size_t r = 0; r < sizeof(rates) / sizeof(*rates); r++) {
                uint32_t count = set_weights(kind, weights);
                double off = simulate(methods[m], weights, count, rates[r]);
                /* The estimates of peak_ewma grow a little with the number of answers. */
                if (off > (m == 2 && rates[r] > 3000 ? 4 : 3))
                    fail_msg("%s, weights of kind %u, %g/s: a share is off by %.2f points", methods[m], kind,
                             rates[r], off);
            }
}

/* Each worker begins at a place of its own: a set that is replaced at once gives shares too. */
static void first_picks_are_as_weights_say(void **state)
{
    (void)state;
    for (size_t m = 0; m < METHODS; m++)
        for (uint32_t kind = 0; kind < 6; kind++) {
            struct peers p;
            uint32_t weights[SERVERS_MAX], count = set_weights(kind, weights);
            uint64_t seen[SERVERS_MAX] = { 0 };
            peers_init(&p, methods[m], count, weights);
            for (uint32_t i = 0; i < count; i++) atomic_store(&p.lines[i].latency_us, 1000);
            for (uint64_t seed = 1; seed <= 20000; seed++) {
                peers_restart(&p, seed);
                seen[peers_pick(&p).peer]++;
            }
            double off = farthest_off(seen, weights, count);
            if (off > 1) fail_msg("%s, weights of kind %u: off by %.2f points", methods[m], kind, off);
            peers_fini(&p);
        }
}

/* Sets of the same servers in another order and one more, each a few picks after the last: nobody's turn is lost. */
static void a_new_set_inherits_what_each_server_is_behind(void **state)
{
    (void)state;
    for (size_t m = 0; m < METHODS; m++) {
        struct peers p;
        uint32_t weights[] = { 1, 60, 39 }, from[] = { 1, 2, 0 };
        uint64_t seen[3] = { 0 };
        uint32_t of[] = { 0, 1, 2 }; /* which server peer i is */
        peers_init(&p, methods[m], 3, weights);
        for (uint32_t i = 0; i < 3; i++) atomic_store(&p.lines[i].latency_us, 1000);
        for (uint32_t round = 0; round < 5000; round++) {
            peers_pick_many(&p, 7);
            uint32_t old_weights[3], old_of[3];
            for (uint32_t i = 0; i < 3; i++) {
                seen[of[i]] += p.seen[i];
                old_of[i] = of[i], old_weights[i] = p.weights[i];
            }
            const struct balance_method *method = p.balance.method;
            void *old_table = p.table, *old_state = p.balance.state;
            p.table = p.balance.state = NULL;
            for (uint32_t i = 0; i < 3; i++) of[i] = old_of[from[i]], p.weights[i] = old_weights[from[i]];
            peers_rebuild(&p);
            struct rng rng = p.rng;
            peers_restart(&p, 1);
            p.rng = rng;
            method->inherit(p.table, p.balance.state, old_table, old_state, from, &p.rng);
            method->drop(old_table);
            free(old_state);
        }
        double off = farthest_off(seen, weights, 3);
        if (off > 0.1) fail_msg("%s: off by %.2f points", methods[m], off);
        peers_fini(&p);
    }
}

static void who_is_new_in_a_set_begins_as_anywhere(void **state)
{
    (void)state;
    uint64_t seen[2] = { 0 };
    static const uint32_t before[] = { 1, 1 }, after[] = { 1, 3 }, from[] = { 1, BALANCE_NONE };
    for (uint64_t seed = 1; seed <= 4000; seed++) {
        struct peers old, p;
        peers_init(&old, "least_request", 2, before);
        peers_init(&p, "least_request", 2, after);
        peers_restart(&old, seed);
        peers_restart(&p, seed);
        peers_pick_many(&old, 5);
        p.balance.method->inherit(p.table, p.balance.state, old.table, old.balance.state, from, &p.rng);
        peers_pick_many(&p, 40);
        for (uint32_t i = 0; i < 2; i++) seen[i] += p.seen[i];
        peers_fini(&old);
        peers_fini(&p);
    }
    double off = farthest_off(seen, after, 2);
    if (off > 3) fail_msg("off by %.2f points", off);
}

static void those_left_beside_full_servers_keep_their_proportions(void **state)
{
    (void)state;
    uint32_t weights[SERVERS_MAX];
    for (size_t m = 0; m < METHODS; m++) {
        struct peers p;
        for (uint32_t i = 0; i < 10; i++) weights[i] = i ? 1 : 3;
        peers_init(&p, methods[m], 10, weights);
        for (uint32_t i = 0; i < 10; i++) {
            atomic_store(&p.lines[i].latency_us, 1000);
            if (i < 2) continue;
            peers_cap(&p, i, 1);
            peers_load(&p, i, 1);
        }
        peers_pick_many(&p, 4000);
        assert_in_range(p.seen[0], 2960, 3040);
        assert_int_equal(p.seen[0] + p.seen[1], 4000);
        peers_fini(&p);
    }
}

/* What a server did not get while it was full, it does not get all at once later. */
static void nobody_makes_up_for_a_long_absence(void **state)
{
    (void)state;
    struct peers p;
    peers_init(&p, "least_request", 4, NULL);
    peers_cap(&p, 2, 1);
    peers_load(&p, 2, 1);
    peers_pick_many(&p, 10000);
    assert_int_equal(p.seen[2], 0);
    peers_load(&p, 2, 0);
    memset(p.seen, 0, sizeof(p.seen));
    peers_pick_many(&p, 8);
    assert_in_range(p.seen[2], 2, 2 + SHARES_BEHIND_MAX);
    memset(p.seen, 0, sizeof(p.seen));
    peers_pick_many(&p, 400);
    assert_in_range(p.seen[2], 95, 105);
    peers_fini(&p);
}

/* Where there is much to do, a turn moves no more than one request. */
static void a_turn_weighs_no_more_than_one_request(void **state)
{
    (void)state;
    struct peers p;
    peers_init(&p, "least_request", 2, NULL);
    peers_load(&p, 0, 10);
    peers_load(&p, 1, 12);
    peers_pick_many(&p, 10000);
    assert_int_equal(p.seen[1], 0);
    peers_fini(&p);
}

/* Idle connections stay: those of the light server, one more than its share of them, must not shut it out. */
static void kept_connections_shut_nobody_out(void **state)
{
    (void)state;
    struct peers p;
    static const uint32_t weights[] = { 9, 1 };
    for (uint32_t idle = 1; idle <= SHARES_BEHIND_MAX - 1; idle++) {
        peers_init(&p, "least_connections", 2, weights);
        atomic_store(&p.lines[0].open_connections, 1);
        atomic_store(&p.lines[1].open_connections, idle);
        peers_pick_many(&p, 1000); /* each is answered before the next, on a connection that is kept */
        assert_in_range(p.seen[1], 97, 103);
        peers_fini(&p);
    }
}

static void time_may_wrap(void **state)
{
    (void)state;
    struct peers p;
    static const uint32_t weights[] = { 1, 2, 4 };
    peers_init(&p, "least_request", 3, weights);
    struct shares_state *s = p.balance.state;
    s->now = UINT64_MAX - (UINT64_C(1) << 32);
    peers_pick_many(&p, 7000);
    for (uint32_t i = 0; i < 3; i++) assert_in_range(p.seen[i], 1000 * weights[i] - 3, 1000 * weights[i] + 3);
    assert_true(s->now < UINT64_MAX / 2);
    peers_fini(&p);
}

/* Weights without a common multiple of 31 bits. */
static void weights_that_have_nothing_in_common_are_shares_too(void **state)
{
    (void)state;
    struct peers p;
    uint32_t weights[64];
    for (uint32_t i = 0; i < 64; i++) weights[i] = 1 + i * i * 239;
    peers_init(&p, "least_request", 64, weights);
    peers_pick_many(&p, 1000000);
    double sum = 0;
    for (uint32_t i = 0; i < 64; i++) sum += weights[i];
    for (uint32_t i = 0; i < 64; i++)
        assert_true(fabs((double)p.seen[i] - 1e6 * weights[i] / sum) < 4 + 1e3 * weights[i] / sum);
    peers_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequential_requests_are_shared_out_as_weights_say),
        cmocka_unit_test(weights_are_shares_at_any_load),
        cmocka_unit_test(first_picks_are_as_weights_say),
        cmocka_unit_test(a_new_set_inherits_what_each_server_is_behind),
        cmocka_unit_test(who_is_new_in_a_set_begins_as_anywhere),
        cmocka_unit_test(those_left_beside_full_servers_keep_their_proportions),
        cmocka_unit_test(nobody_makes_up_for_a_long_absence),
        cmocka_unit_test(a_turn_weighs_no_more_than_one_request),
        cmocka_unit_test(kept_connections_shut_nobody_out),
        cmocka_unit_test(time_may_wrap),
        cmocka_unit_test(weights_that_have_nothing_in_common_are_shares_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
