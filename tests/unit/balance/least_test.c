/* least_request and least_connections. */
#include "balance/least.h"

#include <math.h>
#include <string.h>

#include "peers.h"

#define PICKS 1000000

static void the_least_loaded_for_its_weight_is_picked(void **state)
{
    (void)state;
    struct peers p;
    static const uint32_t weights[] = { 1, 2, 4 };
    static const struct {
        uint32_t in_flight[3], peer, runner_up;
    } cases[] = {
        /* Each of the others has a request more for its weight, so that no turn can decide. */
        { { 2, 3, 3 }, 2, 1 },  /* 3, 4/2, 4/4 */
        { { 3, 3, 9 }, 1, 2 },  /* 4, 4/2, 10/4 */
        { { 0, 4, 9 }, 0, 1 },  /* 1, 5/2, 10/4 */
        { { 7, 9, 22 }, 1, 2 }, /* 8, 10/2, 23/4 */
    };
    peers_init(&p, "least_request", 3, weights);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        for (uint32_t j = 0; j < 3; j++) peers_load(&p, j, cases[i].in_flight[j]);
        struct balance_choice c = peers_pick(&p);
        assert_int_equal(c.peer, cases[i].peer);
        if (i != 2) assert_int_equal(c.runner_up, cases[i].runner_up);
        assert_int_equal(c.reason, BALANCE_LEAST);
    }
    peers_fini(&p);
}

static void connections_are_not_requests(void **state)
{
    (void)state;
    struct peers p;
    peers_init(&p, "least_connections", 3, NULL);
    for (uint32_t i = 0; i < 3; i++) {
        peers_load(&p, i, i);
        atomic_store(&p.lines[i].open_connections, 3 - i);
    }
    assert_int_equal(peers_pick(&p).peer, 2);
    p.balance.method = peers_method("least_request");
    assert_int_equal(peers_pick(&p).peer, 0);
    peers_fini(&p);
}

static void the_largest_counts_do_not_overflow(void **state)
{
    (void)state;
    struct peers p;
    static const uint32_t weights[] = { BALANCE_WEIGHT_MAX, BALANCE_WEIGHT_MAX, 1 };
    peers_init(&p, "least_request", 3, weights);
    peers_load(&p, 0, UINT32_MAX);
    peers_load(&p, 1, UINT32_MAX - 2);
    peers_load(&p, 2, UINT32_MAX);
    assert_int_equal(peers_pick(&p).peer, 1);
    peers_fini(&p);
}

/* At first nobody is behind, and the draw decides; then each has its turn. */
static void idle_equals_have_their_turns(void **state)
{
    (void)state;
    static const uint32_t sizes[] = { 2, 10, 64 };
    for (size_t i = 0; i < 3; i++) {
        struct peers p;
        uint64_t firsts[PEERS_MAX] = { 0 };
        peers_init(&p, "least_request", sizes[i], NULL);
        for (uint64_t seed = 1; seed <= 20000; seed++) {
            peers_restart(&p, seed);
            struct balance_choice c = peers_pick(&p);
            assert_int_equal(c.reason, BALANCE_TIE);
            assert_true(c.runner_up < p.count && c.runner_up != c.peer);
            firsts[c.peer]++;
        }
        assert_true(shares_fit(firsts, p.weights, p.count));
        for (uint32_t turn = 0; turn < 10; turn++) {
            peers_pick_many(&p, p.count);
            for (uint32_t peer = 0; turn && peer < p.count; peer++)
                assert_in_range(p.seen[peer], turn, turn + 2);
        }
        struct balance_choice c = peers_pick(&p);
        assert_true(c.reason == BALANCE_TIE || c.reason == BALANCE_TURN);
        assert_true(c.runner_up < p.count && c.runner_up != c.peer);
        peers_fini(&p);
    }
}

static void ties_behind_a_worse_one_are_uniform_too(void **state)
{
    (void)state;
    struct peers p;
    uint32_t shares[20];
    peers_init(&p, "least_request", 20, NULL);
    for (uint32_t i = 0; i < 20; i++) {
        shares[i] = i % 3 == 1;
        peers_load(&p, i, shares[i] ? 2 : 4 + i % 2);
    }
    peers_pick_many(&p, PICKS);
    assert_true(shares_fit(p.seen, shares, 20));
    peers_fini(&p);
}

/* More equals than are held for the draw: nearly all are full, so that the draws of two fail and all are
 * looked at. */
static void ties_among_more_than_are_held_are_uniform(void **state)
{
    (void)state;
    struct peers p;
    uint32_t shares[PEERS_MAX];
    uint32_t count = 1000, open = 0;
    peers_init(&p, "least_request", count, NULL);
    for (uint32_t i = 0; i < count; i++) {
        shares[i] = i % 12 == 5;
        open += shares[i];
        peers_cap(&p, i, shares[i] ? 0 : 1);
        peers_load(&p, i, 1);
    }
    assert_true(open > LEAST_SCAN);
    uint32_t ties = 0;
    for (uint32_t i = 0; i < 200000; i++) {
        struct balance_choice c = peers_pick(&p);
        if (c.reason != BALANCE_TIE) continue;
        p.seen[c.peer]++;
        ties++;
    }
    assert_true(ties > 50000);
    assert_true(shares_fit(p.seen, shares, count));
    peers_fini(&p);
}

static void above_the_limit_two_are_drawn(void **state)
{
    (void)state;
    struct peers p;
    peers_init(&p, "least_request", LEAST_SCAN, NULL);
    assert_int_equal(peers_pick(&p).reason, BALANCE_TIE);
    peers_fini(&p);
    peers_init(&p, "least_request", LEAST_SCAN + 1, NULL);
    for (uint32_t i = 0; i < p.count; i++) peers_load(&p, i, 2 * i);
    for (int i = 0; i < 1000; i++) {
        struct balance_choice c = peers_pick(&p);
        assert_int_equal(c.reason, BALANCE_TWO);
        assert_true(c.peer < c.runner_up);
    }
    peers_fini(&p);
}

static void as_many_are_drawn_as_configured(void **state)
{
    (void)state;
    struct peers p;
    static const struct least_conf conf = { .scan = 9, .choices = 8 };
    peers_init_with(&p, "least_request", &conf, 9, NULL);
    assert_int_equal(peers_pick(&p).reason, BALANCE_TIE);
    peers_fini(&p);
    peers_init_with(&p, "least_request", &conf, 10, NULL);
    for (uint32_t i = 0; i < p.count; i++) peers_load(&p, i, 2 * i);
    for (int i = 0; i < 1000; i++) {
        struct balance_choice c = peers_pick(&p);
        assert_int_equal(c.reason, BALANCE_TWO);
        assert_true(c.peer <= 2); /* two of ten were not drawn */
    }
    peers_fini(&p);
}

/* Requests that never end, `each` for each server: the fullest server. */
static uint32_t max_load(const char *method, const struct least_conf *conf, uint32_t count, uint32_t each,
                         uint64_t seed)
{
    struct peers p;
    uint32_t max = 0;
    peers_init_with(&p, method, conf, count, NULL);
    peers_restart(&p, seed);
    for (uint32_t i = 0; i < count * each; i++) {
        uint32_t load = atomic_load(&p.lines[peers_lease(&p)].in_flight);
        if (load > max) max = load;
    }
    peers_fini(&p);
    return max;
}

/* n balls into n bins (Azar et al., 1994): log2 log2 n and a constant with two choices, against about
 * ln n / ln ln n with one. */
static void the_fullest_of_n_has_log_log_n(void **state)
{
    (void)state;
    static const struct least_conf two = { .scan = 0, .choices = 2 };
    for (uint32_t n = 16; n <= 1024; n *= 4) {
        uint32_t by_two = 0, by_one = 0;
        for (uint64_t seed = 1; seed <= 20; seed++) {
            uint32_t most = max_load("least_request", &two, n, 1, seed);
            assert_true(most <= log2(log2(n)) + 1.5);
            by_two += most;
            by_one += max_load("random", NULL, n, 1, seed);
        }
        assert_true(by_one > by_two);
        if (n == 1024) assert_true(by_one * 2 > by_two * 3);
    }
}

/* The excess over the mean is log log n / log 2 and a small constant (Berenbrink et al., 2000), where one
 * draw has an excess that grows with the load. */
static void two_choices_bound_the_fullest(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        assert_true(max_load("least_request", NULL, 1000, 10, seed) <= 10 + 4);
        assert_true(max_load("random", NULL, 1000, 10, seed) >= 10 + 8);
        assert_true(max_load("least_request", NULL, 64, 10, seed) == 10);
    }
}

/* With the load that weights ask for, two choices give every server its share, the heaviest included. */
static void two_choices_give_the_heaviest_its_share(void **state)
{
    (void)state;
    struct peers p;
    uint32_t weights[PEERS_MAX];
    for (uint32_t i = 0; i < 100; i++) weights[i] = i == 7 ? 100 : 1;
    peers_init(&p, "least_request", 100, weights);
    for (uint32_t i = 0; i < 199 * 50; i++) {
        uint32_t peer = peers_pick(&p).peer;
        atomic_fetch_add(&p.lines[peer].in_flight, 1);
    }
    uint32_t heaviest = atomic_load(&p.lines[7].in_flight);
    assert_true(heaviest > 4700 && heaviest < 5300);
    peers_fini(&p);
}

static void a_heavy_peer_with_all_the_weight_is_still_drawn(void **state)
{
    (void)state;
    struct peers p;
    uint32_t weights[PEERS_MAX];
    for (uint32_t i = 0; i < 65; i++) weights[i] = i == 3 ? BALANCE_WEIGHT_MAX : 1;
    peers_init(&p, "least_request", 65, weights);
    peers_pick_many(&p, 10000);
    assert_true(p.seen[3] > 9900);
    peers_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_loaded_for_its_weight_is_picked),
        cmocka_unit_test(connections_are_not_requests),
        cmocka_unit_test(the_largest_counts_do_not_overflow),
        cmocka_unit_test(idle_equals_have_their_turns),
        cmocka_unit_test(ties_behind_a_worse_one_are_uniform_too),
        cmocka_unit_test(ties_among_more_than_are_held_are_uniform),
        cmocka_unit_test(above_the_limit_two_are_drawn),
        cmocka_unit_test(as_many_are_drawn_as_configured),
        cmocka_unit_test(the_fullest_of_n_has_log_log_n),
        cmocka_unit_test(two_choices_bound_the_fullest),
        cmocka_unit_test(two_choices_give_the_heaviest_its_share),
        cmocka_unit_test(a_heavy_peer_with_all_the_weight_is_still_drawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
