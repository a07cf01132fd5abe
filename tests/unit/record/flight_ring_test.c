#include "record/flight_ring.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define S UINT64_C(1000000000)

static struct flight_ring *make(uint32_t records, uint32_t worker)
{
    struct flight_ring *ring;
    struct err err;
    if (flight_ring_new(&ring, records, worker, &err) < 0) fail_msg("%s", err.text);
    return ring;
}

/* A good one that took no time. */
static struct flight_record record_with(uint64_t id, uint64_t end_s)
{
    struct flight_record r;
    flight_init(&r);
    r.id = id;
    r.start_wall_ns = end_s * S;
    r.status = 200;
    r.end = END_OK;
    return r;
}

static void only_the_latest_records_can_be_read(void **state)
{
    (void)state;
    struct flight_ring *ring = make(8, 0);
    struct flight_record r;
    assert_false(flight_read(ring, 0, &r));
    for (uint64_t i = 0; i < 20; i++) {
        struct flight_record in = record_with(100 + i, 1);
        flight_write(ring, &in);
        assert_true(flight_read(ring, i, &r));
        assert_memory_equal(&r, &in, sizeof(r));
    }
    assert_int_equal(flight_written(ring), 20);
    for (uint64_t i = 0; i < 25; i++) {
        assert_int_equal(flight_read(ring, i, &r), i >= 12 && i < 20);
        if (i >= 12 && i < 20) assert_int_equal(r.id, 100 + i);
    }
    flight_ring_free(ring);
}

static void ids_differ_between_workers_and_round_trip_as_text(void **state)
{
    (void)state;
    struct flight_ring *a = make(8, 0), *b = make(8, 1023);
    uint64_t seen[200];
    for (size_t i = 0; i < 200; i++) {
        seen[i] = flight_next_id(i % 2 ? a : b);
        for (size_t k = 0; k < i; k++) assert_int_not_equal(seen[k], seen[i]);
        char text[FLIGHT_ID_TEXT_MAX];
        uint64_t back;
        assert_true(flight_id_parse(slice_of(flight_id_print(seen[i], text)), &back));
        assert_int_equal(back, seen[i]);
    }
    uint64_t id;
    assert_true(flight_id_parse(SLICE("00000000DEADbeef"), &id));
    assert_int_equal(id, 0xdeadbeef);
    assert_false(flight_id_parse(SLICE("deadbeef"), &id));
    assert_false(flight_id_parse(SLICE("00000000deadbeeg"), &id));
    flight_ring_free(a);
    flight_ring_free(b);
}

static void a_bad_size_or_worker_is_refused(void **state)
{
    (void)state;
    struct flight_ring *ring;
    struct err err;
    assert_int_equal(flight_ring_new(&ring, 0, 0, &err), -1);
    assert_int_equal(flight_ring_new(&ring, 12, 0, &err), -1);
    assert_int_equal(flight_ring_new(&ring, 8, FLIGHT_WORKERS_MAX, &err), -1);
}

static void a_record_is_found_by_its_id(void **state)
{
    (void)state;
    struct flight_ring *rings[] = { make(8, 0), make(8, 1) };
    uint64_t ids[2][10];
    for (int i = 0; i < 10; i++) {
        for (int w = 0; w < 2; w++) {
            ids[w][i] = flight_next_id(rings[w]);
            struct flight_record r = record_with(ids[w][i], 1);
            flight_write(rings[w], &r);
        }
    }
    struct flight_record out;
    for (int i = 0; i < 10; i++) {
        for (int w = 0; w < 2; w++) {
            assert_int_equal(flight_find(rings, 2, ids[w][i], &out), i >= 2);
            if (i >= 2) assert_int_equal(out.id, ids[w][i]);
        }
    }
    flight_ring_free(rings[0]);
    flight_ring_free(rings[1]);
}

static void the_latest_come_first_across_workers(void **state)
{
    (void)state;
    struct flight_ring *rings[] = { make(8, 0), make(8, 1), make(8, 2) };
    for (uint64_t i = 0; i < 9; i++) {
        struct flight_record r = record_with(i, 100 + i);
        flight_write(rings[(i * 7) % 2], &r);
    }
    struct flight_record out[9];
    assert_int_equal(flight_select(rings, 3, &(struct flight_filter){ 0 }, out, 9), 9);
    for (uint64_t i = 0; i < 9; i++) assert_int_equal(out[i].id, 8 - i);
    assert_int_equal(flight_select(rings, 3, &(struct flight_filter){ 0 }, out, 2), 2);
    assert_int_equal(out[1].id, 7);
    assert_int_equal(flight_select(rings, 0, &(struct flight_filter){ 0 }, out, 9), 0);
    for (int i = 0; i < 3; i++) flight_ring_free(rings[i]);
}

static void untouched_records_cost_no_memory(void **state)
{
    (void)state;
    unsigned long pages[2], size;
    struct flight_ring *rings[8];
    for (int i = 0; i < 2; i++) {
        FILE *statm = fopen("/proc/self/statm", "r");
        assert_non_null(statm);
        assert_int_equal(fscanf(statm, "%lu %lu", &size, &pages[i]), 2);
        fclose(statm);
        for (uint32_t k = 0; i == 0 && k < 8; k++) rings[k] = make(FLIGHT_RING_RECORDS, k);
    }
    assert_true(pages[1] - pages[0] < 64); /* of 2,112 */
    for (int i = 0; i < 8; i++) flight_ring_free(rings[i]);
}

/* Every word of a record that the writer makes says the same number, but for lengths, which have bounds. */
#define WRITES 200000

static void fill(struct flight_record *r, uint64_t number)
{
    for (size_t at = 0; at < sizeof(*r); at += sizeof(number))
        memcpy((char *)r + at, &number, sizeof(number));
    r->request_id_len = r->target_len = 0;
}

static bool is_whole(const struct flight_record *r, uint64_t number)
{
    struct flight_record expected;
    fill(&expected, number);
    return memcmp(&expected, r, sizeof(expected)) == 0;
}

struct reading {
    struct flight_ring *ring;
    _Atomic bool is_over;
    uint64_t read, torn;
};

static void *read_latest(void *arg)
{
    struct reading *reading = arg;
    struct flight_record r;
    while (!atomic_load(&reading->is_over) || reading->read == 0) {
        uint64_t written = flight_written(reading->ring);
        for (uint64_t position = written > 16 ? written - 16 : 0; position < written + 1; position++) {
            if (!flight_read(reading->ring, position, &r)) continue;
            reading->read++;
            reading->torn += !is_whole(&r, position);
        }
    }
    return NULL;
}

static void readers_never_see_a_torn_record(void **state)
{
    (void)state;
    struct flight_ring *ring = make(16, 0);
    struct reading readings[2] = { { .ring = ring }, { .ring = ring } };
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_latest, &readings[i]), 0);
    for (uint64_t i = 0; i < WRITES; i++) {
        struct flight_record r;
        fill(&r, i);
        flight_write(ring, &r);
    }
    for (int i = 0; i < 2; i++) {
        atomic_store(&readings[i].is_over, true);
        pthread_join(threads[i], NULL);
        assert_int_equal(readings[i].torn, 0);
        assert_int_not_equal(readings[i].read, 0);
    }
    flight_ring_free(ring);
}

/* What a test writes: `number` is when it ended, and how it is known again. */
static void write_one(struct flight_ring *ring, uint64_t number, enum end_reason end, uint64_t total_us)
{
    struct flight_record r = record_with(flight_next_id(ring), number);
    r.end = (uint8_t)end;
    r.status = end_reason_info(end)->status ? end_reason_info(end)->status : 200;
    r.total_us = total_us;
    r.start_wall_ns -= total_us * 1000;
    r.bytes_in = number;
    flight_write(ring, &r);
}

#define FLOOD 200000u

static void failed_ones_outlast_a_flood_of_good_ones(void **state)
{
    (void)state;
    struct flight_ring *ring = make(FLIGHT_RING_RECORDS, 0);
    struct flight_record *out = calloc(FLIGHT_RING_RECORDS, sizeof(*out));
    for (uint64_t i = 0; i < 1000; i++) {
        write_one(ring, 1000 + i, END_CONNECT_REFUSED, 0);
        write_one(ring, 1000 + i, END_OK, 0);
    }
    for (uint64_t i = 0; i < FLOOD; i++) write_one(ring, 3000 + i, END_OK, 0);
    struct flight_filter failed = { .is_failure = true };
    assert_int_equal(flight_select(&ring, 1, &failed, out, FLIGHT_RING_RECORDS), 1000);
    for (uint64_t i = 0; i < 1000; i++) {
        struct flight_record found;
        assert_int_equal(out[i].bytes_in, 1999 - i); /* the latest first */
        assert_true(flight_find(&ring, 1, out[i].id, &found));
    }
    assert_int_equal(flight_complete_since_ns(&ring, 1, FLIGHT_FAILED), 0);
    assert_int_equal(flight_complete_since_ns(&ring, 1, FLIGHT_RECENT),
                     (3000 + FLOOD - FLIGHT_RING_RECORDS) * S);
    free(out);
    flight_ring_free(ring);
}

static void a_flood_of_failures_is_bounded_and_leaves_slow_ones(void **state)
{
    (void)state;
    struct flight_ring *ring = make(64, 0);
    struct flight_record *out = calloc(FLIGHT_RING_RECORDS, sizeof(*out));
    for (uint64_t i = 0; i < 1000; i++) write_one(ring, 1, END_OK, 10);
    write_one(ring, 2, END_OK, 5 * 1000000);
    for (uint64_t i = 0; i < FLOOD; i++) write_one(ring, 3 + i, END_CONNECT_REFUSED, 0);
    struct flight_filter failed = { .is_failure = true };
    assert_int_equal(flight_select(&ring, 1, &failed, out, FLIGHT_RING_RECORDS), 64 + FLIGHT_FAILED_RECORDS);
    assert_int_equal(flight_select_slowest(&ring, 1, &(struct flight_filter){ 0 }, out, 1), 1);
    assert_int_equal(out[0].bytes_in, 2);
    assert_int_equal(flight_complete_since_ns(&ring, 1, FLIGHT_FAILED),
                     (3 + FLOOD - 64 - FLIGHT_FAILED_RECORDS) * S);
    free(out);
    flight_ring_free(ring);
}

/* Of ordinary ones, one of 256, so that the few that are kept tell of 65,536; of the slow, those over their 99th percentile. */
static void slow_ones_and_a_sample_are_kept(void **state)
{
    (void)state;
    struct flight_ring *ring = make(64, 0);
    struct flight_record *out = calloc(FLIGHT_RING_RECORDS, sizeof(*out));
    for (uint64_t i = 0; i < FLOOD; i++)
        write_one(ring, i, END_OK, i % 1000 == 999 ? 1000000 : 100 + i * 7919 % 100);
    uint32_t count = flight_select(&ring, 1, &(struct flight_filter){ 0 }, out, FLIGHT_RING_RECORDS);
    uint32_t slow = flight_select(&ring, 1, &(struct flight_filter){ .min_total_us = 1000000 }, out,
                                  FLIGHT_RING_RECORDS);
    assert_in_range(count, 64 + FLIGHT_SAMPLED_RECORDS, 64 + FLIGHT_SAMPLED_RECORDS + FLIGHT_SLOW_RECORDS);
    assert_in_range(slow, 80,
                    FLOOD / 1000); /* 1,024 of one in a hundred, and of these each tenth is so slow */
    free(out);
    flight_ring_free(ring);
}

static void the_slowest_come_first_and_tunnels_do_not_count(void **state)
{
    (void)state;
    struct flight_ring *rings[] = { make(8, 0), make(8, 1) };
    for (uint64_t i = 0; i < 40; i++) write_one(rings[i % 2], 1 + i, END_OK, i * 7 % 40 * 1000);
    struct flight_record tunnel = record_with(flight_next_id(rings[0]), 50), out[100];
    tunnel.flags = FLIGHT_TUNNEL;
    tunnel.total_us = 1000000000;
    flight_write(rings[0], &tunnel);
    assert_int_equal(flight_select_slowest(rings, 2, &(struct flight_filter){ 0 }, out, 5), 5);
    for (uint64_t i = 0; i < 5; i++) assert_true(out[i].total_us == (39 - i) * 1000);
    uint32_t count = flight_select_slowest(rings, 2, &(struct flight_filter){ .min_total_us = 30000 }, out,
                                           100);
    assert_int_equal(count, 10);
    for (uint32_t i = 1; i < count; i++) assert_true(out[i - 1].total_us > out[i].total_us);
    assert_int_equal(flight_select_slowest(rings, 2, &(struct flight_filter){ 0 }, out, 0), 0);
    for (int i = 0; i < 2; i++) flight_ring_free(rings[i]);
}

static void ids_that_were_never_given_are_known(void **state)
{
    (void)state;
    struct flight_ring *rings[] = { make(8, 0), make(8, 7) };
    uint64_t id = flight_next_id(rings[1]);
    assert_true(flight_has_given(rings, 2, id));
    assert_false(flight_has_given(rings, 2, id + FLIGHT_WORKERS_MAX)); /* the next */
    assert_false(flight_has_given(rings, 2, id - FLIGHT_WORKERS_MAX));
    assert_false(flight_has_given(rings, 2, id + 1)); /* of another worker */
    for (int i = 0; i < 10000; i++) id = flight_next_id(rings[1]);
    assert_true(flight_has_given(rings, 2, id));
    for (int i = 0; i < 2; i++) flight_ring_free(rings[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_latest_records_can_be_read),
        cmocka_unit_test(ids_differ_between_workers_and_round_trip_as_text),
        cmocka_unit_test(a_bad_size_or_worker_is_refused),
        cmocka_unit_test(a_record_is_found_by_its_id),
        cmocka_unit_test(the_latest_come_first_across_workers),
        cmocka_unit_test(untouched_records_cost_no_memory),
        cmocka_unit_test(readers_never_see_a_torn_record),
        cmocka_unit_test(failed_ones_outlast_a_flood_of_good_ones),
        cmocka_unit_test(a_flood_of_failures_is_bounded_and_leaves_slow_ones),
        cmocka_unit_test(slow_ones_and_a_sample_are_kept),
        cmocka_unit_test(the_slowest_come_first_and_tunnels_do_not_count),
        cmocka_unit_test(ids_that_were_never_given_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
