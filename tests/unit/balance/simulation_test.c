/* Methods over time: queues, slow servers. */
#include "balance/simulation.h"

#include "conf/decode.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SERVERS_MAX 64u
#define SERVICE_NS UINT64_C(10000000)

struct run {
    struct balance_peer lines[SERVERS_MAX];
    struct balance_peer *peers[SERVERS_MAX];
    uint32_t weights[SERVERS_MAX];
    uint64_t names[SERVERS_MAX];
    double speeds[SERVERS_MAX],
        failures[SERVERS_MAX]; /* failures: none, unless a test sets them before it drives */
    const struct balance_method *method;
    void *conf, *table;
    struct simulation *simulation;
};

static const struct balance_method *method_named(const char *name)
{
    for (const struct balance_method *const *m = balance_methods; *m; m++)
        if (strcmp((*m)->name, name) == 0) return *m;
    return NULL;
}

/* The options as the configuration's presets have them. */
static void *presets_of(const struct balance_method *m)
{
    if (!m->type) return NULL;
    struct conf_tree tree;
    struct conf_faults faults = { 0 };
    static struct conf_arena *arena;
    if (!arena) arena = conf_arena_new();
    void *conf = conf_arena_alloc(arena, m->type->size);
    assert_int_equal(conf_read_yaml(&tree, "presets", SLICE("{}"), &faults), 0);
    assert_int_equal(conf_decode(&tree, m->type, conf, arena, &faults), 0);
    conf_tree_free(&tree);
    return conf;
}

static struct run *run_new(const char *method, uint32_t count, uint32_t slow, uint32_t slots, uint64_t seed)
{
    struct run *r = aligned_alloc(64, sizeof(*r));
    struct err err;
    memset(r, 0, sizeof(*r));
    for (uint32_t i = 0; i < count; i++) {
        r->peers[i] = &r->lines[i];
        r->weights[i] = 1;
        r->names[i] = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
        r->speeds[i] = i < slow ? 0.5 : 1;
    }
    struct balance_set set = { (const struct balance_peer *const *)r->peers, r->weights, r->names, count };
    r->method = method_named(method);
    r->conf = presets_of(r->method);
    if (r->method->build) assert_int_equal(r->method->build(&set, r->conf, &r->table, &err), 0);
    struct simulation_conf conf = { .method = r->method,
                                    .table = r->table,
                                    .peers = r->peers,
                                    .speeds = r->speeds,
                                    .failures = r->failures,
                                    .count = count,
                                    .slots = slots,
                                    .worker_count = 2,
                                    .seed = seed };
    assert_int_equal(simulation_new(&r->simulation, &conf, &err), 0);
    return r;
}

static void run_free(struct run *r)
{
    simulation_free(r->simulation);
    if (r->method->drop) r->method->drop(r->table);
    free(r);
}

static double uniform(struct rng *rng)
{
    return ((double)(rng_next(rng) >> 11) + 1) / 9007199254740993.0;
}

/* Poisson arrivals, exponential service: `load` of what all servers at full speed could bear. */
static const struct simulation_result *drive(struct run *r, uint32_t count, uint32_t slots, double load,
                                             uint32_t requests, uint64_t seed)
{
    struct rng rng;
    double now_ns = 0, gap_ns = (double)SERVICE_NS / (count * slots * load);
    rng_seed(&rng, seed);
    for (uint32_t i = 0; i < requests; i++) {
        now_ns += -log(uniform(&rng)) * gap_ns;
        uint64_t hash = rng_next(&rng);
        struct simulation_request q = { .at_ns = (uint64_t)now_ns,
                                        .hash = hash,
                                        .service_ns = (uint64_t)(-log(uniform(&rng)) * (double)SERVICE_NS) };
        simulation_add(r->simulation, &q);
    }
    return simulation_end(r->simulation);
}

static uint64_t p99_us(const char *method, uint32_t slow)
{
    struct run *r = run_new(method, 20, slow, 4, 1);
    const struct simulation_result *result = drive(r, 20, 4, 0.8, 200000, 2);
    uint64_t p99 = histogram_quantile(result->response, 0.99);
    assert_int_equal(result->requests, 200000);
    assert_int_equal(result->refused, 0);
    run_free(r);
    return p99;
}

/* 20 servers at 80 % load; two of them at half speed still leave the others room, but not a share of 1/20 each. */
static void the_default_hardly_feels_two_slow_servers_where_blind_methods_diverge(void **state)
{
    (void)state;
    static const char *const aware[] = { "least_request", "peak_ewma" }, *const blind[] = { "round_robin",
                                                                                            "random" };
    for (unsigned i = 0; i < 2; i++) {
        uint64_t healthy = p99_us(aware[i], 0), slow = p99_us(aware[i], 2);
        if (slow * 2 > healthy * 3) fail_msg("%s: p99 %lu, with slow servers %lu", aware[i], healthy, slow);
        uint64_t blind_slow = p99_us(blind[i], 2);
        if (blind_slow < 10 * slow) fail_msg("%s: %lu is not worse than %lu", blind[i], blind_slow, slow);
    }
}

/* M/M/1: the mean number of requests in the system is load / (1 - load); by Little's law so are the waits. */
static void one_server_waits_as_queueing_theory_says(void **state)
{
    (void)state;
    struct run *r = run_new("random", 1, 0, 1, 3);
    const struct simulation_result *result = drive(r, 1, 1, 0.5, 400000, 4);
    double mean_us = 0;
    for (uint32_t i = 0; i < HISTOGRAM_CELLS; i++)
        mean_us += (double)result->response[i] * (double)histogram_cell_middle(i) / 400000;
    /* 10 ms / (1 - 0.5) */
    assert_true(fabs(mean_us - 20000) < 600);
    assert_true(fabs((double)result->servers[0].busy_ns / (double)result->last_ns - 0.5) < 0.01);
    run_free(r);
}

static void runs_of_one_seed_are_the_same_and_leave_no_counts(void **state)
{
    (void)state;
    uint64_t requests[2][8];
    for (unsigned i = 0; i < 2; i++) {
        struct run *r = run_new("least_request", 8, 1, 2, 5);
        const struct simulation_result *result = drive(r, 8, 2, 0.9, 20000, 6);
        for (uint32_t k = 0; k < 8; k++) {
            requests[i][k] = result->servers[k].requests;
            assert_int_equal(r->lines[k].in_flight, 0);
        }
        run_free(r);
    }
    assert_memory_equal(requests[0], requests[1], sizeof(requests[0]));
}

static void at_the_cap_requests_wait_in_order_and_none_is_lost(void **state)
{
    (void)state;
    struct run *r = run_new("least_request", 4, 0, 8, 7);
    for (uint32_t i = 0; i < 4; i++) atomic_init(&r->lines[i].cap, 2);
    const struct simulation_result *result = drive(r, 4, 2, 0.95, 50000, 8);
    assert_int_equal(result->requests, 50000);
    assert_true(result->queued > 0);
    for (uint32_t i = 0; i < 4; i++) assert_true(result->servers[i].outstanding_max <= 2);
    run_free(r);
}

/* Ten servers at three quarters of what they bear, of which the first `failing` answer a part of their requests with
 * quick failures. */
struct failing_run {
    double share_least, share_most; /* of the failing, in percent of the requests */
    uint64_t p50_us, p99_us;        /* of what was answered well */
};

static struct failing_run run_failing(const char *method, uint32_t failing, double part, uint64_t seed)
{
    struct run *r = run_new(method, 10, 0, 4, seed);
    for (uint32_t i = 0; i < failing; i++) r->failures[i] = part;
    const struct simulation_result *result = drive(r, 10, 4, 0.75, 300000, seed + 1);
    struct failing_run out = { .share_least = 100,
                               .p50_us = histogram_quantile(result->response, 0.5),
                               .p99_us = histogram_quantile(result->response, 0.99) };
    for (uint32_t i = 0; i < failing; i++) {
        double share = 100.0 * (double)result->servers[i].requests / (double)result->requests;
        out.share_least = share < out.share_least ? share : out.share_least;
        out.share_most = share > out.share_most ? share : out.share_most;
    }
    assert_int_equal(result->requests, 300000);
    run_free(r);
    return out;
}

/* Failures that come quickly look like a server that is free, and counted as latency they shut it out. */
static void rare_failures_cost_a_server_hardly_anything_of_its_share(void **state)
{
    (void)state;
    for (uint64_t seed = 10; seed <= 20; seed += 10) {
        struct failing_run least = run_failing("least_request", 3, 0.001, seed);
        struct failing_run peak = run_failing("peak_ewma", 3, 0.001, seed);
        assert_true(peak.share_least > 8.5 && peak.share_most < 11.5);
        assert_true(peak.p50_us * 20 < least.p50_us * 21);
        assert_true(peak.p99_us * 20 < least.p99_us * 21);
        peak = run_failing("peak_ewma", 1, 0.01, seed);
        assert_true(peak.share_least > 7 && peak.share_most < 11);
        assert_true(peak.p99_us * 20 < least.p99_us * 21);
    }
}

static void who_always_fails_gets_nearly_nothing_and_the_others_are_as_quick_as_before(void **state)
{
    (void)state;
    for (uint64_t seed = 10; seed <= 20; seed += 10) {
        struct failing_run healthy = run_failing("peak_ewma", 0, 0, seed);
        struct failing_run one = run_failing("peak_ewma", 1, 1, seed);
        assert_true(one.share_least > 0); /* or nobody would learn that it is back */
        assert_true(one.share_most < 0.05);
        /* Nine bear what ten did: at five sixths of what they can. */
        assert_true(one.p50_us * 10 < healthy.p50_us * 11);
        assert_true(one.p99_us * 10 < healthy.p99_us * 11);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_hardly_feels_two_slow_servers_where_blind_methods_diverge),
        cmocka_unit_test(one_server_waits_as_queueing_theory_says),
        cmocka_unit_test(runs_of_one_seed_are_the_same_and_leave_no_counts),
        cmocka_unit_test(rare_failures_cost_a_server_hardly_anything_of_its_share),
        cmocka_unit_test(who_always_fails_gets_nearly_nothing_and_the_others_are_as_quick_as_before),
        cmocka_unit_test(at_the_cap_requests_wait_in_order_and_none_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
