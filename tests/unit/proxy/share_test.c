/* Which worker serves a connection: the rule, and what comes of it when connections come and go for long. */
#include "proxy/share.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

#define WORKERS_MAX 8u
#define OPEN_MAX 4096u

static struct share_load load_of(uint32_t connections)
{
    return (struct share_load){ .connections = connections, .takes = true };
}

static void who_has_no_more_than_a_fifth_over_the_average_keeps_what_comes(void **state)
{
    (void)state;
    const struct share_load loads[] = { load_of(120), load_of(80) };
    bool is_sharing = false;
    assert_int_equal(share_choose(&is_sharing, loads, 2, 0), 0);
    assert_false(is_sharing);
}

static void beyond_it_who_has_fewest_gets_it_until_both_are_nearly_even(void **state)
{
    (void)state;
    struct share_load loads[] = { load_of(121), load_of(79) };
    bool is_sharing = false;
    assert_int_equal(share_choose(&is_sharing, loads, 2, 0), 1);
    loads[1].connections = 98; /* 1.105 of the average */
    assert_int_equal(share_choose(&is_sharing, loads, 2, 0), 1);
    loads[1].connections = 100;
    assert_int_equal(share_choose(&is_sharing, loads, 2, 0), 0);
    assert_false(is_sharing);
    loads[1].connections = 98; /* it does not begin again before a fifth */
    assert_int_equal(share_choose(&is_sharing, loads, 2, 0), 0);
}

static void a_few_are_not_worth_it(void **state)
{
    (void)state;
    struct share_load loads[] = { load_of(3), load_of(0) };
    bool is_sharing = false;
    assert_int_equal(share_choose(&is_sharing, loads, 2, 0), 0);
    loads[0].connections = SHARE_APART_MIN;
    assert_int_equal(share_choose(&is_sharing, loads, 2, 0), 1);
}

static void who_has_more_going_on_than_the_others_is_handed_none(void **state)
{
    (void)state;
    struct share_load loads[] = { load_of(100), load_of(10), load_of(40) };
    bool is_sharing = false;
    loads[1].exchanges = 10; /* its few are busy */
    assert_int_equal(share_choose(&is_sharing, loads, 3, 0), 2);
    loads[0].exchanges = loads[2].exchanges = 10;
    assert_int_equal(share_choose(&is_sharing, loads, 3, 0), 1);
}

static void who_cannot_take_any_is_handed_none(void **state)
{
    (void)state;
    struct share_load loads[] = { load_of(100), load_of(10), load_of(40) };
    bool is_sharing = false;
    loads[1].takes = false;
    assert_int_equal(share_choose(&is_sharing, loads, 3, 0), 2);
    loads[2].takes = false;
    assert_int_equal(share_choose(&is_sharing, loads, 3, 0), 0);
    assert_false(is_sharing);
}

static void of_equals_the_next_in_turn_gets_it(void **state)
{
    (void)state;
    const struct share_load loads[] = { load_of(0), load_of(100), load_of(0), load_of(0) };
    bool is_sharing = false;
    assert_int_equal(share_choose(&is_sharing, loads, 4, 1), 2);
}

static void large_numbers_do_not_wrap(void **state)
{
    (void)state;
    const struct share_load loads[] = { load_of(UINT32_MAX), load_of(0), load_of(UINT32_MAX) };
    bool is_sharing = false;
    assert_int_equal(share_choose(&is_sharing, loads, 3, 0), 1);
}

/* So that a worker looks at the others only where it may have too much by what all of them count together. */
static void who_is_not_over_the_average_of_all_never_hands_over(void **state)
{
    (void)state;
    struct rng rng;
    uint32_t kept = 0, handed = 0;
    rng_seed(&rng, 1);
    for (unsigned i = 0; i < 20000; i++) {
        struct share_load loads[WORKERS_MAX] = { 0 };
        uint32_t count = 2 + rng_below(&rng, WORKERS_MAX - 1), most = 1 + rng_below(&rng, 40);
        bool was_sharing = rng_below(&rng, 2), is_sharing = was_sharing;
        uint64_t all = 0;
        for (uint32_t k = 0; k < count; k++) all += (loads[k] = load_of(rng_below(&rng, most))).connections;
        bool is_over = share_is_over(was_sharing, loads[0].connections, all, count);
        bool is_handed = share_choose(&is_sharing, loads, count, 0) != 0;
        if (!is_over) assert_false(is_handed || is_sharing);
        kept += !is_over;
        handed += is_handed;
    }
    assert_true(kept > 5000 && handed > 5000);
    assert_false(share_is_over(false, SHARE_APART_MIN - 1, SHARE_APART_MIN - 1, 64));
    assert_false(share_is_over(false, 120, 200, 2));
    assert_true(share_is_over(false, 121, 200, 2));
    assert_true(share_is_over(true, 111, 200, 2));
}

/* Connections come, stay for a while that differs by a hundred, and go; the kernel's hash is fair or not. */
struct world {
    struct rng rng;
    uint32_t workers, open_count, handed, came;
    bool shares, is_fair;
    uint32_t counts[WORKERS_MAX];
    bool is_sharing[WORKERS_MAX];
    struct {
        uint8_t worker;
        uint32_t until;
    } open[OPEN_MAX];
    double worst; /* of the largest part of an average, once there are many */
};

static uint32_t hash(struct world *w)
{
    uint32_t at = rng_below(&w->rng, w->workers);
    return !w->is_fair && rng_below(&w->rng, 2) ? 0 : at; /* half of all to the first */
}

static void come(struct world *w, uint32_t now)
{
    struct share_load loads[WORKERS_MAX];
    uint32_t own = hash(w), at = own;
    if (w->open_count == OPEN_MAX) return;
    for (uint32_t i = 0; i < w->workers; i++) loads[i] = load_of(w->counts[i]);
    if (w->shares) at = share_choose(&w->is_sharing[own], loads, w->workers, own);
    w->came++;
    w->handed += at != own;
    w->counts[at]++;
    uint32_t stay = rng_below(&w->rng, 10) ? 20 + rng_below(&w->rng, 50) : 2000;
    w->open[w->open_count].worker = (uint8_t)at;
    w->open[w->open_count++].until = now + stay;
}

static void go(struct world *w, uint32_t now)
{
    for (uint32_t i = 0; i < w->open_count;) {
        if (w->open[i].until > now) {
            i++;
            continue;
        }
        w->counts[w->open[i].worker]--;
        w->open[i] = w->open[--w->open_count];
    }
}

static void measure(struct world *w)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < w->workers; i++)
        if (w->counts[i] > most) most = w->counts[i];
    double part = (double)most * w->workers / w->open_count;
    if (part > w->worst) w->worst = part;
}

static struct world run(uint64_t seed, uint32_t workers, bool shares, bool is_fair)
{
    struct world w = { .workers = workers, .shares = shares, .is_fair = is_fair };
    rng_seed(&w.rng, seed);
    for (uint32_t now = 0; now < 4000; now++) {
        for (uint32_t n = rng_below(&w.rng, 5); n; n--) come(&w, now);
        go(&w, now);
        if (now > 1000) measure(&w);
    }
    return w;
}

static void with_any_seed_nobody_has_much_more_than_his_share(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        for (uint32_t workers = 2; workers <= 8; workers *= 2) {
            struct world w = run(seed, workers, true, false);
            /* A fifth, and what departures alone do to it before the next connection comes. */
            if (w.worst > 1.35) fail_msg("seed %lu, %u workers: %.2f", (unsigned long)seed, workers, w.worst);
            w = run(seed, workers, false, false);
            if (w.worst < 1.35)
                fail_msg("seed %lu, %u workers: even without sharing", (unsigned long)seed, workers);
        }
    }
}

static void where_the_kernel_is_fair_few_are_handed_over(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct world w = run(seed, 2, true, true);
        if (w.handed * 20 > w.came) fail_msg("seed %lu: %u of %u", (unsigned long)seed, w.handed, w.came);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_no_more_than_a_fifth_over_the_average_keeps_what_comes),
        cmocka_unit_test(beyond_it_who_has_fewest_gets_it_until_both_are_nearly_even),
        cmocka_unit_test(a_few_are_not_worth_it),
        cmocka_unit_test(who_has_more_going_on_than_the_others_is_handed_none),
        cmocka_unit_test(who_cannot_take_any_is_handed_none),
        cmocka_unit_test(of_equals_the_next_in_turn_gets_it),
        cmocka_unit_test(large_numbers_do_not_wrap),
        cmocka_unit_test(who_is_not_over_the_average_of_all_never_hands_over),
        cmocka_unit_test(with_any_seed_nobody_has_much_more_than_his_share),
        cmocka_unit_test(where_the_kernel_is_fair_few_are_handed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
