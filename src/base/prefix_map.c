#include "base/prefix_map.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define NODE_KEYS 8u /* a cache line */
#define LEVELS_MAX 12u
#define HUGE_PAGE ((size_t)2 << 20)
/* A block within a block, of each length, and the one around all. */
#define NEST_MAX 129u

struct number {
    uint64_t high, low;
};

/* Blocks lie within each other or apart, so they cut the addresses into at most two ranges a block and one more. Each range
 * is kept by its first address; its value holds until the next begins. Above the ranges' upper halves are levels of every
 * eighth of them, of every eighth of those, and so on: a search reads one line of each. */
struct ranges {
    uint32_t count, level_count;
    uint32_t counts[LEVELS_MAX];
    uint64_t
        *levels[LEVELS_MAX]; /* [0]: the upper halves; each padded with the highest number to whole lines */
    uint64_t *lows;          /* NULL: all are 0 */
    uint8_t *values;
};

struct prefix_map {
    struct ranges v4, v6;
};

struct block {
    struct number first, last;
    uint8_t bits, value;
};

static bool is_before(struct number a, struct number b)
{
    return a.high != b.high ? a.high < b.high : a.low < b.low;
}

static uint64_t read_u64(const uint8_t *bytes)
{
    uint64_t n;
    memcpy(&n, bytes, sizeof(n));
    return __builtin_bswap64(n);
}

static struct number number_of(const struct ip *ip, bool is_v4)
{
    struct number n = { read_u64(ip->bytes), read_u64(ip->bytes + 8) };
    return is_v4 ? (struct number){ n.low & UINT32_MAX, 0 } : n;
}

static bool is_v4_block(const struct cidr *c)
{
    return c->bits >= 96 && ip_is_v4(&c->ip);
}

static struct block block_of(const struct prefix *p)
{
    bool is_v4 = is_v4_block(&p->block);
    uint32_t bits = p->block.bits;
    struct block b = { .first = number_of(&p->block.ip, is_v4), .bits = p->block.bits, .value = p->value };
    b.last = b.first;
    if (is_v4) {
        b.last.high |= bits == 128 ? 0 : UINT32_MAX >> (bits - 96);
        b.last.low = UINT64_MAX;
    } else {
        if (bits < 64) b.last.high |= UINT64_MAX >> bits;
        if (bits < 128) b.last.low |= bits > 64 ? UINT64_MAX >> (bits - 64) : UINT64_MAX;
    }
    return b;
}

/* By where they begin, those that hold others first; of two alike the higher value last, so that it is the inner one. */
static int compare_blocks(const void *left, const void *right)
{
    const struct block *a = left, *b = right;
    if (is_before(a->first, b->first)) return -1;
    if (is_before(b->first, a->first)) return 1;
    if (a->bits != b->bits) return a->bits < b->bits ? -1 : 1;
    return (a->value > b->value) - (a->value < b->value);
}

/* cutting */

static void begin_range(struct ranges *r, struct number start, uint8_t value)
{
    uint64_t *highs = r->levels[0];
    if (r->count) { /* the range before may be empty */
        struct number before = { highs[r->count - 1], r->lows[r->count - 1] };
        if (!is_before(before, start)) r->count--;
    }
    if (r->count && r->values[r->count - 1] == value) return;
    highs[r->count] = start.high;
    r->lows[r->count] = start.low;
    r->values[r->count++] = value;
}

/* The range after a block belongs to the block around it. False if there is no address after it. */
static bool address_after(struct number last, struct number *next)
{
    *next = (struct number){ last.high + (last.low == UINT64_MAX), last.low + 1 };
    return next->high || next->low;
}

/* `open`: the blocks that hold the present address, the innermost on top. Of two that are the same the second, whose value is
 * the higher, takes the place of the first. */
static void cut(struct ranges *r, const struct block *blocks, uint32_t count, uint8_t otherwise)
{
    const struct block *open[NEST_MAX];
    uint32_t depth = 0;
    struct number next;
    begin_range(r, (struct number){ 0, 0 }, otherwise);
    for (uint32_t i = 0; i <= count; i++) {
        while (depth && (i == count || is_before(open[depth - 1]->last, blocks[i].first))) {
            if (!address_after(open[--depth]->last, &next)) continue;
            begin_range(r, next, depth ? open[depth - 1]->value : otherwise);
        }
        if (i == count) return;
        if (depth && open[depth - 1]->bits == blocks[i].bits) depth--;
        open[depth++] = &blocks[i];
        begin_range(r, blocks[i].first, blocks[i].value);
    }
}

/* the tree */

static uint32_t padded(uint32_t count)
{
    return (count + NODE_KEYS - 1) / NODE_KEYS * NODE_KEYS;
}

/* Large ones lie in large pages, if the system has any: else a look would cost a walk of the page tables for each line. */
static void *lines_new(size_t bytes)
{
    size_t align = bytes < HUGE_PAGE ? 64 : HUGE_PAGE;
    size_t whole = (bytes + align - 1) / align * align;
    void *memory = aligned_alloc(align, whole);
    if (memory && align == HUGE_PAGE) madvise(memory, whole, MADV_HUGEPAGE);
    return memory;
}

static uint64_t *keys_new(uint32_t count)
{
    uint64_t *keys = lines_new(padded(count) * sizeof(*keys));
    for (uint32_t i = count; keys && i < padded(count); i++) keys[i] = UINT64_MAX;
    return keys;
}

/* As much as is used of `from`, which is freed. */
static void *settle(void *from, size_t bytes)
{
    void *to = lines_new(bytes);
    if (to) memcpy(to, from, bytes);
    free(from);
    return to;
}

static int settle_rest(struct ranges *r)
{
    bool has_lows = false;
    for (uint32_t i = 0; i < r->count; i++) has_lows |= r->lows[i] != 0;
    r->values = settle(r->values, r->count);
    if (has_lows) {
        r->lows = settle(r->lows, r->count * sizeof(*r->lows));
        return r->values && r->lows ? 0 : -1;
    }
    free(r->lows);
    r->lows = NULL;
    return r->values ? 0 : -1;
}

static int build_levels(struct ranges *r)
{
    uint64_t *highs = keys_new(r->count);
    if (!highs) return -1;
    memcpy(highs, r->levels[0], r->count * sizeof(*highs));
    free(r->levels[0]);
    r->levels[0] = highs;
    r->counts[0] = r->count;
    r->level_count = 1;
    for (uint32_t count = r->count; count > NODE_KEYS; r->level_count++) {
        const uint64_t *below = r->levels[r->level_count - 1];
        count = padded(count) / NODE_KEYS;
        uint64_t *keys = r->levels[r->level_count] = keys_new(count);
        if (!keys) return -1;
        for (uint32_t i = 0; i < count; i++) keys[i] = below[(size_t)i * NODE_KEYS];
        r->counts[r->level_count] = count;
    }
    return 0;
}

static int ranges_build(struct ranges *r, struct block *blocks, uint32_t count, uint8_t otherwise)
{
    uint32_t room = 2 * count + 1;
    r->levels[0] = malloc(room * sizeof(uint64_t));
    r->lows = malloc(room * sizeof(*r->lows));
    r->values = malloc(room);
    if (!r->levels[0] || !r->lows || !r->values) return -1;
    if (count) qsort(blocks, count, sizeof(*blocks), compare_blocks);
    cut(r, blocks, count, otherwise);
    return settle_rest(r) < 0 ? -1 : build_levels(r);
}

static void ranges_fini(struct ranges *r)
{
    for (uint32_t i = 0; i < LEVELS_MAX; i++) free(r->levels[i]);
    free(r->lows);
    free(r->values);
}

/* A block of `is_v4` only. */
static uint32_t collect(const struct prefix *prefixes, uint32_t count, bool is_v4, struct block *out)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < count; i++)
        if (is_v4_block(&prefixes[i].block) == is_v4) out[taken++] = block_of(&prefixes[i]);
    return taken;
}

struct prefix_map *prefix_map_new(const struct prefix *prefixes, uint32_t count, uint8_t otherwise)
{
    struct prefix_map *m = calloc(1, sizeof(*m));
    struct block *blocks = malloc((count + 1) * sizeof(*blocks));
    bool is_built = m && blocks;
    if (is_built)
        is_built = ranges_build(&m->v4, blocks, collect(prefixes, count, true, blocks), otherwise) == 0;
    if (is_built)
        is_built = ranges_build(&m->v6, blocks, collect(prefixes, count, false, blocks), otherwise) == 0;
    free(blocks);
    if (is_built) return m;
    prefix_map_free(m);
    return NULL;
}

void prefix_map_free(struct prefix_map *m)
{
    if (!m) return;
    ranges_fini(&m->v4);
    ranges_fini(&m->v6);
    free(m);
}

/* asking */

/* The last range whose upper half is not above `high`. The first is 0, so that there is one. */
static uint32_t last_at_most(const struct ranges *r, uint64_t high)
{
    uint32_t at = 0;
    for (uint32_t level = r->level_count; level-- > 0;) {
        const uint64_t *keys = r->levels[level] + (size_t)at * NODE_KEYS;
        uint32_t in_node = (keys[4] <= high) * 4u; /* the first is not above it */
        in_node += (keys[in_node + 2] <= high) * 2u;
        in_node += keys[in_node + 1] <= high;
        at = at * NODE_KEYS + in_node;
        if (at >= r->counts[level]) at = r->counts[level] - 1; /* the padding is the highest number */
    }
    return at;
}

static bool begins_after(const struct ranges *r, uint32_t i, struct number n)
{
    return is_before(n, (struct number){ r->levels[0][i], r->lows[i] });
}

/* Ranges up to `at` have the same upper half as the address or a lower one: the last of them that does not begin after it. */
static uint32_t last_by_low(const struct ranges *r, uint32_t at, struct number n)
{
    uint32_t step = 1, low = at;
    while (low && begins_after(r, low, n)) {
        low = low > step ? low - step : 0;
        step *= 2;
    }
    while (low < at) {
        uint32_t middle = at - (at - low) / 2;
        if (begins_after(r, middle, n))
            at = middle - 1;
        else
            low = middle;
    }
    return low;
}

static uint8_t ranges_value(const struct ranges *r, struct number n)
{
    uint32_t at = last_at_most(r, n.high);
    if (r->lows && r->levels[0][at] == n.high && r->lows[at] > n.low) at = last_by_low(r, at, n);
    return r->values[at];
}

uint8_t prefix_map_value(const struct prefix_map *m, const struct ip *ip)
{
    bool is_v4 = ip_is_v4(ip);
    return ranges_value(is_v4 ? &m->v4 : &m->v6, number_of(ip, is_v4));
}
