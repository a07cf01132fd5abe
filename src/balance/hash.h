/* balance/hash.h: the tables by which `hash` turns a key's hash into a server. Immutable once built.
 *
 * A table gives each key an order of all servers: the first is the key's own, whatever its state, and the
 * next that may take the request stands in for it. Each is a file hash_<name>.c and a line in hash.c. */
#pragma once

#include "balance/method.h"

/* One after the other as enum hash_table_kind has them. */
enum hash_table_kind { HASH_MAGLEV, HASH_RING, HASH_RENDEZVOUS, HASH_MOD };

#define HASH_SIZE 65537u       /* of maglev, by default */
#define HASH_SIZE_MAX 5000011u /* a prime */
#define HASH_REPLICAS 160u     /* of ring, by default */
#define HASH_POINTS_MAX (UINT32_C(1) << 22)
#define HASH_SERVERS_MAX 65535u

struct hash_conf {
    struct http_template key;
    uint32_t table;           /* enum hash_table_kind */
    uint32_t size;            /* of maglev: a prime */
    uint32_t replicas;        /* of ring: points a server of mean weight has */
    uint32_t bounded_percent; /* of the mean load for its weight: what a server may have; 0: not bounded */
};

/* The servers by what they are hashed as, from which the rendezvous order of every key follows. */
struct hash_servers {
    uint32_t count;
    bool is_even; /* all weights are equal */
    uint64_t total;
    struct hash_server {
        uint64_t name_hash;
        uint32_t weight; /* divided by what all have in common */
    } at[];
};

struct hash_table {
    const struct hash_kind *kind;
    uint32_t bounded_percent;
    struct hash_servers *servers; /* owned */
    void *places; /* owned, one allocation; the kind's own, NULL if it needs none or there are no servers */
};

/* What the servers may have, for one request. */
struct hash_demand {
    const struct balance_query *q;
    uint32_t bounded_percent;
    uint64_t load, weight; /* of those that may take it; set if it is bounded */
};

struct hash_kind {
    /* Sets t->places; NULL, as places_bytes, if it needs none. */
    int (*build)(struct hash_table *t, const struct hash_conf *conf, struct err *err);
    size_t (*places_bytes)(const struct hash_table *t);
    /* The key's own server; *second is left alone or becomes the one after it in the key's order. */
    uint32_t (*own)(const struct hash_table *t, uint64_t hash, uint32_t *second);
    /* The first one after `own` in the key's order for which hash_may_take(), or BALANCE_NONE. */
    uint32_t (*next)(const struct hash_table *t, const struct hash_demand *d, uint32_t own);
};
extern const struct hash_kind hash_maglev, hash_ring, hash_rendezvous, hash_mod;

bool hash_may_take(const struct hash_table *t, const struct hash_demand *d, uint32_t peer);
/* By rendezvous order: `next` of the tables that have no order of their own. */
uint32_t hash_next_by_rendezvous(const struct hash_table *t, const struct hash_demand *d, uint32_t own);
/* The servers' indexes by name hash, so that a table does not depend on their order in the file. NULL when
 * out of memory; the caller frees it. */
uint16_t *hash_order_by_name(const struct hash_servers *servers);

bool hash_is_prime(uint32_t n);

/* Mixes all bits (Stafford's thirteenth variant, the finalizer of splitmix64). */
static inline uint64_t hash_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Where in a row of `size` places a hash falls, without a division: its upper bits decide (Lemire, 2019). */
static inline uint32_t hash_place(uint64_t hash, uint32_t size)
{
    return (uint32_t)(((unsigned __int128)hash * size) >> 64);
}
