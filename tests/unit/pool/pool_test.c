#include "pool/pool.h"

#include "crew.h"

static bool is_in(const struct peer_set *set, const struct server *s)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->servers[i] == s) return set->peers[i] == &s->peer;
    return false;
}

static void set_health(struct crew *c, uint32_t server, enum server_health health)
{
    atomic_store(&c->pool->servers[server].health, health);
}

static void set_admin(struct crew *c, uint32_t server, enum server_admin admin)
{
    atomic_store(&c->pool->servers[server].admin, admin);
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
    assert_int_equal(p->server_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_string_equal(p->servers[i].name, c.names[i]);
        assert_int_equal(p->servers[i].id, 2 + i);
        assert_int_equal(p->servers[i].index, i);
        assert_ptr_equal(p->servers[i].pool, p);
        assert_ptr_equal(pool_server_by_name(p, c.names[i]), &p->servers[i]);
        assert_int_equal((uintptr_t)&p->servers[i].peer % 64, 0);
    }
    assert_null(pool_server_by_name(p, "s3"));
    assert_int_equal(p->current->count, 3);
    assert_false(p->current->is_panic);
    assert_int_equal(p->current->weights[1], 5);
    assert_int_equal(p->servers[2].peer.cap, 7);
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
    assert_true(is_in(c.pool->current, &c.pool->servers[1]));
    assert_true(is_in(c.pool->current, &c.pool->servers[4]));
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
    assert_false(is_in(c.pool->current, &c.pool->servers[1]));
    /* One that is well again ends the panic. */
    set_health(&c, 2, SERVER_UP);
    crew_publish(&c);
    assert_false(c.pool->current->is_panic);
    assert_int_equal(c.pool->current->count, 1);
    crew_stop(&c);
}

static void a_pool_without_enabled_servers_has_an_empty_set_with_every_method(void **state)
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
        assert_int_equal(c.pool->current->count, 0);
        assert_false(c.pool->current->is_panic);
        assert_null(crew_pick(&c, 0, &q));
        set_admin(&c, 1, SERVER_ENABLED);
        crew_publish(&c);
        assert_ptr_equal(crew_pick(&c, 0, &q), &c.pool->servers[1]);
        crew_stop(&c);
    }
}

static void a_changed_weight_counts_from_the_next_set_on(void **state)
{
    (void)state;
    struct crew c;
    crew_init(&c, "round_robin", 2);
    crew_start(&c, 1);
    atomic_store(&c.pool->servers[1].weight, 9);
    assert_int_equal(c.pool->current->weights[1], 1);
    crew_publish(&c);
    assert_int_equal(c.pool->current->weights[1], 9);
    const struct balance_query q = { .hash = 1 };
    uint32_t seen = 0;
    for (int i = 0; i < 100; i++) seen += crew_pick(&c, 0, &q) == &c.pool->servers[1];
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_starts_as_the_configuration_says),
        cmocka_unit_test(only_usable_servers_are_in_the_set),
        cmocka_unit_test(if_all_are_ejected_all_that_are_enabled_may_be_picked),
        cmocka_unit_test(a_pool_without_enabled_servers_has_an_empty_set_with_every_method),
        cmocka_unit_test(a_changed_weight_counts_from_the_next_set_on),
        cmocka_unit_test(a_set_lives_as_long_as_somebody_refers_to_it),
        cmocka_unit_test(several_exchanges_share_one_view_and_the_last_one_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
