/* A set of peers to try methods on, and the arithmetic of shares. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "balance/balance.h"

#define PEERS_MAX 1024

struct peers {
    struct balance_peer *lines;
    const struct balance_peer *pointers[PEERS_MAX];
    uint32_t weights[PEERS_MAX];
    uint64_t name_hashes[PEERS_MAX];
    uint64_t seen[PEERS_MAX]; /* how often each was picked */
    uint32_t tried[PEERS_MAX];
    uint32_t count, tried_count;
    uint64_t hash, now_ns;
    struct rng rng;
    struct balance balance;
    const void *conf;
    void *table;
};

const struct balance_method *peers_method(const char *name);
/* `weights`: NULL for all 1. Fixed seed. */
void peers_init(struct peers *p, const char *method, uint32_t count, const uint32_t *weights);
/* `conf`: the method's options, borrowed until peers_fini(); NULL for the defaults. */
void peers_init_with(struct peers *p, const char *method, const void *conf, uint32_t count,
                     const uint32_t *weights);
/* The table anew, from the weights, names and count as they are now; the peers' lines stay. */
void peers_rebuild(struct peers *p);
/* A worker of its own: new state, other seed, same table. */
void peers_restart(struct peers *p, uint64_t seed);
void peers_fini(struct peers *p);
struct balance_choice peers_pick(struct peers *p);
/* Picks so often and counts in `seen`, nothing in flight. For methods with a key each pick has another. */
void peers_pick_many(struct peers *p, uint64_t times);
void peers_load(struct peers *p, uint32_t peer, uint32_t in_flight);
void peers_cap(struct peers *p, uint32_t peer, uint32_t cap);
void peers_out(struct peers *p, uint32_t peer, bool is_out);
/* Picks, and counts the request in; returns the peer. */
uint32_t peers_lease(struct peers *p);
void peers_release(struct peers *p, uint32_t peer);
/* Peer i is named `name`: its hash goes with it. */
void peers_name(struct peers *p, uint32_t peer, uint32_t name);
/* The hash of key number `key`. */
uint64_t peers_key(uint64_t key);

/* Whether counts seen differ from the shares by more than chance gives once in a hundred times (chi-square,
 * its quantile by Wilson and Hilferty). */
bool shares_fit(const uint64_t *seen, const uint32_t *shares, uint32_t count);
