/* `hash` and its tables. */
#include "balance/hash.h"

#include <string.h>

#include "peers.h"

#define KEYS 1000000
#define FEWER_KEYS 100000

static const struct hash_conf tables[] = {
    [HASH_MAGLEV] = { .table = HASH_MAGLEV, .size = HASH_SIZE },
    [HASH_RING] = { .table = HASH_RING, .replicas = HASH_REPLICAS },
    [HASH_RENDEZVOUS] = { .table = HASH_RENDEZVOUS },
    [HASH_MOD] = { .table = HASH_MOD },
};
static const enum hash_table_kind consistent[] = { HASH_MAGLEV, HASH_RING, HASH_RENDEZVOUS };

static void init(struct peers *p, enum hash_table_kind kind, uint32_t count, const uint32_t *weights)
{
    peers_init_with(p, "hash", &tables[kind], count, weights);
}

static uint32_t peer_of(struct peers *p, uint64_t key)
{
    p->hash = peers_key(key);
    return peers_pick(p).peer;
}

/* Whose each key is. */
static void note_peers(struct peers *p, uint16_t *owners, uint32_t keys)
{
    for (uint32_t i = 0; i < keys; i++) owners[i] = (uint16_t)peer_of(p, i);
}

/* shares */

static void shares_follow_the_weights(void **state)
{
    (void)state;
    static const enum hash_table_kind exact[] = { HASH_MAGLEV, HASH_RENDEZVOUS, HASH_MOD };
    static const struct {
        uint32_t count, weights[10];
    } cases[] = {
        { 2, { 1, 1 } },
        { 3, { 5, 1, 1 } },
        { 5, { 4, 4, 4, 4, 4 } },
        { 10, { 10000, 1000, 100, 10, 1000, 3333, 7, 1234, 9999, 50 } },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases) * 3; i++) {
        struct peers p;
        init(&p, exact[i % 3], cases[i / 3].count, cases[i / 3].weights);
        peers_pick_many(&p, KEYS);
        assert_true(shares_fit(p.seen, p.weights, p.count));
        peers_fini(&p);
    }
}

/* A ring is uneven by nature: with 160 points each, by about a twelfth. */
static void shares_of_a_ring_follow_the_weights_roughly(void **state)
{
    (void)state;
    struct peers p;
    uint32_t weights[50], sum = 0;
    for (uint32_t i = 0; i < 50; i++) sum += weights[i] = 1 + i % 5;
    init(&p, HASH_RING, 50, weights);
    peers_pick_many(&p, FEWER_KEYS);
    for (uint32_t i = 0; i < 50; i++) {
        double ratio = (double)p.seen[i] * sum / ((double)FEWER_KEYS * weights[i]);
        assert_true(ratio > 0.6 && ratio < 1.5);
    }
    peers_fini(&p);
}

/* The hash that leads to the middle of a place: 2^64 - 1 is a multiple of 65537. */
static uint64_t hash_of_place(uint32_t place)
{
    uint64_t span = UINT64_MAX / HASH_SIZE;
    return place * span + span / 2;
}

static void count_places(struct peers *p)
{
    memset(p->seen, 0, sizeof(p->seen));
    for (uint32_t place = 0; place < HASH_SIZE; place++) {
        p->hash = hash_of_place(place);
        p->seen[peers_pick(p).peer]++;
    }
}

static void every_server_has_its_places_to_one(void **state)
{
    (void)state;
    struct peers p;
    uint32_t weights[PEERS_MAX], sum = 0;
    for (uint32_t i = 0; i < 100; i++) sum += weights[i] = 100 + i * 37 % 900;
    init(&p, HASH_MAGLEV, 100, weights);
    count_places(&p);
    for (uint32_t i = 0; i < 100; i++) {
        double exact = (double)HASH_SIZE * weights[i] / sum;
        assert_true((double)p.seen[i] > exact - 1 && (double)p.seen[i] < exact + 1);
    }
    peers_fini(&p);
}

/* Maximum over mean. */
static void the_fullest_of_100_has_at_most_a_hundredth_more(void **state)
{
    (void)state;
    struct peers p;
    uint64_t most = 0;
    init(&p, HASH_MAGLEV, 100, NULL);
    count_places(&p);
    for (uint32_t i = 0; i < 100; i++) most = p.seen[i] > most ? p.seen[i] : most;
    assert_true((double)most <= 1.01 * HASH_SIZE / 100);
    peers_fini(&p);
}

static void the_lightest_has_a_place(void **state)
{
    (void)state;
    struct peers p;
    uint32_t weights[PEERS_MAX];
    for (uint32_t i = 0; i < 200; i++) weights[i] = i % 2 ? 1 : BALANCE_SET_WEIGHT_MAX - i;
    init(&p, HASH_MAGLEV, 200, weights);
    count_places(&p);
    for (uint32_t i = 0; i < 200; i++) assert_true(i % 2 ? p.seen[i] == 1 : p.seen[i] > 600);
    peers_fini(&p);
}

static void a_table_smaller_than_its_pool_is_refused(void **state)
{
    (void)state;
    struct peers p;
    struct err err;
    void *table;
    static const struct hash_conf small = { .table = HASH_MAGLEV, .size = 101 };
    init(&p, HASH_MAGLEV, 102, NULL);
    struct balance_set set = { p.pointers, p.weights, p.name_hashes, 102 };
    assert_int_equal(p.balance.method->build(&set, &small, &table, &err), -1);
    assert_non_null(strstr(err.text, "make size at least 10200"));
    set.count = 101;
    assert_int_equal(p.balance.method->build(&set, &small, &table, &err), 0);
    p.balance.method->drop(table);
    peers_fini(&p);
}

/* what moves */

static uint16_t before[FEWER_KEYS], after[FEWER_KEYS];

/* How many keys moved, of those that server `gone` did not have and of all. A rebuilt table counts servers
 * behind it one less. */
static void count_moved(uint32_t gone, uint32_t *needless, uint32_t *all)
{
    *needless = *all = 0;
    for (uint32_t i = 0; i < FEWER_KEYS; i++) {
        uint32_t now = after[i] >= gone ? after[i] + 1u : after[i];
        *all += now != before[i];
        *needless += now != before[i] && before[i] != gone;
    }
}

static void take_away(struct peers *p, uint32_t gone)
{
    p->count--;
    for (uint32_t i = gone; i < p->count; i++) {
        p->weights[i] = p->weights[i + 1];
        p->name_hashes[i] = p->name_hashes[i + 1];
    }
    peers_rebuild(p);
}

static void one_of_100_leaves(enum hash_table_kind kind, uint32_t gone, uint32_t *needless, uint32_t *all)
{
    struct peers p;
    init(&p, kind, 100, NULL);
    note_peers(&p, before, FEWER_KEYS);
    take_away(&p, gone);
    note_peers(&p, after, FEWER_KEYS);
    count_moved(gone, needless, all);
    peers_fini(&p);
}

static void hardly_any_key_moves_when_a_server_leaves(void **state)
{
    (void)state;
    uint32_t needless, all;
    for (uint32_t gone = 0; gone < 100; gone += 33) { /* the first and the last among them */
        one_of_100_leaves(HASH_MAGLEV, gone, &needless, &all);
        assert_true(all <= FEWER_KEYS / 50);
        one_of_100_leaves(HASH_RING, gone, &needless, &all);
        assert_int_equal(needless, 0);
        assert_true(all <= FEWER_KEYS / 50);
        one_of_100_leaves(HASH_RENDEZVOUS, gone, &needless, &all);
        assert_int_equal(needless, 0);
        assert_true(all > FEWER_KEYS / 115 && all < FEWER_KEYS / 85);
    }
}

static void nearly_all_keys_move_by_modulo(void **state)
{
    (void)state;
    uint32_t needless, all;
    one_of_100_leaves(HASH_MOD, 42, &needless, &all);
    assert_true(needless > FEWER_KEYS / 2);
    assert_true(all > FEWER_KEYS / 10 * 9);
}

static void a_newcomer_takes_its_share_and_no_more(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct peers p;
        uint32_t taken = 0, moved = 0;
        init(&p, consistent[i], 100, NULL);
        note_peers(&p, before, FEWER_KEYS);
        p.count++;
        peers_rebuild(&p);
        note_peers(&p, after, FEWER_KEYS);
        for (uint32_t key = 0; key < FEWER_KEYS; key++) {
            taken += after[key] == 100;
            moved += after[key] != before[key] && after[key] != 100;
        }
        assert_true(taken > FEWER_KEYS / 130 && taken < FEWER_KEYS / 80);
        assert_true(consistent[i] == HASH_MAGLEV ? moved < FEWER_KEYS / 80 : moved == 0);
        peers_fini(&p);
    }
}

static void a_heavier_server_takes_keys_and_others_keep_theirs(void **state)
{
    (void)state;
    struct peers p;
    uint32_t weights[20];
    for (uint32_t i = 0; i < 20; i++) weights[i] = 1 + i % 4;
    init(&p, HASH_RENDEZVOUS, 20, weights);
    note_peers(&p, before, FEWER_KEYS);
    p.weights[7] *= 2;
    peers_rebuild(&p);
    note_peers(&p, after, FEWER_KEYS);
    for (uint32_t key = 0; key < FEWER_KEYS; key++) assert_true(after[key] == before[key] || after[key] == 7);
    peers_fini(&p);
}

/* Whoever is out keeps its place: only its own keys go elsewhere, and they come back. */
static void the_keys_of_one_that_is_out_come_back(void **state)
{
    (void)state;
    for (enum hash_table_kind kind = HASH_MAGLEV; kind <= HASH_MOD; kind++) {
        struct peers p;
        init(&p, kind, 20, NULL);
        note_peers(&p, before, FEWER_KEYS);
        peers_out(&p, 3, true);
        for (uint32_t key = 0; key < FEWER_KEYS; key++) {
            p.hash = peers_key(key);
            struct balance_choice c = peers_pick(&p);
            assert_true(before[key] == 3 ? c.peer != 3 : c.peer == before[key]);
            assert_int_equal(c.reason, before[key] == 3 ? BALANCE_FALLBACK : BALANCE_HASHED);
        }
        peers_out(&p, 3, false);
        note_peers(&p, after, FEWER_KEYS);
        assert_memory_equal(before, after, sizeof(before));
        peers_fini(&p);
    }
}

/* What one that is out had is shared out by weight; only `mod` gives all of it to the next. */
static void the_others_share_what_one_that_is_out_had(void **state)
{
    (void)state;
    static const uint32_t weights[] = { 1, 2, 3, 4, 5 };
    static const uint32_t shares[] = { 1, 2, 0, 4, 5 };
    static const enum hash_table_kind spread[] = { HASH_MAGLEV, HASH_RENDEZVOUS };
    for (size_t i = 0; i < 2; i++) {
        struct peers p;
        init(&p, spread[i], 5, weights);
        peers_out(&p, 2, true);
        for (uint64_t key = 0; key < KEYS; key++) {
            p.hash = peers_key(key);
            struct balance_choice c = peers_pick(&p);
            p.seen[c.peer] += c.reason == BALANCE_FALLBACK;
        }
        assert_true(shares_fit(p.seen, shares, 5));
        peers_fini(&p);
    }
}

/* A set may come in any order: from files that were edited, from DNS. */
static void the_order_of_the_servers_does_not_matter(void **state)
{
    (void)state;
    static uint32_t weights[100];
    for (int is_even = 0; is_even < 2; is_even++) {
        for (uint32_t i = 0; i < 100; i++) weights[i] = is_even ? 1 : 1 + i % 7;
        for (size_t i = 0; i < 3; i++) {
            struct peers p, q;
            init(&p, consistent[i], 100, weights);
            init(&q, consistent[i], 100, weights);
            for (uint32_t j = 0; j < 100; j++) {
                q.weights[j] = weights[j * 37 % 100];
                peers_name(&q, j, j * 37 % 100);
            }
            peers_rebuild(&q);
            peers_out(&p, 37, true);
            peers_out(&q, 1, true);
            for (uint32_t key = 0; key < FEWER_KEYS / 4; key++)
                assert_int_equal(peer_of(&p, key), peer_of(&q, key) * 37 % 100);
            peers_fini(&p);
            peers_fini(&q);
        }
    }
}

/* who stands in */

static void the_second_in_rendezvous_order_is_the_runner_up(void **state)
{
    (void)state;
    struct peers p;
    static const uint32_t weights[] = { 1, 2, 3, 4, 5, 6, 7 };
    init(&p, HASH_RENDEZVOUS, 7, weights);
    for (uint64_t key = 0; key < 1000; key++) {
        p.hash = peers_key(key);
        p.tried_count = 0;
        struct balance_choice first = peers_pick(&p);
        p.tried[p.tried_count++] = first.peer;
        struct balance_choice then = peers_pick(&p);
        assert_int_equal(first.runner_up, then.peer);
        assert_int_equal(then.reason, BALANCE_FALLBACK);
        p.tried[0] = first.runner_up;
        assert_int_equal(peers_pick(&p).runner_up, BALANCE_NONE); /* it may not be taken */
    }
    peers_fini(&p);
}

/* Maglev's and rendezvous' stand-ins are the same, and each key has an order of its own. */
static void maglev_falls_back_by_rendezvous_order(void **state)
{
    (void)state;
    struct peers p, q;
    init(&p, HASH_MAGLEV, 10, NULL);
    init(&q, HASH_RENDEZVOUS, 10, NULL);
    for (uint64_t key = 0; key < 1000; key++) {
        p.hash = q.hash = peers_key(key);
        p.tried_count = q.tried_count = 0;
        for (uint32_t step = 0; step < 9; step++) {
            uint32_t peer = peers_pick(&p).peer;
            p.tried[p.tried_count++] = q.tried[q.tried_count++] = peer;
            uint32_t next = peers_pick(&p).peer;
            assert_int_equal(next, peers_pick(&q).peer);
        }
    }
    peers_fini(&p);
    peers_fini(&q);
}

/* A ring's stand-in is whose point comes next: what it would be had the server left. */
static void a_ring_falls_back_to_the_next_point(void **state)
{
    (void)state;
    struct peers p, q;
    init(&p, HASH_RING, 10, NULL);
    init(&q, HASH_RING, 10, NULL);
    peers_out(&p, 9, true);
    take_away(&q, 9);
    for (uint64_t key = 0; key < 10000; key++) assert_int_equal(peer_of(&p, key), peer_of(&q, key));
    peers_fini(&p);
    peers_fini(&q);
}

/* The place is the hash modulo the sum of the weights, whatever the state of the random numbers. */
static void the_place_is_the_remainder(void **state)
{
    (void)state;
    struct peers p;
    static const uint32_t weights[] = { 2, 1, 3 };
    static const uint32_t places[] = { 0, 0, 1, 2, 2, 2 };
    init(&p, HASH_MOD, 3, weights);
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
        init(&p, HASH_MOD, n, weights);
        p.hash = 0;
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t j = 0; j < weights[i]; j++, p.hash++) assert_int_equal(peers_pick(&p).peer, i);
        peers_fini(&p);
    }
}

static void by_modulo_the_next_usable_one_takes_over(void **state)
{
    (void)state;
    struct peers p;
    init(&p, HASH_MOD, 4, NULL);
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

/* bounded loads */

#define LEASES 200
#define BOUND_PICKS 100000

static uint64_t bound_of(const struct peers *p, uint32_t percent, uint32_t peer)
{
    uint64_t load = 1, weight = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        if (atomic_load(&p->lines[i].is_out)) continue;
        load += atomic_load(&p->lines[i].in_flight);
        weight += p->weights[i];
    }
    uint64_t least = percent * load * p->weights[peer];
    return (least + 100 * weight - 1) / (100 * weight);
}

/* Requests come and go, half of them for one key; at each turn some server may be out. */
static void check_bound(const struct hash_conf *conf)
{
    struct peers p;
    struct rng rng;
    uint32_t weights[30], leases[LEASES], count = 0;
    rng_seed(&rng, 8);
    for (uint32_t i = 0; i < 30; i++) weights[i] = 1 + i % 3;
    peers_init_with(&p, "hash", conf, 30, weights);
    for (uint32_t i = 0; i < BOUND_PICKS; i++) {
        if (i % 1000 == 0) peers_out(&p, rng_below(&rng, 30), rng_below(&rng, 2));
        if (count == LEASES || (count && rng_below(&rng, 2))) {
            uint32_t at = rng_below(&rng, count);
            peers_release(&p, leases[at]);
            leases[at] = leases[--count];
            continue;
        }
        p.hash = peers_key(rng_below(&rng, 2) ? 1 : rng_below(&rng, 1000));
        struct balance_choice c = peers_pick(&p);
        assert_true(atomic_load(&p.lines[c.peer].in_flight) + 1 <=
                    bound_of(&p, conf->bounded_percent, c.peer));
        atomic_fetch_add(&p.lines[c.peer].in_flight, 1);
        leases[count++] = c.peer;
    }
    peers_fini(&p);
}

static void nobody_is_ever_above_its_bound(void **state)
{
    (void)state;
    static const uint32_t percents[] = { 101, 125, 300 };
    for (enum hash_table_kind kind = HASH_MAGLEV; kind <= HASH_MOD; kind++) {
        for (size_t i = 0; i < 3; i++) {
            struct hash_conf conf = tables[kind];
            conf.bounded_percent = percents[i];
            check_bound(&conf);
        }
    }
}

/* One hot key: without a bound one server has it all, with one the key's order is filled up. */
static void a_hot_key_spreads_in_its_order_and_comes_home(void **state)
{
    (void)state;
    struct peers p;
    struct hash_conf conf = tables[HASH_MAGLEV];
    conf.bounded_percent = 150;
    peers_init_with(&p, "hash", &conf, 10, NULL);
    uint32_t own = peer_of(&p, 1);
    for (uint32_t i = 0; i < 1000; i++) peers_lease(&p);
    assert_true(atomic_load(&p.lines[own].in_flight) == 150);
    struct balance_choice c = peers_pick(&p);
    assert_true(c.peer == own || c.reason == BALANCE_BOUNDED);
    for (uint32_t i = 0; i < 10; i++) assert_true(atomic_load(&p.lines[i].in_flight) <= 150);
    for (uint32_t i = 0; i < 10; i++) peers_load(&p, i, 2);
    c = peers_pick(&p);
    assert_int_equal(c.peer, own);
    assert_int_equal(c.reason, BALANCE_HASHED);
    peers_fini(&p);
}

/* A server that is full or was tried leaves its part of the load to the others: they are not refused. */
static void the_bound_never_refuses(void **state)
{
    (void)state;
    struct peers p;
    struct hash_conf conf = tables[HASH_RENDEZVOUS];
    conf.bounded_percent = 101;
    peers_init_with(&p, "hash", &conf, 4, NULL);
    for (uint32_t i = 0; i < 2; i++) {
        peers_load(&p, i, 1);
        peers_cap(&p, i, 1);
    }
    p.tried[p.tried_count++] = 2;
    for (uint64_t key = 0; key < 100; key++) {
        p.hash = peers_key(key);
        assert_int_equal(peers_lease(&p), 3);
    }
    peers_fini(&p);
}

static void primes_are_told_from_the_rest(void **state)
{
    (void)state;
    static const uint32_t primes[] = { 2, 3, 101, 65537, 655373, HASH_SIZE_MAX };
    static const uint32_t others[] = { 0, 1, 4, 9, 100, 65535, 65537 * 3 };
    for (size_t i = 0; i < sizeof(primes) / sizeof(*primes); i++) assert_true(hash_is_prime(primes[i]));
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) assert_false(hash_is_prime(others[i]));
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
        cmocka_unit_test(shares_follow_the_weights),
        cmocka_unit_test(shares_of_a_ring_follow_the_weights_roughly),
        cmocka_unit_test(every_server_has_its_places_to_one),
        cmocka_unit_test(the_fullest_of_100_has_at_most_a_hundredth_more),
        cmocka_unit_test(the_lightest_has_a_place),
        cmocka_unit_test(a_table_smaller_than_its_pool_is_refused),
        cmocka_unit_test(hardly_any_key_moves_when_a_server_leaves),
        cmocka_unit_test(nearly_all_keys_move_by_modulo),
        cmocka_unit_test(a_newcomer_takes_its_share_and_no_more),
        cmocka_unit_test(a_heavier_server_takes_keys_and_others_keep_theirs),
        cmocka_unit_test(the_keys_of_one_that_is_out_come_back),
        cmocka_unit_test(the_others_share_what_one_that_is_out_had),
        cmocka_unit_test(the_order_of_the_servers_does_not_matter),
        cmocka_unit_test(the_second_in_rendezvous_order_is_the_runner_up),
        cmocka_unit_test(maglev_falls_back_by_rendezvous_order),
        cmocka_unit_test(a_ring_falls_back_to_the_next_point),
        cmocka_unit_test(the_place_is_the_remainder),
        cmocka_unit_test(every_place_has_its_peer),
        cmocka_unit_test(by_modulo_the_next_usable_one_takes_over),
        cmocka_unit_test(nobody_is_ever_above_its_bound),
        cmocka_unit_test(a_hot_key_spreads_in_its_order_and_comes_home),
        cmocka_unit_test(the_bound_never_refuses),
        cmocka_unit_test(primes_are_told_from_the_rest),
        cmocka_unit_test(the_hash_is_xxh3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
