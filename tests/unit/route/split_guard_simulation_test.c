/* What the guard of a split promises, held against many made days whose truth is known: users with several requests each, dealt by
 * the real hash, counted and compared by the real code, on a clock of the test's own. All of it from fixed seeds. */
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
#include "route/split_guard.h"

#define HOUR_MS 3600000u
#define MEDIAN_US 20000.0

/* How users behave. */
struct habits {
    uint32_t requests;            /* of each user */
    double error_share, likeness; /* of one user's errors: the correlation within */
    double spread, own;           /* of the logarithm of durations; what part of its variance is the user's */
    double second_share;          /* of errors, in the variant */
    double later_us;              /* that the variant takes longer */
};

struct world {
    struct rng rng;
    struct split_table table;
    struct split_counts counts[2];
    uint64_t next_user, now_ms;
    uint32_t weights[2]; /* of the configuration */
    struct split_guard guard;
    struct split_guard_conf conf;
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

static void visit(const struct habits *h)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "user-%lu", (unsigned long)world->next_user++);
    struct split_seat seat = split_seat(&world->table, (struct slice){ text, (size_t)len });
    uint32_t variant = split_variant_at(&world->table, seat.place);
    double share = variant ? h->second_share : h->error_share;
    double rate = share + h->likeness * (1 - share);
    bool may_fail = uniform() < share / rate;
    double mine = sqrt(h->own) * normal();
    for (uint32_t i = 0; i < h->requests; i++) {
        double us = MEDIAN_US * exp(h->spread * (mine + sqrt(1 - h->own) * normal()));
        count_request(&world->counts[variant], seat.bucket, may_fail && uniform() < rate,
                      us + (variant ? h->later_us : 0));
    }
}

static void begin(uint64_t seed)
{
    char salt[32];
    int len = snprintf(salt, sizeof(salt), "salt-%lu", (unsigned long)seed);
    memset(world->counts, 0, sizeof(world->counts));
    split_table_fill(&world->table, (struct slice){ salt, (size_t)len }, world->weights, 2);
    world->now_ms = 1;
    split_guard_begin(&world->guard, &world->conf, world->weights[1], world->now_ms);
}

/* As whoever has the guard does. */
static enum split_guard_move look(void)
{
    struct split_contrast seen;
    const struct split_tally tallies[] = {
        { "a", SPLIT_PLACES - world->guard.weight, &world->counts[0] },
        { "b", world->guard.weight, &world->counts[1] },
    };
    bool wants = split_guard_wants(&world->guard, world->now_ms);
    if (wants)
        split_contrast_fill(&seen, tallies, 2, 1, split_guard_figures(&world->conf),
                            split_guard_alpha(&world->conf));
    enum split_guard_move move = split_guard_look(&world->guard, &world->conf, wants ? &seen : NULL,
                                                  world->now_ms);
    if (move == SPLIT_GUARD_COUNT) memset(world->counts, 0, sizeof(world->counts));
    if (move == SPLIT_GUARD_STEP || move == SPLIT_GUARD_ROLLBACK) {
        const uint32_t weights[] = { SPLIT_PLACES - world->guard.weight, world->guard.weight };
        split_table_deal(&world->table, weights, 2);
    }
    return move;
}

static const uint32_t ramp[] = { 100, 500, 2500, 5000 };

static void set_guard(uint32_t errors, uint64_t p95_ms, bool has_ramp)
{
    world->conf = (struct split_guard_conf){ .errors = errors,
                                             .quantile_ms = { UINT64_MAX, p95_ms, UINT64_MAX },
                                             .step_ms = 2 * HOUR_MS,
                                             .step_requests = 100,
                                             .index = 1 };
    if (has_ramp) world->conf.ramp = (struct conf_items){ (void *)(uintptr_t)ramp, 4 };
}

/* Days */

#define LOOKS 144u /* every ten minutes */

/* A day, by night a quarter of what comes at noon. False: it was rolled back. */
static bool pass_day(const struct habits *h, uint32_t users)
{
    for (uint32_t i = 0; i < LOOKS; i++) {
        double busy = 1 - 0.6 * cos(2 * M_PI * i / LOOKS);
        for (uint32_t u = 0; u < (uint32_t)(busy * users / LOOKS); u++) visit(h);
        world->now_ms += 24 * (uint64_t)HOUR_MS / LOOKS;
        if (look() == SPLIT_GUARD_ROLLBACK) return false;
    }
    return true;
}

struct day_case {
    const char *name;
    struct habits habits;
    uint32_t users, weight;
    bool has_ramp;
};

static const struct day_case days[] = {
    { "a request each, half and half",
      { .requests = 1, .error_share = 0.01, .second_share = 0.01, .spread = 0.5 },
      20000,
      5000,
      false },
    { "five each, half and half",
      { .requests = 5,
        .error_share = 0.005,
        .second_share = 0.005,
        .likeness = 0.1,
        .spread = 0.8,
        .own = 0.3 },
      5000,
      5000,
      false },
    { "five each, from 1 % on",
      { .requests = 5,
        .error_share = 0.01,
        .second_share = 0.01,
        .likeness = 0.1,
        .spread = 0.8,
        .own = 0.3 },
      5000,
      0,
      true },
    { "few errors, a request each, from 1 % on",
      { .requests = 1, .error_share = 0.001, .second_share = 0.001, .spread = 0.5 },
      20000,
      0,
      true },
};
#define DAYS_EACH 50u

/* Nothing is allowed beyond the first's, so that any difference counts. */
static void equal_variants_are_left_alone_however_often_one_looks(void **state)
{
    (void)state;
    uint32_t alarms = 0, runs = 0, ended = 0;
    for (size_t i = 0; i < sizeof(days) / sizeof(*days); i++) {
        const struct day_case *d = &days[i];
        set_guard(0, 0, d->has_ramp);
        world->weights[0] = SPLIT_PLACES - d->weight;
        world->weights[1] = d->weight;
        rng_seed(&world->rng, 500 + i);
        uint32_t before = alarms;
        for (uint32_t run = 0; run < DAYS_EACH; run++, runs++) {
            begin(1000 * i + run);
            alarms += !pass_day(&d->habits, d->users);
            ended += d->has_ramp && world->guard.weight == 5000;
        }
        print_message("%s: %u false alarms in %u days\n", d->name, alarms - before, DAYS_EACH);
    }
    print_message("%u ramps came to their end\n", ended);
    assert_in_range(100 * alarms, 0, runs);
    assert_in_range(ended, DAYS_EACH, 2 * DAYS_EACH); /* of the two that ramp */
}

/* What differs */

struct found_case {
    const char *name;
    struct habits habits;
    uint32_t errors;
    uint64_t p95_ms;
    uint32_t weight;
    uint32_t within; /* so many requests of the variant, as docs/splits.md says */
    enum split_figure by;
};

static const struct found_case differences[] = {
    { "5 ms more of 46",
      { .requests = 1, .spread = 0.5, .later_us = 5000 },
      SPLIT_ALLOWS_ANY,
      0,
      5000,
      10000,
      SPLIT_OF_P95 },
    { "5 ms more of 46, a twentieth",
      { .requests = 1, .spread = 0.5, .later_us = 5000 },
      SPLIT_ALLOWS_ANY,
      0,
      500,
      5000,
      SPLIT_OF_P95 },
    { "1 % for 0.1 %",
      { .requests = 1, .error_share = 0.001, .second_share = 0.01, .spread = 0.5 },
      0,
      UINT64_MAX,
      5000,
      8000,
      SPLIT_ERRORS },
    { "1 % for 0.1 %, a twentieth",
      { .requests = 1, .error_share = 0.001, .second_share = 0.01, .spread = 0.5 },
      0,
      UINT64_MAX,
      500,
      8000,
      SPLIT_ERRORS },
    { "1 % for 0.1 %, five each",
      { .requests = 5,
        .error_share = 0.001,
        .second_share = 0.01,
        .likeness = 0.1,
        .spread = 0.5,
        .own = 0.3 },
      0,
      UINT64_MAX,
      5000,
      12000,
      SPLIT_ERRORS },
};
#define RUNS_EACH 20u

/* After how many requests of the variant it is rolled back, looking 50 times; 0: it is not. */
static uint32_t requests_to_find(const struct found_case *c)
{
    const double second = (double)c->weight / SPLIT_PLACES;
    uint32_t users_a_look = (uint32_t)(c->within / second / c->habits.requests / 50);
    for (uint32_t i = 1; i <= 100; i++) {
        for (uint32_t u = 0; u < users_a_look; u++) visit(&c->habits);
        world->now_ms += 10000;
        if (look() != SPLIT_GUARD_ROLLBACK) continue;
        assert_int_equal(world->guard.cause.figure, c->by);
        return i * (c->within / 50);
    }
    return 0;
}

static int by_size(const void *a, const void *b)
{
    uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;
    return first < second ? -1 : first > second;
}

static void what_is_worse_is_found_within_what_the_manual_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(differences) / sizeof(*differences); i++) {
        const struct found_case *c = &differences[i];
        uint32_t found[RUNS_EACH], late = 0;
        set_guard(c->errors, c->p95_ms, false);
        world->weights[0] = SPLIT_PLACES - c->weight;
        world->weights[1] = c->weight;
        rng_seed(&world->rng, 700 + i);
        for (uint32_t run = 0; run < RUNS_EACH; run++) {
            begin(7000 + 1000 * i + run);
            found[run] = requests_to_find(c);
            late += !found[run] || found[run] > c->within;
        }
        qsort(found, RUNS_EACH, sizeof(*found), by_size);
        print_message("%s: half within %u, 95 of a hundred within %u, the last %u requests of the variant\n",
                      c->name, found[RUNS_EACH / 2], found[RUNS_EACH * 95 / 100], found[RUNS_EACH - 1]);
        assert_in_range(late, 0, RUNS_EACH / 20);
    }
}

/* Worse by as much as is allowed is not worse. */
static void what_is_allowed_is_left_alone(void **state)
{
    (void)state;
    const struct habits allowed = {
        .requests = 1, .error_share = 0.01, .second_share = 0.015, .spread = 0.5, .later_us = 5000
    };
    set_guard(50, 6, false);
    world->weights[0] = world->weights[1] = 5000;
    rng_seed(&world->rng, 900);
    for (uint32_t run = 0; run < 20; run++) {
        begin(9000 + run);
        assert_true(pass_day(&allowed, 20000));
    }
}

static int make_world(void **state)
{
    (void)state;
    world = calloc(1, sizeof(*world));
    return world ? 0 : -1;
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
        cmocka_unit_test(equal_variants_are_left_alone_however_often_one_looks),
        cmocka_unit_test(what_is_worse_is_found_within_what_the_manual_says),
        cmocka_unit_test(what_is_allowed_is_left_alone),
    };
    return cmocka_run_group_tests(tests, make_world, free_world);
}
