#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "logs/entry_value.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_in_all_that_is_kept),
        cmocka_unit_test(windows_slide),
        cmocka_unit_test(late_records_count_where_they_belong),
        cmocka_unit_test(the_first_minute_of_time_is_a_time),
        cmocka_unit_test(a_series_has_a_number_a_minute),
        cmocka_unit_test(rubbish_is_sampled_at_each_doubling),
        cmocka_unit_test(memory_is_bounded_whatever_comes),
        cmocka_unit_test(a_checkpoint_brings_all_of_it_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
