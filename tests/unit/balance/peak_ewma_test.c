#include <math.h>
#include <string.h>

#include "balance/peak.h"
#include "peers.h"

#define PICKS 100000
#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define HALF_LIFE (PEAK_HALF_LIFE_MS * MS)

static void observe(struct peers *p, uint32_t peer, uint64_t latency_ns, bool is_error)
{
    const struct balance_outcome outcome = { .now_ns = p->now_ns,
                                             .latency_ns = latency_ns,
                                             .is_error = is_error };
    p->balance.method->observe(p->table, &p->lines[peer], &outcome);
}

static uint32_t latency_us(struct peers *p, uint32_t peer)
{
    return atomic_load(&p->lines[peer].latency_us);
}

static void half_is_forgotten_in_a_half_life(void **state)
{
    (void)state;
    double per_half_life = 1.0 / (double)HALF_LIFE;
    assert_true(peak_decay(0, per_half_life) == 1);
    for (uint64_t age = 0; age < 30 * HALF_LIFE; age += HALF_LIFE / 37) {
        double exact = exp2(-(double)age * per_half_life), decay = peak_decay(age, per_half_life);
        assert_true(fabs(decay / exact - 1) < 0.005);
    }
    assert_true(peak_decay(1000 * HALF_LIFE, per_half_life) > 0);
}

static void the_quickest_is_picked(void **state)
{
    (void)state;
    struct peers p;
    peers_init(&p, "peak_ewma", 4, NULL);
    for (uint32_t i = 0; i < 4; i++) observe(&p, i, (640u >> 2 * i) * MS, false);
    struct balance_choice c = peers_pick(&p);
    assert_int_equal(c.peer, 3);
    assert_int_equal(c.runner_up, 2);
    assert_int_equal(c.reason, BALANCE_QUICKEST);
    peers_load(&p, 3, 20);
    c = peers_pick(&p);
    assert_int_equal(c.peer, 2);
    assert_int_equal(c.runner_up, 1);
    peers_fini(&p);
}

static void the_second_quickest_is_the_runner_up(void **state)
{
    (void)state;
    struct peers p;
    static const uint32_t orders[][3] = { { 1, 2, 3 }, { 1, 3, 2 }, { 2, 1, 3 },
                                          { 2, 3, 1 }, { 3, 1, 2 }, { 3, 2, 1 } };
    for (size_t i = 0; i < 6; i++) {
        peers_init(&p, "peak_ewma", 3, NULL);
        for (uint32_t j = 0; j < 3; j++) observe(&p, j, (1u << 2 * orders[i][j]) * MS, false);
        struct balance_choice c = peers_pick(&p);
        assert_int_equal(orders[i][c.peer], 1);
        assert_int_equal(orders[i][c.runner_up], 2);
        peers_fini(&p);
    }
}

static void twice_the_weight_makes_up_for_twice_the_latency(void **state)
{
    (void)state;
    struct peers p;
    static const uint32_t weights[] = { 1, 4 };
    peers_init(&p, "peak_ewma", 2, weights);
    observe(&p, 0, 10 * MS, false); /* up to 20 ms count the same */
    observe(&p, 1, 79 * MS, false); /* too slow to claim its share: latency decides */
    for (uint32_t i = 0; i < 2; i++) peers_load(&p, i, 1000);
    assert_int_equal(peers_pick(&p).peer, 1);
    observe(&p, 1, 81 * MS, false);
    assert_int_equal(peers_pick(&p).peer, 0);
    peers_fini(&p);
}

static void a_worse_answer_counts_at_once_and_a_better_one_slowly(void **state)
{
    (void)state;
    struct peers p;
    peers_init(&p, "peak_ewma", 2, NULL);
    observe(&p, 0, 10 * MS, false);
    assert_int_equal(latency_us(&p, 0), 10000);
    observe(&p, 0, 500 * MS, false);
    assert_int_equal(latency_us(&p, 0), 500000);
    observe(&p, 0, 10 * MS, false); /* at the same time: nothing is forgotten */
    assert_int_equal(latency_us(&p, 0), 500000);
    p.now_ns += HALF_LIFE / 2;
    observe(&p, 0, 10 * MS, false);
    assert_in_range(latency_us(&p, 0), 354000, 358000);
    p.now_ns += HALF_LIFE + MS; /* nobody has confirmed it since */
    observe(&p, 0, 10 * MS, false);
    assert_int_equal(latency_us(&p, 0), 10000);
    peers_fini(&p);
}

/* Many small steps forget as much as one long one. */
static void the_half_life_holds_however_many_answers_there_are(void **state)
{
    (void)state;
    struct peers p;
    peers_init(&p, "peak_ewma", 2, NULL);
    observe(&p, 0, SECOND, false);
    for (uint32_t i = 0; i < 1000; i++) {
        p.now_ns += HALF_LIFE / 1000;
        observe(&p, 0, 0, false);
    }
    assert_in_range(latency_us(&p, 0), 480000, 530000);
    peers_fini(&p);
}

/* One request each ten milliseconds, answered before the next one; latencies up to half less or more than
 * given. */
static void run(struct peers *p, uint32_t requests, const uint64_t *latencies_ns, const bool *fails)
{
    memset(p->seen, 0, sizeof(p->seen));
    for (uint32_t i = 0; i < requests; i++) {
        uint32_t peer = peers_lease(p);
        p->seen[peer]++;
        p->now_ns += 10 * MS;
        uint64_t percent = 50 + rng_below(&p->rng, 100);
        observe(p, peer, latencies_ns[peer] * percent / 100, fails && fails[peer]);
        peers_release(p, peer);
    }
}

static void the_slow_is_avoided_and_tried_again(void **state)
{
    (void)state;
    struct peers p;
    uint64_t latencies[] = { 5 * MS, 5 * MS, 400 * MS, 5 * MS };
    peers_init(&p, "peak_ewma", 4, NULL);
    run(&p, 500, latencies, NULL); /* 5 s */
    assert_int_equal(p.seen[2], 1);
    run(&p, 30000, latencies, NULL); /* 300 s: once in a half-life */
    assert_in_range(p.seen[2], 25, 31);
    peers_fini(&p);
}

static void one_that_recovered_has_its_share_again(void **state)
{
    (void)state;
    struct peers p;
    uint64_t latencies[] = { 5 * MS, 5 * MS, 5 * MS, 5 * MS };
    peers_init(&p, "peak_ewma", 4, NULL);
    for (uint32_t i = 0; i < 4; i++) observe(&p, i, i == 2 ? SECOND : 5 * MS, false);
    run(&p, 9000, latencies, NULL);
    assert_in_range(p.seen[2], 1, 2250); /* avoided at first */
    run(&p, 9000, latencies, NULL);
    assert_in_range(p.seen[2], 1000, 4000);
    peers_fini(&p);
}

static void a_fast_failure_does_not_look_like_a_fast_server(void **state)
{
    (void)state;
    struct peers p;
    uint64_t latencies[] = { 20 * MS, 20 * MS, MS / 20 };
    static const bool fails[] = { false, false, true };
    peers_init(&p, "peak_ewma", 3, NULL);
    run(&p, 6000, latencies, fails); /* a minute */
    assert_true(p.seen[2] < 10);
    peers_fini(&p);
}

static void each_failure_keeps_away_longer(void **state)
{
    (void)state;
    struct peers p;
    peers_init(&p, "peak_ewma", 2, NULL);
    observe(&p, 0, MS / 10, true);
    assert_int_equal(latency_us(&p, 0), PEAK_ERROR_MIN_US);
    for (uint32_t expected = 2 * PEAK_FAILING; expected < PEAK_FAILING_MAX; expected *= 2) {
        assert_int_equal(atomic_load(&p.lines[0].failing), expected);
        p.now_ns += 5 * HALF_LIFE;
        observe(&p, 0, MS / 10, true);
    }
    observe(&p, 0, MS / 10, true);
    assert_int_equal(atomic_load(&p.lines[0].failing), PEAK_FAILING_MAX);
    assert_int_equal(latency_us(&p, 0), PEAK_ERROR_MIN_US); /* quick failures say nothing of answers */
    observe(&p, 1, 3 * SECOND, true);                       /* a slow failure counts with what it took */
    assert_int_equal(latency_us(&p, 1), 3000000);
    observe(&p, 1, UINT64_MAX, false);
    assert_int_equal(latency_us(&p, 1), PEAK_MAX_US);
    peers_fini(&p);
}

static void successes_and_time_make_up_for_failures(void **state)
{
    (void)state;
    struct peers p;
    double per_half_life = 1.0 / (double)HALF_LIFE;
    peers_init(&p, "peak_ewma", 2, NULL);
    observe(&p, 0, 20 * MS, false);
    assert_int_equal(atomic_load(&p.lines[0].failing), 0); /* nothing is written without failures */
    observe(&p, 0, MS, true);
    observe(&p, 0, MS, true);
    assert_true(fabs(peak_failing(&p.lines[0], p.now_ns, per_half_life) - 4) < 0.01);
    assert_true(fabs(peak_failing(&p.lines[0], p.now_ns + HALF_LIFE, per_half_life) - 2) < 0.02);
    for (uint32_t i = 0; i < 35; i++) observe(&p, 0, 20 * MS, false);
    assert_true(fabs(peak_failing(&p.lines[0], p.now_ns, per_half_life) - 2) < 0.1);
    for (uint32_t i = 0; i < 35; i++) observe(&p, 0, 20 * MS, false);
    assert_true(peak_failing(&p.lines[0], p.now_ns, per_half_life) == 1);
    peers_fini(&p);
}

/* 1 s against 20 ms: without news it would be 56 s until they look alike. */
static void one_slow_answer_shuts_nobody_out_for_longer_than_a_half_life(void **state)
{
    (void)state;
    uint64_t latencies[] = { 20 * MS, 20 * MS, 20 * MS };
    for (int is_first = 0; is_first < 2; is_first++) {
        struct peers p;
        peers_init(&p, "peak_ewma", 3, NULL);
        for (uint32_t i = 0; i < 3; i++)
            if (i != 2 || !is_first) observe(&p, i, 20 * MS, false);
        observe(&p, 2, SECOND, false);
        run(&p, 990, latencies, NULL); /* 9.9 s */
        assert_int_equal(p.seen[2], 0);
        run(&p, 1000, latencies, NULL);
        assert_in_range(p.seen[2], 280, 380); /* of 1,000 */
        peers_fini(&p);
    }
}

static void who_is_unknown_is_tried_first_but_by_one_request_only(void **state)
{
    (void)state;
    struct peers p;
    peers_init(&p, "peak_ewma", 4, NULL);
    for (uint32_t i = 0; i < 3; i++) observe(&p, i, SECOND, false);
    assert_int_equal(peers_lease(&p), 3);
    for (uint32_t i = 0; i < 100; i++) assert_int_not_equal(peers_lease(&p), 3);
    observe(&p, 3, MS, false);
    assert_int_equal(peers_pick(&p).peer, 3);
    peers_fini(&p);
}

/* At start nobody is known: as by the fewest requests. */
static void while_nobody_is_known_the_load_is_even(void **state)
{
    (void)state;
    struct peers p;
    static const uint32_t weights[] = { 1, 1, 2, 1, 1, 2 };
    peers_init(&p, "peak_ewma", 6, weights);
    for (uint32_t i = 0; i < 800; i++) peers_lease(&p);
    for (uint32_t i = 0; i < 6; i++)
        assert_in_range(atomic_load(&p.lines[i].in_flight), 100 * weights[i] - 2, 100 * weights[i] + 2);
    peers_fini(&p);
}

static void idle_equals_are_drawn_uniformly(void **state)
{
    (void)state;
    struct peers p;
    peers_init(&p, "peak_ewma", 20, NULL);
    peers_pick_many(&p, PICKS);
    assert_true(shares_fit(p.seen, p.weights, 20));
    struct balance_choice c = peers_pick(&p);
    assert_int_equal(c.reason, BALANCE_TIE);
    assert_true(c.runner_up < 20 && c.runner_up != c.peer);
    peers_fini(&p);
}

static void above_64_the_better_of_two_is_picked(void **state)
{
    (void)state;
    struct peers p;
    peers_init(&p, "peak_ewma", 65, NULL);
    for (uint32_t i = 0; i < 65; i++) {
        observe(&p, i, MS, false);
        peers_load(&p, i, 2 * i); /* no turn decides */
    }
    for (uint32_t i = 0; i < 1000; i++) {
        struct balance_choice c = peers_pick(&p);
        assert_int_equal(c.reason, BALANCE_TWO);
        assert_true(c.peer < c.runner_up);
    }
    peers_fini(&p);
}

/* With the same latency everywhere, two drawn by weight give everyone its share. */
static void weights_are_kept_among_many(void **state)
{
    (void)state;
    struct peers p;
    uint32_t weights[PEERS_MAX], sum = 0;
    for (uint32_t i = 0; i < 100; i++) sum += weights[i] = 1 + i % 3;
    peers_init(&p, "peak_ewma", 100, weights);
    for (uint32_t i = 0; i < 100; i++) observe(&p, i, MS, false);
    for (uint32_t i = 0; i < sum * 50; i++) peers_lease(&p);
    for (uint32_t i = 0; i < 100; i++)
        assert_in_range(atomic_load(&p.lines[i].in_flight), 40 * weights[i], 60 * weights[i]);
    peers_fini(&p);
}

/* Another worker's clock may be a little behind. */
static void time_that_seems_to_run_backwards_forgets_nothing(void **state)
{
    (void)state;
    struct peers p;
    peers_init(&p, "peak_ewma", 2, NULL);
    observe(&p, 0, 10 * MS, false);
    observe(&p, 1, 11 * MS, false);
    p.now_ns -= SECOND;
    assert_int_equal(peers_pick(&p).peer, 0);
    observe(&p, 0, 5 * MS, false);
    assert_int_equal(latency_us(&p, 0), 10000);
    peers_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_is_forgotten_in_a_half_life),
        cmocka_unit_test(the_quickest_is_picked),
        cmocka_unit_test(the_second_quickest_is_the_runner_up),
        cmocka_unit_test(twice_the_weight_makes_up_for_twice_the_latency),
        cmocka_unit_test(a_worse_answer_counts_at_once_and_a_better_one_slowly),
        cmocka_unit_test(the_half_life_holds_however_many_answers_there_are),
        cmocka_unit_test(the_slow_is_avoided_and_tried_again),
        cmocka_unit_test(one_that_recovered_has_its_share_again),
        cmocka_unit_test(a_fast_failure_does_not_look_like_a_fast_server),
        cmocka_unit_test(each_failure_keeps_away_longer),
        cmocka_unit_test(successes_and_time_make_up_for_failures),
        cmocka_unit_test(one_slow_answer_shuts_nobody_out_for_longer_than_a_half_life),
        cmocka_unit_test(who_is_unknown_is_tried_first_but_by_one_request_only),
        cmocka_unit_test(while_nobody_is_known_the_load_is_even),
        cmocka_unit_test(idle_equals_are_drawn_uniformly),
        cmocka_unit_test(above_64_the_better_of_two_is_picked),
        cmocka_unit_test(weights_are_kept_among_many),
        cmocka_unit_test(time_that_seems_to_run_backwards_forgets_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
