#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <string.h>
#include <cmocka.h>

#include "crew.h"

#include "pool/latency.h"
#include "pool/pool_worker.h"

static struct crew c;

/* Answers of a server that took so long. */
static void answer(uint32_t server, uint32_t count, uint64_t us)
{
    const struct server *s = c.pool->roster->places[server].server;
    for (uint32_t i = 0; i < count; i++) metric_observe(c.envs[0].metrics, s->meter_latency, us);
}

static void look(void)
{
    for (uint32_t i = 0; i < c.pool->roster->count; i++)
        server_look_at_latency(c.pool->roster->places[i].server, c.metrics);
    pool_settle_latency(c.pool);
}

static void open_crew(uint32_t servers)
{
    crew_init(&c, "random", servers);
    crew_start(&c, 2);
    assert_int_equal(pool_latency_us(&c.pool->latency, 95), 0); /* from now on somebody wants it */
}

/* In groups that are 3.2 % wide, told by their ends. */
static void assert_about(uint32_t us, uint32_t expected)
{
    assert_in_range(us, expected, expected + expected / 12);
}

static void nobody_is_looked_after_whom_nobody_asked_for(void **state)
{
    (void)state;
    crew_init(&c, "random", 2);
    crew_start(&c, 1);
    assert_false(pool_latency_is_wanted(&c.pool->latency));
    assert_int_equal(pool_latency_us(&c.pool->latency, 95), 0);
    assert_true(pool_latency_is_wanted(&c.pool->latency));
    crew_stop(&c);
}

/* With another configuration nobody may want it any more; whoever does finds what was known. */
static void whoever_still_wants_it_under_another_configuration_says_so(void **state)
{
    (void)state;
    struct err err;
    struct pool_change change;
    open_crew(1);
    answer(0, 100, 1000);
    look();
    if (pool_prepare(&change, c.pool, &c.env, &c.conf, NULL, &err) < 0) fail_msg("%s", err.text);
    pool_commit(&change);
    crew_publish(&c);
    crew_turns(&c, 2);
    assert_false(pool_latency_is_wanted(&c.pool->latency));
    assert_about(pool_latency_us(&c.pool->latency, 95), 1000);
    assert_true(pool_latency_is_wanted(&c.pool->latency));
    crew_stop(&c);
}

static void a_percentile_is_what_so_many_answers_do_not_exceed(void **state)
{
    (void)state;
    open_crew(1);
    (void)pool_latency_us(&c.pool->latency, 50);
    answer(0, 60, 1000);
    answer(0, 34, 5000);
    answer(0, 6, 80000);
    look();
    assert_about(pool_latency_us(&c.pool->latency, 50), 1000);
    assert_about(pool_latency_us(&c.pool->latency, 95), 80000);
    assert_int_equal(pool_latency_us(&c.pool->latency, 90), 0); /* asked for now, known after the next look */
    look();
    assert_about(pool_latency_us(&c.pool->latency, 90), 5000);
    crew_stop(&c);
}

static void of_few_answers_nothing_is_said(void **state)
{
    (void)state;
    open_crew(1);
    answer(0, 19, 1000);
    look();
    assert_int_equal(pool_latency_us(&c.pool->latency, 95), 0);
    answer(0, 3, 1000);
    look();
    assert_about(pool_latency_us(&c.pool->latency, 95), 1000);
    crew_stop(&c);
}

static void one_slow_server_does_not_make_the_others_be_waited_for(void **state)
{
    (void)state;
    open_crew(3);
    answer(0, 1000, 2000);
    answer(1, 1000, 3000);
    answer(2, 1000, 900000);
    look();
    assert_about(pool_latency_us(&c.pool->latency, 95), 3000);
    crew_stop(&c);
    open_crew(2);
    answer(0, 1000, 900000);
    answer(1, 1000, 2000);
    look();
    assert_about(pool_latency_us(&c.pool->latency, 95), 2000);
    crew_stop(&c);
}

static void what_was_is_forgotten(void **state)
{
    (void)state;
    open_crew(1);
    answer(0, 100000, 1000);
    look();
    assert_about(pool_latency_us(&c.pool->latency, 95), 1000);
    for (int i = 0; i < 60; i++) {
        answer(0, 100, 7000);
        look();
    }
    assert_about(pool_latency_us(&c.pool->latency, 95), 7000);
    for (int i = 0; i < 600; i++) look();
    assert_int_equal(pool_latency_us(&c.pool->latency, 95), 0);
    crew_stop(&c);
}

static void counters_may_wrap(void **state)
{
    (void)state;
    struct latency_window w = { 0 };
    uint32_t counted[HISTORY_GROUPS] = { 0 };
    counted[40] = UINT32_MAX - 9;
    w.seen[40] = UINT32_MAX - 9;
    counted[40] += 110;
    latency_window_add(&w, counted);
    assert_true(w.total > 109 && w.total < 111);
    assert_true(latency_window_us(&w, 95) > 0);
}

static void the_middle_is_of_those_that_are_known(void **state)
{
    (void)state;
    uint32_t none[] = { 0, 0 }, some[] = { 9, 0, 3, 0, 5, 7 };
    assert_int_equal(latency_middle(none, 2), 0);
    assert_int_equal(latency_middle(some, 6), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_looked_after_whom_nobody_asked_for),
        cmocka_unit_test(whoever_still_wants_it_under_another_configuration_says_so),
        cmocka_unit_test(a_percentile_is_what_so_many_answers_do_not_exceed),
        cmocka_unit_test(of_few_answers_nothing_is_said),
        cmocka_unit_test(one_slow_server_does_not_make_the_others_be_waited_for),
        cmocka_unit_test(what_was_is_forgotten),
        cmocka_unit_test(counters_may_wrap),
        cmocka_unit_test(the_middle_is_of_those_that_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
