/* What the gate's questions cost: whether an address is in one of a million blocks, and whether a key is over its rate. Prints
 * ns a question; "in turn" is where each waits for the answer before it, as a worker's do. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/prefix_map.h"
#include "base/rng.h"
#include "proxy/rate_table.h"

#define BLOCKS 1000000u
#define QUESTIONS 4000000u
#define ADDRESSES (1u << 20)
#define KEYS 50000u

enum shape { V4, V6, V6_ONE_64, SHAPES };
static const char *const names[] = { "IPv4, /16 to /32", "IPv6, /32 to /64",
                                     "IPv6, all /128 within one /64" };

/* An address of the kind, and how long blocks of it are. */
static struct ip draw(enum shape shape, struct rng *rng, uint8_t *bits)
{
    struct ip ip = { { 0 } };
    if (shape == V4) {
        for (int i = 0; i < 4; i++) ip.bytes[12 + i] = (uint8_t)rng_below(rng, 256);
        ip.bytes[10] = ip.bytes[11] = 0xff;
        *bits = (uint8_t)(96 + 16 + rng_below(rng, 17));
        return ip;
    }
    for (int i = 0; i < 16; i++)
        ip.bytes[i] = (uint8_t)(i < 8 && shape == V6_ONE_64 ? 0x20 : rng_below(rng, 256));
    if (shape == V6) ip.bytes[0] = 0x20;
    *bits = shape == V6 ? (uint8_t)(32 + rng_below(rng, 33)) : 128;
    return ip;
}

static void cut(struct ip *ip, uint8_t bits)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned left = bits > i * 8 ? bits - i * 8 : 0;
        if (left < 8) ip->bytes[i] &= (uint8_t)(0xff00 >> left);
    }
}

static void ask_map(enum shape shape)
{
    struct rng rng;
    struct prefix *blocks = calloc(BLOCKS, sizeof(*blocks));
    struct ip *asked = calloc(ADDRESSES, sizeof(*asked));
    if (!blocks || !asked) abort();
    rng_seed(&rng, 1);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        blocks[i] = (struct prefix){ .value = 1 };
        blocks[i].block.ip = draw(shape, &rng, &blocks[i].block.bits);
        cut(&blocks[i].block.ip, blocks[i].block.bits);
    }
    uint8_t bits;
    for (uint32_t i = 0; i < ADDRESSES; i++)
        asked[i] = i % 2 ? draw(shape, &rng, &bits) : blocks[rng_below(&rng, BLOCKS)].block.ip;
    uint64_t start_ns = clock_now_ns();
    struct prefix_map *m = prefix_map_new(blocks, BLOCKS, 0);
    if (!m) abort();
    double build_ms = (double)(clock_now_ns() - start_ns) / 1e6;
    uint32_t found = 0;
    start_ns = clock_now_ns();
    for (uint32_t i = 0; i < QUESTIONS; i++) found += prefix_map_value(m, &asked[i % ADDRESSES]);
    double free_ns = (double)(clock_now_ns() - start_ns) / QUESTIONS;
    start_ns = clock_now_ns();
    for (uint32_t i = 0, at = 0; i < QUESTIONS; i++)
        at = (at + 1 + prefix_map_value(m, &asked[at % ADDRESSES]) * 7919u) & (ADDRESSES - 1);
    double turn_ns = (double)(clock_now_ns() - start_ns) / QUESTIONS;
    printf("%-30s %7.1f ns, in turn %7.1f ns; %u %% found; put in order in %.0f ms\n", names[shape], free_ns,
           turn_ns, found / (QUESTIONS / 100), build_ms);
    prefix_map_free(m);
    free(blocks);
    free(asked);
}

static void ask_rate(void)
{
    const struct rate_rule rule = { .interval_ns = 10000000, .burst_ns = 1990000000 };
    struct rate_table *t = rate_table_new(KEYS);
    struct rate_verdict v;
    uint64_t *keys = calloc(KEYS, sizeof(*keys));
    if (!t || !keys) abort();
    for (uint32_t i = 0; i < KEYS; i++)
        keys[i] = rate_table_key(t, (struct slice){ (const char *)&i, sizeof(i) }, 0);
    uint64_t start_ns = clock_now_ns(), passed = 0;
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        rate_table_take(t, keys[i % KEYS], &rule, start_ns + i * UINT64_C(100), &v);
        passed += v.passes;
    }
    printf("a rate, %u keys               %7.1f ns; %u %% passed\n", KEYS,
           (double)(clock_now_ns() - start_ns) / QUESTIONS, (unsigned)(passed / (QUESTIONS / 100)));
    rate_table_free(t);
    free(keys);
}

int main(void)
{
    for (unsigned shape = 0; shape < SHAPES; shape++) ask_map((enum shape)shape);
    ask_rate();
    return 0;
}
