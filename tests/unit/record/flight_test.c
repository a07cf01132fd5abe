#include "record/flight.h"

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

#include "base/json.h"

#define S UINT64_C(1000000000)

static struct flight_ring *make(uint32_t records, uint32_t worker)
{
    struct flight_ring *ring;
    struct err err;
    if (flight_ring_new(&ring, records, worker, &err) < 0) fail_msg("%s", err.text);
    return ring;
}

static struct flight_record record_with(uint64_t id, uint64_t end_s)
{
    struct flight_record r;
    flight_init(&r);
    r.id = id;
    r.start_wall_ns = (end_s - 1) * S;
    r.total_us = 1000000;
    return r;
}

static void the_first_three_attempts_and_the_last_are_kept(void **state)
{
    (void)state;
    struct flight_record r;
    flight_init(&r);
    assert_null(flight_last_attempt(&r));
    for (uint32_t i = 1; i <= 300; i++) {
        struct flight_attempt *a = flight_begin_attempt(&r, i, BALANCE_FALLBACK, i % 2 == 0);
        assert_ptr_equal(a, flight_last_attempt(&r));
        assert_int_equal(a->server, i);
        assert_int_equal(a->reason, BALANCE_FALLBACK);
        assert_int_equal(a->is_reused, i % 2 == 0);
        assert_int_equal(a->connect_us, i % 2 == 0 ? 0 : FLIGHT_NEVER);
    }
    assert_int_equal(r.attempt_count, 255);
    assert_int_equal(flight_kept_attempts(&r), 4);
    assert_int_equal(r.attempts[0].server, 1);
    assert_int_equal(r.attempts[2].server, 3);
    assert_int_equal(r.attempts[3].server, 300);
}

static void long_targets_and_request_ids_are_cut(void **state)
{
    (void)state;
    char text[100];
    memset(text, 'x', sizeof(text));
    struct flight_record r;
    flight_init(&r);
    flight_set_target(&r, (struct slice){ text, FLIGHT_TARGET_MAX });
    assert_int_equal(r.flags, 0);
    flight_set_target(&r, (struct slice){ text, FLIGHT_TARGET_MAX + 1 });
    assert_int_equal(r.flags, FLIGHT_TARGET_CUT);
    assert_int_equal(r.target_len, FLIGHT_TARGET_MAX);
    flight_set_request_id(&r, (struct slice){ text, 100 });
    assert_int_equal(r.request_id_len, FLIGHT_REQUEST_ID_MAX);
}

static void times_that_do_not_fit_are_not_never(void **state)
{
    (void)state;
    assert_int_equal(flight_us(5000, 12999), 7);
    assert_int_equal(flight_us(5000, 4000), 0);
    assert_int_equal(flight_us(0, UINT64_MAX), FLIGHT_NEVER - 1);
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

static void filters_take_what_they_say(void **state)
{
    (void)state;
    struct flight_record r = record_with(1, 100);
    r.status = 502;
    r.end = END_CONNECT_REFUSED;
    r.pool = 3;
    r.listener = 4;
    r.route = 5;
    r.client.bytes[15] = 9;
    flight_set_request_id(&r, SLICE("abc"));
    for (uint32_t server = 10; server < 16; server++) flight_begin_attempt(&r, server, BALANCE_LEAST, false);
    struct ip other = { { 8 } };
    const struct {
        struct flight_filter filter;
        bool matches;
    } cases[] = {
        { { 0 }, true },
        { { .status = 502 }, true },
        { { .status = 503 }, false },
        { { .status_class = 5 }, true },
        { { .status_class = 4 }, false },
        { { .end = END_CONNECT_REFUSED }, true },
        { { .end = END_OK }, false },
        { { .pool = 3 }, true },
        { { .pool = 4 }, false },
        { { .listener = 4 }, true },
        { { .listener = 3 }, false },
        { { .route = 5 }, true },
        { { .route = 6 }, false },
        { { .server = 11 }, true },
        { { .server = 14 }, false }, /* the fifth of six attempts: not kept */
        { { .server = 15 }, true },
        { { .has_client = true, .client = r.client }, true },
        { { .has_client = true, .client = other }, false },
        { { .request_id = SLICE("abc") }, true },
        { { .request_id = SLICE("ab") }, false },
        { { .min_total_us = 1000000 }, true },
        { { .min_total_us = 1000001 }, false },
        { { .since_wall_ns = 100 * S }, true },
        { { .since_wall_ns = 100 * S + 1 }, false },
        { { .status = 502, .pool = 4 }, false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (flight_matches(&cases[i].filter, &r) != cases[i].matches) fail_msg("case %zu", i);
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

/* Every word of a record that the writer makes says the same number. */
#define WRITES 200000

static void fill(struct flight_record *r, uint64_t number)
{
    for (size_t at = 0; at < sizeof(*r); at += sizeof(number))
        memcpy((char *)r + at, &number, sizeof(number));
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

static const char *name_of(void *ctx, uint32_t id)
{
    (void)ctx;
    static const char *const names[] = { NULL, "web", "api-route", "api", "10.0.0.1:80" };
    return id < sizeof(names) / sizeof(*names) ? names[id] : NULL;
}

static void assert_has(const struct json *j, const char *part)
{
    char *text = strndup(j->data, j->len);
    if (!strstr(text, part)) fail_msg("no %s in\n%s", part, text);
    free(text);
}

static void json_says_who_where_and_why(void **state)
{
    (void)state;
    struct flight_record r = record_with(0x1234, 1700000001);
    r.listener = 1;
    r.route = 2;
    r.pool = 3;
    r.status = 502;
    r.version = HTTP_VERSION_1_1;
    r.method = HTTP_POST;
    r.end = END_SERVER_CLOSED;
    r.head_us = 12;
    r.client.bytes[10] = r.client.bytes[11] = 0xff;
    r.client.bytes[12] = 192;
    flight_set_target(&r, SLICE("/x?y=1"));
    flight_set_request_id(&r, SLICE("req-1"));
    struct flight_attempt *a = flight_begin_attempt(&r, 4, BALANCE_LEAST, true);
    a->end = END_SERVER_CLOSED;
    a->first_byte_us = 1500;
    a = flight_begin_attempt(&r, 99, BALANCE_FALLBACK, false);
    a->end = END_OK;
    a->connect_us = 250;
    a->first_byte_us = 3000;
    a->status = 502;
    struct json j;
    json_init(&j, 1 << 16, false);
    flight_print_json(&r, &(struct flight_names){ .name_of = name_of }, &j);
    assert_has(
        &j, "\"id\":\"0000000000001234\",\"request_id\":\"req-1\",\"start\":\"2023-11-14T22:13:20.000000Z\"");
    assert_has(&j, "\"client\":\"192.0.0.0\"");
    assert_has(&j, "\"listener\":\"web\",\"route\":\"api-route\",\"variant\":null,\"pool\":\"api\","
                   "\"protocol\":\"HTTP/1.1\","
                   "\"method\":\"POST\",\"target\":\"/x?y=1\",\"is_target_cut\":false,\"status\":502");
    assert_has(
        &j,
        "\"end\":\"server_closed\",\"means\":\"the server closed before it answered\",\"origin\":\"server\"");
    assert_has(&j, "\"total_ms\":1000");
    assert_has(&j, "\"head_ms\":0.012,\"picked_ms\":null");
    assert_has(
        &j,
        "\"number\":1,\"server\":\"10.0.0.1:80\",\"reason\":\"least\",\"is_reused\":true,\"connect_ms\":0,"
        "\"first_byte_ms\":null,\"failed_after_ms\":1.5,\"status\":null,\"end\":\"server_closed\"");
    assert_has(
        &j, "\"number\":2,\"server\":\"#99\",\"reason\":\"fallback\",\"is_reused\":false,\"connect_ms\":0.25,"
            "\"first_byte_ms\":3,\"failed_after_ms\":null,\"status\":502,\"end\":\"ok\"");
    json_fini(&j);
}

static void json_of_a_tcp_tunnel_has_no_request(void **state)
{
    (void)state;
    struct flight_record r = record_with(1, 100);
    r.flags = FLIGHT_TCP | FLIGHT_TUNNEL;
    r.end = END_OK;
    struct json j;
    json_init(&j, 1 << 16, false);
    flight_print_json(&r, NULL, &j);
    assert_has(&j, "\"listener\":null");
    assert_has(&j, "\"protocol\":\"tcp\",\"is_tunnel\":true");
    assert_has(&j, "\"attempts\":[]");
    json_fini(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_three_attempts_and_the_last_are_kept),
        cmocka_unit_test(long_targets_and_request_ids_are_cut),
        cmocka_unit_test(times_that_do_not_fit_are_not_never),
        cmocka_unit_test(only_the_latest_records_can_be_read),
        cmocka_unit_test(ids_differ_between_workers_and_round_trip_as_text),
        cmocka_unit_test(a_bad_size_or_worker_is_refused),
        cmocka_unit_test(a_record_is_found_by_its_id),
        cmocka_unit_test(the_latest_come_first_across_workers),
        cmocka_unit_test(filters_take_what_they_say),
        cmocka_unit_test(untouched_records_cost_no_memory),
        cmocka_unit_test(readers_never_see_a_torn_record),
        cmocka_unit_test(json_says_who_where_and_why),
        cmocka_unit_test(json_of_a_tcp_tunnel_has_no_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
