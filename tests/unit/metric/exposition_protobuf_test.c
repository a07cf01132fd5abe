#include "metric/exposition.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "metric/exemplars.h"
#include "metric/native_histogram.h"

/* a small reader */

struct bytes {
    const uint8_t *at, *end;
};

struct field {
    uint64_t number;
    unsigned wire;
    uint64_t value; /* of a varint */
    double real;
    struct bytes part;
};

static uint64_t read_varint(struct bytes *b)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        assert_true(b->at < b->end && shift < 64);
        value |= (uint64_t)(*b->at & 0x7f) << shift;
        if (!(*b->at++ & 0x80)) return value;
    }
}

static int64_t unfold(uint64_t value)
{
    return (int64_t)(value >> 1 ^ (value & 1 ? UINT64_MAX : 0));
}

static bool read_field(struct bytes *b, struct field *f)
{
    if (b->at == b->end) return false;
    uint64_t key = read_varint(b);
    *f = (struct field){ .number = key >> 3, .wire = key & 7 };
    if (f->wire == 0) {
        f->value = read_varint(b);
    } else if (f->wire == 1) {
        uint64_t bits = 0;
        assert_true(b->end - b->at >= 8);
        for (unsigned i = 0; i < 8; i++) bits |= (uint64_t)*b->at++ << 8 * i;
        memcpy(&f->real, &bits, sizeof(bits));
    } else {
        assert_int_equal(f->wire, 2);
        uint64_t len = read_varint(b);
        assert_true(len <= (uint64_t)(b->end - b->at));
        f->part = (struct bytes){ b->at, b->at + len };
        b->at += len;
    }
    return true;
}

/* The `index`-th of that number. */
static bool find(struct bytes b, uint64_t number, unsigned index, struct field *f)
{
    while (read_field(&b, f))
        if (f->number == number && !index--) return true;
    return false;
}

static struct bytes part_of(struct bytes b, uint64_t number, unsigned index)
{
    struct field f = { 0 };
    if (!find(b, number, index, &f)) fail_msg("no field %u", (unsigned)number);
    return f.part;
}

static uint64_t number_of(struct bytes b, uint64_t number)
{
    struct field f;
    return find(b, number, 0, &f) ? f.value : 0;
}

static double real_of(struct bytes b, uint64_t number)
{
    struct field f;
    return find(b, number, 0, &f) ? f.real : 0;
}

static bool is_text(struct bytes b, const char *text)
{
    return (size_t)(b.end - b.at) == strlen(text) && memcmp(b.at, text, strlen(text)) == 0;
}

/* The family of that name among all. */
static bool find_family(struct bytes all, const char *name, struct bytes *out)
{
    while (all.at < all.end) {
        uint64_t len = read_varint(&all);
        assert_true(len <= (uint64_t)(all.end - all.at));
        *out = (struct bytes){ all.at, all.at + len };
        all.at += len;
        if (is_text(part_of(*out, 1, 0), name)) return true;
    }
    return false;
}

static void assert_real(double value, double wanted, double off)
{
    if (!(fabs(value - wanted) <= off)) fail_msg("%.17g, not %.17g", value, wanted);
}

/* scenes */

struct scene {
    struct metric_registry *reg;
    struct metric_shard *shard;
    char *printed;
    struct bytes all;
};

static void open_scene(struct scene *s)
{
    struct err err;
    *s = (struct scene){ 0 };
    if (metric_registry_new(&s->reg, 1, 100, &err) < 0) fail_msg("%s", err.text);
    if (metric_keep_exemplars(s->reg, &err) < 0) fail_msg("%s", err.text);
    s->shard = metric_shard_of(s->reg, 0);
}

static struct bytes print(struct scene *s, const char *family)
{
    size_t len;
    struct bytes found = { 0 };
    free(s->printed);
    s->printed = exposition_print(s->reg, EXPOSITION_PROTOBUF, &len);
    assert_non_null(s->printed);
    s->all = (struct bytes){ (const uint8_t *)s->printed, (const uint8_t *)s->printed + len };
    if (!find_family(s->all, family, &found)) fail_msg("no %s", family);
    return found;
}

static void close_scene(struct scene *s)
{
    free(s->printed);
    metric_registry_free(s->reg);
}

static double read_number(void *ctx)
{
    return *(double *)ctx;
}

/* tests */

static void a_counter_has_its_labels_as_they_were_said(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    const struct metric_label labels[] = { { "pool", "a\"b\\c\nd,e=\"" }, { "class", "" } };
    metric_add(s.shard, metric_counter(s.reg, "weir_requests_total", "All \"of\"\nthem.", labels, 2), 42);
    struct bytes family = print(&s, "weir_requests_total"), metric = part_of(family, 4, 0);
    assert_true(is_text(part_of(family, 2, 0), "All \"of\"\nthem."));
    assert_int_equal(number_of(family, 3), 0);
    assert_true(is_text(part_of(part_of(metric, 1, 0), 1, 0), "class"));
    assert_true(is_text(part_of(part_of(metric, 1, 0), 2, 0), ""));
    assert_true(is_text(part_of(part_of(metric, 1, 1), 1, 0), "pool"));
    assert_true(is_text(part_of(part_of(metric, 1, 1), 2, 0), "a\"b\\c\nd,e=\""));
    assert_real(real_of(part_of(metric, 3, 0), 1), 42, 0);
    close_scene(&s);
}

static void a_gauge_has_a_value_of_any_sign(void **state)
{
    (void)state;
    struct scene s;
    double values[] = { -2.5, INFINITY };
    open_scene(&s);
    const struct metric_label labels[] = { { "which", "one" }, { "which", "other" } };
    for (int i = 0; i < 2; i++)
        metric_gauge_fn(s.reg, "weir_level", "Now.", &labels[i], 1, read_number, &values[i]);
    struct bytes family = print(&s, "weir_level");
    assert_int_equal(number_of(family, 3), 1);
    for (unsigned i = 0; i < 2; i++) {
        struct bytes metric = part_of(family, 4, i);
        bool is_first = is_text(part_of(part_of(metric, 1, 0), 2, 0), "one");
        assert_true(real_of(part_of(metric, 2, 0), 1) == values[is_first ? 0 : 1]);
    }
    close_scene(&s);
}

static void what_is_rare_and_zero_is_left_out(void **state)
{
    (void)state;
    struct scene s;
    struct bytes family;
    open_scene(&s);
    metric_counter_rare(s.reg, "weir_rare_total", "Rare.", NULL, 0);
    metric_counter(s.reg, "weir_zero_total", "Zero.", NULL, 0);
    family = print(&s, "weir_zero_total");
    assert_real(real_of(part_of(part_of(family, 4, 0), 3, 0), 1), 0, 0);
    assert_false(find_family(s.all, "weir_rare_total", &family));
    close_scene(&s);
}

static void classic_buckets_are_as_in_text(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    uint32_t id = metric_histogram(s.reg, "weir_request_seconds", "How long.", NULL, 0);
    const uint64_t values[] = { 90, 900, 1000000, UINT64_C(3000) * 1000 * 1000 };
    const struct exemplar x = { .trace_id = { 0x0a, 0xff }, .us = 900, .wall_ms = 1700000000123 };
    for (unsigned i = 0; i < 4; i++) metric_observe(s.shard, id, values[i]);
    exemplars_put(metric_exemplars(s.reg), 0, id, &x);
    struct bytes family = print(&s, "weir_request_seconds"), h = part_of(part_of(family, 4, 0), 7, 0);
    assert_int_equal(number_of(family, 3), 4);
    assert_int_equal(number_of(h, 1), 4);
    assert_real(real_of(h, 2), 3001.00099, 1e-9);
    const unsigned shown[][2] = { { 0, 1 }, { 3, 2 }, { 12, 3 }, { 19, 3 }, { 20, 4 } };
    for (unsigned i = 0; i < sizeof(shown) / sizeof(*shown); i++)
        assert_int_equal(number_of(part_of(h, 3, shown[i][0]), 1), shown[i][1]);
    assert_real(real_of(part_of(h, 3, 0), 2), 0.0001, 0);
    assert_true(isinf(real_of(part_of(h, 3, 20), 2)));
    struct bytes exemplar = part_of(part_of(h, 3, 3), 3, 0), label = part_of(exemplar, 1, 0);
    assert_true(is_text(part_of(label, 1, 0), "trace_id"));
    assert_true(is_text(part_of(label, 2, 0), "0aff0000000000000000000000000000"));
    assert_real(real_of(exemplar, 2), 0.0009, 0);
    assert_int_equal(number_of(part_of(exemplar, 3, 0), 1), 1700000000);
    assert_int_equal(number_of(part_of(exemplar, 3, 0), 2), 123000000);
    close_scene(&s);
}

struct native_bucket {
    int32_t number;
    int64_t count;
};

/* How many; all are above zero. */
static unsigned read_native(struct bytes h, struct native_bucket *out)
{
    struct field f;
    unsigned count = 0;
    int64_t number = 0, now = 0;
    struct bytes deltas = part_of(h, 13, 0);
    for (unsigned i = 0; find(h, 12, i, &f); i++) {
        number += unfold(number_of(f.part, 1));
        for (uint64_t length = number_of(f.part, 2); length; length--) {
            now += unfold(read_varint(&deltas));
            out[count++] = (struct native_bucket){ (int32_t)number++, now };
        }
    }
    assert_true(deltas.at == deltas.end);
    return count;
}

static void native_buckets_have_what_the_cells_have(void **state)
{
    (void)state;
    static struct native_bucket buckets[HISTOGRAM_CELLS];
    static uint64_t cells[HISTOGRAM_CELLS];
    struct scene s;
    uint64_t total = 0, draw = 1;
    open_scene(&s);
    uint32_t id = metric_histogram(s.reg, "weir_request_seconds", "How long.", NULL, 0);
    for (unsigned i = 0; i < 5000; i++) {
        draw = draw * 6364136223846793005u + 1442695040888963407u;
        metric_observe(s.shard, id, draw >> (32 + (draw >> 28) % 32));
    }
    metric_merge(s.reg, id, cells);
    struct bytes h = part_of(part_of(print(&s, "weir_request_seconds"), 4, 0), 7, 0);
    assert_int_equal(unfold(number_of(h, 5)), NATIVE_SCHEMA);
    assert_real(real_of(h, 6), NATIVE_ZERO_THRESHOLD, 0);
    assert_int_equal(number_of(h, 7), cells[0]);
    unsigned count = read_native(h, buckets), at = 0;
    for (uint32_t cell = 1; cell < HISTOGRAM_CELLS; cell++) {
        if (!cells[cell]) continue;
        assert_true(at < count);
        assert_int_equal(buckets[at].number, native_bucket_of(cell));
        assert_int_equal(buckets[at].count, cells[cell]);
        total += cells[cell];
        at++;
    }
    assert_int_equal(at, count);
    assert_int_equal(number_of(h, 1), total + cells[0]);
    close_scene(&s);
}

/* Else Prometheus would take it for a classic one, until something is observed. */
static void a_histogram_without_observations_is_a_native_one(void **state)
{
    (void)state;
    struct scene s;
    struct field f;
    open_scene(&s);
    metric_histogram(s.reg, "weir_idle_seconds", "Idle.", NULL, 0);
    struct bytes h = part_of(part_of(print(&s, "weir_idle_seconds"), 4, 0), 7, 0);
    assert_real(real_of(h, 6), NATIVE_ZERO_THRESHOLD, 0);
    assert_int_equal(number_of(h, 1), 0);
    assert_false(find(h, 12, 0, &f));
    assert_false(find(h, 13, 0, &f));
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_counter_has_its_labels_as_they_were_said),
        cmocka_unit_test(a_gauge_has_a_value_of_any_sign),
        cmocka_unit_test(what_is_rare_and_zero_is_left_out),
        cmocka_unit_test(classic_buckets_are_as_in_text),
        cmocka_unit_test(native_buckets_have_what_the_cells_have),
        cmocka_unit_test(a_histogram_without_observations_is_a_native_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
