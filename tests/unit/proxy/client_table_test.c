#include "proxy/client_table.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

static struct ip ip_of(const char *text)
{
    struct ip ip;
    if (!ip_parse(slice_of(text), &ip)) fail_msg("%s", text);
    return ip;
}

/* The n-th of as many different clients as one likes. */
static struct ip client_at(uint32_t n)
{
    struct ip ip = { { [10] = 0xff, [11] = 0xff, [12] = 10 } };
    ip.bytes[13] = (uint8_t)(n >> 16);
    ip.bytes[14] = (uint8_t)(n >> 8);
    ip.bytes[15] = (uint8_t)n;
    return ip;
}

static struct client_table *make(uint32_t clients)
{
    struct client_table *t = client_table_new(clients);
    assert_non_null(t);
    return t;
}

static void a_client_has_its_limit_and_gets_it_back(void **state)
{
    (void)state;
    struct client_table *t = make(100);
    struct ip a = ip_of("192.0.2.1"), b = ip_of("192.0.2.2");
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5; i++) assert_true(client_table_enter(t, &a, 5));
        assert_false(client_table_enter(t, &a, 5));
        assert_int_equal(client_table_count(t, &a), 5);
        assert_true(client_table_enter(t, &b, 5));
        assert_true(client_table_enter(t, &a, 6));
        for (int i = 0; i < 6; i++) client_table_leave(t, &a);
        client_table_leave(t, &b);
        assert_int_equal(client_table_count(t, &a), 0);
        assert_int_equal(client_table_count(t, &b), 0);
    }
    assert_false(client_table_enter(t, &a, 0));
    assert_int_equal(client_table_uncounted(t), 0);
    client_table_free(t);
    client_table_free(NULL);
}

static void one_ipv6_network_of_64_bits_is_one_client(void **state)
{
    (void)state;
    struct client_table *t = make(100);
    struct ip a = ip_of("2001:db8:0:1::1"), same = ip_of("2001:db8:0:1:ffff::2"),
              other = ip_of("2001:db8:0:2::1");
    struct ip v4 = ip_of("10.0.0.1"), v4_other = ip_of("10.0.0.2");
    assert_true(client_table_enter(t, &a, 1));
    assert_false(client_table_enter(t, &same, 1));
    assert_true(client_table_enter(t, &other, 1));
    assert_true(client_table_enter(t, &v4, 1));
    assert_true(client_table_enter(t, &v4_other, 1));
    client_table_leave(t, &same);
    assert_int_equal(client_table_count(t, &a), 0);
    client_table_free(t);
}

static void a_leave_without_an_enter_changes_nothing(void **state)
{
    (void)state;
    struct client_table *t = make(1);
    struct ip a = ip_of("192.0.2.1"), b = ip_of("192.0.2.2");
    client_table_leave(t, &a);
    assert_true(client_table_enter(t, &b, 1));
    client_table_leave(t, &a);
    assert_int_equal(client_table_count(t, &b), 1);
    client_table_free(t);
}

/* A table of one bucket. */
static void clients_for_whom_there_is_no_room_pass_uncounted(void **state)
{
    (void)state;
    struct client_table *t = make(1);
    for (uint32_t i = 0; i < 15; i++) {
        struct ip ip = client_at(i);
        assert_true(client_table_enter(t, &ip, 1));
        assert_false(client_table_enter(t, &ip, 1));
    }
    for (uint32_t i = 15; i < 40; i++) {
        struct ip ip = client_at(i);
        assert_true(client_table_enter(t, &ip, 1));
        assert_true(client_table_enter(t, &ip, 1));
        assert_int_equal(client_table_count(t, &ip), 0);
    }
    assert_int_equal(client_table_uncounted(t), 50);
    struct ip gone = client_at(3), late = client_at(20), first = client_at(0);
    client_table_leave(t, &gone);
    assert_true(client_table_enter(t, &late, 1)); /* has room now; two older ones remain uncounted */
    assert_false(client_table_enter(t, &late, 1));
    for (uint32_t i = 15; i < 40; i++) {
        struct ip ip = client_at(i);
        client_table_leave(t, &ip);
        client_table_leave(t, &ip);
    }
    client_table_leave(t, &late);
    assert_int_equal(client_table_count(t, &late), 0);
    assert_int_equal(client_table_count(t, &first), 1);
    for (uint32_t i = 0; i < 15; i++) {
        struct ip ip = client_at(i);
        if (i != 3) client_table_leave(t, &ip);
    }
    /* Nobody is left behind: everybody has room again. */
    for (uint32_t i = 100; i < 115; i++) {
        struct ip ip = client_at(i);
        assert_true(client_table_enter(t, &ip, 1));
        assert_int_equal(client_table_count(t, &ip), 1);
    }
    client_table_free(t);
}

static void as_many_clients_as_it_is_made_for_are_counted(void **state)
{
    (void)state;
    struct client_table *t = make(65536);
    for (uint32_t i = 0; i < 65536; i++) {
        struct ip ip = client_at(i);
        assert_true(client_table_enter(t, &ip, 1));
    }
    assert_true(client_table_uncounted(t) < 65536 / 100);
    client_table_free(t);
    t = make(65536);
    for (uint32_t i = 0; i < 20000; i++) {
        struct ip ip = client_at(i);
        assert_true(client_table_enter(t, &ip, 1));
        assert_false(client_table_enter(t, &ip, 1));
    }
    assert_int_equal(client_table_uncounted(t), 0);
    client_table_free(t);
}

#define THREADS 4
#define HELD 16

struct stress {
    struct client_table *table;
    uint32_t clients, limit, steps;
    _Atomic uint32_t live[64]; /* what is certainly entered */
    _Atomic uint32_t over, refused;
    _Atomic uint64_t seed;
};

/* Each thread holds some connections; now and then it opens one or ends one. */
static void *run(void *argument)
{
    struct stress *s = argument;
    struct rng rng;
    int32_t held[HELD];
    rng_seed(&rng, atomic_fetch_add(&s->seed, 1));
    memset(held, 0xff, sizeof(held));
    for (uint32_t step = 0; step < s->steps + HELD; step++) {
        uint32_t at = step < s->steps ? rng_below(&rng, HELD) : step - s->steps;
        if (held[at] >= 0) {
            struct ip ip = client_at((uint32_t)held[at]);
            atomic_fetch_sub(&s->live[held[at]], 1);
            client_table_leave(s->table, &ip);
            held[at] = -1;
        } else if (step < s->steps) {
            uint32_t client = rng_below(&rng, s->clients);
            struct ip ip = client_at(client);
            if (!client_table_enter(s->table, &ip, s->limit)) {
                atomic_fetch_add(&s->refused, 1);
                continue;
            }
            held[at] = (int32_t)client;
            if (atomic_fetch_add(&s->live[client], 1) >= s->limit) atomic_fetch_add(&s->over, 1);
        }
    }
    return NULL;
}

static void stress(struct stress *s)
{
    pthread_t threads[THREADS];
    s->table = make(1); /* one bucket: everybody meets */
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, run, s), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < 15; i++) { /* nothing was lost, nothing left behind */
        struct ip ip = client_at(1000 + i);
        assert_true(client_table_enter(s->table, &ip, 1));
        assert_int_equal(client_table_count(s->table, &ip), 1);
    }
    for (uint32_t i = 0; i < s->clients; i++) {
        struct ip ip = client_at(i);
        assert_int_equal(client_table_count(s->table, &ip), 0);
    }
}

static void threads_together_keep_the_limit_exactly(void **state)
{
    (void)state;
    struct stress s = { .clients = 12, .limit = 3, .steps = 200000 };
    stress(&s);
    assert_int_equal(s.over, 0);
    assert_true(s.refused > 0);
    assert_int_equal(client_table_uncounted(s.table), 0);
    client_table_free(s.table);
}

static void threads_together_lose_nothing_when_it_is_full(void **state)
{
    (void)state;
    struct stress s = { .clients = 40, .limit = 4, .steps = 200000 };
    stress(&s);
    assert_true(client_table_uncounted(s.table) > 0);
    client_table_free(s.table);
}

/* One client that comes and goes all the time, so that its place is given up and taken anew by all. */
static void *pass_through(void *argument)
{
    struct stress *s = argument;
    struct ip ip = client_at(7);
    for (uint32_t i = 0; i < s->steps; i++) {
        while (!client_table_enter(s->table, &ip, THREADS)) atomic_fetch_add(&s->refused, 1);
        client_table_leave(s->table, &ip);
    }
    return NULL;
}

static void as_many_threads_as_the_limit_are_never_refused(void **state)
{
    (void)state;
    struct stress s = { .steps = 100000, .table = make(1) };
    pthread_t threads[THREADS];
    struct ip ip = client_at(7);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, pass_through, &s), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(s.refused, 0);
    assert_int_equal(client_table_count(s.table, &ip), 0);
    client_table_free(s.table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_has_its_limit_and_gets_it_back),
        cmocka_unit_test(one_ipv6_network_of_64_bits_is_one_client),
        cmocka_unit_test(a_leave_without_an_enter_changes_nothing),
        cmocka_unit_test(clients_for_whom_there_is_no_room_pass_uncounted),
        cmocka_unit_test(as_many_clients_as_it_is_made_for_are_counted),
        cmocka_unit_test(threads_together_keep_the_limit_exactly),
        cmocka_unit_test(threads_together_lose_nothing_when_it_is_full),
        cmocka_unit_test(as_many_threads_as_the_limit_are_never_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
