#include <string.h>

#include "peers.h"

#define KEYS 1000000

static void shares_follow_the_weights(void **state)
{
    (void)state;
    static const struct {
        uint32_t count, weights[10];
    } cases[] = {
        { 2, { 1, 1 } },
        { 3, { 5, 1, 1 } },
        { 5, { 4, 4, 4, 4, 4 } },
        { 10, { 10000, 1000, 100, 10, 1000, 3333, 7, 1234, 9999, 50 } },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct peers p;
        peers_init(&p, "hash", cases[i].count, cases[i].weights);
        peers_pick_many(&p, KEYS);
        assert_true(shares_fit(p.seen, p.weights, p.count));
        peers_fini(&p);
    }
}

/* The place is the hash modulo the sum of the weights, whatever the state of the random numbers. */
static void the_place_is_the_remainder(void **state)
{
    (void)state;
    struct peers p;
    static const uint32_t weights[] = { 2, 1, 3 };
    static const uint32_t places[] = { 0, 0, 1, 2, 2, 2 };
    peers_init(&p, "hash", 3, weights);
    for (uint64_t i = 0; i < 600; i++) {
        p.hash = (UINT64_C(1) << 40) * 6 + i;
        struct balance_choice c = peers_pick(&p);
        assert_int_equal(c.peer, places[i % 6]);
        assert_int_equal(c.reason, BALANCE_HASHED);
    }
    peers_fini(&p);
}

/* As a search through the row would find it. */
static void every_place_has_its_peer(void **state)
{
    (void)state;
    struct rng rng;
    uint32_t weights[PEERS_MAX];
    rng_seed(&rng, 3);
    for (int round = 0; round < 20; round++) {
        struct peers p;
        uint32_t n = 2 + rng_below(&rng, 100);
        for (uint32_t i = 0; i < n; i++) weights[i] = 1 + rng_below(&rng, 20);
        weights[0] = 1;
        peers_init(&p, "hash", n, weights);
        p.hash = 0;
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t j = 0; j < weights[i]; j++, p.hash++) assert_int_equal(peers_pick(&p).peer, i);
        peers_fini(&p);
    }
}

static void the_next_usable_one_takes_over(void **state)
{
    (void)state;
    struct peers p;
    peers_init(&p, "hash", 4, NULL);
    p.hash = 2;
    p.tried[p.tried_count++] = 2;
    peers_cap(&p, 3, 1);
    peers_load(&p, 3, 1);
    struct balance_choice c = peers_pick(&p);
    assert_int_equal(c.peer, 0);
    assert_int_equal(c.reason, BALANCE_FALLBACK);
    p.hash = 1;
    c = peers_pick(&p);
    assert_int_equal(c.peer, 1);
    assert_int_equal(c.reason, BALANCE_HASHED);
    peers_fini(&p);
}

/* Stable across releases and machines: operators' caches depend on it. */
static void the_hash_is_xxh3(void **state)
{
    (void)state;
    assert_true(balance_hash(SLICE("")) == UINT64_C(0x2d06800538d394c2));
    assert_true(balance_hash(SLICE("a")) == UINT64_C(0xe6c632b61e964e1f));
    assert_true(balance_hash(SLICE_NONE) == balance_hash(SLICE("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_follow_the_weights), cmocka_unit_test(the_place_is_the_remainder),
        cmocka_unit_test(every_place_has_its_peer),  cmocka_unit_test(the_next_usable_one_takes_over),
        cmocka_unit_test(the_hash_is_xxh3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
