#include "pool/membership.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "balance/balance.h"
#include "base/rng.h"

#define SERVERS_MAX 64

#define SERVER(weight_, tier_, is_local_, is_enabled_, is_usable_)                               \
    {                                                                                            \
        .weight = (weight_), .tier = (tier_), .warm = MEMBERSHIP_WHOLE, .is_local = (is_local_), \
        .is_in_subset = 1, .is_enabled = (is_enabled_), .is_usable = (is_usable_)                \
    }
#define UP(weight, tier) SERVER(weight, tier, 1, 1, 1)
#define DOWN(weight, tier) SERVER(weight, tier, 1, 1, 0)
#define OFF(weight, tier) SERVER(weight, tier, 1, 0, 0)
#define FAR(weight, tier) SERVER(weight, tier, 0, 1, 1)
#define FAR_DOWN(weight, tier) SERVER(weight, tier, 0, 1, 0)
#define WARMING(weight_, tier_, warm_)                                                           \
    {                                                                                            \
        .weight = (weight_), .tier = (tier_), .warm = (warm_), .is_local = 1, .is_in_subset = 1, \
        .is_enabled = 1, .is_usable = 1                                                          \
    }

static const struct membership_rules plain = { .overprovision = 140 };

/* Each server's part of what may be picked now, in thousandths. */
static void shares_of(const struct membership *m, uint32_t count, double *out)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!m[i].is_out) sum += m[i].weight;
    for (uint32_t i = 0; i < count; i++) out[i] = m[i].is_out || sum == 0 ? 0 : 1000 * m[i].weight / sum;
}

struct row {
    const char *name;
    struct membership_rules rules;
    struct membership_server servers[8];
    double shares[8];
    const char *standby; /* a letter for each: s or - */
    bool is_panic;
};

static uint32_t count_of(const struct row *r)
{
    return (uint32_t)strlen(r->standby);
}

static void check_row(const struct row *r)
{
    struct membership m[8];
    double shares[8];
    uint32_t count = count_of(r);
    bool is_panic = membership_compute(&r->rules, r->servers, count, m);
    if (is_panic != r->is_panic) fail_msg("%s: panic %d", r->name, is_panic);
    shares_of(m, count, shares);
    for (uint32_t i = 0; i < count; i++) {
        if (fabs(shares[i] - r->shares[i]) > 0.51)
            fail_msg("%s: server %u has %.1f of 1000, not %.1f", r->name, i, shares[i], r->shares[i]);
        if (m[i].is_standby != (r->standby[i] == 's'))
            fail_msg("%s: server %u on standby %d", r->name, i, m[i].is_standby);
        if (!r->rules.keeps_out && m[i].is_out) assert_int_equal(m[i].weight, 0);
    }
}

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct row keeping = rows[i];
        keeping.rules.keeps_out = true;
        check_row(&rows[i]);
        /* Whoever is kept although he is out changes nothing between the others. */
        check_row(&keeping);
    }
}

static void later_tiers_get_what_the_first_cannot_bear(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "all well", { 140 }, { UP(1, 1), UP(1, 1), UP(1, 2) }, { 500, 500, 0 }, "--s" },
        { "5 of 7 and 140 % are all", { 140 }, { UP(5, 1), DOWN(2, 1), UP(1, 2) }, { 1000, 0, 0 }, "--s" },
        { "half of the first: 70 %", { 140 }, { UP(1, 1), DOWN(1, 1), UP(1, 2) }, { 700, 0, 300 }, "---" },
        { "the same at 100 %", { 100 }, { UP(1, 1), DOWN(1, 1), UP(1, 2) }, { 500, 0, 500 }, "---" },
        { "by weight within a tier",
          { 140 },
          { UP(1, 1), DOWN(2, 1), UP(1, 1), UP(3, 2), UP(1, 2) },
          { 350, 0, 350, 225, 75 },
          "-----" },
        { "three tiers",
          { 100 },
          { UP(1, 1), DOWN(3, 1), UP(1, 2), DOWN(1, 2), UP(1, 3) },
          { 250, 0, 500, 0, 250 },
          "-----" },
        { "the first is gone", { 140 }, { DOWN(1, 1), UP(1, 2), UP(1, 3) }, { 0, 1000, 0 }, "--s" },
        { "taken out by the operator is gone too", { 140 }, { OFF(1, 1), UP(1, 2) }, { 0, 1000 }, "--" },
        { "together less than all: normalised",
          { 100 },
          { UP(1, 1), DOWN(3, 1), UP(1, 2), DOWN(3, 2) },
          { 500, 0, 500, 0 },
          "----" },
        { "normalised unevenly",
          { 100 },
          { UP(1, 1), DOWN(9, 1), UP(3, 2), DOWN(7, 2) },
          { 250, 0, 750, 0 },
          "----" },
        { "no first tier at all", { 140 }, { UP(1, 4), UP(1, 7) }, { 1000, 0 }, "-s" },
    };
    check_rows(rows, sizeof(rows) / sizeof(*rows));
}

static void a_tier_in_panic_uses_all_that_are_enabled(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "40 % are left and 50 % asked for",
          { 140, .panic = 50 },
          { UP(2, 1), DOWN(2, 1), OFF(1, 1), UP(1, 2) },
          { 280, 280, 0, 440 },
          "----" },
        { "just enough", { 140, .panic = 50 }, { UP(1, 1), DOWN(1, 1), UP(1, 2) }, { 700, 0, 300 }, "---" },
        { "a tier without any usable server gets nothing all the same",
          { 140, .panic = 50 },
          { DOWN(1, 1), UP(1, 2) },
          { 0, 1000 },
          "--" },
    };
    check_rows(rows, sizeof(rows) / sizeof(*rows));
}

static void if_none_is_usable_all_that_are_enabled_are_tried_whatever_their_tier(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "all down", { 140 }, { DOWN(1, 1), DOWN(3, 2), OFF(1, 1) }, { 250, 750, 0 }, "---", true },
        { "weight 0 bears nothing", { 140 }, { DOWN(1, 1), UP(0, 1) }, { 1000, 0 }, "--", true },
        { "and nobody is enabled", { 140 }, { OFF(1, 1), OFF(1, 2) }, { 0, 0 }, "--", true },
    };
    check_rows(rows, sizeof(rows) / sizeof(*rows));
}

static void the_local_zone_bears_all_until_too_much_of_it_is_missing(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "all local",
          { 100, .spill = 70 },
          { UP(1, 1), UP(1, 1), FAR(1, 1), FAR(1, 1) },
          { 500, 500, 0, 0 },
          "--ss" },
        { "7 of 10 are enough",
          { 100, .spill = 70 },
          { UP(7, 1), DOWN(3, 1), FAR(20, 1) },
          { 1000, 0, 0 },
          "--s" },
        { "half of 70 %: half goes away",
          { 140, .spill = 70 },
          { UP(35, 1), DOWN(65, 1), FAR(200, 1) },
          { 500, 0, 500 },
          "---" },
        { "none local", { 140, .spill = 70 }, { DOWN(1, 1), FAR(3, 1) }, { 0, 1000 }, "--" },
        { "nobody elsewhere, so the tier's 7 of 15 stay here",
          { 140, .spill = 70 },
          { UP(1, 1), DOWN(1, 1), FAR_DOWN(1, 1), UP(1, 2) },
          { 1400 / 3., 0, 0, 1600 / 3. },
          "----" },
        { "zones within each tier",
          { 100, .spill = 100 },
          { UP(1, 1), DOWN(1, 1), FAR(1, 1), FAR_DOWN(1, 1), UP(1, 2), FAR(1, 2) },
          { 250, 0, 250, 0, 500, 0 },
          "-----s" },
        { "without zones all are alike", { 140 }, { UP(1, 1), FAR(1, 1) }, { 500, 500 }, "--" },
    };
    check_rows(rows, sizeof(rows) / sizeof(*rows));
}

static void a_warming_server_bears_a_part_of_its_weight(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "a tenth", { 140 }, { UP(1, 1), WARMING(1, 1, 1000) }, { 1000 / 1.1, 100 / 1.1 }, "--" },
        { "by weight", { 140 }, { UP(1, 1), WARMING(4, 1, 5000) }, { 1000 / 3., 2000 / 3. }, "--" },
        { "all alike", { 140 }, { WARMING(1, 1, 1000), WARMING(1, 1, 1000) }, { 500, 500 }, "--" },
        { "its tier hands nothing on for that",
          { 140 },
          { WARMING(1, 1, 1000), WARMING(1, 1, 3000), UP(1, 2) },
          { 250, 750, 0 },
          "--s" },
    };
    check_rows(rows, sizeof(rows) / sizeof(*rows));
}

static void weights_are_as_configured_while_nothing_is_missing(void **state)
{
    (void)state;
    const struct membership_server servers[] = { UP(7, 1), UP(10000, 1), UP(1, 2), UP(0, 1), DOWN(2, 1) };
    struct membership m[5];
    assert_false(membership_compute(&plain, servers, 5, m));
    static const uint32_t expected[] = { 7, 10000, 0, 0, 0 };
    for (int i = 0; i < 5; i++) assert_int_equal(m[i].weight, expected[i]);
}

static void methods_that_keep_those_who_are_out_have_the_same_weights_whoever_is_out(void **state)
{
    (void)state;
    struct membership_rules rules = { .overprovision = 140, .keeps_out = true };
    struct membership_server servers[] = { UP(7, 1), UP(3, 1), UP(5, 1), UP(1, 2) };
    struct membership well[4], ill[4];
    membership_compute(&rules, servers, 4, well);
    servers[1].is_usable = false;
    membership_compute(&rules, servers, 4, ill);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(well[i].weight, ill[i].weight);
        assert_false(well[i].is_out);
        assert_int_equal(ill[i].is_out, i == 1);
    }
    servers[1].is_enabled = false;
    membership_compute(&rules, servers, 4, ill);
    for (int i = 0; i < 4; i++) assert_int_equal(well[i].weight, ill[i].weight);
}

static void who_has_no_weight_or_is_not_in_the_subset_is_never_chosen_nor_on_standby(void **state)
{
    (void)state;
    struct membership_server servers[] = { UP(1, 1), UP(0, 1), UP(1, 1), UP(1, 2), UP(0, 2), UP(1, 2) };
    struct membership m[6];
    servers[2].is_in_subset = servers[5].is_in_subset = false;
    for (int keeps = 0; keeps < 2; keeps++) {
        struct membership_rules rules = { .overprovision = 140, .keeps_out = keeps };
        assert_false(membership_compute(&rules, servers, 6, m));
        assert_int_equal(m[0].weight, 1);
        for (int i = 1; i < 6; i++) {
            assert_int_equal(m[i].weight, 0);
            assert_int_equal(m[i].is_standby, i == 3);
        }
    }
}

/* Random pools against the formulas as the manual has them, in floating point. */

static void draw_servers(struct rng *rng, struct membership_server *servers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        bool is_enabled = rng_below(rng, 8) > 0;
        servers[i] = (struct membership_server){ .weight = rng_below(rng, 10) ? 1 + rng_below(rng, 20) : 0,
                                                 .tier = 1 + rng_below(rng, 4),
                                                 .warm = rng_below(rng, 4) ? MEMBERSHIP_WHOLE : 1000,
                                                 .is_local = rng_below(rng, 2),
                                                 .is_in_subset = rng_below(rng, 10) > 0,
                                                 .is_enabled = is_enabled,
                                                 .is_usable = is_enabled && rng_below(rng, 3) };
    }
}

/* Parts of 1 by tier (from 1); false: no server is usable. */
static bool expected_tiers(const struct membership_rules *rules, const struct membership_server *servers,
                           uint32_t count, double out[MEMBERSHIP_TIERS + 1])
{
    double usable[MEMBERSHIP_TIERS + 1] = { 0 }, all[MEMBERSHIP_TIERS + 1] = { 0 }, sum = 0, left = 1;
    for (uint32_t i = 0; i < count; i++) {
        if (!servers[i].is_in_subset) continue;
        all[servers[i].tier] += servers[i].weight;
        if (servers[i].is_usable) usable[servers[i].tier] += servers[i].weight;
    }
    for (int t = 1; t <= MEMBERSHIP_TIERS; t++) {
        out[t] = all[t] > 0 ? fmin(1, usable[t] / all[t] * rules->overprovision / 100) : 0;
        sum += out[t];
    }
    for (int t = 1; t <= MEMBERSHIP_TIERS; t++) {
        out[t] = sum < 1 ? out[t] / (sum > 0 ? sum : 1) : fmin(out[t], left);
        left -= out[t];
    }
    return sum > 0;
}

static void a_random_pool_is_shared_by_the_formulas(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 20);
    for (uint32_t round = 0; round < 5000; round++) {
        struct membership_server servers[SERVERS_MAX];
        struct membership m[SERVERS_MAX];
        double shares[SERVERS_MAX], expected[MEMBERSHIP_TIERS + 1], tiers[MEMBERSHIP_TIERS + 1] = { 0 };
        uint32_t count = 1 + rng_below(&rng, SERVERS_MAX);
        struct membership_rules rules = { .overprovision = 100 + rng_below(&rng, 100),
                                          .panic = rng_below(&rng, 2) * rng_below(&rng, 100),
                                          .spill = rng_below(&rng, 101),
                                          .keeps_out = rng_below(&rng, 2) };
        draw_servers(&rng, servers, count);
        bool is_panic = membership_compute(&rules, servers, count, m);
        assert_int_equal(is_panic, !expected_tiers(&rules, servers, count, expected));
        shares_of(m, count, shares);
        uint64_t sum = 0;
        for (uint32_t i = 0; i < count; i++) {
            tiers[servers[i].tier] += shares[i];
            sum += m[i].weight;
            assert_true(m[i].weight <= BALANCE_SET_WEIGHT_MAX);
            if (servers[i].is_usable) assert_false(m[i].is_out);
            if (m[i].weight || m[i].is_standby) assert_true(servers[i].weight && servers[i].is_in_subset);
            if (m[i].is_standby) assert_true(servers[i].is_usable && !m[i].weight);
        }
        assert_true(sum <= (1u << 30) + count);
        for (int t = 1; !is_panic && t <= MEMBERSHIP_TIERS; t++)
            if (fabs(tiers[t] - 1000 * expected[t]) > 1)
                fail_msg("round %u: tier %d has %.2f, not %.2f", round, t, tiers[t], 1000 * expected[t]);
    }
}

static void the_order_of_servers_does_not_matter(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 21);
    const struct membership_rules rules = { .overprovision = 140, .panic = 30, .spill = 70 };
    for (uint32_t round = 0; round < 200; round++) {
        struct membership_server servers[SERVERS_MAX], turned[SERVERS_MAX];
        struct membership m[SERVERS_MAX], n[SERVERS_MAX];
        uint32_t count = 1 + rng_below(&rng, SERVERS_MAX);
        draw_servers(&rng, servers, count);
        for (uint32_t i = 0; i < count; i++) turned[i] = servers[count - 1 - i];
        membership_compute(&rules, servers, count, m);
        membership_compute(&rules, turned, count, n);
        for (uint32_t i = 0; i < count; i++) {
            /* Sums in floating point differ in the last place: a weight may be rounded the other way. */
            assert_true(fabs((double)m[i].weight - n[count - 1 - i].weight) <= 1);
            assert_int_equal(m[i].is_out, n[count - 1 - i].is_out);
            assert_int_equal(m[i].is_standby, n[count - 1 - i].is_standby);
        }
    }
}

static void the_largest_pool_stays_within_the_bounds(void **state)
{
    (void)state;
    static struct membership_server servers[4096];
    static struct membership m[4096];
    const struct membership_rules rules = { .overprovision = 140 };
    for (uint32_t i = 0; i < 4096; i++) {
        servers[i] = (struct membership_server)UP(BALANCE_WEIGHT_MAX, 1);
        if (i % 2) servers[i].warm = 1000;
    }
    membership_compute(&rules, servers, 4096, m);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < 4096; i++) sum += m[i].weight;
    assert_true(sum <= (1u << 30) + 4096);
    assert_true(sum > (1u << 29));
    /* One usable server of the lightest kind among them. */
    for (uint32_t i = 0; i < 4096; i++) servers[i].is_usable = false;
    servers[7] = (struct membership_server)UP(1, 1);
    assert_false(membership_compute(&rules, servers, 4096, m));
    assert_true(m[7].weight > 0);
}

/* Of three the last is not enabled. */
static void if_nobody_is_well_all_that_are_enabled_are_tried_or_nobody_is(void **state)
{
    (void)state;
    struct membership_server servers[3];
    struct membership out[3];
    for (int i = 0; i < 3; i++)
        servers[i] = (struct membership_server){ .weight = 1,
                                                 .tier = 1,
                                                 .warm = MEMBERSHIP_WHOLE,
                                                 .is_local = true,
                                                 .is_in_subset = true,
                                                 .is_enabled = i < 2 };
    for (int keeps_out = 0; keeps_out < 2; keeps_out++) {
        for (uint32_t panic = 0; panic <= 100; panic += 50) {
            struct membership_rules rules = { .overprovision = 140, .panic = panic, .keeps_out = keeps_out };
            assert_true(membership_compute(&rules, servers, 3, out));
            assert_true(membership_panics(&rules, servers, 3));
            for (int i = 0; i < 3; i++) assert_int_equal(out[i].weight && !out[i].is_out, i < 2);
            rules.refuses_all = true;
            assert_true(membership_compute(&rules, servers, 3, out));
            assert_false(membership_panics(&rules, servers, 3));
            for (int i = 0; i < 3; i++) assert_true(!out[i].weight && out[i].is_out && !out[i].is_standby);
        }
    }
}

static void a_tier_below_its_threshold_panics_if_somebody_in_it_is_not_well(void **state)
{
    (void)state;
    struct membership_server servers[4];
    for (int i = 0; i < 4; i++)
        servers[i] = (struct membership_server){ .weight = 1,
                                                 .tier = 1,
                                                 .warm = MEMBERSHIP_WHOLE,
                                                 .is_local = true,
                                                 .is_in_subset = true,
                                                 .is_enabled = true,
                                                 .is_usable = i < 2 };
    const struct membership_rules never = { .overprovision = 140 },
                                  at_60 = { .overprovision = 140, .panic = 60 };
    assert_false(membership_panics(&never, servers, 4));
    assert_true(membership_panics(&at_60, servers, 4));
    servers[2].is_enabled = servers[3].is_enabled =
        false; /* by the operator: there is nobody to be used again */
    assert_false(membership_panics(&at_60, servers, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(if_nobody_is_well_all_that_are_enabled_are_tried_or_nobody_is),
        cmocka_unit_test(a_tier_below_its_threshold_panics_if_somebody_in_it_is_not_well),
        cmocka_unit_test(later_tiers_get_what_the_first_cannot_bear),
        cmocka_unit_test(a_tier_in_panic_uses_all_that_are_enabled),
        cmocka_unit_test(if_none_is_usable_all_that_are_enabled_are_tried_whatever_their_tier),
        cmocka_unit_test(the_local_zone_bears_all_until_too_much_of_it_is_missing),
        cmocka_unit_test(a_warming_server_bears_a_part_of_its_weight),
        cmocka_unit_test(weights_are_as_configured_while_nothing_is_missing),
        cmocka_unit_test(methods_that_keep_those_who_are_out_have_the_same_weights_whoever_is_out),
        cmocka_unit_test(who_has_no_weight_or_is_not_in_the_subset_is_never_chosen_nor_on_standby),
        cmocka_unit_test(a_random_pool_is_shared_by_the_formulas),
        cmocka_unit_test(the_order_of_servers_does_not_matter),
        cmocka_unit_test(the_largest_pool_stays_within_the_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
