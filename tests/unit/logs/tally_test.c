#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "logs/entry_value.h"
#include "logs/period_state.h"
#include "logs/tally.h"

#define NOON UINT64_C(1773316800) /* 2026-03-12T12:00:00Z, the beginning of a slice */

static struct tally *make(bool has_windows)
{
    struct tally *t = NULL;
    struct err err = { "" };
    if (tally_new(&t, has_windows, &err) < 0) fail_msg("%s", err.text);
    return t;
}

static void add(struct tally *t, uint64_t time_s, uint64_t now_s, const char *client, const char *status)
{
    struct log_entry e = { .line = SLICE("line") };
    e.values[LOG_CLIENT] = slice_of(client);
    e.values[LOG_REQUEST] = SLICE("GET /users/17?x=1 HTTP/1.1");
    e.values[LOG_STATUS] = slice_of(status);
    e.values[LOG_REQUEST_TIME] = SLICE("0.250");
    e.values[LOG_BODY_BYTES] = SLICE("1000");
    entry_derive(&e);
    e.time_s = time_s;
    tally_add(t, &e, now_s);
}

/* Of a log that says a target and a status alone; without a target it is not known. */
static void add_target(struct tally *t, uint64_t time_s, const char *target, uint32_t status)
{
    struct log_entry e = { .line = SLICE("line"), .path = slice_of(target), .status = status };
    e.time_s = time_s;
    e.request_us = e.upstream_us = UINT64_MAX;
    tally_add(t, &e, time_s);
}

static uint64_t records(struct tally *t, enum tally_window w, uint64_t now_s)
{
    return tally_period(t, w, now_s)->records;
}

static void a_record_is_in_all_that_is_kept(void **state)
{
    (void)state;
    struct tally *t = make(false);
    add(t, NOON, NOON, "192.0.2.7", "404");
    const struct period *p = tally_period(t, TALLY_ALL, NOON);
    struct top_entry entry;
    assert_int_equal(p->records, 1);
    assert_int_equal(p->bytes, 1000);
    assert_int_equal(p->statuses[404], 1);
    assert_int_equal(top_list(p->tops[PERIOD_PATH], &entry, 1), 1);
    assert_true(slice_equal(entry.key, SLICE("/users/{n}")));
    assert_int_equal(top_count(p->tops[PERIOD_CLIENT]), 1);
    assert_int_equal(top_count(p->tops[PERIOD_NETWORK]), 1);
    assert_int_equal(top_count(p->tops[PERIOD_HOST]), 0);
    assert_true(distinct_count(p->clients) > 0.99 && distinct_count(p->clients) < 1.01);
    assert_null(tally_period(t, TALLY_1M, NOON));
    tally_free(t);
}

static void errors_are_counted_by_path(void **state)
{
    (void)state;
    struct tally *t = make(true);
    for (unsigned i = 0; i < 20; i++) add_target(t, NOON, "/often", 200);
    for (unsigned i = 0; i < 5; i++) add_target(t, NOON, "/login", i < 2 ? 499 : 500);
    add_target(t, NOON, "/users/17", 503);
    add_target(t, NOON, "/users/18", 599);
    add_target(t, NOON, "", 502); /* of no path */
    for (enum tally_window w = TALLY_1M; w <= TALLY_ALL; w++) {
        struct top_entry entries[3];
        const struct period *p = tally_period(t, w, NOON);
        assert_int_equal(top_list(p->tops[PERIOD_ERROR_PATH], entries, 3), 2);
        assert_true(slice_equal(entries[0].key, SLICE("/login")) && entries[0].count == 3);
        assert_true(slice_equal(entries[1].key, SLICE("/users/{n}")) && entries[1].count == 2);
        assert_true(entries[0].error == 0 && period_missing(p, PERIOD_ERROR_PATH) == 0);
        assert_int_equal(top_count(p->tops[PERIOD_PATH]), 3);
    }
    assert_int_equal(top_count(tally_period(t, TALLY_1M, NOON + 60)->tops[PERIOD_ERROR_PATH]), 0);
    tally_free(t);
}

/* Whoever asks for another path each time gets no more than the table's room, and what really fails often stands out. */
static void paths_of_errors_have_a_bound(void **state)
{
    (void)state;
    struct tally *t = make(true);
    struct top_entry entry;
    char path[32];
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(path, sizeof(path), "/%c%c%c%cx", 'a' + i % 26, 'a' + i / 26 % 26, 'a' + i / 676 % 26,
                 'a' + i / 17576);
        add_target(t, NOON, path, 500);
        if (i % 10 == 0) add_target(t, NOON, "/checkout", 502);
    }
    for (enum tally_window w = TALLY_1M; w <= TALLY_ALL; w++) {
        const struct period *p = tally_period(t, w, NOON);
        assert_in_range(top_count(p->tops[PERIOD_ERROR_PATH]), 1, 1024);
        assert_int_equal(top_list(p->tops[PERIOD_ERROR_PATH], &entry, 1), 1);
        assert_true(slice_equal(entry.key, SLICE("/checkout")));
        assert_true(entry.count >= 2000 && entry.count - entry.error <= 2000);
        assert_true(period_missing(p, PERIOD_ERROR_PATH) > 0);
    }
    tally_free(t);
}

static void windows_slide(void **state)
{
    (void)state;
    struct tally *t = make(true);
    add(t, NOON, NOON, "192.0.2.1", "200");
    for (enum tally_window w = TALLY_1M; w <= TALLY_ALL; w++) assert_int_equal(records(t, w, NOON), 1);
    assert_int_equal(records(t, TALLY_1M, NOON + 59), 1);
    assert_int_equal(records(t, TALLY_1M, NOON + 60), 0);
    assert_int_equal(records(t, TALLY_5M, NOON + 299), 1);
    assert_int_equal(records(t, TALLY_5M, NOON + 300), 0);
    assert_int_equal(records(t, TALLY_1H, NOON + 3599), 1);
    assert_int_equal(records(t, TALLY_1H, NOON + 3600), 0);
    assert_int_equal(records(t, TALLY_ALL, NOON + 86400), 1);
    /* Its slices are used again by what comes when the ring has gone round. */
    add(t, NOON + 305, NOON + 305, "192.0.2.1", "200");
    assert_int_equal(records(t, TALLY_1M, NOON + 305), 1);
    assert_int_equal(records(t, TALLY_1H, NOON + 305), 2);
    tally_free(t);
}

static void late_records_count_where_they_belong(void **state)
{
    (void)state;
    struct tally *t = make(true);
    add(t, NOON, NOON, "192.0.2.1", "200");
    add(t, NOON - 120, NOON, "192.0.2.1", "200");  /* late */
    add(t, NOON - 7200, NOON, "192.0.2.1", "200"); /* for no window any more */
    add(t, NOON + 500, NOON, "192.0.2.1", "200");  /* of a clock that runs ahead */
    add(t, 0, NOON, "192.0.2.1", "200");           /* says no time */
    assert_int_equal(records(t, TALLY_1M, NOON), 3);
    assert_int_equal(records(t, TALLY_5M, NOON), 4);
    assert_int_equal(records(t, TALLY_1H, NOON), 4);
    assert_int_equal(records(t, TALLY_ALL, NOON), 5);
    assert_int_equal(tally_first_s(t), NOON - 7200);
    assert_int_equal(tally_last_s(t), NOON + 500);
    tally_free(t);
}

/* A machine whose clock was never set: nothing is there, and nothing is looked for before 1970. */
static void the_first_minute_of_time_is_a_time(void **state)
{
    (void)state;
    struct tally *t = make(true);
    uint64_t counts[60], errors[60];
    for (uint64_t now_s = 0; now_s < 400; now_s += 7) {
        for (enum tally_window w = TALLY_1M; w <= TALLY_ALL; w++) assert_int_equal(records(t, w, now_s), 0);
        assert_int_equal(tally_series(t, now_s, counts, errors), 60);
    }
    add(t, 3, 3, "192.0.2.1", "200");
    assert_int_equal(records(t, TALLY_ALL, 3), 1);
    tally_free(t);
}

static void a_series_has_a_number_a_minute(void **state)
{
    (void)state;
    struct tally *t = make(true);
    uint64_t counts[60], errors[60];
    for (int i = 0; i < 5; i++) add(t, NOON, NOON, "192.0.2.1", i < 2 ? "503" : "200");
    add(t, NOON + 60, NOON + 60, "192.0.2.1", "200");
    assert_int_equal(tally_series(t, NOON + 60, counts, errors), 60);
    assert_int_equal(counts[58], 5);
    assert_int_equal(errors[58], 2);
    assert_int_equal(counts[59], 1);
    assert_int_equal(errors[59], 0);
    assert_int_equal(counts[0], 0);
    tally_free(t);
}

static void rubbish_is_sampled_at_each_doubling(void **state)
{
    (void)state;
    struct tally *t = make(false);
    struct tally_malformed m;
    char line[400];
    memset(line, 'x', sizeof(line));
    for (unsigned i = 1; i <= 5; i++) {
        snprintf(line, 16, "%u", i);
        line[strlen(line)] = ' ';
        tally_add_malformed(t, (struct slice){ line, sizeof(line) });
    }
    tally_malformed(t, &m);
    assert_int_equal(m.count, 5);
    assert_int_equal(m.sample_count, 3);
    assert_int_equal(m.samples[0].len, 256);
    assert_true(m.samples[0].data[0] == '1' && m.samples[1].data[0] == '2' && m.samples[2].data[0] == '4');
    for (unsigned i = 6; i <= 100000; i++) tally_add_malformed(t, SLICE(""));
    tally_malformed(t, &m);
    assert_int_equal(m.count, 100000);
    assert_int_equal(m.sample_count, 8);
    tally_free(t);
}

static void memory_is_bounded_whatever_comes(void **state)
{
    (void)state;
    struct tally *t = make(true);
    char client[32];
    size_t before = tally_bytes(t);
    assert_true(before <= TALLY_BYTES_MAX);
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(client, sizeof(client), "%u.%u.%u.%u", 1 + i % 200, i / 200 % 250, i / 50000, i % 251);
        add(t, NOON + i % 3600, NOON + i % 3600, client, "200");
    }
    assert_true(tally_bytes(t) == before);
    const struct period *p = tally_period(t, TALLY_ALL, NOON + 3600);
    assert_int_equal(p->records, 100000);
    double distinct = distinct_count(p->clients);
    assert_true(distinct > 99000 && distinct < 101000);
    tally_free(t);
}

static void a_checkpoint_brings_all_of_it_back(void **state)
{
    (void)state;
    struct tally *t = make(true), *back = make(true), *other = make(true);
    struct state_out out = { 0 };
    struct err err = { "" };
    struct tally_malformed m;
    struct top_entry entry;
    for (unsigned i = 0; i < 10; i++)
        add(t, NOON + i * 60, NOON + i * 60, i < 7 ? "192.0.2.1" : "192.0.2.2", "500");
    tally_add_malformed(t, SLICE("rubbish"));
    tally_save(t, &out);
    assert_false(out.is_failed);
    struct state_in in = { out.data, out.data + out.len, false };
    if (tally_load(back, &in, &err) < 0) fail_msg("%s", err.text);
    for (enum tally_window w = TALLY_1M; w <= TALLY_ALL; w++)
        assert_int_equal(records(back, w, NOON + 540), records(t, w, NOON + 540));
    assert_int_equal(records(back, TALLY_5M, NOON + 540), 5);
    assert_int_equal(tally_first_s(back), NOON);
    const struct period *p = tally_period(back, TALLY_ALL, NOON);
    assert_int_equal(p->statuses[500], 10);
    assert_int_equal(top_list(p->tops[PERIOD_CLIENT], &entry, 1), 1);
    assert_int_equal(entry.count, 7);
    for (enum tally_window w = TALLY_5M; w <= TALLY_ALL; w++) {
        p = tally_period(back, w, NOON + 540);
        assert_int_equal(top_list(p->tops[PERIOD_ERROR_PATH], &entry, 1), 1);
        assert_true(slice_equal(entry.key, SLICE("/users/{n}")) && entry.count == (w == TALLY_5M ? 5 : 10));
        assert_int_equal(period_missing(p, PERIOD_ERROR_PATH), 0);
    }
    tally_malformed(back, &m);
    assert_true(m.count == 1 && slice_equal(m.samples[0], SLICE("rubbish")));
    /* Cut anywhere, it is refused. */
    in = (struct state_in){ out.data, out.data + out.len / 2, false };
    assert_int_equal(tally_load(other, &in, &err), -1);
    state_out_fini(&out);
    tally_free(t);
    tally_free(back);
    tally_free(other);
}

static void save(const struct tally *t, struct state_out *out)
{
    tally_save(t, out);
    assert_false(out->is_failed);
}

static struct tally *load(const uint8_t *data, size_t len)
{
    struct tally *t = make(false);
    struct state_in in = { data, data + len, false };
    struct err err = { "" };
    if (tally_load(t, &in, &err) < 0) fail_msg("%s", err.text);
    assert_ptr_equal(in.at, in.end);
    return t;
}

/* One that was saved before errors were counted by path is the same without its last two numbers. */
static void what_an_older_checkpoint_does_not_know_is_said(void **state)
{
    (void)state;
    struct tally *t = make(false);
    struct state_out out = { 0 }, again = { 0 };
    struct top_entry entry;
    for (unsigned i = 0; i < 3; i++) add_target(t, NOON, "", 502);
    add_target(t, NOON, "/a", 200);
    save(t, &out);
    assert_true(out.data[0] == 4 && out.data[out.len - 2] == 0 && out.data[out.len - 1] == 0);
    out.data[0] = 3;
    struct tally *back = load(out.data, out.len - 2);
    const struct period *p = tally_period(back, TALLY_ALL, NOON);
    assert_true(p->records == 4 && p->statuses[502] == 3 && top_count(p->tops[PERIOD_PATH]) == 1);
    assert_int_equal(period_missing(p, PERIOD_ERROR_PATH), 3);
    assert_int_equal(period_missing(p, PERIOD_PATH), 0);
    /* And stays so over the next. */
    add_target(back, NOON, "/a", 500);
    save(back, &again);
    struct tally *last = load(again.data, again.len);
    p = tally_period(last, TALLY_ALL, NOON);
    assert_int_equal(top_list(p->tops[PERIOD_ERROR_PATH], &entry, 1), 1);
    assert_true(slice_equal(entry.key, SLICE("/a")) && entry.count == 1);
    assert_int_equal(period_missing(p, PERIOD_ERROR_PATH), 3);
    state_out_fini(&out);
    state_out_fini(&again);
    tally_free(t);
    tally_free(back);
    tally_free(last);
}

/* A table that had more room when it was saved: the most frequent stay, with their own counts. */
static void a_table_that_was_larger_leaves_its_rarest_out(void **state)
{
    (void)state;
    static const struct period_size size[2] = {
        { .distinct_bits = 4, .tops = { [0 ... PERIOD_DIMENSION_COUNT - 1] = { 8, 8 } } },
        { .distinct_bits = 4, .tops = { [0 ... PERIOD_DIMENSION_COUNT - 1] = { 4, 8 } } },
    };
    struct period *large = period_new(&size[0]), *small = period_new(&size[1]);
    struct state_out out = { 0 };
    struct top_entry entries[8];
    for (uint64_t i = 1; i <= 8; i++) top_add(large->tops[PERIOD_REFERER], i << 32 | i, SLICE("key"), i);
    period_save(large, &out);
    struct state_in in = { out.data, out.data + out.len, false };
    period_load(small, true, &in);
    assert_true(!in.is_failed && in.at == in.end);
    assert_int_equal(top_list(small->tops[PERIOD_REFERER], entries, 8), 4);
    for (unsigned i = 0; i < 4; i++) assert_true(entries[i].count == 8 - i && entries[i].error == 0);
    assert_int_equal(period_missing(small, PERIOD_REFERER), 5);
    state_out_fini(&out);
    period_free(large);
    period_free(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_in_all_that_is_kept),
        cmocka_unit_test(errors_are_counted_by_path),
        cmocka_unit_test(paths_of_errors_have_a_bound),
        cmocka_unit_test(windows_slide),
        cmocka_unit_test(late_records_count_where_they_belong),
        cmocka_unit_test(the_first_minute_of_time_is_a_time),
        cmocka_unit_test(a_series_has_a_number_a_minute),
        cmocka_unit_test(rubbish_is_sampled_at_each_doubling),
        cmocka_unit_test(memory_is_bounded_whatever_comes),
        cmocka_unit_test(a_checkpoint_brings_all_of_it_back),
        cmocka_unit_test(what_an_older_checkpoint_does_not_know_is_said),
        cmocka_unit_test(a_table_that_was_larger_leaves_its_rarest_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
