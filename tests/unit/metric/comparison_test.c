/* What was before and after, from fixed seeds: what is alike is left alone however often one looks, what differs is found. */
#include "metric/comparison.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

#define SLOTS 60u
#define SLOT_SECONDS 10.0

struct side {
    uint64_t requests[SLOTS], errors[SLOTS], cells[HISTOGRAM_CELLS];
    struct comparison_side seen;
};

static struct rng rng;
static struct side before, after;

static double uniform(void)
{
    return ((double)(rng_next(&rng) >> 11) + 0.5) / 9007199254740992.0;
}

/* A slot of about so many requests, each with that chance to fail; durations are exponential. */
static void add_slot(struct side *s, double requests, double error_share, double mean_us)
{
    uint32_t at = s->seen.slots.count++;
    uint64_t count = (uint64_t)(requests + (uniform() - 0.5) * sqrt(12 * requests));
    for (uint64_t i = 0; i < count; i++) {
        s->errors[at] += uniform() < error_share;
        s->cells[histogram_index((uint64_t)(-mean_us * log(uniform())))]++;
    }
    s->requests[at] = count;
    s->seen.requests += count;
    s->seen.errors += s->errors[at];
    s->seen.seconds += SLOT_SECONDS;
}

static void begin(struct side *s)
{
    memset(s, 0, sizeof(*s));
    s->seen.cells = s->cells;
    s->seen.slots.requests = s->requests;
    s->seen.slots.errors = s->errors;
}

static bool holds(const struct statistic_shift *s)
{
    return s->interval.low <= 0 && s->interval.high >= 0;
}

/* `unrest`: by what part the load and the errors of a slot go up and down, as in reality. */
static uint32_t count_alarms(uint32_t runs, double unrest)
{
    uint32_t alarms = 0;
    for (uint32_t run = 0; run < runs; run++) {
        bool is_alarm = false;
        begin(&before);
        begin(&after);
        for (uint32_t i = 0; i < SLOTS; i++)
            add_slot(&before, 200 * (1 + unrest * (uniform() - 0.5)), 0.02 * (1 + unrest * (uniform() - 0.5)),
                     20000);
        for (uint32_t i = 0; i < SLOTS; i++) {
            add_slot(&after, 200 * (1 + unrest * (uniform() - 0.5)), 0.02 * (1 + unrest * (uniform() - 0.5)),
                     20000);
            if (i % 3) continue;
            struct comparison c;
            comparison_fill(&c, &before.seen, &after.seen);
            is_alarm |= c.rate_p < COMPARISON_ALPHA || !holds(&c.errors) || !holds(&c.shifts[COMPARISON_P95]);
        }
        alarms += is_alarm;
    }
    return alarms;
}

static void what_is_alike_is_left_alone_however_often_one_looks(void **state)
{
    (void)state;
    rng_seed(&rng, 1);
    assert_in_range(count_alarms(60, 0), 0, 1);
    assert_in_range(count_alarms(60, 0.8), 0, 1);
}

static void what_differs_is_found(void **state)
{
    (void)state;
    struct comparison c;
    rng_seed(&rng, 2);
    begin(&before);
    begin(&after);
    for (uint32_t i = 0; i < SLOTS; i++) {
        add_slot(&before, 200, 0.01, 20000);
        add_slot(&after, 300, 0.03, 25000);
    }
    comparison_fill(&c, &before.seen, &after.seen);
    assert_true(fabs(c.rates[0] - 20) < 1 && fabs(c.rates[1] - 30) < 1);
    assert_true(c.rate_p < 0.001);
    assert_true(c.errors.interval.low > 0.01 && c.errors.interval.high < 0.03);
    for (int i = 0; i < COMPARISON_QUANTILES; i++) {
        double truth = -5000 * log(1 - (const double[]){ 0.5, 0.95, 0.99 }[i]);
        assert_true(c.shifts[i].interval.low > 0 && c.shifts[i].interval.low < truth);
        assert_true(c.shifts[i].interval.high > truth);
        assert_true(c.quantiles[1][i] > c.quantiles[0][i]);
    }
}

static void nothing_can_be_told_of_nothing(void **state)
{
    (void)state;
    struct comparison c;
    begin(&before);
    begin(&after);
    before.seen.seconds = after.seen.seconds = 1;
    comparison_fill(&c, &before.seen, &after.seen);
    assert_true(c.rate_p >= 1 && holds(&c.errors) && holds(&c.shifts[COMPARISON_P99]));
    assert_int_equal(c.quantiles[0][COMPARISON_P50], 0);
    rng_seed(&rng, 3);
    for (uint32_t i = 0; i < SLOTS; i++) add_slot(&before, 200, 0.01, 20000);
    after.seen.seconds = 600; /* it has stopped: that is a difference of rates, and of nothing else */
    comparison_fill(&c, &before.seen, &after.seen);
    assert_true(c.rate_p < 0.001 && holds(&c.errors) && holds(&c.shifts[COMPARISON_P50]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_alike_is_left_alone_however_often_one_looks),
        cmocka_unit_test(what_differs_is_found),
        cmocka_unit_test(nothing_can_be_told_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
