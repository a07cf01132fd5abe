#include "proxy/rate_table.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

#define SECOND UINT64_C(1000000000)
#define START (1000 * SECOND)

static struct rate_table *make(uint32_t keys)
{
    struct rate_table *t = rate_table_new(keys);
    assert_non_null(t);
    return t;
}

static uint64_t key_at(const struct rate_table *t, uint32_t n)
{
    return rate_table_key(t, (struct slice){ (const char *)&n, sizeof(n) }, 0);
}

/* `count` a second, so many at once. */
static struct rate_rule rule_of(uint64_t count, uint64_t burst)
{
    return (struct rate_rule){ .interval_ns = SECOND / count, .burst_ns = SECOND / count * (burst - 1) };
}

static struct rate_verdict take(struct rate_table *t, uint32_t n, const struct rate_rule *rule, uint64_t now)
{
    struct rate_verdict v, looked;
    rate_table_look(t, key_at(t, n), rule, now, &looked);
    rate_table_take(t, key_at(t, n), rule, now, &v);
    assert_true(v.passes == looked.passes && v.wait_ns == looked.wait_ns && v.remaining == looked.remaining);
    return v;
}

static void a_burst_passes_at_once_and_then_one_an_interval(void **state)
{
    (void)state;
    struct rate_table *t = make(100);
    struct rate_rule rule = rule_of(10, 3);
    for (uint32_t i = 0; i < 3; i++) {
        struct rate_verdict v = take(t, 1, &rule, START);
        assert_true(v.passes && !v.wait_ns);
        assert_int_equal(v.remaining, 2 - i);
        assert_int_equal(v.reset_ns, (i + 1) * SECOND / 10);
    }
    for (uint32_t i = 0; i < 5; i++) { /* those that are refused do not make it longer */
        struct rate_verdict v = take(t, 1, &rule, START);
        assert_false(v.passes);
        assert_int_equal(v.wait_ns, SECOND / 10);
        assert_int_equal(v.reset_ns, 3 * SECOND / 10);
    }
    assert_true(take(t, 2, &rule, START).passes);
    assert_false(take(t, 1, &rule, START + SECOND / 10 - 1).passes);
    assert_true(take(t, 1, &rule, START + SECOND / 10).passes);
    assert_false(take(t, 1, &rule, START + SECOND / 10).passes);
    assert_int_equal(take(t, 1, &rule, START + 1000 * SECOND).remaining, 2);
    rate_table_free(t);
    rate_table_free(NULL);
}

static void what_may_be_held_back_goes_one_after_the_other(void **state)
{
    (void)state;
    struct rate_table *t = make(100);
    struct rate_rule rule = rule_of(10, 1);
    rule.delay_ns = SECOND / 4;
    assert_int_equal(take(t, 1, &rule, START).wait_ns, 0);
    assert_int_equal(take(t, 1, &rule, START).wait_ns, SECOND / 10);
    assert_int_equal(take(t, 1, &rule, START).wait_ns, 2 * SECOND / 10);
    struct rate_verdict v = take(t, 1, &rule, START);
    assert_false(v.passes);
    assert_int_equal(v.wait_ns, 3 * SECOND / 10);
    rate_table_free(t);
}

/* The same by the picture of a bucket: tokens drip into it, one an interval, up to so many; each request takes one, and may
 * take it in advance by as much as it can be held back. */
struct bucket_model {
    int64_t tokens_ns;
    uint64_t last_ns;
};

static bool model_take(struct bucket_model *m, const struct rate_rule *rule, uint64_t now, uint64_t *wait)
{
    int64_t interval = (int64_t)rule->interval_ns, full = (int64_t)rule->burst_ns + interval;
    m->tokens_ns += (int64_t)(now - m->last_ns);
    if (m->tokens_ns > full) m->tokens_ns = full;
    m->last_ns = now;
    *wait = m->tokens_ns >= interval ? 0 : (uint64_t)(interval - m->tokens_ns);
    if (*wait > rule->delay_ns) return false;
    m->tokens_ns -= interval;
    return true;
}

static void it_is_a_bucket_into_which_tokens_drip(void **state)
{
    (void)state;
    struct rng rng;
    uint64_t passed = 0, refused = 0, held_back = 0;
    rng_seed(&rng, 7);
    for (uint32_t round = 0; round < 300; round++) {
        struct rate_table *t = make(1000);
        struct rate_rule rule = rule_of(1 + rng_below(&rng, 1000), 1 + rng_below(&rng, 20));
        if (round % 3 == 0) rule.delay_ns = rng_below(&rng, 1000000000);
        struct bucket_model models[5];
        uint64_t now = START;
        for (uint32_t i = 0; i < 5; i++)
            models[i] = (struct bucket_model){ (int64_t)(rule.burst_ns + rule.interval_ns), START };
        for (uint32_t i = 0; i < 2000; i++) {
            uint32_t n = rng_below(&rng, 5);
            uint64_t wait;
            now += rng_below(&rng, (uint32_t)(rule.interval_ns / 3)) * (i % 50 == 0 ? 10 : 1);
            bool passes = model_take(&models[n], &rule, now, &wait);
            struct rate_verdict v = take(t, n, &rule, now);
            assert_int_equal(v.passes, passes);
            assert_int_equal(v.wait_ns, wait);
            passed += passes;
            refused += !passes;
            held_back += passes && wait;
        }
        rate_table_free(t);
    }
    assert_true(passed > 10000 && refused > 10000 && held_back > 10000);
}

static void another_rate_goes_on_with_what_was_used(void **state)
{
    (void)state;
    struct rate_table *t = make(100);
    struct rate_rule slow = rule_of(1, 5), quick = rule_of(10, 5);
    for (uint32_t i = 0; i < 5; i++) assert_true(take(t, 1, &slow, START).passes);
    assert_false(take(t, 1, &slow, START).passes);
    assert_false(take(t, 1, &quick, START).passes);
    assert_true(take(t, 1, &quick, START + 5 * SECOND).passes);
    rate_table_free(t);
}

/* Ever new keys push out each other and those that have used little; who is at the limit stays there. */
static void a_flood_of_keys_lets_nobody_off_who_is_at_the_limit(void **state)
{
    (void)state;
    struct rate_table *t = make(64);
    struct rate_rule rule = rule_of(1, 100);
    uint64_t forgotten = 0;
    for (uint32_t i = 0; i < 100; i++) assert_true(take(t, 1, &rule, START).passes);
    for (uint32_t n = 1000; n < 101000; n++) {
        struct rate_verdict v = take(t, n, &rule, START);
        assert_true(v.passes && v.remaining == 99); /* nor is anybody refused for what others did */
        forgotten += v.has_forgotten;
    }
    assert_true(forgotten > 90000);
    assert_false(take(t, 1, &rule, START).passes);
    rate_table_free(t);
}

static void who_has_used_nothing_gives_way_without_loss(void **state)
{
    (void)state;
    struct rate_table *t = make(64);
    struct rate_rule rule = rule_of(1000, 1);
    for (uint32_t n = 0; n < 100000; n++)
        assert_false(take(t, n, &rule, START + n * SECOND / 1000).has_forgotten);
    rate_table_free(t);
}

/* together */

#define THREADS 4
#define KEYS 500u
#define ROUNDS 40000u

struct shared {
    struct rate_table *table;
    struct rate_rule rule;
    _Atomic uint32_t passed[KEYS];
    _Atomic uint32_t next_seed;
};

static void *run(void *context)
{
    struct shared *s = context;
    struct rng rng;
    rng_seed(&rng, atomic_fetch_add(&s->next_seed, 1));
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t n = rng_below(&rng, KEYS);
        struct rate_verdict v;
        rate_table_take(s->table, key_at(s->table, n), &s->rule, START, &v);
        if (v.passes) atomic_fetch_add(&s->passed[n], 1);
    }
    return NULL;
}

/* Also while each of them meets each key for the first time. */
static void all_threads_together_let_exactly_the_burst_pass(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 5; round++) {
        struct shared *s = calloc(1, sizeof(*s));
        assert_non_null(s);
        s->table = make(16384); /* so roomy that nobody has to give way */
        s->rule = rule_of(1, 7);
        atomic_init(&s->next_seed, round * THREADS + 1);
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, run, s), 0);
        for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
        for (uint32_t n = 0; n < KEYS; n++) assert_int_equal(s->passed[n], 7);
        rate_table_free(s->table);
        free(s);
    }
}

/* A table that is far too small: keys come and go under each other's hands, and still nobody gets more than each time it
 * begins anew, and nobody is refused before it has used its own. */
static void threads_that_push_out_each_other_do_no_harm(void **state)
{
    (void)state;
    struct shared *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->table = make(64);
    s->rule = rule_of(1, 7);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, run, s), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (uint32_t n = 0; n < KEYS; n++) assert_true(s->passed[n] >= 7);
    rate_table_free(s->table);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_passes_at_once_and_then_one_an_interval),
        cmocka_unit_test(what_may_be_held_back_goes_one_after_the_other),
        cmocka_unit_test(it_is_a_bucket_into_which_tokens_drip),
        cmocka_unit_test(another_rate_goes_on_with_what_was_used),
        cmocka_unit_test(a_flood_of_keys_lets_nobody_off_who_is_at_the_limit),
        cmocka_unit_test(who_has_used_nothing_gives_way_without_loss),
        cmocka_unit_test(all_threads_together_let_exactly_the_burst_pass),
        cmocka_unit_test(threads_that_push_out_each_other_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
