/* What the report promises, held against many experiments whose truth is known: users with several requests each, dealt by
 * the real hash, and variants that do not differ. All of it from fixed seeds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "route/split_report.h"

/* How users behave, the same in every variant. */
struct habits {
    uint32_t users, requests;     /* each makes so many */
    bool is_uneven;               /* or one in ten makes ten times as many */
    double error_share, likeness; /* of one user's errors: the correlation within */
    double spread, own;           /* of the logarithm of durations; what part of its variance is the user's */
    double excess;                /* how many times more errors `b` has */
    double loss;                  /* what part of the requests to `b` is not counted */
};

struct world {
    struct rng rng;
    struct split_table table;
    struct split_counts counts[2];
    struct split_report report;
    uint64_t next_user;
};

static struct world *world;

static double uniform(void)
{
    return ((double)(rng_next(&world->rng) >> 11) + 0.5) / 9007199254740992.0;
}

/* Box and Muller's. */
static double normal(void)
{
    double radius = sqrt(-2 * log(uniform())), angle = 2 * M_PI * uniform();
    return radius * cos(angle);
}

static void count_request(struct split_counts *c, uint32_t bucket, bool is_error, double us)
{
    uint32_t cell = histogram_index((uint64_t)us);
    c->errors[bucket] += is_error;
    c->cells[cell]++;
    c->rows[cell / SPLIT_ROW_CELLS][bucket]++;
}

#define MEDIAN_US 20000.0

/* Users of two kinds, those that never fail and those that do with `rate`, so that the share and the correlation come
 * out. */
static void visit(const struct habits *h)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "user-%lu", (unsigned long)world->next_user++);
    struct split_seat seat = split_seat(&world->table, (struct slice){ text, (size_t)len });
    struct split_counts *c = &world->counts[split_variant_at(&world->table, seat.place)];
    bool is_second = c == &world->counts[1];
    double share = h->error_share * (is_second ? 1 + h->excess : 1);
    double rate = share + h->likeness * (1 - share);
    bool may_fail = uniform() < share / rate;
    double mine = h->own > 0 ? sqrt(h->own) * normal() : 0;
    uint32_t requests = h->requests * (h->is_uneven && uniform() < 0.1 ? 10 : 1);
    for (uint32_t i = 0; i < requests; i++) {
        if (is_second && h->loss > 0 && uniform() < h->loss) continue;
        bool is_error = may_fail && uniform() < rate;
        double us = h->spread > 0 ? MEDIAN_US * exp(h->spread * (mine + sqrt(1 - h->own) * normal())) : 1000;
        count_request(c, seat.bucket, is_error, us);
    }
}

static const char *const names[] = { "a", "b" };

static void begin(uint64_t seed, const uint32_t *weights)
{
    char salt[32];
    int len = snprintf(salt, sizeof(salt), "salt-%lu", (unsigned long)seed);
    memset(world->counts, 0, sizeof(world->counts));
    split_table_fill(&world->table, (struct slice){ salt, (size_t)len }, weights, 2);
}

static void report(const uint32_t *weights)
{
    struct split_tally tallies[2];
    for (uint32_t i = 0; i < 2; i++)
        tallies[i] = (struct split_tally){ names[i], weights[i], &world->counts[i] };
    split_report_fill(&world->report, tallies, 2);
}

/* In how many of `runs` experiments… */
struct outcome {
    uint32_t runs, alarms, always_alarms, significant, always_significant, small_p;
    uint32_t share_held, difference_held, quantile_held[SPLIT_QUANTILES], shift_held[SPLIT_QUANTILES];
};

static bool holds(const struct statistic_interval *i, double truth)
{
    return i->low <= truth && truth <= i->high;
}

static void judge(struct outcome *o, const struct habits *h)
{
    static const double z[] = { 0, 1.6448536269514722, 2.3263478740408408 };
    const struct split_report_variant *b = &world->report.variants[1];
    o->alarms += world->report.is_alarm;
    o->always_alarms += world->report.is_alarm_always;
    o->small_p += b->error_difference.p < 0.05;
    o->significant += !holds(&b->error_difference.interval, 0);
    o->always_significant += !holds(&b->error_difference.always, 0);
    o->share_held += holds(&b->error_interval, h->error_share);
    for (uint32_t i = 0; i < SPLIT_QUANTILES; i++) {
        o->quantile_held[i] += holds(&b->quantiles[i].interval, MEDIAN_US * exp(h->spread * z[i]));
        o->shift_held[i] += holds(&b->shifts[i].interval, 0);
    }
}

static struct outcome experiment(const struct habits *h, uint32_t second_weight, uint32_t runs, uint64_t seed)
{
    struct outcome o = { .runs = runs };
    const uint32_t weights[] = { SPLIT_PLACES - second_weight, second_weight };
    rng_seed(&world->rng, seed);
    for (uint32_t run = 0; run < runs; run++) {
        begin(seed * 100000 + run, weights);
        for (uint32_t user = 0; user < h->users; user++) visit(h);
        report(weights);
        judge(&o, h);
    }
    return o;
}

/* Errors: A/A experiments of every kind of use, all of one length of durations. */
struct errors_case {
    const char *name;
    struct habits habits;
    uint32_t second_weight;
    struct outcome outcome;
};

static struct errors_case errors_cases[] = {
    { "a request each", { .users = 5000, .requests = 1, .error_share = 0.01 }, 5000, { 0 } },
    { "three each", { .users = 3000, .requests = 3, .error_share = 0.01, .likeness = 0.1 }, 5000, { 0 } },
    { "twenty each", { .users = 1000, .requests = 20, .error_share = 0.01, .likeness = 0.1 }, 5000, { 0 } },
    { "twenty each, 90 to 10",
      { .users = 2000, .requests = 20, .error_share = 0.01, .likeness = 0.1 },
      1000,
      { 0 } },
    { "uneven",
      { .users = 1000, .requests = 10, .is_uneven = true, .error_share = 0.01, .likeness = 0.1 },
      5000,
      { 0 } },
    { "a small arm", { .users = 100, .requests = 20, .error_share = 0.1, .likeness = 0.1 }, 1000, { 0 } },
};
#define ERRORS_CASES (sizeof(errors_cases) / sizeof(*errors_cases))

static int run_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ERRORS_CASES; i++) {
        struct errors_case *c = &errors_cases[i];
        c->outcome = experiment(&c->habits, c->second_weight, 400, 40 + i);
    }
    return 0;
}

static void is_between(const char *name, const char *what, uint32_t count, const struct outcome *o,
                       double low, double high)
{
    double share = (double)count / o->runs;
    if (share < low || share > high) fail_msg("%s: %s in %.2f %%", name, what, 100 * share);
}

static void equal_variants_raise_no_alarm_however_many_requests_a_user_makes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ERRORS_CASES; i++) {
        const struct errors_case *c = &errors_cases[i];
        is_between(c->name, "an alarm", c->outcome.alarms, &c->outcome, 0, 0.01);
        is_between(c->name, "an alarm, always", c->outcome.always_alarms, &c->outcome, 0, 0.002);
    }
}

static void nineteen_of_twenty_intervals_hold_the_error_share(void **state)
{
    (void)state;
    for (size_t i = 0; i < ERRORS_CASES; i++) {
        const struct errors_case *c = &errors_cases[i];
        is_between(c->name, "the error share", c->outcome.share_held, &c->outcome, 0.93, 0.97);
    }
}

static void one_in_twenty_equal_variants_seems_to_differ_in_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ERRORS_CASES; i++) {
        const struct errors_case *c = &errors_cases[i];
        is_between(c->name, "a difference", c->outcome.significant, &c->outcome, 0.02, 0.07);
        is_between(c->name, "p < 0.05", c->outcome.small_p, &c->outcome, 0.02, 0.07);
        is_between(c->name, "a difference, always", c->outcome.always_significant, &c->outcome, 0, 0.01);
    }
}

/* 0.1 % of 2,000, a tenth of them in `b`: two errors in all. */
static void a_few_errors_are_no_difference(void **state)
{
    (void)state;
    const struct habits few = { .users = 2000, .requests = 1, .error_share = 0.001 };
    struct outcome o = experiment(&few, 1000, 1000, 60);
    is_between("few", "a difference", o.significant, &o, 0, 0.05);
    is_between("few", "p < 0.05", o.small_p, &o, 0, 0.05);
}

/* Of durations that are some times as long for one user as for another; cells of 1.6 % are narrow beside that. */
static void nineteen_of_twenty_intervals_hold_the_quantile_of_users_durations(void **state)
{
    (void)state;
    const struct habits even = { .users = 400, .requests = 20, .spread = 2, .own = 0.3 };
    const struct habits uneven = { .users = 400, .requests = 10, .is_uneven = true, .spread = 2, .own = 0.3 };
    const struct {
        const char *name;
        const struct habits *habits;
        uint32_t weight;
    } cases[] = {
        { "even", &even, 5000 },
        { "uneven", &uneven, 5000 },
        { "even, 80 to 20", &even, 2000 },
    };
    for (size_t i = 0; i < 3; i++) {
        struct outcome o = experiment(cases[i].habits, cases[i].weight, 200, 70 + i);
        for (uint32_t q = 0; q < SPLIT_QUANTILES; q++) {
            is_between(cases[i].name, "the quantile", o.quantile_held[q], &o, 0.93, 0.985);
            is_between(cases[i].name, "no difference of quantiles", o.shift_held[q], &o, 0.93, 0.985);
        }
    }
}

/* What intervals that are merely wide would not find. */
static void what_differs_is_found(void **state)
{
    (void)state;
    const struct habits worse = {
        .users = 2000, .requests = 20, .error_share = 0.02, .likeness = 0.1, .excess = 1
    };
    struct outcome o = experiment(&worse, 5000, 200, 80);
    is_between("twice the errors", "a difference", o.significant, &o, 0.9, 1);
    is_between("twice the errors", "a difference, always", o.always_significant, &o, 0.4, 1);
    const struct habits lossy = { .users = 5000, .requests = 3, .loss = 0.2 };
    o = experiment(&lossy, 5000, 200, 81);
    is_between("a fifth lost", "an alarm", o.alarms, &o, 0.95, 1);
    is_between("a fifth lost", "an alarm, always", o.always_alarms, &o, 0.9, 1);
}

/* Forty looks while users come. */
static void what_holds_always_holds_at_every_look(void **state)
{
    (void)state;
    const struct habits h = {
        .users = 100, .requests = 10, .is_uneven = true, .error_share = 0.05, .likeness = 0.1
    };
    const uint32_t weights[] = { 5000, 5000 };
    struct outcome o = { .runs = 200 };
    rng_seed(&world->rng, 90);
    for (uint32_t run = 0; run < o.runs; run++) {
        struct outcome looks = { 0 };
        begin(90000 + run, weights);
        for (int look = 0; look < 40; look++) {
            for (uint32_t user = 0; user < h.users; user++) visit(&h);
            report(weights);
            judge(&looks, &h);
        }
        o.significant += looks.significant > 0;
        o.always_significant += looks.always_significant > 0;
        o.always_alarms += looks.always_alarms > 0;
    }
    is_between("looked at", "a difference at some time", o.significant, &o, 0.15, 1);
    is_between("looked at", "a difference at some time, always", o.always_significant, &o, 0, 0.05);
    is_between("looked at", "an alarm at some time, always", o.always_alarms, &o, 0, 0.01);
}

static int make_world(void **state)
{
    (void)state;
    world = calloc(1, sizeof(*world));
    return world ? run_errors(state) : -1;
}

static int free_world(void **state)
{
    (void)state;
    free(world);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_variants_raise_no_alarm_however_many_requests_a_user_makes),
        cmocka_unit_test(nineteen_of_twenty_intervals_hold_the_error_share),
        cmocka_unit_test(one_in_twenty_equal_variants_seems_to_differ_in_errors),
        cmocka_unit_test(a_few_errors_are_no_difference),
        cmocka_unit_test(nineteen_of_twenty_intervals_hold_the_quantile_of_users_durations),
        cmocka_unit_test(what_differs_is_found),
        cmocka_unit_test(what_holds_always_holds_at_every_look),
    };
    return cmocka_run_group_tests(tests, make_world, free_world);
}
