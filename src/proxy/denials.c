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
    if (d->table) return d;
    denials_free(d);
    return NULL;
}

void denials_free(struct denials *d)
{
    if (!d) return;
    free(d->items);
    free((void *)d->table);
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

static _Atomic uint64_t *set_of(const struct denials *d, uint64_t key)
{
    return d->table + (key % DENIALS_SETS) * DENIALS_WAYS;
}

static bool has_key(const struct denials *d, uint64_t key)
{
    const _Atomic uint64_t *set = set_of(d, key);
    for (unsigned i = 0; i < DENIALS_WAYS; i++)
        if (atomic_load_explicit(&set[i], memory_order_relaxed) == key) return true;
    return false;
}

bool denials_has_any(const struct denials *d, const struct ip *ip)
{
    return has_key(d, key_of(d, ip, 128)) || has_key(d, key_of(d, ip, ip_is_v4(ip) ? 120 : 64));
}

static struct denial *find(struct denials *d, const struct ip *ip, uint8_t bits)
{
    for (uint32_t i = 0; i < d->count; i++)
        if (d->items[i].bits == bits && memcmp(&d->items[i].ip, ip, sizeof(*ip)) == 0) return &d->items[i];
    return NULL;
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

static bool put_key(struct denials *d, uint64_t key)
{
    _Atomic uint64_t *set = set_of(d, key);
    for (unsigned i = 0; i < DENIALS_WAYS; i++) {
        if (atomic_load_explicit(&set[i], memory_order_relaxed)) continue;
        atomic_store_explicit(&set[i], key, memory_order_relaxed);
        return true;
    }
    return false;
}

uint64_t denials_add(struct denials *d, const struct denial *what)
{
    struct denial *known = has_key(d, key_of(d, &what->ip, what->bits)) ? find(d, &what->ip, what->bits)
                                                                        : NULL;
    if (known) {
        if (known->until_ms < what->until_ms) {
            known->until_ms = what->until_ms;
            known->until_ns = what->until_ns;
        }
        known->count += what->count;
        return known->id;
    }
    if (!grow(d) || !put_key(d, key_of(d, &what->ip, what->bits))) {
        d->refused++;
        return 0;
    }
    struct denial *added = &d->items[d->count];
    *added = *what;
    added->id = d->next_id++;
    atomic_fetch_add_explicit(&d->count, 1, memory_order_relaxed);
    return added->id;
}

static void remove_at(struct denials *d, uint32_t at)
{
    uint64_t key = key_of(d, &d->items[at].ip, d->items[at].bits);
    _Atomic uint64_t *set = set_of(d, key);
    for (unsigned i = 0; i < DENIALS_WAYS; i++)
        if (atomic_load_explicit(&set[i], memory_order_relaxed) == key)
            atomic_store_explicit(&set[i], 0, memory_order_relaxed);
    memmove(&d->items[at], &d->items[at + 1], (d->count - at - 1) * sizeof(*d->items));
    atomic_fetch_sub_explicit(&d->count, 1, memory_order_relaxed);
}

bool denials_remove(struct denials *d, uint64_t id)
{
    for (uint32_t i = 0; i < d->count; i++) {
        if (d->items[i].id != id) continue;
        remove_at(d, i);
        return true;
    }
    return false;
}

uint32_t denials_sweep(struct denials *d, uint64_t now_ms)
{
    uint32_t ended = 0;
    for (uint32_t i = d->count; i-- > 0;) {
        if (d->items[i].until_ms > now_ms) continue;
        remove_at(d, i);
        ended++;
    }
    return ended;
}
