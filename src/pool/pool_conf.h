/* pool/pool_conf.h: `pools:` as decoded; immutable, part of the configuration's snapshot. */
#pragma once

#include "base/address.h"
#include "conf/field.h"
#include "health/ejection_conf.h"
#include "pool/concurrency.h"
#include "route/retry_conf.h"

struct server_conf {
    const char *name;       /* first: the key of the map, or the address */
    struct address address; /* egress: the local one to leave by, of port 0; or a place (discovery/place.h) */
    const char *zone;       /* NULL: none */
    uint32_t weight, max_connections, max_requests, tier;
    struct address health_address; /* asked in its place; len 0: it is asked itself */
    /* Of one that was found by a name (pool/found_servers.h): who it is for TLS, and as a Host; NULL: goes by its own. */
    const char *tls_name, *host;
};

struct pool_timeouts {
    uint64_t connect_ms, queue_ms, first_byte_ms, response_ms, keep_alive_ms, idle_ms, half_closed_ms,
        total_ms;
};

/* In the order of the names. */
enum pool_queue_order { POOL_QUEUE_ADAPTIVE, POOL_QUEUE_FIRST_COME };

struct pool_queue_conf {
    uint32_t length;
    uint32_t order; /* enum pool_queue_order */
};

struct pool_pipeline_conf {
    uint32_t depth, spread;
    uint64_t patience_ms;
};

/* What is spoken with the servers, in the order of the names. */
enum pool_protocol { POOL_HTTP1, POOL_H2, POOL_H2C, POOL_AUTO };

struct pool_http2_conf {
    uint32_t streams;
    uint64_t window_bytes, memory_bytes;
};

struct pool_limits_conf {
    uint64_t head_bytes;
    uint32_t headers;
};

/* In percent. */
struct pool_tiers_conf {
    uint32_t overprovision, panic;
};

struct pool_zones_conf {
    const char *local;
    uint32_t spill; /* percent */
};

struct pool_subset_conf {
    uint32_t size, instance, instances; /* instance: from 0 */
};

enum pool_kind {
    POOL_SERVERS,
    POOL_EGRESS, /* its servers are local addresses to leave by */
};

struct check_conf;
struct rate_conf;
struct sticky_conf;
struct tls_upstream;
struct tls_upstream_conf;

enum pool_when_all_down { POOL_TRY_ALL, POOL_FAIL };

struct pool_conf {
    const char *name;
    uint32_t kind;              /* enum pool_kind */
    struct conf_choice balance; /* option->object: struct balance_method */
    const char *host;           /* "keep", "server", or the text to send */
    struct conf_items servers;  /* struct server_conf */
    struct pool_timeouts timeouts;
    uint32_t protocol; /* enum pool_protocol */
    struct pool_http2_conf http2;
    struct pool_queue_conf queue;
    struct pool_concurrency_conf concurrency;
    struct pool_retry_conf retry;
    struct pool_limits_conf limits;
    uint32_t idle_connections, max_requests;
    struct pool_pipeline_conf pipeline;
    struct pool_tiers_conf tiers;
    uint64_t warmup_ms;              /* 0: none */
    struct pool_zones_conf *zones;   /* NULL: none */
    struct pool_subset_conf *subset; /* NULL: all of its servers */
    struct sticky_conf *sticky;      /* NULL: not sticky */
    struct ejection_conf ejection;
    uint32_t when_all_down;          /* enum pool_when_all_down */
    struct rate_conf *rate;          /* NULL: as many as come */
    struct check_conf *health;       /* NULL: its servers are not checked */
    struct tls_upstream_conf *tls;   /* NULL: its servers are spoken to plain */
    uint32_t proxy_protocol;         /* enum proxy_protocol: how its servers are told who the client is */
    struct tls_upstream *egress_tls; /* of an egress pool, for targets that are; NULL: no CA is known */
};

extern const struct conf_type pool_conf_type, server_conf_type;
