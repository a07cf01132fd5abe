#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "logs/tally.h"

static struct state_in in_of(const struct state_out *out)
{
    return (struct state_in){ out->data, out->data + out->len, false };
}

static void what_was_put_comes_back(void **state)
{
    (void)state;
    struct state_out out = { 0 };
    uint64_t cells[1000] = { [3] = 7, [999] = UINT64_MAX }, got[1000] = { 0 };
    uint8_t sparse[900] = { [0] = 1, [899] = 255 }, dense[9] = { 1, 2, 3, 4, 5, 6 }, bytes[900] = { 0 };
    static const uint64_t numbers[] = { 0, 127, 128, 1u << 31, UINT64_MAX };
    for (unsigned i = 0; i < 5; i++) state_put_u64(&out, numbers[i]);
    state_put_slice(&out, SLICE("text"));
    state_put_cells(&out, cells, 1000);
    state_put_bytes(&out, sparse, 900);
    state_put_bytes(&out, dense, 9);
    assert_true(out.len < 100);
    struct state_in in = in_of(&out);
    for (unsigned i = 0; i < 5; i++) assert_int_equal(state_get_u64(&in), numbers[i]);
    assert_true(slice_equal(state_get_slice(&in, 10), SLICE("text")));
    state_get_cells(&in, got, 1000);
    assert_memory_equal(got, cells, sizeof(cells));
    state_get_bytes(&in, bytes, 900);
    assert_memory_equal(bytes, sparse, 900);
    memset(bytes, 0, sizeof(bytes));
    state_get_bytes(&in, bytes, 9);
    assert_memory_equal(bytes, dense, 9);
    assert_false(in.is_failed);
    assert_ptr_equal(in.at, in.end);
    state_out_fini(&out);
}

static void fill(struct tally *t, unsigned count)
{
    char client[32], path[64];
    for (unsigned i = 0; i < count; i++) {
        struct log_entry e = { .status = 200 + i % 5,
                               .bytes = i,
                               .request_us = i * 10,
                               .upstream_us = UINT64_MAX,
                               .time_s = 1800000000u + i / 10 };
        snprintf(client, sizeof(client), "10.0.%u.%u", i % 7, i % 251);
        snprintf(path, sizeof(path), "/a/%u/b", i % 13);
        assert_true(ip_parse(slice_of(client), &e.client));
        e.method = SLICE("GET");
        e.path = slice_of(path);
        tally_add(t, &e, e.time_s);
    }
    tally_add_malformed(t, SLICE("rubbish"));
}

static void a_tally_comes_back_as_it_was(void **state)
{
    (void)state;
    struct tally *before = NULL, *after = NULL;
    struct err err;
    struct state_out out = { 0 }, again = { 0 };
    assert_int_equal(tally_new(&before, true, &err), 0);
    assert_int_equal(tally_new(&after, true, &err), 0);
    fill(before, 20000);
    tally_save(before, &out);
    struct state_in in = in_of(&out);
    assert_int_equal(tally_load(after, &in, &err), 0);
    for (unsigned w = 0; w < TALLY_WINDOW_COUNT; w++) {
        const struct period *p = tally_period(before, (enum tally_window)w, 1800002000u);
        uint64_t records = p->records, bytes = p->bytes;
        double clients = distinct_count(p->clients);
        p = tally_period(after, (enum tally_window)w, 1800002000u);
        assert_int_equal(p->records, records);
        assert_int_equal(p->bytes, bytes);
        assert_true(distinct_count(p->clients) == clients);
    }
    fill(before, 500);
    fill(after, 500);
    const struct period *a = tally_period(before, TALLY_ALL, 0), *b = tally_period(after, TALLY_ALL, 0);
    assert_int_equal(a->records, b->records);
    assert_memory_equal(a->statuses, b->statuses, sizeof(a->statuses));
    assert_memory_equal(a->latency, b->latency, sizeof(a->latency));
    tally_save(after, &again);
    assert_true(again.len > 1000);
    state_out_fini(&out);
    state_out_fini(&again);
    tally_free(before);
    tally_free(after);
}

static void bytes_that_are_cut_or_changed_are_refused_or_harmless(void **state)
{
    (void)state;
    struct tally *t = NULL;
    struct err err;
    struct state_out out = { 0 };
    assert_int_equal(tally_new(&t, false, &err), 0);
    fill(t, 300);
    tally_save(t, &out);
    tally_free(t);
    for (size_t len = 0; len < out.len; len += 1 + len / 20) {
        assert_int_equal(tally_new(&t, false, &err), 0);
        struct state_in in = { out.data, out.data + len, false };
        assert_int_equal(tally_load(t, &in, &err), -1);
        tally_free(t);
    }
    for (size_t at = 0; at < out.len; at += 1 + at / 20) {
        assert_int_equal(tally_new(&t, false, &err), 0);
        out.data[at] ^= 0x55;
        struct state_in in = in_of(&out);
        if (tally_load(t, &in, &err) == 0) assert_non_null(tally_period(t, TALLY_ALL, 0));
        out.data[at] ^= 0x55;
        tally_free(t);
    }
    state_out_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_comes_back),
        cmocka_unit_test(a_tally_comes_back_as_it_was),
        cmocka_unit_test(bytes_that_are_cut_or_changed_are_refused_or_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
