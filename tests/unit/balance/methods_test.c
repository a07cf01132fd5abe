/* What every method must do. */
#include "balance/method.h"

#include <string.h>

#include "peers.h"

static const char *const names[] = { "round_robin", "random", "least_request", "least_connections", "hash" };
#define NAMES (sizeof(names) / sizeof(*names))
static const uint32_t sizes[] = { 2, 10, 64, 65, 1000 };
#define TOO_LONG "header:0123456789012345678901234567890123456789012345678901234567890123"
#define SIZES (sizeof(sizes) / sizeof(*sizes))

static uint32_t uneven(uint32_t i)
{
    return 1 + i * i % 7;
}

/* Calls `check` with each method at each size, weights uneven. */
static void with_each(void (*check)(struct peers *p))
{
    for (size_t i = 0; i < NAMES; i++) {
        for (size_t j = 0; j < SIZES; j++) {
            struct peers p;
            uint32_t weights[PEERS_MAX];
            for (uint32_t k = 0; k < PEERS_MAX; k++) weights[k] = uneven(k);
            peers_init(&p, names[i], sizes[j], weights);
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
    for (int reason = BALANCE_ALL_TRIED; reason <= BALANCE_FALLBACK; reason++)
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
        p->hash = balance_hash((struct slice){ (const char *)&i, sizeof(i) });
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

static void check_last_with_room(struct peers *p)
{
    uint32_t left = p->count - 1;
    for (uint32_t i = 0; i < p->count; i++) {
        peers_load(p, i, i == left ? 8 : 9);
        peers_cap(p, i, 9);
    }
    for (uint64_t i = 0; i < 20; i++) {
        p->hash = balance_hash((struct slice){ (const char *)&i, sizeof(i) });
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
    for (uint64_t i = 0; i < 2000; i++) {
        p->hash = balance_hash((struct slice){ (const char *)&i, sizeof(i) });
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
    for (size_t i = 0; i < NAMES; i++) {
        struct peers a, b;
        peers_init(&a, names[i], 100, NULL);
        peers_init(&b, names[i], 100, NULL);
        for (uint64_t j = 0; j < 1000; j++) {
            a.hash = b.hash = balance_hash((struct slice){ (const char *)&j, sizeof(j) });
            assert_int_equal(peers_pick(&a).peer, peers_pick(&b).peer);
        }
        peers_fini(&a);
        peers_fini(&b);
    }
}

static void keys_are_said_back_as_they_were_read(void **state)
{
    (void)state;
    const struct conf_type *type = peers_method("hash")->type->fields[0].type;
    static const char *const good[] = { "client", "path", "host", "header:x-user" };
    static const char *const bad[] = { "",           "Client",   "cookie",     "header:",
                                       "header:a b", "header:é", "header:a:b", TOO_LONG };
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct balance_key key;
        struct err err;
        char said[100];
        struct text text = text_over(said, sizeof(said));
        assert_int_equal(type->parse(slice_of(good[i]), &key, &err), 0);
        type->print(&key, &text);
        assert_string_equal(text_cstr(&text), good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct balance_key key;
        struct err err = { "" };
        assert_int_equal(type->parse(slice_of(bad[i]), &key, &err), -1);
        assert_true(err.text[0] != 0);
    }
}

static void a_header_to_hash_is_in_lower_case(void **state)
{
    (void)state;
    struct hash_conf conf = { 0 };
    struct err err;
    const struct balance_method *hash = peers_method("hash");
    assert_int_equal(hash->type->fields[0].type->parse(SLICE("Header:X-User_ID"), &conf.key, &err), 0);
    const struct balance_key *key = balance_method_key(hash, &conf);
    assert_int_equal(key->kind, BALANCE_KEY_HEADER);
    assert_string_equal(key->header, "x-user_id");
    assert_null(balance_method_key(peers_method("random"), NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_a_name_an_option_and_a_sentence),
        cmocka_unit_test(a_set_of_one_is_the_only_one_or_none),
        cmocka_unit_test(an_empty_set_has_none),
        cmocka_unit_test(the_last_one_not_tried_is_found),
        cmocka_unit_test(the_last_one_with_room_is_found),
        cmocka_unit_test(tried_and_full_ones_are_never_picked),
        cmocka_unit_test(one_seed_gives_one_sequence),
        cmocka_unit_test(keys_are_said_back_as_they_were_read),
        cmocka_unit_test(a_header_to_hash_is_in_lower_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
