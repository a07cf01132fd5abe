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

#include "base/bug.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/slice.h"
#include "conf/field.h"
#include "http/template.h"

#define BALANCE_NONE UINT32_MAX
#define BALANCE_WEIGHT_MAX 10000
/* In a set: while servers warm up or a tier overflows, weights are parts of what was configured. */
#define BALANCE_SET_WEIGHT_MAX (BALANCE_WEIGHT_MAX * 100)

/* The shared line of one server. Written by every worker, so nothing else lives on it. */
struct balance_peer {
    _Alignas(64) _Atomic uint32_t in_flight; /* exchanges leased to it; tunnels on tcp pools */
    _Atomic uint32_t open_connections;       /* idle ones included */
    _Atomic uint32_t waiting_workers;        /* how many workers have exchanges queued for it */
    _Atomic uint32_t cap;                    /* of exchanges in flight; 0: none */
    _Atomic uint64_t waiting_mask;           /* bit i: worker i (mod 64) has exchanges queued for it */
    _Atomic uint32_t is_out;                 /* not to be picked now; only sets with keeps_out hold such */
    _Atomic uint32_t latency_us;             /* peak_ewma's estimate as of latency_at_ns; 0: none yet */
    _Atomic uint64_t latency_at_ns;
    _Atomic uint32_t
        failing; /* likewise: what failures multiply it by, in parts of PEAK_FAILING; 0: nothing */
    _Atomic uint64_t failing_at_ns;
};
_Static_assert(sizeof(struct balance_peer) == 64, "a server has one line");

static inline bool balance_peer_is_full(const struct balance_peer *p)
{
    uint32_t cap = atomic_load_explicit(&p->cap, memory_order_relaxed);
    return cap && atomic_load_explicit(&p->in_flight, memory_order_relaxed) >= cap;
}

enum balance_reason {
    BALANCE_ALL_TRIED, /* none: every peer is out or has failed in this exchange, or there is none */
    BALANCE_ALL_FULL,  /* none: every peer left is at its cap */
    BALANCE_ONLY_ONE,  /* a set of one */
    BALANCE_TURN,      /* round robin's next; among equally loaded, the one that is behind its share */
    BALANCE_DRAWN,     /* weighted draw */
    BALANCE_LEAST,     /* strictly the least loaded */
    BALANCE_TIE,       /* drawn among equally loaded */
    BALANCE_TWO,       /* the best of the few drawn, two as a rule */
    BALANCE_HASHED,    /* the key's own peer */
    BALANCE_FALLBACK,  /* the key's own (or the drawn, or next) peer was tried, out or full: another */
    BALANCE_BOUNDED,   /* the key's own peer is at its bound: the next in the key's order */
    BALANCE_QUICKEST,  /* the least expected latency */
    /* Chosen without a method: */
    BALANCE_OVERFLOW, /* all that the pool prefers are full: a server of a later tier or another zone */
    BALANCE_STICKY,   /* named by the client's cookie */
    BALANCE_PINNED,   /* named by Weir-Pin */
    BALANCE_QUEUED,   /* its slot was freed when it was this request's turn in the queue */
};
/* "turn", "drawn", "least", … */
const char *balance_reason_name(enum balance_reason reason);

struct balance_set {
    const struct balance_peer *const *peers;
    const uint32_t *weights; /* 1..BALANCE_SET_WEIGHT_MAX */
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

/* How an attempt went. */
struct balance_outcome {
    uint64_t now_ns,
        latency_ns; /* from the attempt's start to the response's first byte, or to the failure */
    bool is_error;  /* no response, or a 5xx */
};

struct balance_method {
    const char *name, *help;
    const struct conf_type *type; /* of its options; NULL if it has none */
    bool has_key;                 /* picks by query.hash */
    /* Its sets hold those servers too that are out for a while, so that their keys come back to them. */
    bool keeps_out;
    /* Control side. *table is immutable and shared; NULL is a table too (a method without one). */
    int (*build)(const struct balance_set *set, const void *conf, void **table, struct err *err);
    void (*drop)(void *table);
    /* What the table occupies. NULL: there are no tables. */
    size_t (*table_bytes)(const void *table);
    /* Per worker; for `count` peers: state_size + count * state_size_per_peer, zeroed at start. */
    size_t state_size;
    size_t state_size_per_peer;
    /* When a worker's set is replaced: a new, zeroed state takes over what the old one remembers, so that frequent
     * changes do not begin everything anew. from[i]: the index of peer i in the old set, or BALANCE_NONE. May be
     * NULL. */
    void (*inherit)(const void *table, void *state, const void *old_table, const void *old_state,
                    const uint32_t *from, struct rng *rng);
    void (*pick)(const void *table, void *state, const struct balance_query *q, struct balance_choice *out);
    /* After each attempt; may be NULL. */
    void (*observe)(const void *table, struct balance_peer *peer, const struct balance_outcome *outcome);
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
    if (bug_if(BALANCE, out->peer != BALANCE_NONE && out->peer >= q->peer_count)) out->peer = BALANCE_NONE;
    if (bug_if(BALANCE, out->runner_up != BALANCE_NONE && out->runner_up >= q->peer_count))
        out->runner_up = BALANCE_NONE;
}

/* Every method, ends with NULL. The options are the same, as rows of the configuration's `balance:`. */
extern const struct balance_method *const balance_methods[];
extern const struct conf_type balance_conf_type; /* CHOICE; option->object is the struct balance_method */

/* XXH3 of a key. */
uint64_t balance_hash(struct slice key);
/* `balance: {method: hash, key: "header:X-User"}`: what is hashed. NULL for methods without a key. `conf`
 * is the struct of the method's options. */
const struct http_template *balance_method_key(const struct balance_method *method, const void *conf);
/* XXH3 of what the template makes of the request, all of it; what the request does not have counts as
 * empty. */
uint64_t balance_key_hash(const struct http_template *key, const struct http_template_input *in);
