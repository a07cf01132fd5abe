/* balance/balance.h: choosing a server for one request. Pure: no I/O, no clock of its own, no allocation in a
 * pick.
 *
 * A pool's peers are run-time objects shared by all workers (relaxed atomics, one padded line each). Who may
 * be picked, with which weights, is a balance_set, from which the control side builds a method's table:
 * immutable and shared. Each worker has one struct balance a pool: the table (borrowed) and its own small
 * state. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rng.h"
#include "base/slice.h"
#include "conf/field.h"

#define BALANCE_NONE UINT32_MAX
#define BALANCE_WEIGHT_MAX 10000

/* The shared line of one server. Written by every worker, so nothing else lives on it. */
struct balance_peer {
    _Alignas(64) _Atomic uint32_t in_flight; /* exchanges leased to it; tunnels on tcp pools */
    _Atomic uint32_t open_connections;       /* idle ones included: what max_connections caps */
    _Atomic uint32_t waiting_workers;        /* how many workers have exchanges queued for it */
    _Atomic uint32_t cap;                    /* max_connections; 0: none */
    _Atomic uint64_t waiting_mask;           /* bit i: worker i (mod 64) has exchanges queued for it */
};

static inline bool balance_peer_is_full(const struct balance_peer *p)
{
    uint32_t cap = atomic_load_explicit(&p->cap, memory_order_relaxed);
    return cap && atomic_load_explicit(&p->in_flight, memory_order_relaxed) >= cap;
}

enum balance_reason {
    BALANCE_ALL_TRIED, /* none: every peer has failed in this exchange, or there is none */
    BALANCE_ALL_FULL,  /* none: every peer left is at its cap */
    BALANCE_ONLY_ONE,  /* a set of one */
    BALANCE_TURN,      /* round robin's next */
    BALANCE_DRAWN,     /* weighted draw */
    BALANCE_LEAST,     /* strictly the least loaded */
    BALANCE_TIE,       /* drawn among equally loaded */
    BALANCE_TWO,       /* the better of two drawn */
    BALANCE_HASHED,    /* the key's own peer */
    BALANCE_FALLBACK,  /* the key's own (or the drawn, or next) peer was tried or full: another */
};
/* "turn", "drawn", "least", … */
const char *balance_reason_name(enum balance_reason reason);

struct balance_set {
    const struct balance_peer *const *peers;
    const uint32_t *weights; /* 1..BALANCE_WEIGHT_MAX */
    const uint64_t *name_hashes;
    uint32_t count;
};

struct balance_query {
    const struct balance_peer *const *peers; /* those of the set the table was built from, same order */
    uint32_t peer_count;
    const uint32_t *tried; /* indexes that failed in this exchange */
    uint32_t tried_count;
    uint64_t hash; /* of the method's key, for methods with has_key */
    uint64_t now_ns;
    struct rng *rng; /* the worker's */
};

struct balance_choice {
    uint32_t peer, runner_up; /* BALANCE_NONE if there is none */
    enum balance_reason reason;
};

struct balance_outcome {
    uint64_t first_byte_ns, total_ns;
    bool is_error;
};

struct balance_method {
    const char *name, *help;
    const struct conf_type *type; /* of its options; NULL if it has none */
    bool has_key;                 /* picks by query.hash */
    /* Control side. *table is immutable and shared; NULL is a table too (a method without one). */
    int (*build)(const struct balance_set *set, const void *conf, void **table, struct err *err);
    void (*drop)(void *table);
    /* Per worker; for `count` peers: state_size + count * state_size_per_peer, zeroed at start. */
    size_t state_size;
    size_t state_size_per_peer;
    void (*pick)(const void *table, void *state, const struct balance_query *q, struct balance_choice *out);
    void (*observe)(struct balance_peer *peer, const struct balance_outcome *outcome); /* may be NULL */
};

/* One worker's view of one pool's current set. */
struct balance {
    const struct balance_method *method; /* borrowed */
    const void *table;                   /* borrowed from the peer set */
    void *state;                         /* owned by the caller */
};

/* Fills `out`; out->peer is BALANCE_NONE if none may be used. Never allocates, never blocks. */
static inline void balance_pick(const struct balance *b, const struct balance_query *q,
                                struct balance_choice *out)
{
    b->method->pick(b->table, b->state, q, out);
}

/* Every method, ends with NULL. The options are the same, as rows of the configuration's `balance:`. */
extern const struct balance_method *const balance_methods[];
extern const struct conf_type balance_conf_type; /* CHOICE; option->object is the struct balance_method */

/* `balance: {method: hash, key: "header:X-User"}`: where the key comes from. */
enum balance_key_kind { BALANCE_KEY_CLIENT, BALANCE_KEY_PATH, BALANCE_KEY_HOST, BALANCE_KEY_HEADER };
struct balance_key {
    enum balance_key_kind kind;
    char header[64]; /* lower case */
};
/* XXH3 of a key. */
uint64_t balance_hash(struct slice key);
/* NULL for methods without a key. `conf` is the struct of the method's options. */
const struct balance_key *balance_method_key(const struct balance_method *method, const void *conf);
