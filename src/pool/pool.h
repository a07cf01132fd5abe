/* pool/pool.h: a pool at run time: found by name, kept across reloads. Its roster says which servers it has, its peer set
 * who of them may be picked. The pool itself is the control thread's; workers see it through peer sets, which are
 * immutable, counted, and sent to them anew whenever configuration, health, weights or the operator's word change. */
#pragma once

#include "pool/latency.h"
#include "pool/peer_set.h"
#include "pool/retry_budget.h"

struct pool_worker;

/* Why a request goes to a server once more. X(identifier, name) */
#define POOL_RETRIES(X)                                                                               \
    X(UNREACHED, "connect") /* no byte of it can have reached the server */                           \
    X(STALE, "kept")        /* a kept connection was dead: mostly the server had closed it as idle */ \
    X(RESET, "reset")       /* the connection broke before a byte of the answer */                    \
    X(STATUS, "status")     /* the answer's status is one that is configured */                       \
    X(SLOW, "per_try")      /* the server took longer than one try may */

enum pool_retry {
    POOL_RETRY_NONE,
#define X(id, name) POOL_RETRY_##id,
    POOL_RETRIES(X)
#undef X
        POOL_RETRY_COUNT
};

/* How many of the pool's servers are shown so; read when metrics are printed. */
struct pool_state_meter {
    const struct pool *pool;
    enum server_shown shown;
};

struct pool {
    const char *name;  /* in the process's names */
    uint32_t id, kind; /* kind: enum pool_kind */
    uint32_t worker_count;
    uint32_t sites; /* control thread: configurations that have it, in force or still asked */
    struct pool_worker *
        *workers; /* what each worker has of it, by the worker's index; NULL until that one is there */
    struct roster *roster;    /* control thread, as what follows; one reference */
    struct peer_set *current; /* likewise */
    uint64_t set_weight;      /* of all in the current set that may be picked */
    uint64_t warm_next_ms;    /* when the warming servers' weights are next to grow */
    uint64_t health_changes[SERVER_HEALTH_REASON_COUNT]; /* of its servers, since it is there */
    bool ignores_health;                                 /* of some or all of its servers that are not well */
    uint64_t panics;                                     /* how often that began */
    bool is_suspected;                                   /* the control side is to look at its failures */
    uint64_t ejections_denied;                           /* max_ejected were out already */
    uint64_t checks[2];                                  /* ended: that failed, that passed */
    struct pool_state_meter state_meters[SERVER_SHOWN_COUNT];
    struct metric_scope meters;
    uint32_t meter_queued, meter_queue_full;
    _Atomic uint64_t refused_ns; /* when its queue last refused somebody, of all workers; 0: never */
    uint32_t meter_retries[POOL_RETRY_COUNT], meter_retries_denied;
    uint32_t meter_hedges, meter_hedges_won, meter_hedges_denied;
    struct retry_budget retries; /* any worker */
    struct pool_latency latency; /* likewise */
    uint32_t meter_tls_full, meter_tls_resumed,
        meter_tls_failed; /* METRIC_NONE: its servers were always plain */
};

/* A new configuration of a pool, made beside the one in force, so that nothing has happened if it fails. */
struct pool_change {
    struct pool *pool;
    struct roster *roster;
    struct peer_set *set;
    struct membership *members;
    bool is_panic;       /* no server is usable */
    bool ignores_health; /* of some or all that are not well */
};

/* Servers start as the configuration says. `arena`: in which conf lies, NULL: conf outlives the pool. */
MUST_CHECK int pool_new(struct pool **out, const struct pool_env *env, const struct pool_conf *conf,
                        struct conf_arena *arena, struct err *err);
/* Nobody refers to it any more, on any thread; its servers go with it. */
void pool_free(struct pool *p, const struct pool_env *env);

/* Fills `change` for a conf of the same name and kind: -1 and p as it was if memory is out or the method refuses. Then
 * either pool_commit() or pool_discard(). */
MUST_CHECK int pool_prepare(struct pool_change *change, struct pool *p, const struct pool_env *env,
                            const struct pool_conf *conf, struct conf_arena *arena, struct err *err);
/* From now on p is as changed, but for what workers see: proxy_publish(). Weights that were set by hand stay until the
 * configuration's own value changes. Servers that it no longer has are retired. */
void pool_commit(struct pool_change *change);
void pool_discard(struct pool_change *change, const struct pool_env *env);

/* Builds the set of who may be picked now, makes it current (one reference is the pool's), and sets
 * peer.is_out of every server. The method's table is built anew only if servers or weights have changed. -1:
 * the old one stays. */
MUST_CHECK int pool_rebuild(struct pool *p, struct err *err);
/* What the operator would say of a server. */
struct pool_word {
    enum server_admin admin;
    uint32_t weight;
};
/* Who would be in the set, by places of the roster, if that were said of `s` and it had warmed up: nothing changes. The caller's to
 * free; NULL when out of memory. *is_panic: no server would be usable. */
MUST_CHECK struct membership *pool_foresee(const struct pool *p, const struct server *s,
                                           const struct pool_word *word, bool *is_panic);
/* Lets warming servers grow, in at most 20 steps and not more often than every 250 ms. True: the set is to be
 * rebuilt and published. To be called at least that often. Control thread. */
bool pool_warm_up(struct pool *p, uint64_t now_ms);
struct server *pool_server_by_name(const struct pool *p, const char *name);
/* How many wait now, of all workers. Control thread. */
uint32_t pool_waiting(const struct pool *p);
/* Whether who came last is next. Any thread; now_ns: CLOCK_MONOTONIC. */
bool pool_serves_newest_first(const struct pool *p, const struct pool_conf *conf, uint64_t now_ns);
