/* pool/server.h: one address of a pool, at run time: found by name, shared by all workers, kept across reloads with its
 * connections, load and health (pool/server_health.h). What a configuration says of it is in the roster (pool/roster.h), but
 * for weight and cap. */
#pragma once

#include <pthread.h>

#include "balance/balance.h"
#include "health/outlier.h"
#include "metric/metric.h"
#include "pool/pool_conf.h"
#include "pool/server_health.h"

/* Of what is kept of its last TLS handshake that failed. */
#define SERVER_TLS_FAILURE_MAX 400u

struct latency_window;
struct names;
struct pool;
struct pool_env;
struct server_check;
struct server_worker;

struct server {
    struct balance_peer peer; /* first: aligned, a line of its own */
    const char *name;         /* in the process's names: it outlives the server */
    const char *tls_name;     /* who it is for TLS, likewise; NULL: goes by its own name */
    const char *host;         /* what it is called as a Host, likewise; NULL: its address */
    struct address address;
    char address_text[ADDRESS_TEXT_MAX];
    struct pool *pool;
    struct server_worker *workers; /* what each worker has of it, by the worker's index */
    uint32_t id;
    uint64_t name_hash;
    _Atomic uint32_t refs; /* of rosters */
    _Atomic uint32_t admin, weight;
    _Atomic uint32_t health; /* written by server_set_health() alone */
    /* How many connections may be open, idle ones included; 0: no cap. How many exchanges may be at it is peer.cap: with
     * HTTP/1 not more than that. */
    _Atomic uint32_t connection_cap;
    struct concurrency concurrency;
    _Atomic bool is_retired; /* no configuration has it any more: no connection to it is kept */
    /* Of the loops' clock; 0: it is not draining. */
    _Atomic uint64_t drain_since_ms;
    /* Any worker: whether the control side should hear of a success. */
    _Atomic bool has_failed;
    /* Failures on end, by any worker: relaxed, a lost one is one less. has_runs: not all of them are 0. The control side
     * hears of every so manieth; 0: of none. */
    _Atomic bool has_runs;
    _Atomic uint32_t runs[FAULT_RUNS], run_told;
    /* How long it leaves an idle connection open: as it says itself, and as was seen. Milliseconds, 0 if not
     * known; relaxed: a lost update costs one connection. */
    _Atomic uint32_t said_idle_ms, seen_idle_ms;
    _Atomic uint64_t seen_at_ms;
    /* Counters for the API and the metrics: written by workers through their shards. */
    struct metric_scope meters;
    uint32_t meter_attempts, meter_failures, meter_connects, meter_reuses, meter_latency, meter_classes[6];
    /* Control thread only. */
    bool is_adaptive;              /* peer.cap is found out */
    uint32_t conf_weight;          /* as the configuration has it: `weight` may have been set by hand */
    uint64_t warmup_ms;            /* 0: it bears all of its weight at once */
    struct ejection_conf ejection; /* the pool's */
    struct server_state state;
    struct server_window window;
    struct latency_window *latency; /* NULL: nobody has asked for it (pool/latency.h) */
    bool is_wanted;                 /* the pool's, while it looks through its servers */
    uint32_t set_weight;            /* in the pool's current set; 0: it is not in it */
    struct server_check *check; /* the control thread's, which asks it again and again; NULL: nobody does */
    pthread_mutex_t words_lock;
    char tls_failure[SERVER_TLS_FAILURE_MAX]; /* under the lock; "": none yet */
};

/* A new one, that nobody refers to yet. */
MUST_CHECK int server_new(struct server **out, struct pool *p, const struct pool_env *env,
                          const struct server_conf *conf, struct err *err);
/* How many there may be at a time; 0: no cap. adaptive: between whose bounds the number of exchanges is found out, from where
 * it is if it was before; NULL: it stands. */
void server_set_caps(struct server *s, uint32_t exchanges, uint32_t connections,
                     const struct concurrency_conf *adaptive);
/* Nobody may refer to it any more, on any thread. */
void server_free(struct server *s, struct metric_registry *metrics);
static inline uint32_t server_connection_cap(const struct server *s)
{
    return atomic_load_explicit(&s->connection_cap, memory_order_relaxed);
}
/* How long a connection may be idle before it is closed; for requests that must not be lost, half of it. */
uint32_t server_idle_limit_ms(const struct server *s, uint64_t conf_ms, uint64_t now_ms);
uint32_t server_young_limit_ms(const struct server *s, uint64_t conf_ms, uint64_t now_ms);
/* What is known of its patience now; 0: nothing. */
uint64_t server_learned_idle_ms(const struct server *s, uint64_t now_ms);
/* The server closed a connection that had been idle this long. */
void server_saw_idle_close(struct server *s, uint64_t idle_ms, uint64_t now_ms);
/* Why a TLS handshake with it failed, in words. Any thread. */
void server_note_tls_failure(struct server *s, const char *words);
/* Those of the last; false: none has. */
bool server_tls_failure(struct server *s, char out[SERVER_TLS_FAILURE_MAX]);
void server_said_idle(struct server *s, uint32_t timeout_s);
