#include "route/split.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/address.h"
#include "base/rng.h"
#include "conf/decoded.h"
#include "metric/statistic.h"
#include "route/split_guard.h"

#define UNITS 1000000u

static const struct cluster_effect independent = { 1, INFINITY };

static void places_of(const struct split_table *t, uint32_t places[SPLIT_VARIANTS_MAX])
{
    memset(places, 0, SPLIT_VARIANTS_MAX * sizeof(*places));
    for (uint32_t i = 0; i < SPLIT_PLACES; i++) places[split_variant_at(t, i)]++;
}

static struct slice unit_text(uint64_t number, char out[32])
{
    return (struct slice){ out, (size_t)snprintf(out, 32, "user-%016lx", (unsigned long)number) };
}

/* Random weights that make SPLIT_PLACES, some of them 0. */
static void draw_weights(struct rng *rng, uint32_t *weights, uint32_t count)
{
    uint32_t left = SPLIT_PLACES;
    for (uint32_t i = count - 1; i > 0; i--) {
        weights[i] = rng_below(rng, 4) ? rng_below(rng, left + 1) : 0;
        left -= weights[i];
    }
    weights[0] = left;
}

static void a_variant_has_exactly_its_share_of_places(void **state)
{
    (void)state;
    struct split_table t;
    struct rng rng;
    rng_seed(&rng, 3);
    for (uint32_t round = 0; round < 2000; round++) {
        uint32_t weights[SPLIT_VARIANTS_MAX], places[SPLIT_VARIANTS_MAX];
        uint32_t count = 1 + rng_below(&rng, SPLIT_VARIANTS_MAX);
        draw_weights(&rng, weights, count);
        split_table_fill(&t, SLICE("s"), weights, count);
        places_of(&t, places);
        for (uint32_t i = 0; i < count; i++) assert_int_equal(places[i], weights[i]);
    }
}

/* XXH3_64bits_withSeed(unit, XXH3_64bits(salt)) % 10000: a change here would move everybody. */
static void a_unit_has_the_same_place_everywhere(void **state)
{
    (void)state;
    static const uint32_t weights[] = { SPLIT_PLACES };
    struct split_table t;
    split_table_fill(&t, SLICE("checkout"), weights, 1);
    assert_int_equal(split_seat(&t, SLICE("ann")).place, 762);
    assert_int_equal(split_seat(&t, SLICE("192.0.2.7")).place, 8422);
    assert_int_equal(split_seat(&t, SLICE("0123456789abcdef0123456789abcdef")).place, 3259);
}

static void raising_a_weight_moves_units_from_the_first_variant_only(void **state)
{
    (void)state;
    static const uint32_t before[] = { 9000, 1000 }, after[] = { 8000, 2000 };
    struct split_table old, new;
    uint32_t moved = 0;
    split_table_fill(&old, SLICE("s1"), before, 2);
    split_table_fill(&new, SLICE("s1"), after, 2);
    for (uint32_t i = 0; i < UNITS; i++) {
        char text[32];
        struct slice unit = unit_text(i, text);
        uint32_t from = split_variant_at(&old, split_seat(&old, unit).place);
        uint32_t to = split_variant_at(&new, split_seat(&new, unit).place);
        if (from == to) continue;
        assert_true(from == 0 && to == 1);
        moved++;
    }
    assert_in_range(moved, 98800,
                    101200); /* a tenth, four standard deviations of the binomial distribution */
}

/* Which places change hands; that none does but from the first variant to `grown`. */
static bool grows_from_the_first(const uint32_t *before, const uint32_t *after, uint32_t count,
                                 uint32_t grown)
{
    struct split_table old, new;
    split_table_fill(&old, SLICE("s"), before, count);
    split_table_fill(&new, SLICE("s"), after, count);
    for (uint32_t i = 0; i < SPLIT_PLACES; i++) {
        uint32_t from = split_variant_at(&old, i), to = split_variant_at(&new, i);
        if (from != to && (from != 0 || to != grown)) return false;
    }
    return true;
}

static void of_three_variants_any_grows_from_the_first_only(void **state)
{
    (void)state;
    for (uint32_t b = 0; b <= SPLIT_PLACES; b += 500)
        for (uint32_t c = 0; b + c < SPLIT_PLACES; c += 500) {
            uint32_t before[] = { SPLIT_PLACES - b - c, b, c };
            uint32_t more_b[] = { before[0] - 500, b + 500, c }, more_c[] = { before[0] - 500, b, c + 500 };
            assert_true(grows_from_the_first(before, more_b, 3, 1));
            assert_true(grows_from_the_first(before, more_c, 3, 2));
        }
}

/* Of 32 variants an arc has at least 312 places. */
static void of_many_variants_each_grows_from_the_first_while_its_arc_has_room(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 5);
    for (uint32_t round = 0; round < 500; round++) {
        uint32_t before[SPLIT_VARIANTS_MAX], after[SPLIT_VARIANTS_MAX], sum = 0;
        uint32_t count = 2 + rng_below(&rng, SPLIT_VARIANTS_MAX - 1);
        for (uint32_t i = 1; i < count; i++) sum += before[i] = rng_below(&rng, 280);
        before[0] = SPLIT_PLACES - sum;
        uint32_t grown = 1 + rng_below(&rng, count - 1), more = rng_below(&rng, 32);
        memcpy(after, before, sizeof(after));
        after[grown] += more;
        after[0] -= more;
        assert_true(grows_from_the_first(before, after, count, grown));
    }
}

static void a_variant_added_behind_the_others_takes_from_the_first_only(void **state)
{
    (void)state;
    static const uint32_t before[] = { 6000, 2500, 1500, 0 }, after[] = { 4000, 2500, 1500, 2000 };
    assert_true(grows_from_the_first(before, after, 4, 3));
}

static void units_have_the_shares_of_their_variants(void **state)
{
    (void)state;
    static const uint32_t weights[] = { 8500, 1000, 490, 10 };
    static const double shares[] = { 0.85, 0.1, 0.049, 0.001 };
    struct split_table t;
    struct rng rng;
    uint64_t counts[4] = { 0 };
    rng_seed(&rng, 11);
    split_table_fill(&t, SLICE("s1"), weights, 4);
    for (uint32_t i = 0; i < UNITS; i++) {
        char text[32];
        counts[split_variant_at(&t, split_seat(&t, unit_text(rng_next(&rng), text)).place)]++;
    }
    assert_true(statistic_fit(counts, shares, 4, &independent).p > 0.01);
}

/* Of addresses that follow each other, too, places are even. */
static void neighbouring_units_are_spread_evenly(void **state)
{
    (void)state;
    static const uint32_t weights[] = { SPLIT_PLACES };
    static uint64_t counts[SPLIT_PLACES];
    static double shares[SPLIT_PLACES];
    struct split_table t;
    split_table_fill(&t, SLICE("s1"), weights, 1);
    for (uint32_t i = 0; i < SPLIT_PLACES; i++) shares[i] = 1.0 / SPLIT_PLACES;
    for (uint32_t i = 0; i < UNITS; i++) {
        char text[32];
        int len = snprintf(text, sizeof(text), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
        counts[split_seat(&t, (struct slice){ text, (size_t)len }).place]++;
    }
    double p = statistic_fit(counts, shares, SPLIT_PLACES, &independent).p;
    assert_true(p > 0.01 && p < 0.99);
}

/* What is in a bucket says nothing of the variant: each variant's units are evenly in all of them. */
static void buckets_are_independent_of_variants(void **state)
{
    (void)state;
    static const uint32_t weights[] = { 9000, 1000 };
    static uint64_t counts[2][SPLIT_BUCKETS];
    static double shares[SPLIT_BUCKETS];
    struct split_table t;
    split_table_fill(&t, SLICE("s1"), weights, 2);
    for (uint32_t b = 0; b < SPLIT_BUCKETS; b++) shares[b] = 1.0 / SPLIT_BUCKETS;
    for (uint32_t i = 0; i < UNITS; i++) {
        char text[32];
        struct split_seat seat = split_seat(&t, unit_text(i, text));
        assert_true(seat.bucket < SPLIT_BUCKETS);
        counts[split_variant_at(&t, seat.place)][seat.bucket]++;
    }
    for (int v = 0; v < 2; v++) {
        double p = statistic_fit(counts[v], shares, SPLIT_BUCKETS, &independent).p;
        assert_true(p > 0.01 && p < 0.99);
    }
}

/* Of the table of one split's variants by another's: what is in a cell against what the sums of its row and column
 * would have there. */
static double independence_p(const uint64_t cells[4][4])
{
    double rows[4] = { 0 }, columns[4] = { 0 }, all = 0, sum = 0;
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 4; c++) {
            rows[r] += (double)cells[r][c];
            columns[c] += (double)cells[r][c];
            all += (double)cells[r][c];
        }
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 4; c++) {
            double expected = rows[r] * columns[c] / all, off = (double)cells[r][c] - expected;
            sum += off * off / expected;
        }
    return statistic_chi_square_tail(sum, 9);
}

static void splits_of_different_salts_are_independent(void **state)
{
    (void)state;
    static const uint32_t weights[] = { 4000, 3000, 2000, 1000 };
    static const char *const salts[][2] = {
        { "checkout", "search" }, { "s1", "s2" }, { "a", "b" }, { "1", "11" }
    };
    for (size_t pair = 0; pair < 4; pair++) {
        struct split_table first, second;
        uint64_t cells[4][4] = { { 0 } };
        split_table_fill(&first, slice_of(salts[pair][0]), weights, 4);
        split_table_fill(&second, slice_of(salts[pair][1]), weights, 4);
        for (uint32_t i = 0; i < UNITS / 4; i++) {
            char text[32];
            struct slice unit = unit_text(i, text);
            cells[split_variant_at(&first, split_seat(&first, unit).place)]
                 [split_variant_at(&second, split_seat(&second, unit).place)]++;
        }
        assert_true(independence_p(cells) > 0.01);
    }
}

/* What splits stand in: pools by name, and the splits. */
struct pool {
    const char *name;
};

struct config {
    struct conf_items pools, splits;
};

static const struct conf_field pool_fields[] = { { 0 } };
static const struct conf_type pool_type = { .name = "pool",
                                            .size = sizeof(struct pool),
                                            .fields = pool_fields };
static const struct conf_field config_fields[] = {
    { "pools", CONF_MAP(struct config, pools, &pool_type), .help = "Pools." },
    { "splits", CONF_MAP(struct config, splits, &split_conf_type), .help = "Splits." },
    { 0 },
};
static const struct conf_type config_type = { .name = "config",
                                              .size = sizeof(struct config),
                                              .fields = config_fields };

struct decoded {
    struct config config;
    struct conf_arena *arena;
    char *faults; /* NULL if there are none */
};

static struct decoded decode(const char *yaml)
{
    struct decoded d = { .arena = conf_arena_new() };
    d.faults = decode_yaml(yaml, &config_type, &d.config, d.arena);
    return d;
}

static void drop(struct decoded *d)
{
    conf_arena_free(d->arena);
    free(d->faults);
}

static void a_split_is_what_was_written(void **state)
{
    (void)state;
    struct decoded d = decode(
        "pools: {web: {}, canary: {}}\n"
        "splits:\n"
        "  search: {unit: client, variants: {z: {weight: 100, pool: web}}}\n"
        "  checkout: {unit: 'header:X-User-Id', salt: s1, response_header: true,\n"
        "    variants: {b: {weight: 87.5, pool: web}, a: {weight: 12.49%, pool: canary},\n"
        "               c: {weight: '0.01', pool: web}},\n"
        "    override: {header: X-Variant, from: [10.0.0.0/8, 192.0.2.1]}}\n");
    if (d.faults) fail_msg("%s", d.faults);
    const struct split_conf *splits = d.config.splits.data;
    assert_string_equal(splits[0].salt, "search");
    assert_null(splits[0].override);
    assert_false(splits[0].response_header);
    const struct split_variant_conf *variants = splits[1].variants.data;
    assert_string_equal(splits[1].name, "checkout");
    assert_string_equal(splits[1].salt, "s1");
    assert_int_equal(splits[1].unit.parts[0].source, HTTP_SOURCE_HEADER);
    assert_int_equal(splits[1].variants.count, 3);
    assert_string_equal(variants[0].name,
                        "b"); /* in the file's order: the first is what others are compared with */
    assert_int_equal(variants[0].weight, 8750);
    assert_int_equal(variants[1].weight, 1249);
    assert_int_equal(variants[2].weight, 1);
    assert_string_equal(variants[1].pool, "canary");
    assert_string_equal(splits[1].override->header, "X-Variant");
    assert_int_equal(splits[1].override->from.count, 2);
    assert_true(splits[1].response_header);
    drop(&d);
}

#define GUARDED                                                                                          \
    "{unit: client, variants: {a: {weight: 75, pool: web}, c1: {weight: 20, pool: web}, b: {weight: 5, " \
    "pool: web}}, guard: "

static void a_guard_is_what_was_written(void **state)
{
    (void)state;
    struct decoded d = decode(
        "pools: {web: {}}\nsplits:\n  s: " GUARDED
        "{errors: 0.5, p95: 0s, p99: 20ms, ramp: [1, 25, 80], step_time: 1m, step_requests: 7}}\n"
        "  t: " GUARDED "{p50: 1s, variant: c1}}\n");
    if (d.faults) fail_msg("%s", d.faults);
    const struct split_conf *splits = d.config.splits.data;
    const struct split_guard_conf *g = splits[0].guard;
    const uint32_t *ramp = g->ramp.data;
    assert_int_equal(g->index, 2);
    assert_int_equal(g->errors, 50);
    assert_true(g->quantile_ms[SPLIT_P50] == UINT64_MAX && g->quantile_ms[SPLIT_P95] == 0);
    assert_int_equal(g->quantile_ms[SPLIT_P99], 20);
    assert_int_equal(g->ramp.count, 3);
    assert_int_equal(ramp[1], 2500);
    assert_int_equal(g->step_ms, 60000);
    assert_int_equal(g->step_requests, 7);
    g = splits[1].guard;
    assert_int_equal(g->index, 1);
    assert_int_equal(g->errors, SPLIT_ALLOWS_ANY);
    assert_int_equal(g->step_ms, 600000);
    assert_int_equal(g->ramp.count, 0);
    drop(&d);
}

/* Other weights while somebody looks are those of a table that is made anew. */
static void a_table_is_dealt_anew_in_its_place(void **state)
{
    (void)state;
    struct split_table before, dealt;
    const uint32_t few[] = { 9900, 100 }, many[] = { 5000, 5000 };
    split_table_fill(&before, SLICE("salt"), many, 2);
    split_table_fill(&dealt, SLICE("salt"), few, 2);
    split_table_deal(&dealt, many, 2);
    assert_memory_equal(&before, &dealt, sizeof(before));
}

static void mistakes_are_said(void **state)
{
    (void)state;
    static const struct {
        const char *split, *fault;
    } cases[] = {
        { "{unit: client}", "lacks \"variants\"" },
        { "{variants: {a: {weight: 100, pool: web}}}", "lacks \"unit\"" },
        { "{unit: client, variants: {}}", "variants" },
        { "{unit: visitor, variants: {a: {weight: 100, pool: web}}}", "there is no source \"visitor\"" },
        { "{unit: client, variants: {a: {weight: 90, pool: web}, b: {weight: 9.5, pool: web}}}",
          "the weights of split \"s\" make 99.5%" },
        { "{unit: client, variants: {a: {weight: 90, pool: web}, b: {weight: 10.01, pool: web}}}",
          "make 100.01%; change them until they make 100%" },
        { "{unit: client, variants: {a: {weight: 100, pool: wbe}}}", "did you mean \"web\"?" },
        { "{unit: client, variants: {a: {weight: 100}}}", "lacks \"pool\"" },
        { "{unit: client, variants: {a: {weight: 33.333, pool: web}}}", "at most two decimals" },
        { "{unit: client, variants: {a: {weight: 100, pool: web}}, override: {header: X-V, from: []}}",
          "leave the override out" },
        { "{unit: client, variants: {a: {weight: 100, pool: web}}, override: {header: X-V}}",
          "lacks \"from\"" },
        { "{unit: client, variants: {a: {weight: 100, pool: web}}, override: {header: 'X V', from: "
          "[10.0.0.0/8]}}",
          "no header's name" },
        { GUARDED "{p95: 5ms, variant: c}}", "no variant \"c\" to guard" },
        { GUARDED "{p95: 5ms, variant: a}}", "\"a\" is the first variant" },
        { "{unit: client, variants: {a: {weight: 100, pool: web}}, guard: {p95: 5ms}}", "or add one" },
        { GUARDED "{ramp: [5]}}", "looks at no figure" },
        { GUARDED "{errors: 1, ramp: [5, 5]}}", "do not ascend" },
        { GUARDED "{errors: 1, ramp: [0]}}", "do not ascend" },
        { GUARDED "{errors: 1, ramp: [5, 80.01]}}", "leave \"b\" 80.00%" },
        { GUARDED "{errors: 1.234}}", "at most two decimals" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char yaml[400];
        snprintf(yaml, sizeof(yaml), "pools: {web: {}}\nsplits:\n  s: %s\n", cases[i].split);
        struct decoded d = decode(yaml);
        if (!d.faults || !strstr(d.faults, cases[i].fault))
            fail_msg("%s: %s", cases[i].split, d.faults ? d.faults : "no fault");
        drop(&d);
    }
}

static void there_are_at_most_thirty_two_variants(void **state)
{
    (void)state;
    char yaml[4000] = "pools: {web: {}}\nsplits:\n  s:\n    unit: client\n    variants:\n      v0: {weight: "
                      "100, pool: web}\n";
    for (uint32_t i = 1; i <= SPLIT_VARIANTS_MAX; i++) {
        struct decoded d = decode(yaml);
        assert_null(d.faults);
        drop(&d);
        size_t len = strlen(yaml);
        snprintf(yaml + len, sizeof(yaml) - len, "      v%u: {weight: 0, pool: web}\n", i);
    }
    struct decoded d = decode(yaml);
    assert_non_null(d.faults);
    drop(&d);
}

static void percentages_have_two_decimals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *printed;
        uint32_t hundredths;
    } good[] = {
        { "0", "0%", 0 },        { "0.01", "0.01%", 1 },      { "0.1", "0.1%", 10 },
        { "0.10%", "0.1%", 10 }, { "7.05", "7.05%", 705 },    { "12.5", "12.5%", 1250 },
        { "90%", "90%", 9000 },  { "100.00", "100%", 10000 },
    };
    static const char *const bad[] = { "",     "%",   ".5",  "5.",    "-1",  "+1",  "100.01", "101",
                                       "1000", "012", "1e1", "1.234", "1 %", "1%%", "1,5",    "0x1" };
    struct err err;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        char memory[16];
        uint32_t value;
        struct text text = text_over(memory, sizeof(memory));
        assert_int_equal(conf_percent_type.parse(slice_of(good[i].text), &value, &err), 0);
        assert_int_equal(value, good[i].hundredths);
        conf_percent_type.print(&value, &text);
        assert_string_equal(text_cstr(&text), good[i].printed);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        uint32_t value;
        if (conf_percent_type.parse(slice_of(bad[i]), &value, &err) == 0) fail_msg("%s is taken", bad[i]);
        assert_non_null(strstr(err.text, "like 12.5"));
    }
}

/* The variant that a request is given, with this value of X-Variant (NULL: none), from this client. */
static uint32_t overridden(const struct split_conf *split, const char *value, const char *client)
{
    struct ip ip;
    struct http_field field = { .name = "x-variant", .name_len = 9, .value = value };
    struct http_head head = { .fields = &field, .field_count = value != NULL };
    struct http_template_input in = { .head = &head, .client = &ip };
    if (value) field.value_len = (uint32_t)strlen(value);
    assert_true(ip_parse(slice_of(client), &ip));
    return split_override(split, &in);
}

static void an_override_is_for_those_who_may_and_names_that_exist(void **state)
{
    (void)state;
    struct decoded d = decode(
        "pools: {web: {}}\n"
        "splits:\n"
        "  s: {unit: client, variants: {a: {weight: 100, pool: web}, b: {weight: 0, pool: web}},\n"
        "      override: {header: X-Variant, from: [10.0.0.0/8, '2001:db8::/32']}}\n"
        "  t: {unit: client, variants: {a: {weight: 100, pool: web}}}\n");
    if (d.faults) fail_msg("%s", d.faults);
    const struct split_conf *splits = d.config.splits.data;
    assert_int_equal(overridden(&splits[0], "b", "10.1.2.3"), 1);
    assert_int_equal(overridden(&splits[0], "a", "2001:db8::1"), 0);
    assert_int_equal(overridden(&splits[0], "b", "11.0.0.1"), SPLIT_NONE);
    assert_int_equal(overridden(&splits[0], "B", "10.1.2.3"), SPLIT_NONE);
    assert_int_equal(overridden(&splits[0], "", "10.1.2.3"), SPLIT_NONE);
    assert_int_equal(overridden(&splits[0], NULL, "10.1.2.3"), SPLIT_NONE);
    assert_int_equal(overridden(&splits[1], "a", "10.1.2.3"), SPLIT_NONE);
    drop(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_variant_has_exactly_its_share_of_places),
        cmocka_unit_test(a_unit_has_the_same_place_everywhere),
        cmocka_unit_test(raising_a_weight_moves_units_from_the_first_variant_only),
        cmocka_unit_test(of_three_variants_any_grows_from_the_first_only),
        cmocka_unit_test(of_many_variants_each_grows_from_the_first_while_its_arc_has_room),
        cmocka_unit_test(a_variant_added_behind_the_others_takes_from_the_first_only),
        cmocka_unit_test(units_have_the_shares_of_their_variants),
        cmocka_unit_test(neighbouring_units_are_spread_evenly),
        cmocka_unit_test(buckets_are_independent_of_variants),
        cmocka_unit_test(splits_of_different_salts_are_independent),
        cmocka_unit_test(a_split_is_what_was_written),
        cmocka_unit_test(a_guard_is_what_was_written),
        cmocka_unit_test(a_table_is_dealt_anew_in_its_place),
        cmocka_unit_test(mistakes_are_said),
        cmocka_unit_test(there_are_at_most_thirty_two_variants),
        cmocka_unit_test(percentages_have_two_decimals),
        cmocka_unit_test(an_override_is_for_those_who_may_and_names_that_exist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
