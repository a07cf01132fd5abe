#include "proxy/gate.h"

#include <stdlib.h>
#include <string.h>

#include "base/bug.h"

/* Blocks lie within each other or apart, so they cut the addresses into at most two ranges a block and one
 * more. Each range is kept by its first address: its verdict holds until the next one begins. */
struct address_number {
    uint64_t high, low;
};

struct gate_rules {
    uint32_t count;
    struct address_number *starts; /* in order; the first is 0 */
    uint8_t *verdicts;             /* enum gate_verdict */
};

struct block {
    struct address_number first, last;
    uint8_t bits, verdict;
};

static struct address_number number_of(const struct ip *ip)
{
    struct address_number n;
    memcpy(&n.high, ip->bytes, 8);
    memcpy(&n.low, ip->bytes + 8, 8);
    return (struct address_number){ __builtin_bswap64(n.high), __builtin_bswap64(n.low) };
}

static bool is_before(struct address_number a, struct address_number b)
{
    return a.high != b.high ? a.high < b.high : a.low < b.low;
}

static struct block block_of(const struct cidr *cidr, enum gate_verdict verdict)
{
    struct block b = { .first = number_of(&cidr->ip), .bits = cidr->bits, .verdict = (uint8_t)verdict };
    b.last = b.first;
    if (cidr->bits < 64) b.last.high |= UINT64_MAX >> cidr->bits;
    if (cidr->bits < 128) b.last.low |= cidr->bits > 64 ? UINT64_MAX >> (cidr->bits - 64) : UINT64_MAX;
    return b;
}

/* By where they begin, those that hold others first; of two alike the denial last, so that it is the inner
 * one. */
static int compare_blocks(const void *left, const void *right)
{
    const struct block *a = left, *b = right;
    if (is_before(a->first, b->first)) return -1;
    if (is_before(b->first, a->first)) return 1;
    if (a->bits != b->bits) return a->bits < b->bits ? -1 : 1;
    return (a->verdict == GATE_DENIED) - (b->verdict == GATE_DENIED);
}

static void begin_range(struct gate_rules *r, struct address_number start, uint8_t verdict)
{
    if (r->count && !is_before(r->starts[r->count - 1], start)) r->count--; /* the range before is empty */
    if (r->count && r->verdicts[r->count - 1] == verdict) return;
    r->starts[r->count] = start;
    r->verdicts[r->count++] = verdict;
}

/* The range after a block belongs to the block around it. False if there is no address after it. */
static bool address_after(struct address_number last, struct address_number *next)
{
    *next = (struct address_number){ last.high + (last.low == UINT64_MAX), last.low + 1 };
    return next->high || next->low;
}

/* `open`: the blocks that hold the present address, the innermost on top; at most one for each length, and
 * two where one is in both lists (more of the same are left out). */
static void cut(struct gate_rules *r, const struct block *blocks, uint32_t count, uint8_t otherwise)
{
    const struct block *open[2 * 129];
    uint32_t depth = 0;
    struct address_number next;
    begin_range(r, (struct address_number){ 0, 0 }, otherwise);
    for (uint32_t i = 0; i <= count; i++) {
        while (depth && (i == count || is_before(open[depth - 1]->last, blocks[i].first))) {
            if (!address_after(open[--depth]->last, &next)) continue;
            begin_range(r, next, depth ? open[depth - 1]->verdict : otherwise);
        }
        if (i == count) return;
        if (i && compare_blocks(&blocks[i - 1], &blocks[i]) == 0) continue;
        if (bug_if(GATE, depth == sizeof(open) / sizeof(*open))) return;
        open[depth++] = &blocks[i];
        begin_range(r, blocks[i].first, blocks[i].verdict);
    }
}

/* IPv4 lies within IPv6 in the form in which addresses are kept, but ::/0 is not meant to hold it: a block of all IPv4
 * with the verdict of no block sets it apart, unless there is such a block already. */
static uint32_t set_ipv4_apart(struct block *blocks, uint32_t count, enum gate_verdict otherwise)
{
    struct cidr all_v4 = { .ip.bytes = { [10] = 0xff, [11] = 0xff }, .bits = 96 };
    struct block apart = block_of(&all_v4, otherwise);
    for (uint32_t i = 0; i < count; i++)
        if (blocks[i].bits == apart.bits && blocks[i].first.high == apart.first.high &&
            blocks[i].first.low == apart.first.low)
            return count;
    blocks[count] = apart;
    return count + 1;
}

struct gate_rules *gate_rules_new(const struct gate_conf *conf)
{
    enum gate_verdict otherwise = conf->allow.count ? GATE_NOT_ALLOWED : GATE_PASS;
    uint32_t count = 0, ranges = 2 * (conf->allow.count + conf->deny.count + 1) + 1;
    const struct cidr *allow = conf->allow.data, *deny = conf->deny.data;
    struct gate_rules *r = calloc(1, sizeof(*r));
    struct block *blocks = malloc((ranges + 1) * sizeof(*blocks));
    if (r) r->starts = malloc(ranges * (sizeof(*r->starts) + 1));
    if (!r || !blocks || !r->starts) {
        free(blocks);
        gate_rules_free(r);
        return NULL;
    }
    r->verdicts = (uint8_t *)(r->starts + ranges);
    for (uint32_t i = 0; i < conf->allow.count; i++) blocks[count++] = block_of(&allow[i], GATE_PASS);
    for (uint32_t i = 0; i < conf->deny.count; i++) blocks[count++] = block_of(&deny[i], GATE_DENIED);
    count = set_ipv4_apart(blocks, count, otherwise);
    qsort(blocks, count, sizeof(*blocks), compare_blocks);
    cut(r, blocks, count, (uint8_t)otherwise);
    free(blocks);
    return r;
}

void gate_rules_free(struct gate_rules *rules)
{
    if (!rules) return;
    free(rules->starts);
    free(rules);
}

enum gate_verdict gate_check(const struct gate_rules *rules, const struct ip *ip)
{
    struct address_number address = number_of(ip);
    uint32_t low = 0, count = rules->count;
    if (bug_if(GATE, !count)) return GATE_DENIED; /* there is always the range of all */
    while (count > 1) {
        uint32_t half = count / 2;
        if (!is_before(address, rules->starts[low + half])) low += half;
        count -= half;
    }
    return (enum gate_verdict)rules->verdicts[low];
}
