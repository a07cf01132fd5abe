#include "pool/pool_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "balance/balance.h"
#include "conf/decoded.h"
#include "pool/sticky.h"
#include "pool/sticky_conf.h"

struct config {
    struct conf_items pools;
};

static const struct conf_field config_fields[] = {
    { "pools", CONF_NAMED(struct config, pools, &pool_conf_type), .help = "Pools." },
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

static const struct pool_conf *only_pool(const struct decoded *d)
{
    if (d->faults) fail_msg("%s", d->faults);
    assert_int_equal(d->config.pools.count, 1);
    return d->config.pools.data;
}

static void drop(struct decoded *d)
{
    conf_arena_free(d->arena);
    free(d->faults);
}

static void a_pool_needs_no_more_than_an_address(void **state)
{
    (void)state;
    struct decoded d = decode("pools: {web: {servers: [\"10.0.0.1:80\"]}}");
    const struct pool_conf *p = only_pool(&d);
    const struct server_conf *s = p->servers.data;
    assert_string_equal(p->name, "web");
    assert_string_equal(p->host, "keep");
    assert_string_equal(((const struct balance_method *)p->balance.option->object)->name, "least_request");
    assert_int_equal(p->timeouts.connect_ms, 5000);
    assert_int_equal(p->timeouts.queue_ms, 5000);
    assert_int_equal(p->timeouts.first_byte_ms, 60000);
    assert_int_equal(p->timeouts.response_ms, 60000);
    assert_int_equal(p->timeouts.keep_alive_ms, 60000);
    assert_int_equal(p->timeouts.idle_ms, 600000);
    assert_int_equal(p->timeouts.half_closed_ms, 30000);
    assert_int_equal(p->timeouts.total_ms, 0);
    assert_int_equal(p->queue.length, 1024);
    assert_int_equal(p->retry.how.attempts, 3);
    assert_int_equal(p->retry.how.buffer_bytes, 16384);
    assert_int_equal(p->limits.head_bytes, 65536);
    assert_int_equal(p->limits.headers, 128);
    assert_int_equal(p->idle_connections, 256);
    assert_int_equal(p->max_requests, 0);
    assert_string_equal(s->name, "10.0.0.1:80");
    assert_int_equal(s->weight, 1);
    assert_int_equal(s->max_connections, 0);
    assert_int_equal(s->tier, 1);
    assert_null(s->zone);
    assert_int_equal(p->kind, POOL_SERVERS);
    assert_int_equal(p->tiers.overprovision, 140);
    assert_int_equal(p->tiers.panic, 0);
    assert_int_equal(p->warmup_ms, 0);
    assert_null(p->zones);
    assert_null(p->subset);
    assert_null(p->sticky);
    drop(&d);
}

static void a_pool_is_what_was_written(void **state)
{
    (void)state;
    struct decoded d = decode(
        "pools:\n"
        "  web:\n"
        "    balance: round_robin\n"
        "    host: server\n"
        "    timeouts: {connect: 200ms, queue: 1s, keep_alive: 2m, total: 1h}\n"
        "    queue: 7\n"
        "    retry: {attempts: 1, buffer: 0}\n"
        "    limits: {head: 8KiB, headers: 16}\n"
        "    idle_connections: 0\n"
        "    max_requests: 1000\n"
        "    servers:\n"
        "      - \"10.0.0.1:80\"\n"
        "      - {name: big, address: \"10.0.0.2:80\", weight: 3, max_connections: 500}\n");
    const struct pool_conf *p = only_pool(&d);
    const struct server_conf *s = p->servers.data;
    assert_string_equal(((const struct balance_method *)p->balance.option->object)->name, "round_robin");
    assert_string_equal(p->host, "server");
    assert_int_equal(p->timeouts.connect_ms, 200);
    assert_int_equal(p->timeouts.queue_ms, 1000);
    assert_int_equal(p->timeouts.keep_alive_ms, 120000);
    assert_int_equal(p->timeouts.total_ms, 3600000);
    assert_int_equal(p->queue.length, 7);
    assert_int_equal(p->retry.how.attempts, 1);
    assert_int_equal(p->retry.how.buffer_bytes, 0);
    assert_int_equal(p->limits.head_bytes, 8192);
    assert_int_equal(p->limits.headers, 16);
    assert_int_equal(p->idle_connections, 0);
    assert_int_equal(p->max_requests, 1000);
    assert_int_equal(p->servers.count, 2);
    assert_string_equal(s[0].name, "10.0.0.1:80");
    assert_string_equal(s[1].name, "big");
    assert_int_equal(s[1].weight, 3);
    assert_int_equal(s[1].max_connections, 500);
    drop(&d);
}

static void who_is_picked_from_is_what_was_written(void **state)
{
    (void)state;
    struct decoded d = decode("pools:\n"
                              "  web:\n"
                              "    tiers: {overprovision: 120, panic: 30}\n"
                              "    zones: {local: a, spill: 50}\n"
                              "    warmup: 30s\n"
                              "    sticky: {secrets: [0123456789abcdef], max_age: 8h, drain: 1m}\n"
                              "    servers:\n"
                              "      - {address: \"10.0.0.1:80\", tier: 2, zone: a, weight: 0}\n"
                              "      - {address: \"10.0.0.2:80\", tier: 8}\n");
    const struct pool_conf *p = only_pool(&d);
    const struct server_conf *s = p->servers.data;
    assert_int_equal(p->tiers.overprovision, 120);
    assert_int_equal(p->tiers.panic, 30);
    assert_string_equal(p->zones->local, "a");
    assert_int_equal(p->zones->spill, 50);
    assert_int_equal(p->warmup_ms, 30000);
    assert_string_equal(p->sticky->cookie, "weir");
    assert_int_equal(p->sticky->max_age_ms, 8 * 3600 * 1000);
    assert_int_equal(p->sticky->drain_ms, 60000);
    assert_int_equal(s[0].tier, 2);
    assert_string_equal(s[0].zone, "a");
    assert_int_equal(s[0].weight, 0);
    assert_int_equal(s[1].tier, 8);
    drop(&d);
}

static void an_egress_pool_has_local_addresses_without_ports(void **state)
{
    (void)state;
    static const struct {
        const char *text, *addresses[2];
    } pools[] = {
        { "pools: {out: {kind: egress, servers: [192.0.2.1, \"192.0.2.2:0\"]}}",
          { "192.0.2.1:0", "192.0.2.2:0" } },
        { "pools: {out: {kind: egress, servers: [\"2001:db8::1\", \"[::1]:0\"]}}",
          { "[2001:db8::1]:0", "[::1]:0" } },
    };
    for (int k = 0; k < 2; k++) {
        struct decoded d = decode(pools[k].text);
        const struct pool_conf *p = only_pool(&d);
        const struct server_conf *s = p->servers.data;
        assert_int_equal(p->kind, POOL_EGRESS);
        if (k == 0) assert_string_equal(s[0].name, "192.0.2.1");
        for (int i = 0; i < 2; i++) {
            char text[ADDRESS_TEXT_MAX];
            assert_string_equal(address_print(&s[i].address, text), pools[k].addresses[i]);
        }
        drop(&d);
    }
}

static void every_bound_is_an_error_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *pool, *fault;
    } rows[] = {
        { "{}", "servers" },
        { "{servers: []}", "servers" },
        { "{servers: [{weight: 2}]}", "address" },
        { "{servers: [{address: \"10.0.0.1:80\", weight: 10001}]}", "weight" },
        { "{servers: [{address: \"10.0.0.1:80\", wieght: 1}]}", "did you mean \"weight\"" },
        { "{servers: [\"10.0.0.1\"]}", "10.0.0.1" },
        { "{servers: [\"10.0.0.1:80\", \"10.0.0.1:80\"]}", "10.0.0.1:80" },
        { "{servers: [\"10.0.0.1:80\"], timeouts: {connect: 0s}}", "connect" },
        { "{servers: [\"10.0.0.1:80\"], timeouts: {connect: off}}", "connect" },
        { "{servers: [\"10.0.0.1:80\"], timeouts: {connect: 5}}", "connect" },
        { "{servers: [\"10.0.0.1:80\"], retry: {attempts: 0}}", "attempts" },
        { "{servers: [\"10.0.0.1:80\"], retry: {buffer: 2MiB}}", "buffer" },
        { "{servers: [\"10.0.0.1:80\"], limits: {headers: 257}}", "headers" },
        { "{servers: [\"10.0.0.1:80\"], balance: fastest}", "fastest" },
        { "{servers: [\"10.0.0.1:0\"]}", "ports go from 1" },
        { "{servers: [{name: a, address: \"::1\"}]}", "has no port" },
        { "{servers: {a: \"10.0.0.1:80\", b: 10.0.0.2}}", "\"10.0.0.2\" has no port" },
        { "{servers: [\":80\"]}", "has no host" },
        { "{servers: [{address: \"10.0.0.1:80\", tier: 0}]}", "tier" },
        { "{servers: [{address: \"10.0.0.1:80\", tier: 9}]}", "tier" },
        { "{servers: [\"10.0.0.1:80\"], tiers: {overprovision: 99}}", "overprovision" },
        { "{servers: [\"10.0.0.1:80\"], tiers: {panic: 101}}", "panic" },
        { "{servers: [\"10.0.0.1:80\"], zones: {spill: 50}}", "local" },
        { "{servers: [\"10.0.0.1:80\"], zones: {local: a, spill: 0}}", "spill" },
        { "{servers: [\"10.0.0.1:80\"], kind: both}", "both" },
        { "{servers: [\"10.0.0.1:80\"], kind: egress}", "leave the port out" },
        { "{servers: [\"unix:/run/a\"], kind: egress}", "not by unix sockets" },
        { "{servers: [10.0.0.1], kind: egress, sticky: {secrets: [0123456789abcdef]}}", "no sticky cookies" },
        { "{servers: [\"10.0.0.1:80\"], subset: {size: 1, instance: 1, instances: 1}}", "counted from 0" },
        { "{servers: [\"10.0.0.1:80\"], subset: {size: 1, instance: 0}}", "instances" },
        { "{servers: [\"10.0.0.1:80\", \"10.0.0.2:80\"], subset: {size: 1, instance: 0, instances: 1}}",
          "the others would get nothing" },
        { "{servers: [\"10.0.0.1:80\"], zones: a, subset: {size: 1, instance: 0, instances: 1}}",
          "left to chance" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char yaml[256] = "pools: {web: ";
        strcat(strcat(yaml, rows[i].pool), "}");
        struct decoded d = decode(yaml);
        if (!d.faults) fail_msg("no fault in %s", yaml);
        if (!strstr(d.faults, rows[i].fault)) fail_msg("%s is not named: %s", rows[i].fault, d.faults);
        assert_int_equal(strncmp(d.faults, "test:1:", 7), 0);
        drop(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_needs_no_more_than_an_address),
        cmocka_unit_test(a_pool_is_what_was_written),
        cmocka_unit_test(who_is_picked_from_is_what_was_written),
        cmocka_unit_test(an_egress_pool_has_local_addresses_without_ports),
        cmocka_unit_test(every_bound_is_an_error_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
