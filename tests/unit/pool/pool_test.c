#include "pool/pool.h"

#include <stdlib.h>

#include "balance/hash.h"
#include "crew.h"
#include "pool/membership.h"

static bool is_in(const struct peer_set *set, const struct server *s)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->servers[i] == s) return set->peers[i] == &s->peer;
    return false;
}

static void set_health(struct crew *c, uint32_t server, enum server_health health)
{
    atomic_store(&c->pool->roster->places[server].server->health, health);
}

static void set_admin(struct crew *c, uint32_t server, enum server_admin admin)
{
    atomic_store(&c->pool->roster->places[server].server->admin, admin);
}

static void a_pool_starts_as_the_configuration_says(void **state)
{
    (void)state;
    struct crew c;
    crew_init(&c, "random", 3);
    c.servers[1].weight = 5;
    c.servers[2].max_connections = 7;
    crew_start(&c, 1);
    const struct pool *p = c.pool;
    assert_int_equal(p->id, 1);
    assert_int_equal(p->roster->count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_string_equal(p->roster->places[i].server->name, c.names[i]);
        assert_int_equal(p->roster->places[i].server->id, 2 + i);
        assert_ptr_equal(p->roster->places[i].server->pool, p);
        assert_ptr_equal(pool_server_by_name(p, c.names[i]), p->roster->places[i].server);
        assert_int_equal((uintptr_t)&p->roster->places[i].server->peer % 64, 0);
    }
    assert_null(pool_server_by_name(p, "s3"));
    assert_int_equal(p->current->count, 3);
    assert_false(p->current->is_panic);
    assert_int_equal(p->current->weights[1], 5);
    assert_int_equal(p->roster->places[2].server->peer.cap, 7);
    crew_stop(&c);
}

static void what_the_operator_would_say_is_foreseen_and_changes_nothing(void **state)
{
    (void)state;
    struct crew c;
    bool is_panic = true;
    crew_init(&c, "random", 3);
    crew_start(&c, 1);
    const struct pool *p = c.pool;
    const struct peer_set *before = p->current;
    const struct server *s = p->roster->places[1].server;
    struct membership *drained = pool_foresee(p, s, &(struct pool_word){ SERVER_DRAIN, 1 }, &is_panic);
    assert_non_null(drained);
    assert_false(is_panic);
    assert_true(drained[1].is_out && !drained[0].is_out && !drained[2].is_out);
    assert_int_equal(drained[0].weight, drained[2].weight);
    struct membership *heavy = pool_foresee(p, s, &(struct pool_word){ SERVER_ENABLED, 7 }, &is_panic);
    assert_non_null(heavy);
    assert_int_equal(heavy[1].weight, 7);
    assert_ptr_equal(p->current, before);
    assert_true(server_is_enabled(s) && atomic_load(&s->weight) == 1 && s->set_weight == 1);
    free(drained);
    free(heavy);
    crew_stop(&c);
}

static void only_usable_servers_are_in_the_set(void **state)
{
    (void)state;
    struct crew c;
    crew_init(&c, "least_request", 5);
    crew_start(&c, 1);
    set_health(&c, 0, SERVER_EJECTED);
    set_health(&c, 1, SERVER_WARMING);
    set_health(&c, 2, SERVER_DOWN);
    set_admin(&c, 3, SERVER_DRAIN);
    crew_publish(&c);
    assert_int_equal(c.pool->current->count, 2);
    assert_true(is_in(c.pool->current, c.pool->roster->places[1].server));
    assert_true(is_in(c.pool->current, c.pool->roster->places[4].server));
    assert_false(c.pool->current->is_panic);
    crew_stop(&c);
}

static void if_all_are_ejected_all_that_are_enabled_may_be_picked(void **state)
{
    (void)state;
    struct crew c;
    crew_init(&c, "least_request", 3);
    crew_start(&c, 1);
    for (uint32_t i = 0; i < 3; i++) set_health(&c, i, i ? SERVER_EJECTED : SERVER_DOWN);
    set_admin(&c, 1, SERVER_MAINTENANCE);
    crew_publish(&c);
    assert_true(c.pool->current->is_panic);
    assert_int_equal(c.pool->current->count, 2);
    assert_false(is_in(c.pool->current, c.pool->roster->places[1].server));
    /* One that is well again ends the panic. */
    set_health(&c, 2, SERVER_UP);
    crew_publish(&c);
    assert_false(c.pool->current->is_panic);
    assert_int_equal(c.pool->current->count, 1);
    crew_stop(&c);
}

static void in_a_pool_without_enabled_servers_no_method_picks_any(void **state)
{
    (void)state;
    for (const struct balance_method *const *m = balance_methods; *m; m++) {
        struct crew c;
        const struct balance_query q = { .hash = 1 };
        crew_init(&c, (*m)->name, 2);
        crew_start(&c, 1);
        set_admin(&c, 0, SERVER_DRAIN);
        set_admin(&c, 1, SERVER_MAINTENANCE);
        crew_publish(&c);
        assert_int_equal(c.pool->current->count, (*m)->keeps_out ? 2 : 0);
        assert_int_equal(c.pool->set_weight, 0);
        assert_false(c.pool->current->is_panic);
        assert_null(crew_pick(&c, 0, &q));
        set_admin(&c, 1, SERVER_ENABLED);
        crew_publish(&c);
        assert_ptr_equal(crew_pick(&c, 0, &q), c.pool->roster->places[1].server);
        crew_stop(&c);
    }
}

static void a_changed_weight_counts_from_the_next_set_on(void **state)
{
    (void)state;
    struct crew c;
    crew_init(&c, "round_robin", 2);
    crew_start(&c, 1);
    atomic_store(&c.pool->roster->places[1].server->weight, 9);
    assert_int_equal(c.pool->current->weights[1], 1);
    crew_publish(&c);
    assert_int_equal(c.pool->current->weights[1], 9);
    const struct balance_query q = { .hash = 1 };
    uint32_t seen = 0;
    for (int i = 0; i < 100; i++) seen += crew_pick(&c, 0, &q) == c.pool->roster->places[1].server;
    assert_int_equal(seen, 90);
    crew_stop(&c);
}

static void a_set_lives_as_long_as_somebody_refers_to_it(void **state)
{
    (void)state;
    struct crew c;
    crew_init(&c, "hash", 2);
    crew_start(&c, 2);
    struct peer_set *first = peer_set_get(c.pool->current);
    assert_int_equal(first->refs, 4); /* the pool's, two workers', ours */
    struct pool_view *view = pool_view_get(c.workers[0]);
    crew_publish(&c);
    assert_ptr_not_equal(c.pool->current, first);
    assert_int_equal(c.pool->current->refs, 3);
    /* Ours, and the worker's that still has an exchange on it. */
    assert_int_equal(first->refs, 2);
    pool_view_put(view);
    assert_int_equal(first->refs, 1);
    assert_int_equal(first->count, 2);
    peer_set_put(first);
    peer_set_put(NULL);
    crew_stop(&c);
}

/* The pool's table after a configuration that is `conf`. */
static const void *table_after(struct crew *c, const struct pool_conf *conf)
{
    struct pool_change change;
    struct err err;
    if (pool_prepare(&change, c->pool, &c->env, conf, NULL, &err) < 0) fail_msg("%s", err.text);
    pool_commit(&change);
    crew_publish(c);
    crew_turns(c, 2);
    return c->pool->current->table;
}

static void a_configuration_that_says_the_same_of_a_pool_needs_no_other_table(void **state)
{
    (void)state;
    struct crew c;
    const struct balance_method *hash = crew_method("hash");
    struct hash_conf first = { .size = 65537, .replicas = 160 }, same = first,
                     smaller = { .size = 4099, .replicas = 160 };
    crew_init(&c, "hash", 3);
    c.method.type = hash->type;
    c.conf.balance.conf = &first;
    crew_start(&c, 1);
    const void *table = c.pool->current->table;
    struct pool_conf next[3] = { c.conf, c.conf, c.conf };
    next[0].balance.conf = &same;
    assert_ptr_equal(table_after(&c, &next[0]), table);
    next[1].balance.conf = &smaller;
    const void *other = table_after(&c, &next[1]);
    assert_ptr_not_equal(other, table);
    struct server_conf heavier[3];
    memcpy(heavier, c.servers, sizeof(heavier));
    heavier[1].weight = 2;
    next[2].balance.conf = &smaller;
    next[2].servers.data = heavier;
    assert_ptr_not_equal(table_after(&c, &next[2]), other);
    crew_stop(&c);
}

static void several_exchanges_share_one_view_and_the_last_one_ends_it(void **state)
{
    (void)state;
    struct crew c;
    crew_init(&c, "round_robin", 2);
    crew_start(&c, 1);
    struct peer_set *first = peer_set_get(c.pool->current);
    struct pool_view *views[3];
    for (int i = 0; i < 3; i++) views[i] = pool_view_get(c.workers[0]);
    assert_ptr_equal(views[0], views[2]);
    crew_publish(&c);
    crew_publish(&c);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(first->refs, 2);
        pool_view_put(views[i]);
    }
    assert_int_equal(first->refs, 1);
    peer_set_put(first);
    /* A view that nobody uses stays while it is the current one. */
    pool_view_put(pool_view_get(c.workers[0]));
    assert_int_equal(c.pool->current->refs, 2);
    crew_stop(&c);
}

/* tiers, zones, standby */

static void later_tiers_are_on_standby_until_they_are_needed(void **state)
{
    (void)state;
    struct crew c;
    crew_init(&c, "least_request", 4);
    c.servers[0].tier = c.servers[1].tier = 3;
    c.servers[2].tier = 2;
    crew_start(&c, 1);
    const struct peer_set *set = c.pool->current;
    assert_int_equal(set->count, 1);
    assert_true(is_in(set, c.pool->roster->places[3].server));
    assert_int_equal(set->standby_count, 3);
    static const uint32_t order[] = { 2, 0, 1 };
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(set->standby[i]->server, c.pool->roster->places[order[i]].server);
    set_health(&c, 3, SERVER_DOWN);
    crew_publish(&c);
    assert_int_equal(c.pool->current->count, 1);
    assert_true(is_in(c.pool->current, c.pool->roster->places[2].server));
    assert_int_equal(c.pool->roster->places[2].server->set_weight, 1);
    assert_int_equal(c.pool->roster->places[3].server->set_weight, 0);
    assert_int_equal(c.pool->current->standby_count, 2);
    crew_stop(&c);
}

static void the_local_zone_is_preferred(void **state)
{
    (void)state;
    struct crew c;
    struct pool_zones_conf zones = { "a", 70 };
    crew_init(&c, "least_request", 4);
    c.conf.zones = &zones;
    c.servers[1].zone = c.servers[2].zone = "a";
    c.servers[3].zone = "b";
    crew_start(&c, 1);
    assert_int_equal(c.pool->current->count, 2);
    assert_true(is_in(c.pool->current, c.pool->roster->places[1].server));
    assert_int_equal(c.pool->current->standby_count, 2);
    set_health(&c, 1, SERVER_DOWN);
    crew_publish(&c);
    /* 50 of 70 % are left: 5 of 7 stay. */
    assert_int_equal(c.pool->current->count, 3);
    assert_int_equal(c.pool->roster->places[2].server->set_weight, BALANCE_SET_WEIGHT_MAX);
    assert_int_equal(c.pool->roster->places[0].server->set_weight, BALANCE_SET_WEIGHT_MAX / 5);
    assert_int_equal(c.pool->set_weight, BALANCE_SET_WEIGHT_MAX / 5 * 7);
    crew_stop(&c);
}

static void overflow_goes_to_the_least_loaded_of_the_nearest_tier_with_a_free_slot(void **state)
{
    (void)state;
    struct crew c;
    crew_init(&c, "least_request", 6);
    for (uint32_t i = 1; i < 6; i++) c.servers[i].tier = i < 4 ? 2 : 3;
    for (uint32_t i = 1; i < 6; i++) c.servers[i].max_connections = 10;
    c.servers[3].weight = 4;
    crew_start(&c, 1);
    const struct roster_place *s = c.pool->roster->places;
    const struct peer_set *set = c.pool->current;
    s[1].server->peer.in_flight = 3;
    s[2].server->peer.in_flight = 2;
    s[3].server->peer.in_flight = 8;
    assert_ptr_equal(peer_set_overflow(set), s[3].server); /* 9/4 is less than 3 */
    s[3].server->peer.in_flight = 10;
    assert_ptr_equal(peer_set_overflow(set), s[2].server);
    s[2].server->peer.is_out = 1;
    assert_ptr_equal(peer_set_overflow(set), s[1].server);
    s[1].server->peer.in_flight = 10;
    assert_ptr_equal(peer_set_overflow(set), s[4].server);
    s[4].server->peer.in_flight = 10;
    assert_ptr_equal(peer_set_overflow(set), s[5].server);
    s[5].server->peer.in_flight = 10;
    assert_null(peer_set_overflow(set));
    for (int i = 0; i < 6; i++) s[i].server->peer.in_flight = 0;
    crew_stop(&c);
}

static void who_has_weight_0_is_neither_in_the_set_nor_on_standby(void **state)
{
    (void)state;
    struct crew c;
    crew_init(&c, "hash", 3);
    c.servers[0].weight = 0;
    c.servers[2].weight = 0;
    c.servers[2].tier = 2;
    crew_start(&c, 1);
    assert_int_equal(c.pool->current->count, 1);
    assert_int_equal(c.pool->current->standby_count, 0);
    assert_int_equal(c.pool->roster->places[0].server->peer.is_out, 0);
    crew_stop(&c);
}

static void a_subset_is_used_whoever_is_down(void **state)
{
    (void)state;
    struct crew c;
    struct pool_subset_conf subset = { .size = 5, .instance = 3, .instances = 4 };
    crew_init(&c, "least_request", 20);
    c.conf.subset = &subset;
    crew_start(&c, 1);
    assert_int_equal(c.pool->current->count, 5);
    assert_int_equal(c.pool->current->standby_count, 0);
    const struct peer_set *first = peer_set_get(c.pool->current);
    uint32_t down = crew_index(first->servers[2]);
    set_health(&c, down, SERVER_DOWN);
    set_admin(&c, crew_index(first->servers[4]), SERVER_DRAIN);
    crew_publish(&c);
    assert_int_equal(c.pool->current->count, 3);
    for (uint32_t i = 0; i < 3; i++) assert_true(is_in(first, c.pool->current->servers[i]));
    peer_set_put((struct peer_set *)first);
    crew_stop(&c);
}

/* who is out */

static void a_method_that_keeps_those_who_are_out_keeps_its_table(void **state)
{
    (void)state;
    struct crew c;
    crew_init(&c, "hash", 3);
    crew_start(&c, 1);
    const void *table = c.pool->current->table;
    const struct balance_query q = { .hash = 1 };
    struct server *own = crew_pick(&c, 0, &q);
    set_health(&c, crew_index(own), SERVER_DOWN);
    crew_publish(&c);
    assert_ptr_equal(c.pool->current->table, table);
    assert_int_equal(c.pool->current->count, 3);
    assert_int_equal(c.pool->set_weight, 2);
    assert_int_equal(own->peer.is_out, 1);
    assert_ptr_not_equal(crew_pick(&c, 0, &q), own);
    set_health(&c, crew_index(own), SERVER_UP);
    set_admin(&c, crew_index(own), SERVER_MAINTENANCE);
    crew_publish(&c);
    assert_ptr_not_equal(crew_pick(&c, 0, &q), own);
    set_admin(&c, crew_index(own), SERVER_ENABLED);
    crew_publish(&c);
    assert_ptr_equal(c.pool->current->table, table);
    assert_ptr_equal(crew_pick(&c, 0, &q), own);
    atomic_store(&own->weight, 2);
    crew_publish(&c);
    assert_ptr_not_equal(c.pool->current->table, table);
    crew_stop(&c);
}

static void a_table_outlives_the_set_that_it_was_built_for(void **state)
{
    (void)state;
    struct crew c;
    crew_init(&c, "round_robin", 3);
    crew_start(&c, 1);
    const void *table = c.pool->current->table;
    for (int i = 0; i < 5; i++) {
        const struct peer_set *before = c.pool->current;
        crew_publish(&c);
        assert_ptr_not_equal(c.pool->current, before);
        assert_ptr_equal(c.pool->current->table, table);
    }
    set_health(&c, 1, SERVER_DOWN);
    crew_publish(&c);
    assert_int_equal(c.pool->current->count, 2);
    assert_ptr_equal(crew_pick(&c, 0, &(struct balance_query){ .hash = 1 })->pool, c.pool);
    crew_stop(&c);
}

static void in_panic_nobody_who_is_enabled_is_out(void **state)
{
    (void)state;
    for (const struct balance_method *const *m = balance_methods; *m; m++) {
        struct crew c;
        crew_init(&c, (*m)->name, 3);
        crew_start(&c, 1);
        for (uint32_t i = 0; i < 3; i++) set_health(&c, i, SERVER_EJECTED);
        set_admin(&c, 0, SERVER_DRAIN);
        crew_publish(&c);
        assert_true(c.pool->current->is_panic);
        for (uint32_t i = 0; i < 3; i++)
            assert_int_equal(c.pool->roster->places[i].server->peer.is_out, i == 0);
        const struct server *s = crew_pick(&c, 0, &(struct balance_query){ .hash = 1 });
        assert_true(s == c.pool->roster->places[1].server || s == c.pool->roster->places[2].server);
        crew_stop(&c);
    }
}

/* warm-up */

static void eject(struct crew *c, uint32_t server)
{
    for (int i = 0; i < CREW_EJECT_AFTER; i++)
        (void)server_report(c->pool->roster->places[server].server, SERVER_CONNECT_FAILED, c->now_ms);
    crew_publish(c);
}

static void a_warming_server_grows_in_few_steps(void **state)
{
    (void)state;
    static const struct {
        uint64_t warmup_ms;
        uint32_t steps;
    } rows[] = { { 30000, 20 }, { 4000, 16 }, { 1000, 4 }, { 100, 1 } };
    for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
        struct crew c;
        crew_init(&c, "round_robin", 2);
        c.conf.warmup_ms = rows[r].warmup_ms;
        crew_start(&c, 1);
        struct server *s = c.pool->roster->places[0].server;
        eject(&c, 0);
        crew_pass_time(&c, CREW_EJECT_MIN_MS);
        crew_readmit(&c);
        assert_int_equal(s->set_weight * 10, c.pool->roster->places[1].server->set_weight);
        assert_true(server_report(s, SERVER_CONNECTED, c.now_ms));
        crew_publish(&c);
        uint32_t before = c.changes, last = s->set_weight;
        for (uint64_t ms = 0; ms <= rows[r].warmup_ms + 2 * 1500; ms += 10) {
            crew_warm_up(&c);
            uint32_t weight = s->set_weight *
                              (BALANCE_SET_WEIGHT_MAX / c.pool->roster->places[1].server->set_weight);
            assert_true(weight >= last);
            last = weight;
            crew_pass_time(&c, 10);
        }
        assert_int_equal(s->health, SERVER_UP);
        assert_int_equal(s->set_weight, 1);
        assert_int_equal(c.pool->roster->places[1].server->set_weight, 1);
        /* One at once, one at the end, which may fall a look later. */
        assert_in_range(c.changes - before, rows[r].steps, rows[r].steps + 2);
        crew_stop(&c);
    }
}

static void nothing_is_republished_while_nothing_warms(void **state)
{
    (void)state;
    struct crew c;
    crew_init(&c, "least_request", 2);
    c.conf.warmup_ms = 30000;
    crew_start(&c, 1);
    for (int i = 0; i < 100; i++) {
        crew_pass_time(&c, 1000);
        crew_warm_up(&c);
    }
    assert_int_equal(c.changes, 0);
    assert_int_equal(c.pool->roster->places[0].server->set_weight, 1);
    crew_stop(&c);
}

static void in_a_round_a_warming_server_gets_its_part(void **state)
{
    (void)state;
    struct crew c;
    crew_init(&c, "round_robin", 2);
    c.conf.warmup_ms = 10000;
    crew_start(&c, 1);
    server_set_admin(c.pool->roster->places[0].server, SERVER_DRAIN, c.now_ms);
    server_set_admin(c.pool->roster->places[0].server, SERVER_ENABLED, c.now_ms);
    crew_publish(&c);
    uint32_t seen = 0;
    for (int i = 0; i < 1100; i++)
        seen += crew_pick(&c, 0, &(struct balance_query){ .hash = 1 }) == c.pool->roster->places[0].server;
    assert_in_range(seen, 99, 101);
    crew_stop(&c);
}

/* A seeded simulation: servers fail, come back, are taken out, warm, get other weights. */

#define PLAY_SERVERS 12
#define PLAY_STEPS 400

static void play_step(struct crew *c, struct rng *rng)
{
    struct server *s = c->pool->roster->places[rng_below(rng, PLAY_SERVERS)].server;
    bool has_changed = false;
    switch (rng_below(rng, 6)) {
    case 0:
    case 1: has_changed = server_report(s, SERVER_CONNECT_FAILED, c->now_ms); break;
    case 2: has_changed = server_report(s, SERVER_CONNECTED, c->now_ms); break;
    case 3:
        server_set_admin(s, (enum server_admin)rng_below(rng, 3), c->now_ms);
        has_changed = true;
        break;
    case 4:
        atomic_store(&s->weight, rng_below(rng, 4));
        has_changed = true;
        break;
    default: crew_pass_time(c, rng_below(rng, 3000)); break;
    }
    if (has_changed) crew_publish(c);
    crew_readmit(c);
    crew_warm_up(c);
}

static bool is_any(const struct crew *c, bool (*is)(const struct server *))
{
    for (uint32_t i = 0; i < PLAY_SERVERS; i++)
        if (is(c->pool->roster->places[i].server) && atomic_load(&c->pool->roster->places[i].server->weight))
            return true;
    return false;
}

static void check_play(struct crew *c, struct rng *rng)
{
    const struct peer_set *set = c->pool->current;
    assert_int_equal(set->is_panic, is_any(c, server_is_enabled) && !is_any(c, server_is_usable));
    for (uint32_t i = 0; i < set->count; i++) {
        assert_true(set->weights[i] > 0 && atomic_load(&set->servers[i]->weight) > 0);
        assert_int_equal(set->weights[i], set->servers[i]->set_weight);
        if (!set->method->keeps_out) assert_false(set->servers[i]->peer.is_out);
    }
    for (uint32_t i = 0; i < set->standby_count; i++) {
        assert_true(server_is_usable(set->standby[i]->server));
        assert_false(is_in(set, set->standby[i]->server));
        if (i) assert_true(set->standby[i]->tier >= set->standby[i - 1]->tier);
    }
    struct balance_query q = { .hash = rng_next(rng) };
    const struct server *s = crew_pick(c, 0, &q);
    assert_int_equal(s != NULL, is_any(c, server_is_enabled));
    if (!s) return;
    assert_true(server_is_enabled(s) && atomic_load(&s->weight) > 0);
    if (!set->is_panic) assert_true(server_is_usable(s));
}

static void whatever_happens_who_is_picked_is_usable_or_all_are_ill(void **state)
{
    (void)state;
    struct pool_zones_conf zones = { "a", 70 };
    for (const struct balance_method *const *m = balance_methods; *m; m++)
        for (uint64_t seed = 1; seed <= 5; seed++) {
            struct crew c;
            struct rng rng;
            rng_seed(&rng, seed);
            crew_init(&c, (*m)->name, PLAY_SERVERS);
            for (uint32_t i = 0; i < PLAY_SERVERS; i++) {
                c.servers[i].tier = 1 + rng_below(&rng, 3);
                c.servers[i].weight = 1 + rng_below(&rng, 3);
                c.servers[i].zone = rng_below(&rng, 2) ? "a" : "b";
            }
            if (seed % 2) c.conf.zones = &zones;
            c.conf.warmup_ms = 5000;
            crew_start(&c, 1);
            for (int i = 0; i < PLAY_STEPS; i++) {
                play_step(&c, &rng);
                check_play(&c, &rng);
            }
            crew_stop(&c);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_starts_as_the_configuration_says),
        cmocka_unit_test(what_the_operator_would_say_is_foreseen_and_changes_nothing),
        cmocka_unit_test(only_usable_servers_are_in_the_set),
        cmocka_unit_test(if_all_are_ejected_all_that_are_enabled_may_be_picked),
        cmocka_unit_test(in_a_pool_without_enabled_servers_no_method_picks_any),
        cmocka_unit_test(a_changed_weight_counts_from_the_next_set_on),
        cmocka_unit_test(a_set_lives_as_long_as_somebody_refers_to_it),
        cmocka_unit_test(a_configuration_that_says_the_same_of_a_pool_needs_no_other_table),
        cmocka_unit_test(several_exchanges_share_one_view_and_the_last_one_ends_it),
        cmocka_unit_test(later_tiers_are_on_standby_until_they_are_needed),
        cmocka_unit_test(the_local_zone_is_preferred),
        cmocka_unit_test(overflow_goes_to_the_least_loaded_of_the_nearest_tier_with_a_free_slot),
        cmocka_unit_test(who_has_weight_0_is_neither_in_the_set_nor_on_standby),
        cmocka_unit_test(a_subset_is_used_whoever_is_down),
        cmocka_unit_test(a_method_that_keeps_those_who_are_out_keeps_its_table),
        cmocka_unit_test(a_table_outlives_the_set_that_it_was_built_for),
        cmocka_unit_test(in_panic_nobody_who_is_enabled_is_out),
        cmocka_unit_test(a_warming_server_grows_in_few_steps),
        cmocka_unit_test(nothing_is_republished_while_nothing_warms),
        cmocka_unit_test(in_a_round_a_warming_server_gets_its_part),
        cmocka_unit_test(whatever_happens_who_is_picked_is_usable_or_all_are_ill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
