/* pool/server.h: one address of a pool, at run time: found by name, shared by all workers, kept across reloads with its
 * connections, load and health. What a configuration says of it is in the roster (pool/roster.h), but for weight and cap. */
#pragma once

#include "balance/balance.h"
#include "metric/metric.h"
#include "pool/pool_conf.h"

enum server_admin { SERVER_ENABLED, SERVER_DRAIN, SERVER_MAINTENANCE }; /* the operator's */
enum server_health { SERVER_UNKNOWN, SERVER_UP, SERVER_WARMING, SERVER_EJECTED, SERVER_DOWN }; /* weir's */

/* Why it is in the health that it is in. X(identifier, name) */
#define SERVER_HEALTH_REASONS(X)                                                      \
    X(START, "start")                       /* nothing is known yet */                \
    X(CONNECTED, "connected")               /* a connection opened */                 \
    X(CONNECT_FAILURES, "connect_failures") /* none did, several times on end */      \
    X(SEEN_FAILING, "seen_failing")         /* another's log shows it to be bad */    \
    X(EJECTION_OVER, "ejection_over")       /* its time is over: it is tried again */ \
    X(WARMED_UP, "warmed_up")               /* the time of its warm-up is over */     \
    X(ENABLED, "enabled")                   /* the operator put it back: it begins with little */

enum server_health_reason {
#define X(id, name) SERVER_BY_##id,
    SERVER_HEALTH_REASONS(X)
#undef X
};

/* What is said of a server, by whoever saw it. */
/* SERVER_SEEN_FAILING: somebody who counts over a time, such as a log's reader, finds it bad: one word is enough. */
enum server_evidence { SERVER_CONNECTED, SERVER_CONNECT_FAILED, SERVER_SEEN_FAILING };

/* Parts of a server's weight, and with how many of them one begins that is new or comes back. */
#define SERVER_WARM_WHOLE 10000u
#define SERVER_WARM_START 1000u

/* Three connect failures on end eject a server: for 1 s, then twice as long each time, up to 30 s. */
#define SERVER_EJECT_AFTER 3
#define SERVER_EJECT_MIN_MS 1000
#define SERVER_EJECT_MAX_MS 30000

struct names;
struct pool;
struct pool_env;
struct server_worker;

struct server {
    struct balance_peer peer; /* first: aligned, a line of its own */
    const char *name;         /* in the process's names: it outlives the server */
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
     * HTTP/1 the same number. */
    _Atomic uint32_t connection_cap;
    _Atomic bool is_retired; /* no configuration has it any more: no connection to it is kept */
    /* Of the loops' clock; 0: it is not draining. */
    _Atomic uint64_t drain_since_ms;
    /* Any worker: whether the control side should hear of a success. */
    _Atomic bool has_failed;
    /* How long it leaves an idle connection open: as it says itself, and as was seen. Milliseconds, 0 if not
     * known; relaxed: a lost update costs one connection. */
    _Atomic uint32_t said_idle_ms, seen_idle_ms;
    _Atomic uint64_t seen_at_ms;
    /* Counters for the API and the metrics: written by workers through their shards. */
    struct metric_scope meters;
    uint32_t meter_attempts, meter_failures, meter_connects, meter_reuses, meter_latency;
    /* Control thread only. */
    uint32_t conf_weight; /* as the configuration has it: `weight` may have been set by hand */
    uint64_t warmup_ms;   /* 0: it bears all of its weight at once */
    enum server_health_reason health_reason;
    uint64_t health_since_ms; /* of the loops' clock; 0: since it is there */
    uint32_t failures, eject_ms;
    uint64_t ejected_until_ms, warm_since_ms;
    uint32_t warm_parts; /* of SERVER_WARM_WHOLE, while it is warming */
    bool is_readmitted;  /* it was let back and nobody has connected to it since */
    bool is_wanted;      /* the pool's, while it looks through its servers */
    uint32_t set_weight; /* in the pool's current set; 0: it is not in it */
};

/* A new one, that nobody refers to yet. */
MUST_CHECK int server_new(struct server **out, struct pool *p, const struct pool_env *env,
                          const struct server_conf *conf, struct err *err);
/* By `max_connections`. */
void server_set_caps(struct server *s, uint32_t connections);
/* Nobody may refer to it any more, on any thread. */
void server_free(struct server *s, struct metric_registry *metrics);
const char *server_admin_name(enum server_admin admin);
const char *server_health_name(enum server_health health);
const char *server_health_reason_name(enum server_health_reason reason);
/* Derived for people: up, down, ejected, draining, maintenance, warming. */
const char *server_state_name(const struct server *s);

/* The only writer of health: keeps reason and time, and says it in the log; the same health again is nothing new, but a
 * warm-up that begins anew is. Which may follow which is a table. Control thread. */
void server_set_health(struct server *s, enum server_health to, enum server_health_reason reason,
                       uint64_t now_ms);
/* The control thread's. True if who may be picked has changed. */
bool server_report(struct server *s, enum server_evidence evidence, uint64_t now_ms);
/* Lets an ejected server back when its time is over; likewise true if it did. */
bool server_readmit(struct server *s, uint64_t now_ms);
/* The operator's word. Whoever is enabled again, and is not ejected, begins to warm up. Control thread. */
void server_set_admin(struct server *s, enum server_admin admin, uint64_t now_ms);
/* Goes on with the warm-up; false if it is not warming. A server warms up when it is let back after an
 * ejection, anew from its first connection after that, and when the operator enables it again; not at the
 * start of the process, when all are equally cold. Control thread. */
bool server_warm_up(struct server *s, uint64_t now_ms);
/* Of SERVER_WARM_WHOLE. */
uint32_t server_warm_parts(const struct server *s);
static inline uint32_t server_connection_cap(const struct server *s)
{
    return atomic_load_explicit(&s->connection_cap, memory_order_relaxed);
}
/* May it be picked for new exchanges, health left aside or not? */
bool server_is_enabled(const struct server *s);
bool server_is_usable(const struct server *s);
/* Health alone, whatever the operator says. */
bool server_is_healthy(const struct server *s);

/* How long a connection may be idle before it is closed; for requests that must not be lost, half of it. */
uint32_t server_idle_limit_ms(const struct server *s, uint64_t conf_ms, uint64_t now_ms);
uint32_t server_young_limit_ms(const struct server *s, uint64_t conf_ms, uint64_t now_ms);
/* What is known of its patience now; 0: nothing. */
uint64_t server_learned_idle_ms(const struct server *s, uint64_t now_ms);
/* The server closed a connection that had been idle this long. */
void server_saw_idle_close(struct server *s, uint64_t idle_ms, uint64_t now_ms);
void server_said_idle(struct server *s, uint32_t timeout_s);
