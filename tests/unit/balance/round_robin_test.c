#include <math.h>
#include <string.h>

#include "peers.h"

/* nginx's own example: a a b a c a a. */
static void the_cycle_is_nginxs(void **state)
{
    (void)state;
    static const uint32_t weights[] = { 5, 1, 1 };
    static const char *const cycles[] = { "aabacaaaabacaa", "aacabaaaacabaa" };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct peers p;
        char picked[8] = "";
        peers_init(&p, "round_robin", 3, weights);
        peers_restart(&p, seed);
        for (int i = 0; i < 7; i++) {
            struct balance_choice c = peers_pick(&p);
            assert_int_equal(c.reason, BALANCE_TURN);
            picked[i] = (char)('a' + c.peer);
        }
        assert_true(strstr(cycles[0], picked) || strstr(cycles[1], picked));
        peers_fini(&p);
    }
}

static void equal_peers_take_strict_turns(void **state)
{
    (void)state;
    struct peers p;
    static const uint32_t weights[] = { 7, 7, 7, 7, 7 };
    peers_init(&p, "round_robin", 5, weights);
    uint32_t first = peers_pick(&p).peer;
    for (uint32_t i = 1; i < 50; i++) assert_int_equal(peers_pick(&p).peer, (first + i) % 5);
    peers_fini(&p);
}

static void shares_are_exact_over_whole_cycles(void **state)
{
    (void)state;
    struct peers p;
    uint32_t weights[PEERS_MAX], sum = 0;
    for (uint32_t i = 0; i < 100; i++) sum += weights[i] = 1 + i % 9;
    peers_init(&p, "round_robin", 100, weights);
    peers_pick_many(&p, (uint64_t)sum * 100);
    for (uint32_t i = 0; i < 100; i++) assert_int_equal(p.seen[i], weights[i] * 100);
    peers_fini(&p);
}

/* At no time is anyone more than two picks away from its exact share. */
static void turns_are_spread_evenly(void **state)
{
    (void)state;
    static const struct {
        uint32_t count, weights[10];
    } cases[] = {
        { 3, { 5, 1, 1 } },
        { 2, { 1, 10000 } },
        { 10, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 } },
        { 10, { 10000, 1000, 100, 10, 1000, 3333, 7, 1234, 9999, 50 } },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct peers p;
        double sum = 0;
        peers_init(&p, "round_robin", cases[i].count, cases[i].weights);
        for (uint32_t j = 0; j < p.count; j++) sum += p.weights[j];
        for (uint32_t n = 1; n <= 100000; n++) {
            p.seen[peers_pick(&p).peer]++;
            for (uint32_t j = 0; j < p.count; j++)
                assert_true(fabs((double)p.seen[j] - n * p.weights[j] / sum) < 2);
        }
        peers_fini(&p);
    }
}

/* One worker each; where they begin must not favour anyone. */
static void workers_do_not_march_in_step(void **state)
{
    (void)state;
    struct peers p;
    uint64_t firsts[10] = { 0 };
    uint32_t shares[10] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    peers_init(&p, "round_robin", 10, NULL);
    for (uint64_t seed = 0; seed < 10000; seed++) {
        peers_restart(&p, seed);
        firsts[peers_pick(&p).peer]++;
    }
    assert_true(shares_fit(firsts, shares, 10));
    peers_fini(&p);
}

static void the_heaviest_is_not_everybodys_first(void **state)
{
    (void)state;
    struct peers p;
    static const uint32_t weights[] = { 5, 1, 1 };
    uint64_t firsts[3] = { 0 };
    peers_init(&p, "round_robin", 3, weights);
    for (uint64_t seed = 0; seed < 10000; seed++) {
        peers_restart(&p, seed);
        firsts[peers_pick(&p).peer]++;
    }
    assert_true(shares_fit(firsts, weights, 3));
    peers_fini(&p);
}

static void the_next_in_turn_stands_in_for_a_tried_one(void **state)
{
    (void)state;
    struct peers p;
    peers_init(&p, "round_robin", 4, NULL);
    p.tried_count = 1;
    p.tried[0] = 2;
    uint32_t fallbacks = 0;
    for (int i = 0; i < 3000; i++) {
        struct balance_choice c = peers_pick(&p);
        p.seen[c.peer]++;
        fallbacks += c.reason == BALANCE_FALLBACK;
    }
    assert_int_equal(p.seen[2], 0);
    for (uint32_t i = 0; i < 4; i++) assert_true(i == 2 || (p.seen[i] >= 999 && p.seen[i] <= 1001));
    assert_true(fallbacks > 0);
    peers_fini(&p);
}

/* A peer that was full for long has no arrears to claim. */
static void one_that_was_full_gets_no_burst(void **state)
{
    (void)state;
    struct peers p;
    peers_init(&p, "round_robin", 4, NULL);
    peers_cap(&p, 1, 1);
    peers_load(&p, 1, 1);
    for (int i = 0; i < 100000; i++) assert_int_not_equal(peers_pick(&p).peer, 1);
    peers_cap(&p, 1, 0);
    uint32_t seen = 0;
    for (int i = 0; i < 8; i++) seen += peers_pick(&p).peer == 1;
    assert_true(seen >= 1 && seen <= 3);
    peers_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cycle_is_nginxs),
        cmocka_unit_test(equal_peers_take_strict_turns),
        cmocka_unit_test(shares_are_exact_over_whole_cycles),
        cmocka_unit_test(turns_are_spread_evenly),
        cmocka_unit_test(workers_do_not_march_in_step),
        cmocka_unit_test(the_heaviest_is_not_everybodys_first),
        cmocka_unit_test(the_next_in_turn_stands_in_for_a_tried_one),
        cmocka_unit_test(one_that_was_full_gets_no_burst),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
