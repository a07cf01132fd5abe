#include <stdlib.h>
#include <string.h>

#include "balance/alias.h"
#include "peers.h"

#define PICKS 1000000

static void shares_follow_the_weights(void **state)
{
    (void)state;
    static const struct {
        uint32_t count, weights[10];
    } cases[] = {
        { 2, { 1, 1 } },
        { 2, { 1, 10000 } },
        { 3, { 5, 1, 1 } },
        { 7, { 1, 2, 3, 4, 5, 6, 7 } },
        { 10, { 10000, 1000, 100, 10, 1000, 3333, 7, 1234, 9999, 50 } },
        { 10, { 3, 3, 3, 3, 3, 3, 3, 3, 3, 3 } },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct peers p;
        peers_init(&p, "random", cases[i].count, cases[i].weights);
        peers_pick_many(&p, PICKS);
        assert_true(shares_fit(p.seen, p.weights, p.count));
        assert_int_equal(peers_pick(&p).reason, BALANCE_DRAWN);
        peers_fini(&p);
    }
}

static void many_peers_have_their_shares(void **state)
{
    (void)state;
    struct peers p;
    uint32_t weights[PEERS_MAX];
    for (uint32_t i = 0; i < PEERS_MAX; i++) weights[i] = 1 + i % 13;
    peers_init(&p, "random", 1000, weights);
    peers_pick_many(&p, PICKS);
    assert_true(shares_fit(p.seen, p.weights, p.count));
    peers_fini(&p);
}

/* Whatever is taken out, the others keep their shares among themselves: by redrawing (few are out) or in one
 * pass (most of the weight is out). */
static void the_others_keep_their_shares(void **state)
{
    (void)state;
    static const uint32_t weights[] = { 1000, 1, 2, 3, 4, 5 };
    for (uint32_t out = 0; out < 2; out++) {
        struct peers p;
        uint32_t shares[6];
        peers_init(&p, "random", 6, weights);
        memcpy(shares, weights, sizeof(shares));
        p.tried[p.tried_count++] = out ? 5 : 0;
        shares[p.tried[0]] = 0;
        peers_cap(&p, 3, 1);
        peers_load(&p, 3, 1);
        shares[3] = 0;
        peers_pick_many(&p, PICKS);
        assert_true(shares_fit(p.seen, shares, 6));
        if (!out) assert_int_equal(peers_pick(&p).reason, BALANCE_FALLBACK);
        peers_fini(&p);
    }
}

/* Every column's parts add up to the weights, without rounding. */
static void the_table_is_exact(void **state)
{
    (void)state;
    struct peers p;
    uint32_t weights[PEERS_MAX];
    struct rng rng;
    rng_seed(&rng, 5);
    for (uint32_t round = 0; round < 50; round++) {
        uint32_t n = 2 + rng_below(&rng, 500);
        for (uint32_t i = 0; i < n; i++) weights[i] = 1 + rng_below(&rng, BALANCE_WEIGHT_MAX);
        weights[0] = 1, weights[1] = 2; /* nothing in common */
        peers_init(&p, "random", n, weights);
        struct balance_set set = { p.pointers, p.weights, p.name_hashes, n };
        struct alias *a = alias_new(&set);
        uint64_t mass[PEERS_MAX] = { 0 };
        for (uint32_t i = 0; i < n; i++) {
            assert_true(a->columns[i].keep <= a->total);
            mass[i] += a->columns[i].keep;
            mass[a->columns[i].other] += a->total - a->columns[i].keep;
        }
        for (uint32_t i = 0; i < n; i++) assert_true(mass[i] == (uint64_t)weights[i] * n);
        free(a);
        peers_fini(&p);
    }
}

/* Why not `rand() % n`: with n = 3 * 2^30, a third of the values would come twice as often as the others. */
static void the_draw_has_no_modulo_bias(void **state)
{
    (void)state;
    uint32_t bound = UINT32_C(3) << 30;
    uint64_t lemire[3] = { 0 }, modulo[3] = { 0 };
    static const uint32_t even[3] = { 1, 1, 1 }, biased[3] = { 2, 1, 1 };
    struct rng rng;
    rng_seed(&rng, 9);
    for (uint32_t i = 0; i < PICKS; i++) {
        lemire[rng_below(&rng, bound) >> 30]++;
        modulo[(uint32_t)rng_next(&rng) % bound >> 30]++;
    }
    assert_true(shares_fit(lemire, even, 3));
    assert_false(shares_fit(modulo, even, 3));
    assert_true(shares_fit(modulo, biased, 3));
}

/* `rand() % n` where rand() has 15 bits, the least that the standard allows: 768 of 1000 come 33 times for
 * the others' 32. */
static void the_remainder_of_a_small_range_is_uneven(void **state)
{
    (void)state;
    static uint64_t lemire[1000], remainder[1000];
    uint32_t even[1000];
    struct rng rng;
    rng_seed(&rng, 11);
    for (uint32_t i = 0; i < 1000; i++) even[i] = 1;
    for (uint32_t i = 0; i < PICKS; i++) {
        lemire[rng_below(&rng, 1000)]++;
        remainder[(rng_next(&rng) >> 49) % 1000]++;
    }
    assert_true(shares_fit(lemire, even, 1000));
    assert_false(shares_fit(remainder, even, 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_follow_the_weights),
        cmocka_unit_test(many_peers_have_their_shares),
        cmocka_unit_test(the_others_keep_their_shares),
        cmocka_unit_test(the_table_is_exact),
        cmocka_unit_test(the_draw_has_no_modulo_bias),
        cmocka_unit_test(the_remainder_of_a_small_range_is_uneven),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
