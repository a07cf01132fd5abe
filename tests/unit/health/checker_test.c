/* When checks begin, on a virtual clock; the servers are a unix socket that nobody listens at, which refuses at once. */
#include "health/checker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct scene {
    struct budget budget;
    struct loop loop;
    struct checker checker;
    struct check_tcp_conf tcp;
    struct check_conf conf;
    struct address nobody;
};

struct watched {
    struct check check; /* first */
    uint64_t at_ms[64];
    uint32_t count;
    bool is_changing;
};

static bool on_verdict(struct check *c, const struct probe_verdict *v)
{
    struct watched *w = (struct watched *)(void *)c;
    assert_int_equal(v->result, PROBE_FAILED);
    w->at_ms[w->count++ % 64] = loop_now_ms(c->checker->loop);
    return w->is_changing;
}

static void open_scene(struct scene *s)
{
    struct err err;
    memset(s, 0, sizeof(*s));
    s->budget.limit = 64 << 20;
    assert_int_equal(loop_init(&s->loop, &s->budget, &err), 0);
    s->loop.is_virtual = true;
    rng_seed(&s->loop.rng, 3);
    s->conf =
        (struct check_conf){ .tcp = &s->tcp, .interval_ms = 1000, .changing_ms = 200, .timeout_ms = 500 };
    assert_int_equal(address_parse(SLICE("unix:/nowhere/weir-test"), false, &s->nobody, &err), 0);
    checker_init(&s->checker, &s->loop);
}

static void close_scene(struct scene *s)
{
    checker_fini(&s->checker);
    loop_turn(&s->loop, 0);
    assert_int_equal(s->checker.running, 0);
    assert_int_equal(s->loop.timers.count, 0);
    assert_int_equal(s->loop.fd_count, 0);
    loop_fini(&s->loop);
}

static void pass_time(struct scene *s, uint32_t ms)
{
    for (uint32_t i = 0; i < ms; i++) {
        s->loop.now_ns += NS_PER_MS;
        loop_turn(&s->loop, 0);
    }
}

static void start(struct scene *s, struct watched *w, uint64_t first_ms)
{
    memset(w, 0, sizeof(*w));
    check_init(&w->check, &s->checker, on_verdict);
    check_start(&w->check, &(struct check_target){ .conf = &s->conf, .address = &s->nobody }, first_ms);
}

static void first_checks_are_spread_over_the_interval_but_few_are_not_waited_for(void **state)
{
    (void)state;
    const struct check_conf c = { .interval_ms = 1000 };
    assert_int_equal(check_first_ms(&c, 0, 4096), 0);
    assert_int_equal(check_first_ms(&c, 2048, 4096), 500);
    assert_int_equal(check_first_ms(&c, 4095, 4096), 999);
    assert_int_equal(check_first_ms(&c, 3, 4), 30);
    uint32_t in_ms[1000] = { 0 };
    for (uint32_t i = 0; i < 4096; i++) assert_true(++in_ms[check_first_ms(&c, i, 4096)] <= 5);
}

static void the_next_is_never_later_than_configured_and_a_tenth_sooner_at_most(void **state)
{
    (void)state;
    const struct check_conf c = { .interval_ms = 1000, .changing_ms = 200 };
    const struct check_conf slow = { .interval_ms = 1000, .changing_ms = 5000 };
    struct rng rng;
    uint64_t least = UINT64_MAX, most = 0;
    rng_seed(&rng, 1);
    for (int i = 0; i < 10000; i++) {
        uint64_t ms = check_next_ms(&c, false, &rng);
        if (ms < least) least = ms;
        if (ms > most) most = ms;
        assert_true(check_next_ms(&c, true, &rng) <= 200);
        assert_true(check_next_ms(&slow, true, &rng) <= 1000);
    }
    assert_int_equal(least, 900);
    assert_int_equal(most, 1000);
}

static void checks_come_again_and_again_and_sooner_while_it_is_being_decided(void **state)
{
    (void)state;
    struct scene s;
    struct watched w;
    open_scene(&s);
    start(&s, &w, 50);
    pass_time(&s, 49);
    assert_int_equal(w.count, 0);
    pass_time(&s, 5000);
    assert_in_range(w.count, 5, 6);
    for (uint32_t i = 1; i < w.count; i++) assert_in_range(w.at_ms[i] - w.at_ms[i - 1], 900, 1000);
    w.is_changing = true;
    pass_time(&s, 1000); /* one is due within it */
    uint32_t before = w.count;
    pass_time(&s, 2000);
    assert_in_range(w.count - before, 10, 12);
    check_stop(&w.check);
    before = w.count;
    pass_time(&s, 3000);
    assert_int_equal(w.count, before);
    close_scene(&s);
}

static void other_settings_hold_from_the_next_check_on(void **state)
{
    (void)state;
    struct scene s;
    struct watched w;
    open_scene(&s);
    s.conf.interval_ms = 3600000;
    start(&s, &w, 0);
    pass_time(&s, 2);
    assert_int_equal(w.count, 1);
    struct check_conf often = s.conf;
    often.interval_ms = 1000;
    const struct check_target target = { .conf = &often, .address = &s.nobody };
    check_change(&w.check, &target);
    pass_time(&s, 1001);
    assert_int_equal(w.count, 2);
    /* The same settings again and again do not put it off. */
    for (int i = 0; i < 1001; i++) {
        check_change(&w.check, &target);
        pass_time(&s, 1);
    }
    assert_int_equal(w.count, 3);
    check_stop(&w.check);
    close_scene(&s);
}

/* All are due at once, and each ends as it begins: no check is within another, and none is forgotten. */
static void more_than_may_be_at_once_wait_for_their_turn(void **state)
{
    (void)state;
    struct scene s;
    static struct watched many[3 * CHECKS_AT_ONCE];
    uint32_t count = sizeof(many) / sizeof(*many);
    open_scene(&s);
    for (uint32_t i = 0; i < count; i++) start(&s, &many[i], 5);
    s.checker.running = CHECKS_AT_ONCE; /* that many are under way, of somebody's */
    pass_time(&s, 10);
    for (uint32_t i = 0; i < count; i++) assert_int_equal(many[i].count, 0);
    check_stop(&many[7].check);
    s.checker.running = CHECKS_AT_ONCE - 1;
    check_stop(&many[8].check);
    pass_time(&s, 50); /* so many timers run in a turn */
    for (uint32_t i = 0; i < count; i++) assert_int_equal(many[i].count, i != 7 && i != 8);
    s.checker.running -= CHECKS_AT_ONCE - 1;
    for (uint32_t i = 0; i < count; i++) check_stop(&many[i].check);
    close_scene(&s);
}

static void another_port_or_address_is_asked(void **state)
{
    (void)state;
    struct scene s;
    struct check c;
    struct address server, other;
    struct err err;
    open_scene(&s);
    assert_int_equal(address_parse(SLICE("10.0.0.1:80"), false, &server, &err), 0);
    assert_int_equal(address_parse(SLICE("[::1]:90"), false, &other, &err), 0);
    s.conf.port = 8081;
    check_init(&c, &s.checker, on_verdict);
    check_start(&c, &(struct check_target){ .conf = &s.conf, .address = &server }, 1000000);
    assert_string_equal(c.host, "10.0.0.1:8081");
    check_change(&c, &(struct check_target){ .conf = &s.conf, .address = &server, .other = &other });
    assert_string_equal(c.host, "[::1]:90");
    check_change(&c, &(struct check_target){ .conf = &s.conf, .address = &s.nobody });
    assert_string_equal(c.host, "localhost");
    check_stop(&c);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_checks_are_spread_over_the_interval_but_few_are_not_waited_for),
        cmocka_unit_test(the_next_is_never_later_than_configured_and_a_tenth_sooner_at_most),
        cmocka_unit_test(checks_come_again_and_again_and_sooner_while_it_is_being_decided),
        cmocka_unit_test(other_settings_hold_from_the_next_check_on),
        cmocka_unit_test(more_than_may_be_at_once_wait_for_their_turn),
        cmocka_unit_test(another_port_or_address_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
