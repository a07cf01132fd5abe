#include "health/outlier.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

#define PEERS 10

static const struct ejection_conf conf = {
    .is_enabled = true, .timeouts = 3, .gateway_errors = 5, .server_errors = 10, .share = 30, .attempts = 20
};

struct scene {
    struct outlier_peer peers[PEERS];
    double room[2 * PEERS];
    uint32_t count;
};

/* All have had so many attempts, of which so many failed. */
static void open_scene(struct scene *s, uint32_t count, double attempts, double faults)
{
    memset(s, 0, sizeof(*s));
    s->count = count;
    for (uint32_t i = 0; i < count; i++) {
        s->peers[i].attempts = attempts;
        s->peers[i].faults = faults;
        s->peers[i].is_in = true;
    }
}

static enum outlier_kind find_by(const struct ejection_conf *rules, struct scene *s, uint32_t index)
{
    struct outlier_look l;
    struct outlier_finding f;
    outlier_look(&l, rules, s->peers, s->count, s->room);
    outlier_find(&l, index, &f);
    return f.kind;
}

static enum outlier_kind find(struct scene *s, uint32_t index)
{
    return find_by(&conf, s, index);
}

static void a_run_of_failures_is_found_if_the_others_answer(void **state)
{
    (void)state;
    static const struct {
        enum fault_run run;
        uint32_t on_end;
        enum outlier_kind kind;
    } rows[] = { { RUN_TIMEOUTS, 3, OUTLIER_TIMEOUTS },
                 { RUN_GATEWAY, 5, OUTLIER_GATEWAY },
                 { RUN_ERRORS, 10, OUTLIER_ERRORS } };
    for (size_t i = 0; i < 3; i++) {
        struct scene s;
        open_scene(&s, 3, 1000, 0);
        s.peers[1].runs[rows[i].run] = rows[i].on_end - 1;
        assert_int_equal(find(&s, 1), OUTLIER_NONE);
        s.peers[1].runs[rows[i].run] = rows[i].on_end;
        assert_int_equal(find(&s, 1), rows[i].kind);
        assert_int_equal(find(&s, 0), OUTLIER_NONE);
        s.peers[1].is_in = false; /* it is out already */
        assert_int_equal(find(&s, 1), OUTLIER_NONE);
    }
}

static void if_all_fail_alike_nobody_is_found_however_long_the_run(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, 4, 1000, 1000);
    for (int i = 0; i < 4; i++) s.peers[i].runs[RUN_GATEWAY] = s.peers[i].runs[RUN_ERRORS] = 1000;
    for (uint32_t i = 0; i < 4; i++) assert_int_equal(find(&s, i), OUTLIER_NONE);
    open_scene(&s, 4, 1000, 500);
    s.peers[0].runs[RUN_GATEWAY] = 19; /* as chance brings now and then */
    assert_int_equal(find(&s, 0), OUTLIER_NONE);
    s.peers[0].runs[RUN_GATEWAY] = 20;
    assert_int_equal(find(&s, 0), OUTLIER_GATEWAY);
}

static void the_less_is_known_of_the_others_the_longer_a_run_must_be(void **state)
{
    (void)state;
    uint32_t before = UINT32_MAX;
    static const double known[] = { 0, 1, 5, 20, 100, 100000 };
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        struct scene s;
        uint32_t run = 1;
        open_scene(&s, 2, known[i], 0);
        while (s.peers[0].runs[RUN_GATEWAY] = run, find(&s, 0) == OUTLIER_NONE && run < 100) run++;
        assert_true(run <= before);
        before = run;
    }
    assert_int_equal(before, 5);
}

static void one_of_ten_that_fails_half_is_found_and_nobody_if_all_do(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, 10, 100, 1);
    s.peers[3].faults = 50;
    for (uint32_t i = 0; i < 10; i++) assert_int_equal(find(&s, i), i == 3 ? OUTLIER_SHARE : OUTLIER_NONE);
    open_scene(&s, 10, 100, 50);
    for (uint32_t i = 0; i < 10; i++) assert_int_equal(find(&s, i), OUTLIER_NONE);
    /* Most of the pool fails half: those are no outliers. */
    for (uint32_t i = 0; i < 4; i++) s.peers[i].faults = 0;
    for (uint32_t i = 0; i < 10; i++) assert_int_equal(find(&s, i), OUTLIER_NONE);
    s.peers[4].faults = 0;
    for (uint32_t i = 0; i < 10; i++) assert_int_equal(find(&s, i), i > 4 ? OUTLIER_SHARE : OUTLIER_NONE);
}

static void a_share_needs_attempts_and_somebody_to_compare_with(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, 2, 19, 0);
    s.peers[0].faults = 19;
    assert_int_equal(find(&s, 0), OUTLIER_NONE);
    s.peers[0].attempts = s.peers[0].faults = 20;
    assert_int_equal(find(&s, 0), OUTLIER_SHARE);
    s.peers[1].attempts = 0; /* of the other nothing is known */
    assert_int_equal(find(&s, 0), OUTLIER_NONE);
    s.peers[1] = s.peers[0];
    s.peers[1].faults = 0;
    s.peers[1].is_in = false; /* nor of one that is out */
    assert_int_equal(find(&s, 0), OUTLIER_NONE);
    s.peers[0].faults = 5; /* 25 % */
    s.peers[1].is_in = true;
    assert_int_equal(find(&s, 0), OUTLIER_NONE);
}

static void one_on_trial_is_found_sooner(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, 2, 100, 0);
    s.peers[0].is_on_trial = true;
    s.peers[0].runs[RUN_GATEWAY] = 1;
    assert_int_equal(find(&s, 0), OUTLIER_NONE);
    s.peers[0].runs[RUN_GATEWAY] = 2;
    assert_int_equal(find(&s, 0), OUTLIER_GATEWAY);
    s.peers[1].faults = 60; /* the others are no better now */
    assert_int_equal(find(&s, 0), OUTLIER_NONE);
}

static void set_latency(struct scene *s, uint32_t index, double answers, double us)
{
    s->peers[index].answers = answers;
    s->peers[index].waits = answers * log2(us);
}

static void one_that_is_slower_than_the_others_is_found_if_that_is_asked_for(void **state)
{
    (void)state;
    struct ejection_conf by_latency = conf;
    struct scene s;
    by_latency.latency = 5;
    open_scene(&s, 4, 100, 0);
    for (uint32_t i = 0; i < 4; i++) set_latency(&s, i, 100, 10000);
    for (uint32_t i = 0; i < 4; i++) assert_int_equal(find_by(&by_latency, &s, i), OUTLIER_NONE);
    set_latency(&s, 2, 100, 49000);
    assert_int_equal(find_by(&by_latency, &s, 2), OUTLIER_NONE);
    set_latency(&s, 2, 100, 51000);
    assert_int_equal(find_by(&by_latency, &s, 2), OUTLIER_LATENCY);
    assert_int_equal(find_by(&by_latency, &s, 1), OUTLIER_NONE);
    assert_int_equal(find(&s, 2), OUTLIER_NONE); /* not asked for */
    set_latency(&s, 2, 19, 51000);               /* too few to say */
    assert_int_equal(find_by(&by_latency, &s, 2), OUTLIER_NONE);
    set_latency(&s, 2, 100, 51000);
    for (uint32_t i = 0; i < 4; i++) s.peers[i].is_in = i == 2; /* nobody to compare with */
    assert_int_equal(find_by(&by_latency, &s, 2), OUTLIER_NONE);
}

static void what_nobody_feels_is_no_slowness_and_if_all_are_slow_nobody_is_found(void **state)
{
    (void)state;
    struct ejection_conf by_latency = conf;
    struct scene s;
    by_latency.latency = 5;
    open_scene(&s, 3, 100, 0);
    for (uint32_t i = 0; i < 3; i++) set_latency(&s, i, 100, 200);
    set_latency(&s, 0, 100, 5100); /* 25 times as long, and 4.9 ms more */
    assert_int_equal(find_by(&by_latency, &s, 0), OUTLIER_NONE);
    set_latency(&s, 0, 100, 5300);
    assert_int_equal(find_by(&by_latency, &s, 0), OUTLIER_LATENCY);
    for (uint32_t i = 0; i < 3; i++) set_latency(&s, i, 100, 2000000);
    for (uint32_t i = 0; i < 3; i++) assert_int_equal(find_by(&by_latency, &s, i), OUTLIER_NONE);
}

/* Whatever the counts, those that fail least are never found. */
static void the_best_is_never_found(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 9);
    for (int n = 0; n < 20000; n++) {
        struct scene s;
        uint32_t best = 0;
        open_scene(&s, 2 + rng_below(&rng, PEERS - 1), 0, 0);
        for (uint32_t i = 0; i < s.count; i++) {
            s.peers[i].attempts = 1 + rng_below(&rng, 200);
            s.peers[i].faults = rng_below(&rng, (uint32_t)s.peers[i].attempts + 1);
            if (s.peers[i].faults / s.peers[i].attempts < s.peers[best].faults / s.peers[best].attempts)
                best = i;
        }
        assert_int_equal(find(&s, best), OUTLIER_NONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_of_failures_is_found_if_the_others_answer),
        cmocka_unit_test(if_all_fail_alike_nobody_is_found_however_long_the_run),
        cmocka_unit_test(the_less_is_known_of_the_others_the_longer_a_run_must_be),
        cmocka_unit_test(one_of_ten_that_fails_half_is_found_and_nobody_if_all_do),
        cmocka_unit_test(a_share_needs_attempts_and_somebody_to_compare_with),
        cmocka_unit_test(one_on_trial_is_found_sooner),
        cmocka_unit_test(one_that_is_slower_than_the_others_is_found_if_that_is_asked_for),
        cmocka_unit_test(what_nobody_feels_is_no_slowness_and_if_all_are_slow_nobody_is_found),
        cmocka_unit_test(the_best_is_never_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
