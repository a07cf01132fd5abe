/* What every method must do. */
#include "balance/method.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "balance/hash.h"
#include "balance/least.h"
#include "balance/peak.h"
#include "conf/decoded.h"
#include "peers.h"

/* Every method, and what it can be told to do otherwise. */
static const struct least_conf always_drawn = { .scan = 0, .choices = 5 };
static const struct hash_conf tables[] = {
    { .table = HASH_MAGLEV, .size = HASH_SIZE },
    { .table = HASH_RING, .replicas = HASH_REPLICAS },
    { .table = HASH_RENDEZVOUS },
    { .table = HASH_MOD },
    { .table = HASH_MAGLEV, .size = HASH_SIZE, .bounded_percent = 125 },
    { .table = HASH_RING, .replicas = 5, .bounded_percent = 125 },
    { .table = HASH_RENDEZVOUS, .bounded_percent = 101 },
    { .table = HASH_MOD, .bounded_percent = 1000 },
};
static const struct {
    const char *name;
    const void *conf;
} variants[] = {
    { "round_robin", NULL },
    { "random", NULL },
    { "least_request", NULL },
    { "least_connections", NULL },
    { "least_request", &always_drawn },
    { "peak_ewma", NULL },
    { "hash", NULL },
    { "hash", &tables[0] },
    { "hash", &tables[1] },
    { "hash", &tables[2] },
    { "hash", &tables[3] },
    { "hash", &tables[4] },
    { "hash", &tables[5] },
    { "hash", &tables[6] },
    { "hash", &tables[7] },
};
#define VARIANTS (sizeof(variants) / sizeof(*variants))
static const uint32_t sizes[] = { 2, 10, 64, 65, 1000 };
#define SIZES (sizeof(sizes) / sizeof(*sizes))

static uint32_t uneven(uint32_t i)
{
    return 1 + i * i % 7;
}

/* Calls `check` with each method at each size, weights uneven. */
static void with_each(void (*check)(struct peers *p))
{
    for (size_t i = 0; i < VARIANTS; i++) {
        for (size_t j = 0; j < SIZES; j++) {
            struct peers p;
            uint32_t weights[PEERS_MAX];
            for (uint32_t k = 0; k < PEERS_MAX; k++) weights[k] = uneven(k);
            peers_init_with(&p, variants[i].name, variants[i].conf, sizes[j], weights);
            check(&p);
            peers_fini(&p);
        }
    }
}

static void each_has_a_name_an_option_and_a_sentence(void **state)
{
    (void)state;
    const struct balance_method *const *m = balance_methods;
    const struct conf_option *const *o = balance_conf_type.options;
    for (; *m; m++, o++) {
        assert_non_null(*o);
        assert_string_equal((*m)->name, (*o)->name);
        assert_ptr_equal((*o)->object, *m);
        assert_ptr_equal((*o)->type, (*m)->type);
        assert_true((*m)->help[strlen((*m)->help) - 1] == '.');
    }
    assert_null(*o);
    for (int reason = BALANCE_ALL_TRIED; reason <= BALANCE_PINNED; reason++)
        assert_true(strlen(balance_reason_name((enum balance_reason)reason)) >= 3);
    assert_string_equal(balance_reason_name((enum balance_reason)99), "unknown");
}

static void check_one(struct peers *p)
{
    p->count = 1; /* a table of more is no matter: a set of one is not asked */
    struct balance_choice c = peers_pick(p);
    assert_int_equal(c.peer, 0);
    assert_int_equal(c.runner_up, BALANCE_NONE);
    assert_int_equal(c.reason, BALANCE_ONLY_ONE);
    peers_load(p, 0, 5);
    peers_cap(p, 0, 5);
    c = peers_pick(p);
    assert_int_equal(c.peer, BALANCE_NONE);
    assert_int_equal(c.reason, BALANCE_ALL_FULL);
    peers_out(p, 0, true);
    assert_int_equal(peers_pick(p).reason, BALANCE_ALL_TRIED); /* waiting for a slot would be in vain */
    peers_out(p, 0, false);
    p->tried_count = 1;
    c = peers_pick(p);
    assert_int_equal(c.peer, BALANCE_NONE);
    assert_int_equal(c.reason, BALANCE_ALL_TRIED);
}

static void a_set_of_one_is_the_only_one_or_none(void **state)
{
    (void)state;
    with_each(check_one);
}

static void check_empty(struct peers *p)
{
    p->count = 0;
    peers_rebuild(p);
    assert_true(p->balance.method->table_bytes(p->table) < 200);
    struct balance_choice c = peers_pick(p);
    assert_int_equal(c.peer, BALANCE_NONE);
    assert_int_equal(c.reason, BALANCE_ALL_TRIED);
}

static void an_empty_set_has_none(void **state)
{
    (void)state;
    with_each(check_empty);
}

static void check_last_left(struct peers *p)
{
    uint32_t left = p->count / 2;
    for (uint32_t i = 0; i < p->count; i++)
        if (i != left) p->tried[p->tried_count++] = i;
    for (uint64_t i = 0; i < 20; i++) {
        p->hash = peers_key(i);
        struct balance_choice c = peers_pick(p);
        assert_int_equal(c.peer, left);
        assert_int_equal(c.runner_up, BALANCE_NONE);
    }
    p->tried[p->tried_count++] = left;
    struct balance_choice c = peers_pick(p);
    assert_int_equal(c.peer, BALANCE_NONE);
    assert_int_equal(c.reason, BALANCE_ALL_TRIED);
}

static void the_last_one_not_tried_is_found(void **state)
{
    (void)state;
    with_each(check_last_left);
}

static void check_out(struct peers *p)
{
    uint32_t left = p->count / 3;
    for (uint32_t i = 0; i < p->count; i++) peers_out(p, i, i != left);
    for (uint64_t i = 0; i < 20; i++) {
        p->hash = peers_key(i);
        struct balance_choice c = peers_pick(p);
        assert_int_equal(c.peer, left);
        assert_int_equal(c.runner_up, BALANCE_NONE);
    }
    peers_cap(p, left, 1);
    peers_load(p, left, 1);
    assert_int_equal(peers_pick(p).reason, BALANCE_ALL_FULL);
    peers_out(p, left, true);
    struct balance_choice c = peers_pick(p);
    assert_int_equal(c.peer, BALANCE_NONE);
    assert_int_equal(c.reason, BALANCE_ALL_TRIED);
}

static void who_is_out_is_never_picked(void **state)
{
    (void)state;
    with_each(check_out);
}

static void check_last_with_room(struct peers *p)
{
    uint32_t left = p->count - 1;
    for (uint32_t i = 0; i < p->count; i++) {
        peers_load(p, i, i == left ? 8 : 9);
        peers_cap(p, i, 9);
    }
    for (uint64_t i = 0; i < 20; i++) {
        p->hash = peers_key(i);
        assert_int_equal(peers_pick(p).peer, left);
    }
    peers_load(p, left, 9);
    struct balance_choice c = peers_pick(p);
    assert_int_equal(c.peer, BALANCE_NONE);
    assert_int_equal(c.reason, BALANCE_ALL_FULL);
    /* Tried and full is tried: waiting for it would be in vain. */
    for (uint32_t i = 0; i < p->count; i++) p->tried[p->tried_count++] = i;
    c = peers_pick(p);
    assert_int_equal(c.peer, BALANCE_NONE);
    assert_int_equal(c.reason, BALANCE_ALL_TRIED);
}

static void the_last_one_with_room_is_found(void **state)
{
    (void)state;
    with_each(check_last_with_room);
}

static void check_never_unusable(struct peers *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        if (i % 3 == 0) p->tried[p->tried_count++] = i;
        if (i % 3 != 1) continue;
        peers_load(p, i, 3);
        peers_cap(p, i, 3);
    }
    if (p->count == 2) peers_cap(p, 1, 0);
    for (uint64_t i = 0; i < 1000; i++) {
        p->hash = peers_key(i);
        struct balance_choice c = peers_pick(p);
        assert_true(c.peer < p->count);
        assert_true(c.peer % 3 == 2 || p->count == 2);
        assert_true(c.runner_up != c.peer);
        assert_true(c.runner_up == BALANCE_NONE || c.runner_up % 3 == 2);
    }
}

static void tried_and_full_ones_are_never_picked(void **state)
{
    (void)state;
    with_each(check_never_unusable);
}

static void one_seed_gives_one_sequence(void **state)
{
    (void)state;
    for (size_t i = 0; i < VARIANTS; i++) {
        struct peers a, b;
        peers_init_with(&a, variants[i].name, variants[i].conf, 100, NULL);
        peers_init_with(&b, variants[i].name, variants[i].conf, 100, NULL);
        for (uint64_t j = 0; j < 1000; j++) {
            a.hash = b.hash = peers_key(j);
            assert_int_equal(peers_pick(&a).peer, peers_pick(&b).peer);
        }
        peers_fini(&a);
        peers_fini(&b);
    }
}

static void check_table_bytes(struct peers *p)
{
    size_t bytes = p->balance.method->table_bytes(p->table);
    assert_true(bytes >= 4 * p->count && bytes < 200 * 1024 + 4096 * p->count);
}

static void each_table_says_what_it_occupies(void **state)
{
    (void)state;
    with_each(check_table_bytes);
}

/* Tiers and warm-up make weights up to a hundred times what can be configured. */
static void the_largest_weights_do_not_overflow(void **state)
{
    (void)state;
    uint32_t weights[PEERS_MAX];
    for (uint32_t i = 0; i < PEERS_MAX; i++) weights[i] = BALANCE_SET_WEIGHT_MAX - (i == 0);
    for (size_t i = 0; i < VARIANTS; i++) {
        struct peers p;
        peers_init_with(&p, variants[i].name, variants[i].conf, PEERS_MAX, weights);
        peers_pick_many(&p, 10000);
        for (uint32_t j = 0; j < PEERS_MAX; j++) assert_true(p.seen[j] < 100);
        peers_fini(&p);
    }
}

/* keys */

static uint64_t hash_of(const char *key, const struct http_head *head)
{
    struct http_template template;
    struct err err;
    struct ip client;
    assert_true(ip_parse(SLICE("192.0.2.7"), &client));
    if (http_template_parse_source(slice_of(key), &template, &err) < 0) fail_msg("%s", err.text);
    const struct http_template_input in = { .head = head, .client = &client };
    return balance_key_hash(&template, &in);
}

#define LONG_VALUE 5000

static void the_key_is_what_the_request_has(void **state)
{
    (void)state;
    static char value[LONG_VALUE];
    memset(value, 'v', sizeof(value));
    struct http_field fields[] = {
        { .name = "x-user", .name_len = 6, .value = "ann", .value_len = 3 },
        { .name = "x-long", .name_len = 6, .value = value, .value_len = LONG_VALUE }
    };
    const struct http_head head = {
        .target = SLICE("/a?id=7"), .authority = SLICE("EXAMPLE.org:80"), .fields = fields, .field_count = 2
    };
    static const struct {
        const char *key, *text;
    } cases[] = {
        { "client", "192.0.2.7" },
        { "path", "/a" },
        { "host", "example.org" },
        { "header:X-User", "ann" },
        { "arg:id", "7" },
        { "cookie:sid", "" },
        { "header:X-None", "" },
        { "{header:X-None}/{cookie:sid}", "" },
        { "{path}|{header:X-User}|{arg:none}", "/a|ann|" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_true(hash_of(cases[i].key, &head) == balance_hash(slice_of(cases[i].text)));
    uint64_t whole = hash_of("{header:X-Long}{path}", &head);
    assert_true(hash_of("header:X-Long", &head) == balance_hash((struct slice){ value, LONG_VALUE }));
    value[LONG_VALUE - 1] = 'w'; /* every byte counts, however many there are */
    assert_true(hash_of("{header:X-Long}{path}", &head) != whole);
}

static void only_hash_has_a_key(void **state)
{
    (void)state;
    struct hash_conf conf = { 0 };
    assert_ptr_equal(balance_method_key(peers_method("hash"), &conf), &conf.key);
    assert_null(balance_method_key(peers_method("random"), NULL));
    assert_null(balance_method_key(peers_method("least_request"), &always_drawn));
}

/* options */

struct config {
    struct conf_choice balance;
};
static const struct conf_field config_fields[] = {
    { "balance", CONF_CHOICE(struct config, balance, &balance_conf_type), .help = "How." },
    { 0 },
};
static const struct conf_type config_type = { .name = "config",
                                              .size = sizeof(struct config),
                                              .fields = config_fields };

/* What `balance:` says, in `arena`; the faults to `said`, which is empty if there are none. */
static const void *decode(const char *yaml, struct conf_arena *arena, char *said, size_t said_size)
{
    struct config config;
    char *faults = decode_yaml(yaml, &config_type, &config, arena);
    snprintf(said, said_size, "%s", faults ? faults : "");
    free(faults);
    return *said ? NULL : config.balance.conf;
}

static void options_have_defaults(void **state)
{
    (void)state;
    struct conf_arena *arena = conf_arena_new();
    char said[500];
    const struct hash_conf *hash = decode("balance: hash", arena, said, sizeof(said));
    assert_string_equal(said, "");
    assert_int_equal(hash->table, HASH_MAGLEV);
    assert_int_equal(hash->size, HASH_SIZE);
    assert_int_equal(hash->replicas, HASH_REPLICAS);
    assert_int_equal(hash->bounded_percent, 0);
    assert_int_equal(hash->key.parts[0].source, HTTP_SOURCE_CLIENT);
    const struct least_conf *least = decode("balance: least_request", arena, said, sizeof(said));
    assert_int_equal(least->scan, LEAST_SCAN);
    assert_int_equal(least->choices, LEAST_CHOICES);
    const struct peak_conf *peak = decode("balance: {method: peak_ewma}", arena, said, sizeof(said));
    assert_int_equal(peak->half_life_ms, PEAK_HALF_LIFE_MS);
    conf_arena_free(arena);
}

static void bounds_are_factors_in_hundredths(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        uint32_t percent;
    } good[] = {
        { "balance: {method: hash, bounded: off}", 0 },
        { "balance: {method: hash, bounded: 1.01}", 101 },
        { "balance: {method: hash, bounded: 1.5}", 150 },
        { "balance: {method: hash, bounded: 2}", 200 },
        { "balance: {method: hash, bounded: 10.00}", 1000 },
    };
    struct conf_arena *arena = conf_arena_new();
    char said[500];
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        const struct hash_conf *hash = decode(good[i].yaml, arena, said, sizeof(said));
        assert_string_equal(said, "");
        assert_int_equal(hash->bounded_percent, good[i].percent);
    }
    conf_arena_free(arena);
}

static void what_cannot_be_is_refused_with_a_remedy(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *remedy;
    } bad[] = {
        { "balance: {method: hash, size: 65536}", "the next prime is 65537" },
        { "balance: {method: hash, size: 100}", "the next prime is 101" },
        { "balance: {method: hash, size: 5000012}", "5000011" },
        { "balance: {method: hash, bounded: 1}", "from 1.01 to 10" },
        { "balance: {method: hash, bounded: 0}", "from 1.01 to 10" },
        { "balance: {method: hash, bounded: 10.01}", "from 1.01 to 10" },
        { "balance: {method: hash, bounded: 1.255}", "two decimals" },
        { "balance: {method: hash, bounded: .5}", "from 1.01 to 10" },
        { "balance: {method: hash, bounded: \"2.\"}", "from 1.01 to 10" },
        { "balance: {method: hash, bounded: \"\"}", "from 1.01 to 10" },
        { "balance: {method: hash, bounded: 1,5}", "" },
        { "balance: {method: hash, bounded: -2}", "from 1.01 to 10" },
        { "balance: {method: hash, table: rings}", "ring" },
        { "balance: {method: hash, replicas: 0}", "" },
        { "balance: {method: hash, key: nothing}", "header:NAME" },
        { "balance: {method: least_request, choices: 1}", "" },
        { "balance: {method: least_request, choices: 17}", "" },
        { "balance: {method: least_request, scan: 4097}", "" },
        { "balance: {method: peak_ewma, half_life: 0s}", "" },
    };
    struct conf_arena *arena = conf_arena_new();
    char said[500];
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_null(decode(bad[i].yaml, arena, said, sizeof(said)));
        if (!strstr(said, bad[i].remedy)) fail_msg("%s: %s", bad[i].yaml, said);
    }
    conf_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_a_name_an_option_and_a_sentence),
        cmocka_unit_test(a_set_of_one_is_the_only_one_or_none),
        cmocka_unit_test(an_empty_set_has_none),
        cmocka_unit_test(the_last_one_not_tried_is_found),
        cmocka_unit_test(who_is_out_is_never_picked),
        cmocka_unit_test(the_last_one_with_room_is_found),
        cmocka_unit_test(tried_and_full_ones_are_never_picked),
        cmocka_unit_test(one_seed_gives_one_sequence),
        cmocka_unit_test(each_table_says_what_it_occupies),
        cmocka_unit_test(the_largest_weights_do_not_overflow),
        cmocka_unit_test(the_key_is_what_the_request_has),
        cmocka_unit_test(only_hash_has_a_key),
        cmocka_unit_test(options_have_defaults),
        cmocka_unit_test(bounds_are_factors_in_hundredths),
        cmocka_unit_test(what_cannot_be_is_refused_with_a_remedy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
