/* proxy/denials.h: who may not pass the gate for a while, besides those of the configuration: single addresses, IPv4 /24
 * and IPv6 /64, each with the reason and an end. The control thread adds and removes; workers ask, without a lock. */
#pragma once

#include <stdatomic.h>

#include "base/address.h"

#define DENIALS_MAX 32768u
#define DENIALS_WAYS 8u
#define DENIALS_SETS 8192u
#define DENIALS_NAME_MAX 64u

/* One that is in force; for the control thread. */
struct denial {
    uint64_t id;
    struct ip ip;                /* the block's first address */
    uint8_t bits;                /* of the mapped form: 128, 120 (an IPv4 /24), 64 */
    uint64_t until_ms;           /* of the loops' clock */
    uint64_t since_ns, until_ns; /* since 1970, for people */
    uint64_t count;              /* records that led to it */
    const char *rule, *source;   /* what they are called; borrowed for as long as it is there */
    uint32_t seat;               /* its key's place in the table */
};

struct denials {
    uint64_t seed;
    _Atomic uint32_t count; /* entries in the table */
    uint32_t cap;
    uint64_t next_id, refused;
    struct denial *items;    /* `count` of them, the oldest first */
    uint32_t *places;        /* of a seat in the table: the item's */
    _Atomic uint64_t *table; /* DENIALS_SETS sets of DENIALS_WAYS keys; 0 is free */
};

/* NULL: out of memory. */
struct denials *denials_new(uint64_t seed);
void denials_free(struct denials *d); /* NULL is fine */

bool denials_has_any(const struct denials *d, const struct ip *ip);
/* Any thread. */
static inline bool denials_have(const struct denials *d, const struct ip *ip)
{
    return atomic_load_explicit(&d->count, memory_order_relaxed) && denials_has_any(d, ip);
}

/* A copy is kept, with an id of its own; if the block is denied already the later end counts. 0: there is no room, which
 * `refused` counts. Control thread, like the next ones. */
uint64_t denials_add(struct denials *d, const struct denial *what);
bool denials_remove(struct denials *d, uint64_t id);
/* Forgets those of the rule that is called by that very text: how many. */
uint32_t denials_end_rule(struct denials *d, const char *rule);
/* Forgets what has come to its end. */
uint32_t denials_sweep(struct denials *d, uint64_t now_ms);
