#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <cmocka.h>

#include "base/rng.h"
#include "net/timer.h"

#define START 123456789u

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
        timer_wheel_advance(&wheel, START + delays[i] - 1);
        assert_int_equal(p.fired, 0);
        timer_wheel_advance(&wheel, START + delays[i]);
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
    timer_wheel_advance(&wheel, START + 4999);
    assert_int_equal(p.fired, 0);
    timer_wheel_advance(&wheel, START + 5000);
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
    timer_wheel_advance(&wheel, START + 7);
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
    timer_wheel_advance(&wheel, START + 1000);
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
    timer_wheel_advance(&wheel, START + 100);
    assert_int_equal(p.fired, 10);
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
        timer_wheel_advance(&wheel, now);
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
        cmocka_unit_test(random_arming_agrees_with_a_sorted_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
