/* logs/top.h: the most frequent of an endless stream of keys in fixed memory: Space-Saving (Metwally, Agrawal, El Abbadi,
 * "Efficient computation of frequent and top-k elements in data streams", 2005) over a stream summary, so that an update
 * costs the same whatever comes; behind a filter (Homem and Carvalho, "Finding top-k elements in data streams", 2010):
 * what is not kept is counted in one of many cells, and takes a kept one's place only once its cell has come as far. A
 * count is too high by at most its error, never too low; every key that came more often than top_floor() is there. One
 * thread. */
#pragma once

#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

struct top;

/* `capacity` keys (1 to 2^20), of which the first key_max bytes are kept. NULL: out of memory. */
struct top *top_new(uint32_t capacity, uint32_t key_max);
void top_free(struct top *t); /* NULL is fine */
/* The same in zeroed memory of top_bytes(), at a multiple of eight, which is the caller's: not to be freed by top_free(). What
 * is not used is not touched. */
struct top *top_place(void *memory, uint32_t capacity, uint32_t key_max);
void top_clear(struct top *t);
/* Bytes that it takes in all. */
size_t top_bytes(uint32_t capacity, uint32_t key_max);

/* Asks for the memory that top_add() will look at. */
void top_prefetch(const struct top *t, uint64_t hash);
/* `hash`: 64 good bits that stand for the key: two keys with one hash are one. */
void top_add(struct top *t, uint64_t hash, struct slice key, uint64_t n);

/* As was saved: a key with its count, at least 1, and its error. */
void top_put(struct top *t, uint64_t hash, struct slice key, uint64_t n, uint64_t error);

struct top_entry {
    struct slice key; /* borrowed; lives until the next change */
    uint64_t hash, count, error;
};

uint32_t top_count(const struct top *t);
/* Keys that are not there came at most so often. */
uint64_t top_floor(const struct top *t);
/* The `max` most frequent, the most frequent first; of equals the one with the smaller error. Returns how many. */
uint32_t top_list(const struct top *t, struct top_entry *out, uint32_t max);
/* Adds all of `from`: counts add up, and so do errors; what is in one of them only may have come up to the other's
 * floor as well (Agarwal et al., "Mergeable summaries", 2012). */
void top_merge(struct top *into, const struct top *from);
