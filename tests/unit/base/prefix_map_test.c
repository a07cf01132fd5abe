#include "base/prefix_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

static struct ip ip_of(const char *text)
{
    struct ip ip;
    if (!ip_parse(slice_of(text), &ip)) fail_msg("%s", text);
    return ip;
}

static struct prefix prefix_of(const char *text, uint8_t value)
{
    struct prefix p = { .value = value };
    struct err err;
    if (cidr_parse(slice_of(text), &p.block, &err) < 0) fail_msg("%s", err.text);
    return p;
}

static uint8_t value_of(const struct prefix_map *m, const char *text)
{
    struct ip ip = ip_of(text);
    return prefix_map_value(m, &ip);
}

static void the_smallest_block_decides_and_the_families_are_apart(void **state)
{
    (void)state;
    struct prefix prefixes[] = { prefix_of("10.0.0.0/8", 1),     prefix_of("10.1.0.0/16", 2),
                                 prefix_of("10.1.2.3", 3),       prefix_of("::/0", 4),
                                 prefix_of("2001:db8::/64", 5),  prefix_of("2001:db8::7", 6),
                                 prefix_of("255.255.255.255", 7) };
    struct prefix_map *m = prefix_map_new(prefixes, sizeof(prefixes) / sizeof(*prefixes), 0);
    assert_non_null(m);
    assert_int_equal(value_of(m, "9.255.255.255"), 0);
    assert_int_equal(value_of(m, "10.0.0.0"), 1);
    assert_int_equal(value_of(m, "10.1.2.2"), 2);
    assert_int_equal(value_of(m, "10.1.2.3"), 3);
    assert_int_equal(value_of(m, "10.1.2.4"), 2);
    assert_int_equal(value_of(m, "10.255.255.255"), 1);
    assert_int_equal(value_of(m, "11.0.0.0"), 0);
    assert_int_equal(value_of(m, "255.255.255.254"), 0);
    assert_int_equal(value_of(m, "255.255.255.255"), 7);
    assert_int_equal(value_of(m, "::"), 4);
    assert_int_equal(value_of(m, "2001:db8::6"), 5);
    assert_int_equal(value_of(m, "2001:db8::7"), 6);
    assert_int_equal(value_of(m, "2001:db8::ffff:ffff:ffff:ffff"), 5);
    assert_int_equal(value_of(m, "2001:db8:0:1::"), 4);
    assert_int_equal(value_of(m, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 4);
    prefix_map_free(m);
    prefix_map_free(NULL);
}

static void nothing_is_a_map_too(void **state)
{
    (void)state;
    struct prefix_map *m = prefix_map_new(NULL, 0, 9);
    assert_non_null(m);
    assert_int_equal(value_of(m, "0.0.0.0"), 9);
    assert_int_equal(value_of(m, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 9);
    prefix_map_free(m);
}

/* Few bits differ, so that blocks nest and touch, of every length. */
static struct ip draw_ip(struct rng *rng, bool is_v4)
{
    struct ip ip = { { 0 } };
    uint64_t bits = rng_next(rng);
    for (uint32_t i = 0; i < 16; i++) ip.bytes[i] = (bits >> i & 1) ? (bits >> 32 & 1 ? 0xff : 0x81) : 0;
    if (is_v4) memcpy(ip.bytes, (uint8_t[]){ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff }, 12);
    return ip;
}

static struct prefix draw_prefix(struct rng *rng)
{
    bool is_v4 = rng_below(rng, 2);
    struct prefix p = { .block = { .ip = draw_ip(rng, is_v4) }, .value = (uint8_t)(1 + rng_below(rng, 200)) };
    p.block.bits = (uint8_t)(is_v4 ? 96 + rng_below(rng, 33) : rng_below(rng, 129));
    for (uint32_t bit = p.block.bits; bit < 128; bit++)
        p.block.ip.bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
    return p;
}

static uint8_t value_plainly(const struct prefix *prefixes, uint32_t count, const struct ip *ip)
{
    int bits = -1;
    uint8_t value = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct prefix *p = &prefixes[i];
        bool is_v4 = p->block.bits >= 96 && ip_is_v4(&p->block.ip);
        if (is_v4 != ip_is_v4(ip) || !cidr_contains(&p->block, ip) || p->block.bits < bits) continue;
        if (p->block.bits == bits && p->value < value) continue;
        bits = p->block.bits;
        value = p->value;
    }
    return value;
}

static void it_is_what_trying_every_block_gives(void **state)
{
    (void)state;
    static struct prefix prefixes[2000];
    struct rng rng;
    rng_seed(&rng, 5);
    for (uint32_t round = 0; round < 400; round++) {
        uint32_t count = round < 300 ? rng_below(&rng, 60) : rng_below(&rng, 2000), found = 0;
        for (uint32_t i = 0; i < count; i++) prefixes[i] = draw_prefix(&rng);
        struct prefix_map *m = prefix_map_new(prefixes, count, 0);
        assert_non_null(m);
        for (uint32_t i = 0; i < 200; i++) {
            struct ip ip = draw_ip(&rng, rng_below(&rng, 2));
            uint8_t value = prefix_map_value(m, &ip);
            assert_int_equal(value, value_plainly(prefixes, count, &ip));
            found += value > 0;
        }
        assert_true(count < 1000 || found > 0);
        prefix_map_free(m);
    }
}

/* Many ranges with one upper half: a search for the lower. */
static void single_addresses_of_one_network_are_told_apart(void **state)
{
    (void)state;
    static struct prefix prefixes[5000];
    for (uint32_t i = 0; i < 5000; i++) {
        prefixes[i] = prefix_of("2001:db8::", (uint8_t)(1 + i % 7));
        prefixes[i].block.bits = 128;
        prefixes[i].block.ip.bytes[13] = (uint8_t)(i >> 8);
        prefixes[i].block.ip.bytes[14] = (uint8_t)i;
    }
    struct prefix_map *m = prefix_map_new(prefixes, 5000, 0);
    assert_non_null(m);
    for (uint32_t i = 0; i < 5000; i++) {
        struct ip ip = prefixes[i].block.ip;
        assert_int_equal(prefix_map_value(m, &ip), 1 + i % 7);
        ip.bytes[15] = 1;
        assert_int_equal(prefix_map_value(m, &ip), 0);
    }
    assert_int_equal(value_of(m, "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"), 0);
    assert_int_equal(value_of(m, "2001:db8:0:1::"), 0);
    prefix_map_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_block_decides_and_the_families_are_apart),
        cmocka_unit_test(nothing_is_a_map_too),
        cmocka_unit_test(it_is_what_trying_every_block_gives),
        cmocka_unit_test(single_addresses_of_one_network_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
