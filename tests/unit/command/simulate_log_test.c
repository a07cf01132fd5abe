/* What a log's records become as requests of a simulation. */
#include "command/simulate_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define REQUESTS_MAX 60000u
#define SECOND_NS UINT64_C(1000000000)

struct played {
    struct simulate_request requests[REQUESTS_MAX];
    uint32_t count;
    double failing; /* the last that was said */
};

static void look(void *context, const struct log_entry *e, struct simulate_request *r)
{
    (void)context, (void)e;
    r->is_for[0] = r->is_for[1] = true;
}

static bool has_server(void *context, struct slice address)
{
    (void)context;
    return slice_equal(address, SLICE("10.0.0.1:80"));
}

static void on_failing(void *context, struct slice address, double part)
{
    assert_true(slice_equal(address, SLICE("10.0.0.1:80")));
    ((struct played *)context)->failing = part;
}

static void on_request(void *context, const struct simulate_request *r)
{
    struct played *p = context;
    assert_true(p->count < REQUESTS_MAX);
    p->requests[p->count++] = *r;
}

static struct played *open_log(struct simulate_log *l, uint32_t slots, uint64_t seed)
{
    struct played *p = calloc(1, sizeof(*p));
    struct err err;
    struct simulate_log_conf conf = { .seed = seed,
                                      .slots = slots,
                                      .server_count = 1,
                                      .context = p,
                                      .look = look,
                                      .has_server = has_server,
                                      .on_failing = on_failing,
                                      .on_request = on_request };
    assert_non_null(p);
    assert_int_equal(simulate_log_init(l, &conf, &err), 0);
    return p;
}

static void add(struct simulate_log *l, uint64_t time_s, uint64_t us, uint32_t status, const char *upstream)
{
    struct log_entry e = { .time_s = time_s, .request_us = us, .upstream_us = UINT64_MAX, .status = status };
    if (upstream) e.values[LOG_UPSTREAM] = slice_of(upstream);
    simulate_log_add(l, &e);
}

/* One slot: the wait of each, in order of arrival (Lindley). */
static double p99_wait_ms(const double *at_ms, const double *service_ms, uint32_t count)
{
    double free_ms = 0;
    uint32_t cells[2000] = { 0 }, seen = 0;
    for (uint32_t i = 0; i < count; i++) {
        double wait_ms = free_ms > at_ms[i] ? free_ms - at_ms[i] : 0;
        free_ms = at_ms[i] + wait_ms + service_ms[i];
        cells[wait_ms < 1999 ? (uint32_t)wait_ms : 1999]++;
    }
    for (uint32_t i = 0; i < 2000; i++)
        if ((seen += cells[i]) >= count * 0.99) return i + 1;
    return 2000;
}

/* A real queue of one slot at a load of 0.3 writes a log that says when each answer was complete, in whole seconds, and
 * how long it took, its wait included. Taken for service, these times make a load of 0.43. */
static void a_logged_queue_waits_in_the_simulation_as_it_did(void **state)
{
    (void)state;
    static double at_ms[50000], service_ms[50000];
    struct simulate_log l;
    struct played *p = open_log(&l, 1, 5);
    struct rng rng;
    double now_ms = 0, free_ms = 0, sum_ms = 0;
    rng_seed(&rng, 7);
    for (uint32_t i = 0; i < 50000; i++) {
        at_ms[i] = now_ms += (double)simulate_drawn_ns(&rng, 1000.0 / 30) / 1e6;
        service_ms[i] = (double)simulate_drawn_ns(&rng, 10) / 1e6;
        free_ms = (free_ms > now_ms ? free_ms : now_ms) + service_ms[i];
        add(&l, 1000 + (uint64_t)(free_ms / 1000), (uint64_t)((free_ms - now_ms) * 1000), 200, NULL);
    }
    double real_ms = p99_wait_ms(at_ms, service_ms, 50000);
    simulate_log_end(&l);
    assert_int_equal(p->count, 50000);
    for (uint32_t i = 0; i < 50000; i++) {
        at_ms[i] = (double)p->requests[i].at_ns / 1e6;
        sum_ms += service_ms[i] = (double)p->requests[i].service_ns / 1e6;
    }
    if (fabs(sum_ms / 50000 - 10) > 0.5) fail_msg("%.2f ms for 10", sum_ms / 50000);
    double played_ms = p99_wait_ms(at_ms, service_ms, 50000);
    if (played_ms < 0.75 * real_ms || played_ms > 1.25 * real_ms)
        fail_msg("p99 %.0f ms for %.0f", played_ms, real_ms);
    assert_true(fabs(l.service_us / l.recorded_us - 0.7) < 0.03);
    simulate_log_fini(&l);
    free(p);
}

static void the_part_that_was_service_is_as_in_queueing_theory(void **state)
{
    (void)state;
    /* M/M/1: load / (1 - load) are there. */
    for (double load = 0.05; load < 0.99; load += 0.05)
        assert_true(fabs(simulate_service_part(load / (1 - load), 1) - (1 - load)) < 1e-6);
    /* M/M/4 at 0.8, by Erlang C: 4 * 0.8 + 0.5964 * 0.8 / 0.2. */
    assert_true(fabs(simulate_service_part(5.586, 4) - 3.2 / 5.586) < 0.01);
    assert_true(simulate_service_part(0, 8) == 1);
    assert_true(simulate_service_part(2, 64) > 0.9999);
    /* More than there are slots have waited for certain. */
    assert_true(simulate_service_part(1000, 8) < 0.008);
}

/* A second's n arrivals are n uniform draws: gaps vary nearly as their mean does, where even ones would not vary at all. */
static void requests_of_one_second_come_at_random_times_in_order(void **state)
{
    (void)state;
    struct simulate_log l;
    struct played *p = open_log(&l, 8, 1);
    double sum = 0, squares = 0;
    uint32_t quarters[4] = { 0 };
    for (uint64_t second = 0; second < 1000; second++)
        for (uint32_t i = 0; i < 40; i++) add(&l, 50 + second, 1000, 200, NULL);
    simulate_log_end(&l);
    assert_int_equal(p->count, 40000);
    for (uint32_t i = 0; i < 40000; i++) {
        uint64_t at_ns = p->requests[i].at_ns;
        assert_int_equal(at_ns / SECOND_NS, i / 40);
        quarters[at_ns % SECOND_NS / (SECOND_NS / 4)]++;
        if (!i) continue;
        assert_true(at_ns >= p->requests[i - 1].at_ns);
        double gap = (double)(at_ns - p->requests[i - 1].at_ns) / 25e6;
        sum += gap, squares += gap * gap;
    }
    for (uint32_t i = 0; i < 4; i++) assert_in_range(quarters[i], 9700, 10300);
    double mean = sum / 39999, variance = squares / 39999 - mean * mean;
    assert_true(fabs(mean - 1) < 0.01 && fabs(variance - 0.95) < 0.1);
    simulate_log_fini(&l);
    free(p);
}

/* How long its failures took says nothing of what the requests would take elsewhere. */
static void failures_are_their_servers_where_it_is_one_of_the_pool(void **state)
{
    (void)state;
    struct simulate_log l;
    struct played *p = open_log(&l, 8, 1);
    for (uint32_t i = 0; i < 100; i++)
        add(&l, 9, i % 4 == 1 ? 100 : 20000, i % 4 == 1 ? 503 : 200, "10.0.0.1:80");
    simulate_log_end(&l);
    assert_true(fabs(p->failing - 0.25) < 1e-9);
    assert_int_equal(l.failures, 25);
    for (uint32_t i = 0; i < 100; i++) {
        assert_false(p->requests[i].is_failure);
        assert_in_range(p->requests[i].service_ns, 19000000, 20000000);
    }
    simulate_log_fini(&l);
    free(p);
}

static void failures_of_nobody_in_particular_are_the_requests(void **state)
{
    (void)state;
    static const char *const servers[] = { NULL, "-", "10.0.0.9:80", "10.0.0.1:80, 10.0.0.9:80" };
    for (size_t k = 0; k < sizeof(servers) / sizeof(*servers); k++) {
        struct simulate_log l;
        struct played *p = open_log(&l, 8, 1);
        p->failing = -1;
        add(&l, 9, 20000, 200, servers[k]);
        add(&l, 9, 100, 502, servers[k]);
        add(&l, 9, 100, 404, servers[k]);
        simulate_log_end(&l);
        assert_int_equal(p->count, 3);
        assert_true(p->failing == -1);
        assert_false(p->requests[0].is_failure);
        assert_true(p->requests[1].is_failure);
        assert_false(p->requests[2].is_failure);
        simulate_log_fini(&l);
        free(p);
    }
}

/* The server's own word goes before what nginx made of it. */
static void the_servers_status_decides_and_of_several_the_last(void **state)
{
    (void)state;
    static const struct {
        const char *upstream_status;
        uint32_t status;
        bool is_failure;
    } cases[] = { { "502, 200", 200, false }, { "200", 500, false }, { "503", 200, true },
                  { "502, 504", 200, true },  { "-", 500, true },    { "", 204, false } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct simulate_log l;
        struct played *p = open_log(&l, 8, 1);
        struct log_entry e = { .time_s = 9, .request_us = 9, .upstream_us = 9, .status = cases[i].status };
        e.values[LOG_UPSTREAM_STATUS] = slice_of(cases[i].upstream_status);
        simulate_log_add(&l, &e);
        simulate_log_end(&l);
        assert_int_equal(p->requests[0].is_failure, cases[i].is_failure);
        simulate_log_fini(&l);
        free(p);
    }
}

/* What one minute's outage says of a server is gone some minutes later. */
static void what_a_server_did_fades(void **state)
{
    (void)state;
    struct simulate_log l;
    struct played *p = open_log(&l, 8, 1);
    for (uint64_t second = 0; second < 600; second++)
        for (uint32_t i = 0; i < 10; i++)
            add(&l, 1000 + second, 1000, second < 60 ? 500 : 200, "10.0.0.1:80");
    simulate_log_end(&l);
    assert_true(p->failing < 0.001);
    simulate_log_fini(&l);
    free(p);
}

static void no_seeds_stream_is_anothers(void **state)
{
    (void)state;
    static const char *const streams[] = { "picks", "requests", "times", "services" };
    uint64_t firsts[40];
    for (uint64_t seed = 0; seed < 10; seed++)
        for (uint32_t i = 0; i < 4; i++) {
            struct rng rng;
            simulate_seed(&rng, seed, streams[i]);
            firsts[seed * 4 + i] = rng_next(&rng);
        }
    for (uint32_t i = 0; i < 40; i++)
        for (uint32_t k = 0; k < i; k++) assert_true(firsts[i] != firsts[k]);
}

static void the_same_seed_is_the_same_run(void **state)
{
    (void)state;
    struct simulate_log l;
    struct played *p[3];
    for (uint32_t run = 0; run < 3; run++) {
        p[run] = open_log(&l, 8, run == 2 ? 2 : 1);
        for (uint32_t i = 0; i < 100; i++) add(&l, 5 + i / 10, UINT64_MAX, 200, NULL);
        simulate_log_end(&l);
        simulate_log_fini(&l);
    }
    assert_memory_equal(p[0], p[1], sizeof(*p[0]));
    assert_memory_not_equal(p[0], p[2], sizeof(*p[0]));
    for (uint32_t run = 0; run < 3; run++) free(p[run]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_logged_queue_waits_in_the_simulation_as_it_did),
        cmocka_unit_test(the_part_that_was_service_is_as_in_queueing_theory),
        cmocka_unit_test(requests_of_one_second_come_at_random_times_in_order),
        cmocka_unit_test(failures_are_their_servers_where_it_is_one_of_the_pool),
        cmocka_unit_test(failures_of_nobody_in_particular_are_the_requests),
        cmocka_unit_test(the_servers_status_decides_and_of_several_the_last),
        cmocka_unit_test(what_a_server_did_fades),
        cmocka_unit_test(no_seeds_stream_is_anothers),
        cmocka_unit_test(the_same_seed_is_the_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
