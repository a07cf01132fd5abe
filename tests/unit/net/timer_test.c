#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <cmocka.h>

#include "base/rng.h"
#include "net/timer.h"

#define START 123456789u
#define ALL UINT32_MAX

struct probe {
    struct timer timer;
    struct timer_wheel *wheel;
    uint64_t fired_at, again_after;
    unsigned fired;
};

static void on_timer(struct timer *t)
{
    struct probe *p = container_of(t, struct probe, timer);
    p->fired_at = p->wheel->now_ms;
    p->fired++;
    if (p->again_after) timer_arm(p->wheel, t, p->wheel->now_ms + p->again_after);
}

static void probe_init(struct probe *p, struct timer_wheel *wheel)
{
    *p = (struct probe){ .wheel = wheel };
    timer_init(&p->timer, on_timer);
}

static void a_timer_fires_at_its_time_and_not_before(void **state)
{
    (void)state;
    static const uint64_t delays[] = { 1,    2,    63,     64,     65,       100,     4095,
                                       4096, 4097, 262143, 262144, 16777217, 86400000 };
    for (size_t i = 0; i < sizeof(delays) / sizeof(*delays); i++) {
        struct timer_wheel wheel;
        struct probe p;
        timer_wheel_init(&wheel, START);
        probe_init(&p, &wheel);
        timer_arm(&wheel, &p.timer, START + delays[i]);
        timer_wheel_advance(&wheel, START + delays[i] - 1, ALL);
        assert_int_equal(p.fired, 0);
        timer_wheel_advance(&wheel, START + delays[i], ALL);
        assert_int_equal(p.fired, 1);
        assert_int_equal(wheel.count, 0);
    }
}

static void a_timer_moved_later_fires_once_at_the_later_time(void **state)
{
    (void)state;
    struct timer_wheel wheel;
    struct probe p;
    timer_wheel_init(&wheel, START);
    probe_init(&p, &wheel);
    timer_arm(&wheel, &p.timer, START + 10);
    timer_arm(&wheel, &p.timer, START + 5000);
    timer_wheel_advance(&wheel, START + 4999, ALL);
    assert_int_equal(p.fired, 0);
    timer_wheel_advance(&wheel, START + 5000, ALL);
    assert_int_equal(p.fired, 1);
}

static void a_timer_moved_earlier_fires_at_the_earlier_time(void **state)
{
    (void)state;
    struct timer_wheel wheel;
    struct probe p;
    timer_wheel_init(&wheel, START);
    probe_init(&p, &wheel);
    timer_arm(&wheel, &p.timer, START + 60000);
    timer_arm(&wheel, &p.timer, START + 7);
    timer_wheel_advance(&wheel, START + 7, ALL);
    assert_int_equal(p.fired, 1);
}

static void a_disarmed_timer_does_not_fire(void **state)
{
    (void)state;
    struct timer_wheel wheel;
    struct probe p;
    timer_wheel_init(&wheel, START);
    probe_init(&p, &wheel);
    timer_arm(&wheel, &p.timer, START + 70);
    timer_disarm(&wheel, &p.timer);
    timer_disarm(&wheel, &p.timer);
    timer_wheel_advance(&wheel, START + 1000, ALL);
    assert_int_equal(p.fired, 0);
    assert_int_equal(timer_wheel_wait_ms(&wheel), -1);
}

static void a_handler_may_arm_its_own_timer_again(void **state)
{
    (void)state;
    struct timer_wheel wheel;
    struct probe p;
    timer_wheel_init(&wheel, START);
    probe_init(&p, &wheel);
    p.again_after = 10;
    timer_arm(&wheel, &p.timer, START + 10);
    timer_wheel_advance(&wheel, START + 100, ALL);
    assert_int_equal(p.fired, 10);
}

/* All armed for the same moment. Between two turns one of them is disarmed, and one moved. */
static void of_many_that_are_due_so_many_run_at_a_time(void **state)
{
    (void)state;
    enum { COUNT = 100, A_TURN = 30 };
    static struct probe probes[COUNT + 1];
    struct timer_wheel wheel;
    timer_wheel_init(&wheel, START);
    for (unsigned i = 0; i <= COUNT; i++) {
        probe_init(&probes[i], &wheel);
        timer_arm(&wheel, &probes[i].timer, i < COUNT ? START + 100 : START + 101);
    }
    uint64_t now = START + 150;
    unsigned before = 0, all = 0, runs = 0;
    for (; timer_wheel_wait_ms(&wheel) == 0 || !runs; before = all) {
        timer_wheel_advance(&wheel, now, A_TURN);
        all = 0;
        for (unsigned i = 0; i < COUNT; i++) all += probes[i].fired;
        assert_in_range(all - before, 1, A_TURN);
        if (all < COUNT - 2) assert_int_equal(probes[COUNT].fired, 0); /* which is due later */
        if (runs++) continue;
        timer_disarm(&wheel, &probes[COUNT - 1].timer);
        timer_arm(&wheel, &probes[COUNT - 2].timer, now + 10);
    }
    assert_int_equal(before, COUNT - 2);
    assert_int_equal(probes[COUNT].fired, 1);
    assert_int_equal(wheel.count, 1);
    timer_wheel_advance(&wheel, now + 9, ALL);
    assert_int_equal(probes[COUNT - 2].fired, 0);
    timer_wheel_advance(&wheel, now + 10, ALL);
    assert_int_equal(probes[COUNT - 2].fired, 1);
    assert_int_equal(timer_wheel_wait_ms(&wheel), -1);
}

static void random_arming_agrees_with_a_sorted_list(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    static struct probe probes[COUNT];
    struct timer_wheel wheel;
    struct rng rng;
    rng_seed(&rng, 7);
    timer_wheel_init(&wheel, START);
    for (unsigned i = 0; i < COUNT; i++) probe_init(&probes[i], &wheel);
    uint64_t now = START;
    for (unsigned step = 0; step < 3000; step++) {
        for (unsigned k = 0; k < 5; k++) {
            struct probe *p = &probes[rng_below(&rng, COUNT)];
            uint64_t delay = 1 + rng_below(&rng, 1u << (1 + rng_below(&rng, 20)));
            if (rng_below(&rng, 10) == 0) {
                timer_disarm(&wheel, &p->timer);
                continue;
            }
            p->fired = 0;
            timer_arm(&wheel, &p->timer, now + delay);
        }
        int wait = timer_wheel_wait_ms(&wheel);
        for (unsigned i = 0; i < COUNT; i++)
            if (timer_is_armed(&probes[i].timer))
                assert_true(now + (uint64_t)wait <= probes[i].timer.deadline_ms);
        now += rng_below(&rng, 300);
        timer_wheel_advance(&wheel, now, ALL);
        for (unsigned i = 0; i < COUNT; i++) {
            if (timer_is_armed(&probes[i].timer)) assert_true(probes[i].timer.deadline_ms > now);
            if (probes[i].fired) assert_true(probes[i].fired_at >= probes[i].timer.deadline_ms);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timer_fires_at_its_time_and_not_before),
        cmocka_unit_test(a_timer_moved_later_fires_once_at_the_later_time),
        cmocka_unit_test(a_timer_moved_earlier_fires_at_the_earlier_time),
        cmocka_unit_test(a_disarmed_timer_does_not_fire),
        cmocka_unit_test(a_handler_may_arm_its_own_timer_again),
        cmocka_unit_test(of_many_that_are_due_so_many_run_at_a_time),
        cmocka_unit_test(random_arming_agrees_with_a_sorted_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
