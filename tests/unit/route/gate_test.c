#include "route/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

#define BLOCKS_MAX 200

struct lists {
    struct cidr allow[BLOCKS_MAX], deny[BLOCKS_MAX];
    struct gate_conf conf;
};

static void add(struct conf_items *items, struct cidr *blocks, const char *const *texts)
{
    struct err err;
    for (; texts && *texts; texts++)
        if (cidr_parse(slice_of(*texts), &blocks[items->count++], &err) < 0) fail_msg("%s", err.text);
    items->data = blocks;
}

static struct gate_rules *make(const struct gate_conf *conf)
{
    const char *key;
    struct err err;
    struct gate_rules *r = gate_rules_new(conf, &key, &err);
    if (!r) fail_msg("%s", err.text);
    return r;
}

static struct gate_rules *rules_of(struct lists *l, const char *const *allow, const char *const *deny)
{
    memset(l, 0, sizeof(*l));
    add(&l->conf.allow, l->allow, allow);
    add(&l->conf.deny, l->deny, deny);
    return make(&l->conf);
}

static enum gate_verdict check(const struct gate_rules *r, const char *text)
{
    struct ip ip;
    if (!ip_parse(slice_of(text), &ip)) fail_msg("%s", text);
    return gate_check(r, &ip);
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void an_empty_gate_lets_everybody_pass(void **state)
{
    (void)state;
    struct lists l;
    struct gate_rules *r = rules_of(&l, NULL, NULL);
    assert_int_equal(check(r, "10.0.0.1"), GATE_PASS);
    assert_int_equal(check(r, "::"), GATE_PASS);
    assert_int_equal(check(r, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), GATE_PASS);
    gate_rules_free(r);
    gate_rules_free(NULL);
}

static void denied_blocks_are_kept_out_to_their_edges(void **state)
{
    (void)state;
    struct lists l;
    struct gate_rules *r = rules_of(&l, NULL, LIST("192.0.2.0/24", "2001:db8::/32"));
    assert_int_equal(check(r, "192.0.1.255"), GATE_PASS);
    assert_int_equal(check(r, "192.0.2.0"), GATE_DENIED);
    assert_int_equal(check(r, "192.0.2.255"), GATE_DENIED);
    assert_int_equal(check(r, "192.0.3.0"), GATE_PASS);
    assert_int_equal(check(r, "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"), GATE_PASS);
    assert_int_equal(check(r, "2001:db8::"), GATE_DENIED);
    assert_int_equal(check(r, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"), GATE_DENIED);
    assert_int_equal(check(r, "2001:db9::"), GATE_PASS);
    assert_int_equal(check(r, "::ffff:192.0.2.7"), GATE_DENIED);
    gate_rules_free(r);
}

static void any_allow_keeps_the_rest_out(void **state)
{
    (void)state;
    struct lists l;
    struct gate_rules *r = rules_of(&l, LIST("10.0.0.0/8", "127.0.0.1"), NULL);
    assert_int_equal(check(r, "10.255.255.255"), GATE_PASS);
    assert_int_equal(check(r, "127.0.0.1"), GATE_PASS);
    assert_int_equal(check(r, "127.0.0.2"), GATE_NOT_ALLOWED);
    assert_int_equal(check(r, "::1"), GATE_NOT_ALLOWED);
    gate_rules_free(r);
}

static void the_smallest_block_decides(void **state)
{
    (void)state;
    struct lists l;
    struct gate_rules *r = rules_of(&l, LIST("10.0.0.0/8", "10.1.2.0/24"), LIST("10.1.0.0/16", "10.1.2.3"));
    assert_int_equal(check(r, "10.0.9.9"), GATE_PASS);
    assert_int_equal(check(r, "10.1.9.9"), GATE_DENIED);
    assert_int_equal(check(r, "10.1.2.9"), GATE_PASS);
    assert_int_equal(check(r, "10.1.2.3"), GATE_DENIED);
    assert_int_equal(check(r, "10.1.2.4"), GATE_PASS);
    assert_int_equal(check(r, "10.1.3.0"), GATE_DENIED);
    assert_int_equal(check(r, "10.2.0.0"), GATE_PASS);
    assert_int_equal(check(r, "11.0.0.0"), GATE_NOT_ALLOWED);
    gate_rules_free(r);
}

static void of_the_same_block_in_both_lists_deny_decides(void **state)
{
    (void)state;
    struct lists l;
    struct gate_rules *r = rules_of(&l, LIST("0.0.0.0/0", "::/0", "192.0.2.1"),
                                    LIST("192.0.2.1", "0.0.0.0/0"));
    assert_int_equal(check(r, "192.0.2.1"), GATE_DENIED);
    assert_int_equal(check(r, "192.0.2.2"), GATE_DENIED);
    assert_int_equal(check(r, "2001:db8::1"), GATE_PASS);
    gate_rules_free(r);
}

static void the_ends_of_all_addresses_hold(void **state)
{
    (void)state;
    struct lists l;
    const char *last = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    struct gate_rules *r = rules_of(&l, NULL,
                                    LIST("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "8000::/1"));
    assert_int_equal(check(r, "::"), GATE_DENIED);
    assert_int_equal(check(r, "::1"), GATE_PASS);
    assert_int_equal(check(r, "7fff::"), GATE_PASS);
    assert_int_equal(check(r, "8000::"), GATE_DENIED);
    assert_int_equal(check(r, last), GATE_DENIED);
    gate_rules_free(r);
    r = rules_of(&l, LIST("::/0"), LIST("::/0"));
    assert_int_equal(check(r, last), GATE_DENIED);
    gate_rules_free(r);
}

/* What the words say: every block is tried. */
static enum gate_verdict check_plainly(const struct lists *l, const struct ip *ip)
{
    int allowed = -1, denied = -1;
    for (uint32_t i = 0; i < l->conf.allow.count; i++)
        if (cidr_contains(&l->allow[i], ip) && l->allow[i].bits > allowed) allowed = l->allow[i].bits;
    for (uint32_t i = 0; i < l->conf.deny.count; i++)
        if (cidr_contains(&l->deny[i], ip) && l->deny[i].bits > denied) denied = l->deny[i].bits;
    if (denied >= 0 && denied >= allowed) return GATE_DENIED;
    return allowed >= 0 || !l->conf.allow.count ? GATE_PASS : GATE_NOT_ALLOWED;
}

/* Few bits differ, and those at several depths, so that blocks nest and touch. */
static struct ip draw_ip(struct rng *rng)
{
    struct ip ip = { { 0 } };
    uint64_t bits = rng_next(rng);
    ip.bytes[0] = (uint8_t)(bits & 0xc0);
    ip.bytes[7] = (uint8_t)(bits >> 8 & 3);
    ip.bytes[8] = (uint8_t)(bits >> 16 & 0xc0);
    ip.bytes[15] = (uint8_t)(bits >> 24 & 7);
    if (bits >> 32 & 1) memset(ip.bytes + 1, bits >> 33 & 1 ? 0xff : 0, 6);
    return ip;
}

static struct cidr draw_block(struct rng *rng)
{
    static const uint8_t lens[] = { 0, 1, 2, 8, 62, 63, 64, 65, 66, 125, 126, 127, 128 };
    struct cidr block = { .ip = draw_ip(rng), .bits = lens[rng_below(rng, sizeof(lens))] };
    for (uint32_t bit = block.bits; bit < 128; bit++)
        block.ip.bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
    return block;
}

static void it_is_what_trying_every_block_gives(void **state)
{
    (void)state;
    static struct lists l;
    struct rng rng;
    uint32_t seen[3] = { 0 };
    rng_seed(&rng, 21);
    for (uint32_t round = 0; round < 1000; round++) {
        l.conf = (struct gate_conf){ .allow = { l.allow, rng_below(&rng, 40) },
                                     .deny = { l.deny, rng_below(&rng, 40) } };
        for (uint32_t i = 0; i < l.conf.allow.count; i++) l.allow[i] = draw_block(&rng);
        for (uint32_t i = 0; i < l.conf.deny.count; i++) l.deny[i] = draw_block(&rng);
        struct gate_rules *r = make(&l.conf);
        for (uint32_t i = 0; i < 200; i++) {
            struct ip ip = draw_ip(&rng);
            enum gate_verdict verdict = gate_check(r, &ip);
            assert_int_equal(verdict, check_plainly(&l, &ip));
            seen[verdict]++;
        }
        gate_rules_free(r);
    }
    assert_true(seen[GATE_PASS] > 1000 && seen[GATE_DENIED] > 1000 && seen[GATE_NOT_ALLOWED] > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_gate_lets_everybody_pass),
        cmocka_unit_test(denied_blocks_are_kept_out_to_their_edges),
        cmocka_unit_test(any_allow_keeps_the_rest_out),
        cmocka_unit_test(the_smallest_block_decides),
        cmocka_unit_test(of_the_same_block_in_both_lists_deny_decides),
        cmocka_unit_test(the_ends_of_all_addresses_hold),
        cmocka_unit_test(it_is_what_trying_every_block_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
