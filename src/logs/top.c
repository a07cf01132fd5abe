#include "logs/top.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

#define NONE UINT32_MAX
#define CELLS_A_KEY 8u /* of the filter; the power of two behind it */

/* One place of the open hash: the number of a key's counter, and half of the key's mixed hash. Where that differs, the
 * counter is another key's and need not be looked at. */
struct slot {
    uint32_t holder; /* counter + 1; 0: free */
    uint32_t mixed;  /* its first bits say where the slot's home is */
};

/* A key, in the ring of those with the same count. */
struct counter {
    uint64_t hash, error;
    uint32_t bucket, next, before; /* ring */
    uint16_t key_len;
};

/* All keys with one count; buckets are a list in order of count. */
struct bucket {
    uint64_t count;
    uint32_t first;        /* counter; NONE: the bucket is free */
    uint32_t next, before; /* the next higher, the next lower; NONE */
};

struct top {
    uint32_t capacity, key_max, count, mask, home_shift;
    uint64_t
        multiplier; /* odd and secret, so that nobody can choose keys with one home: the hash itself is known */
    uint32_t lowest, free_bucket; /* buckets; free ones that were in use are chained by next */
    uint32_t buckets_used;        /* those behind them never were: memory is touched when it is needed */
    uint32_t cell_mask;
    uint32_t *cells;    /* an upper bound for each key that is not kept, by hash; grows to the lowest count */
    struct slot *slots; /* open hash */
    struct counter *counters;
    struct bucket *buckets; /* one more than counters: a move needs the new one before the old one is empty */
    char *keys;
};

static uint32_t slots_for(uint32_t capacity)
{
    uint32_t slots = 4;
    while (slots < capacity * 2) slots *= 2;
    return slots;
}

static uint64_t draw_multiplier(void)
{
    struct rng rng;
    rng_seed_random(&rng);
    return rng_next(&rng) | 1;
}

/* Where its parts are in its memory: in this order, each at a multiple of eight. */
static size_t lay_out(struct top *t, uint32_t capacity, uint32_t key_max)
{
    uint32_t slots = slots_for(capacity), cells = slots_for(capacity * CELLS_A_KEY / 2);
    char *at = (char *)(t + 1);
    t->capacity = capacity;
    t->key_max = key_max;
    t->mask = slots - 1;
    t->cell_mask = cells - 1;
    t->slots = (struct slot *)(void *)at;
    at += slots * sizeof(struct slot);
    t->cells = (uint32_t *)(void *)at;
    at += cells * sizeof(uint32_t);
    t->counters = (struct counter *)(void *)at;
    at += capacity * sizeof(struct counter);
    t->buckets = (struct bucket *)(void *)at;
    at += ((size_t)capacity + 1) * sizeof(struct bucket);
    t->keys = at;
    return (size_t)(at - (char *)t) + (((size_t)capacity * key_max + 7) & ~(size_t)7);
}

size_t top_bytes(uint32_t capacity, uint32_t key_max)
{
    struct top t;
    return lay_out(&t, capacity, key_max);
}

struct top *top_place(void *memory, uint32_t capacity, uint32_t key_max)
{
    struct top *t = memory;
    lay_out(t, capacity, key_max);
    t->home_shift = 32 - (uint32_t)__builtin_popcount(t->mask);
    t->multiplier = draw_multiplier();
    t->free_bucket = t->lowest = NONE;
    return t;
}

struct top *top_new(uint32_t capacity, uint32_t key_max)
{
    void *memory = calloc(1, top_bytes(capacity, key_max));
    return memory ? top_place(memory, capacity, key_max) : NULL;
}

void top_free(struct top *t)
{
    free(t);
}

void top_clear(struct top *t)
{
    if (!t->count) return;
    memset(t->slots, 0, ((size_t)t->mask + 1) * sizeof(*t->slots));
    memset(t->cells, 0, ((size_t)t->cell_mask + 1) * sizeof(*t->cells));
    t->free_bucket = t->lowest = NONE;
    t->buckets_used = t->count = 0;
}

/* the hash */

/* Multiplying and shifting by a secret: universal (Dietzfelbinger, Hagerup, Katajainen, Penttonen, 1997). */
static uint32_t mix(const struct top *t, uint64_t hash)
{
    return (uint32_t)(hash * t->multiplier >> 32);
}

static uint32_t *cell_of(const struct top *t, uint64_t hash)
{
    return &t->cells[(uint32_t)(hash >> 32) & t->cell_mask];
}

static uint32_t find_slot(const struct top *t, uint64_t hash)
{
    uint32_t mixed = mix(t, hash), i = mixed >> t->home_shift;
    while (t->slots[i].holder &&
           (t->slots[i].mixed != mixed || t->counters[t->slots[i].holder - 1].hash != hash))
        i = (i + 1) & t->mask;
    return i;
}

void top_prefetch(const struct top *t, uint64_t hash)
{
    __builtin_prefetch(&t->slots[mix(t, hash) >> t->home_shift]);
    __builtin_prefetch(cell_of(t, hash), 1);
}

/* Those behind move up, so that no grave is left. */
static void remove_slot(struct top *t, uint32_t hole)
{
    for (uint32_t i = (hole + 1) & t->mask; t->slots[i].holder; i = (i + 1) & t->mask) {
        uint32_t home = t->slots[i].mixed >> t->home_shift;
        if (((i - home) & t->mask) < ((i - hole) & t->mask)) continue;
        t->slots[hole] = t->slots[i];
        hole = i;
    }
    t->slots[hole].holder = 0;
}

/* the summary */

static void leave_bucket(struct top *t, uint32_t counter)
{
    struct counter *c = &t->counters[counter];
    struct bucket *b = &t->buckets[c->bucket];
    t->counters[c->before].next = c->next;
    t->counters[c->next].before = c->before;
    if (b->first == counter) b->first = c->next;
    if (c->next != counter) return;
    if (b->before == NONE)
        t->lowest = b->next;
    else
        t->buckets[b->before].next = b->next;
    if (b->next != NONE) t->buckets[b->next].before = b->before;
    b->first = NONE;
    b->next = t->free_bucket;
    t->free_bucket = c->bucket;
}

static void enter_bucket(struct top *t, uint32_t counter, uint32_t bucket)
{
    struct counter *c = &t->counters[counter];
    struct bucket *b = &t->buckets[bucket];
    c->bucket = bucket;
    if (b->first == NONE) {
        b->first = c->next = c->before = counter;
        return;
    }
    c->next = b->first;
    c->before = t->counters[b->first].before;
    t->counters[c->before].next = counter;
    t->counters[c->next].before = counter;
}

/* The bucket of that count, made if it is missing; `before`: a bucket with a lower count, NONE to begin at the lowest. */
static uint32_t bucket_of(struct top *t, uint64_t count, uint32_t before)
{
    uint32_t next = before == NONE ? t->lowest : t->buckets[before].next;
    while (next != NONE && t->buckets[next].count < count) {
        before = next;
        next = t->buckets[next].next;
    }
    if (next != NONE && t->buckets[next].count == count) return next;
    uint32_t made = t->free_bucket;
    if (made == NONE)
        made = t->buckets_used++;
    else
        t->free_bucket = t->buckets[made].next;
    t->buckets[made] = (struct bucket){ .count = count, .first = NONE, .next = next, .before = before };
    if (next != NONE) t->buckets[next].before = made;
    if (before == NONE)
        t->lowest = made;
    else
        t->buckets[before].next = made;
    return made;
}

static void raise(struct top *t, uint32_t counter, uint64_t n)
{
    struct counter *c = &t->counters[counter];
    struct bucket *b = &t->buckets[c->bucket];
    uint64_t count = b->count + n;
    /* Alone in its bucket and still below the next: the bucket itself moves. */
    if (c->next == counter && (b->next == NONE || t->buckets[b->next].count > count)) {
        b->count = count;
        return;
    }
    uint32_t to = bucket_of(t, count, c->bucket);
    leave_bucket(t, counter);
    enter_bucket(t, counter, to);
}

static void set_key(struct top *t, uint32_t counter, uint64_t hash, struct slice key)
{
    struct counter *c = &t->counters[counter];
    if (key.len > t->key_max) key.len = t->key_max;
    c->hash = hash;
    c->key_len = (uint16_t)key.len;
    if (key.len) memcpy(t->keys + (size_t)counter * t->key_max, key.data, key.len);
}

static void add_new(struct top *t, uint32_t slot, uint64_t hash, struct slice key, uint64_t n, uint64_t error)
{
    uint32_t counter = t->count++;
    set_key(t, counter, hash, key);
    t->counters[counter].error = error;
    t->slots[slot] = (struct slot){ counter + 1, mix(t, hash) };
    enter_bucket(t, counter, bucket_of(t, n, NONE));
}

/* The least frequent makes way, and is remembered by its cell; the new one may have come as often as its own cell says. */
static void replace(struct top *t, uint64_t hash, struct slice key, uint64_t n, uint64_t error,
                    uint64_t bound)
{
    const struct bucket *lowest = &t->buckets[t->lowest];
    uint32_t counter = lowest->first, *left = cell_of(t, t->counters[counter].hash);
    uint64_t count = lowest->count;
    remove_slot(t, find_slot(t, t->counters[counter].hash));
    if (*left < count) *left = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
    t->counters[counter].error = bound + error;
    set_key(t, counter, hash, key);
    t->slots[find_slot(t, hash)] = (struct slot){ counter + 1, mix(t, hash) };
    /* Not below the lowest: the filter let it pass because it has come so far. */
    raise(t, counter, bound + n - count);
}

static void add_key(struct top *t, uint64_t hash, struct slice key, uint64_t n, uint64_t error)
{
    uint32_t slot = find_slot(t, hash), holder = t->slots[slot].holder;
    if (holder) {
        t->counters[holder - 1].error += error;
        raise(t, holder - 1, n);
    } else if (t->count < t->capacity) {
        add_new(t, slot, hash, key, n, error);
    } else {
        uint32_t *cell = cell_of(t, hash);
        /* One that is full says no more than the lowest count does. */
        uint64_t lowest = t->buckets[t->lowest].count, bound = *cell < UINT32_MAX ? *cell : lowest;
        if (bound + n > lowest)
            replace(t, hash, key, n, error, bound);
        else
            *cell = (uint32_t)(bound + n);
    }
}

void top_add(struct top *t, uint64_t hash, struct slice key, uint64_t n)
{
    if (n) add_key(t, hash, key, n, 0);
}

void top_put(struct top *t, uint64_t hash, struct slice key, uint64_t n, uint64_t error)
{
    bool had_room = t->count < t->capacity;
    add_key(t, hash, key, n, error);
    if (!had_room || t->count < t->capacity) return;
    /* What was not saved came as often as the lowest at most. */
    uint64_t lowest = t->buckets[t->lowest].count;
    for (uint32_t i = 0; i <= t->cell_mask; i++)
        t->cells[i] = lowest < UINT32_MAX ? (uint32_t)lowest : UINT32_MAX;
}

/* reading */

uint32_t top_count(const struct top *t)
{
    return t->count;
}

uint64_t top_floor(const struct top *t)
{
    return t->count < t->capacity ? 0 : t->buckets[t->lowest].count;
}

static int compare_counts(const void *left, const void *right)
{
    const struct top_entry *a = left, *b = right;
    if (a->count != b->count) return a->count < b->count ? 1 : -1;
    if (a->error != b->error) return a->error > b->error ? 1 : -1;
    return (a->hash > b->hash) - (a->hash < b->hash);
}

static struct top_entry entry_of(const struct top *t, uint32_t counter)
{
    const struct counter *c = &t->counters[counter];
    return (struct top_entry){ .key = { t->keys + (size_t)counter * t->key_max, c->key_len },
                               .hash = c->hash,
                               .count = t->buckets[c->bucket].count,
                               .error = c->error };
}

uint32_t top_list(const struct top *t, struct top_entry *out, uint32_t max)
{
    /* From the highest bucket down; only what ties at the end would need all of a bucket. */
    uint32_t highest = NONE, count = 0;
    for (uint32_t b = t->lowest; b != NONE; b = t->buckets[b].next) highest = b;
    for (uint32_t b = highest; b != NONE && count < max; b = t->buckets[b].before) {
        uint32_t first = t->buckets[b].first, c = first, from = count;
        do {
            out[count++] = entry_of(t, c);
            c = t->counters[c].next;
        } while (c != first && count < max);
        qsort(out + from, count - from, sizeof(*out), compare_counts);
    }
    return count;
}

void top_merge(struct top *into, const struct top *from)
{
    for (uint32_t i = 0; i < from->count; i++) {
        struct top_entry e = entry_of(from, i);
        add_key(into, e.hash, e.key, e.count, e.error);
    }
}
