#define XXH_INLINE_ALL
#include <xxhash.h>

#include "proxy/denials.h"

#include <stdlib.h>
#include <string.h>

struct denials *denials_new(uint64_t seed)
{
    struct denials *d = calloc(1, sizeof(*d));
    if (!d) return NULL;
    d->seed = seed;
    d->next_id = 1;
    d->table = calloc(DENIALS_SETS * DENIALS_WAYS, sizeof(*d->table));
    d->places = calloc(DENIALS_SETS * DENIALS_WAYS, sizeof(*d->places));
    if (d->table && d->places) return d;
    denials_free(d);
    return NULL;
}

void denials_free(struct denials *d)
{
    if (!d) return;
    free(d->items);
    free((void *)d->table);
    free(d->places);
    free(d);
}

/* A block's key is a hash with a seed of the process's own: nobody can choose addresses that are taken for others. */
static uint64_t key_of(const struct denials *d, const struct ip *ip, uint8_t bits)
{
    uint8_t bytes[17] = { 0 };
    memcpy(bytes, ip->bytes, bits / 8u);
    bytes[16] = bits;
    uint64_t key = XXH3_64bits_withSeed(bytes, sizeof(bytes), d->seed);
    return key ? key : 1;
}

/* Where in the table the key is; UINT32_MAX: nowhere. */
static uint32_t seat_of(const struct denials *d, uint64_t key)
{
    uint32_t set = (uint32_t)(key % DENIALS_SETS) * DENIALS_WAYS;
    for (uint32_t seat = set; seat < set + DENIALS_WAYS; seat++)
        if (atomic_load_explicit(&d->table[seat], memory_order_relaxed) == key) return seat;
    return UINT32_MAX;
}

static bool has_key(const struct denials *d, uint64_t key)
{
    return seat_of(d, key) != UINT32_MAX;
}

bool denials_has_any(const struct denials *d, const struct ip *ip)
{
    return has_key(d, key_of(d, ip, 128)) || has_key(d, key_of(d, ip, ip_is_v4(ip) ? 120 : 64));
}

static bool grow(struct denials *d)
{
    if (d->count < d->cap) return true;
    uint32_t cap = d->cap ? d->cap * 2 : 64;
    if (cap > DENIALS_MAX) return false;
    struct denial *items = realloc(d->items, cap * sizeof(*items));
    if (!items) return false;
    d->items = items;
    d->cap = cap;
    return true;
}

static uint32_t free_seat(const struct denials *d, uint64_t key)
{
    uint32_t set = (uint32_t)(key % DENIALS_SETS) * DENIALS_WAYS;
    for (uint32_t seat = set; seat < set + DENIALS_WAYS; seat++)
        if (!atomic_load_explicit(&d->table[seat], memory_order_relaxed)) return seat;
    return UINT32_MAX;
}

static struct denial *find(struct denials *d, const struct ip *ip, uint8_t bits)
{
    uint32_t seat = seat_of(d, key_of(d, ip, bits));
    struct denial *found = seat != UINT32_MAX ? &d->items[d->places[seat]] : NULL;
    return found && found->bits == bits && memcmp(&found->ip, ip, sizeof(*ip)) == 0 ? found : NULL;
}

uint64_t denials_add(struct denials *d, const struct denial *what)
{
    struct denial *known = find(d, &what->ip, what->bits);
    if (known) {
        if (known->until_ms < what->until_ms) {
            known->until_ms = what->until_ms;
            known->until_ns = what->until_ns;
        }
        known->count += what->count;
        return known->id;
    }
    uint64_t key = key_of(d, &what->ip, what->bits);
    uint32_t seat = free_seat(d, key);
    if (seat == UINT32_MAX || !grow(d)) {
        d->refused++;
        return 0;
    }
    struct denial *added = &d->items[d->count];
    *added = *what;
    added->id = d->next_id++;
    added->seat = seat;
    d->places[seat] = d->count;
    atomic_store_explicit(&d->table[seat], key, memory_order_relaxed);
    atomic_fetch_add_explicit(&d->count, 1, memory_order_relaxed);
    return added->id;
}

/* Takes out all that `has_ended`, in one pass, whose order stays. */
static uint32_t take_out(struct denials *d, bool (*has_ended)(const struct denial *, uint64_t), uint64_t what)
{
    uint32_t count = d->count, kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct denial *item = &d->items[i];
        if (has_ended(item, what)) {
            atomic_store_explicit(&d->table[item->seat], 0, memory_order_relaxed);
            continue;
        }
        d->places[item->seat] = kept;
        if (kept != i) d->items[kept] = *item;
        kept++;
    }
    atomic_store_explicit(&d->count, kept, memory_order_relaxed);
    return count - kept;
}

static bool is_the_one(const struct denial *item, uint64_t id)
{
    return item->id == id;
}

static bool is_over(const struct denial *item, uint64_t now_ms)
{
    return item->until_ms <= now_ms;
}

bool denials_remove(struct denials *d, uint64_t id)
{
    return take_out(d, is_the_one, id) > 0;
}

static bool is_of(const struct denial *item, uint64_t rule)
{
    return (uint64_t)(uintptr_t)item->rule == rule;
}

uint32_t denials_end_rule(struct denials *d, const char *rule)
{
    return take_out(d, is_of, (uint64_t)(uintptr_t)rule);
}

uint32_t denials_sweep(struct denials *d, uint64_t now_ms)
{
    return take_out(d, is_over, now_ms);
}
