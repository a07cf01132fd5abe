/* proxy/proxy_conf.h: listeners, pools and what goes with them, as decoded: the proxy's part of a snapshot. */
#pragma once

#include "base/address.h"
#include "conf/field.h"
#include "http/path.h"
#include "net/resolver.h"
#include "pool/pool_conf.h"
#include "proxy/overload_conf.h"
#include "proxy/udp_conf.h"
#include "record/access_log_conf.h"
#include "route/cors_conf.h"
#include "route/gate_conf.h"
#include "route/maintenance_conf.h"
#include "route/route_conf.h"
#include "route/split.h"
#include "tls/tls_conf.h"

enum listener_protocol { LISTENER_HTTP, LISTENER_TCP, LISTENER_UDP };

/* "http", "tcp", "udp" */
const char *listener_protocol_name(uint32_t protocol);

struct tracing_conf;

struct listener_timeouts {
    uint64_t header_ms, body_ms, write_ms, keep_alive_ms;
};

struct listener_limits {
    uint64_t head_bytes, body_bytes; /* body: UINT64_MAX is no limit */
    uint64_t least_rate;             /* bytes a second; 0: none */
    uint32_t headers;
};

enum fields_underscore { FIELDS_UNDERSCORE_DROP, FIELDS_UNDERSCORE_KEEP, FIELDS_UNDERSCORE_REFUSE };

/* `fields: {underscore: drop}`: which of a request's fields pass. */
struct listener_fields {
    uint32_t underscore; /* enum fields_underscore: names with "_" */
};

/* `pin: {from: [10.0.0.0/8], token: "…"}`: who may name a server with Weir-Pin. */
struct pin_conf {
    struct conf_items from; /* struct cidr: the peer's address */
    const char *token;      /* in Weir-Pin-Token; NULL: none */
};

/* `http2: {streams: 100}` */
struct listener_http2 {
    bool enabled, websockets;
    uint32_t streams, continuations;
    uint64_t window_bytes, memory_bytes;
    uint32_t resets, settings, pings, empty_frames, window_updates; /* in ten seconds */
};

enum faults_detail { FAULTS_ID, FAULTS_FULL };

/* `faults: {detail: id}`: what those outside see of what went wrong inside. */
struct listener_faults {
    uint32_t detail; /* enum faults_detail */
};

enum others { OTHERS_REFUSE, OTHERS_SERVE };

/* `proxy_protocol: {from: [10.0.0.0/8]}`: whose connections begin with a PROXY header. */
struct listener_introduction {
    struct conf_items from; /* struct cidr: the peer's address */
    uint32_t others;        /* enum others: who else connects */
};

struct listener_conf {
    const char *name;
    struct address bind;
    uint32_t protocol;        /* enum listener_protocol */
    const char *pool;         /* the one route for everything; NULL if there are routes */
    struct conf_items routes; /* struct route_conf */
    /* Of what no route takes; one of them, or NULL: it is answered with 404. */
    struct route_https_conf *redirect;
    struct route_respond_conf *respond;
    struct files_conf *files;
    struct route_conf rest; /* the route that this is; without a name: there is none */
    struct listener_timeouts timeouts;
    struct listener_limits limits;
    struct listener_fields fields;
    struct listener_faults faults;
    struct listener_http2 http2;
    struct http_path_rules paths;
    struct udp_conf udp;
    struct conf_items trust;                      /* struct cidr */
    struct gate_conf *gate;                       /* may be NULL */
    struct rate_conf *rate;                       /* NULL: as many as come */
    struct auth_conf *auth;                       /* NULL: nobody is asked */
    struct compress_conf *compress;               /* NULL: responses pass as they are */
    struct pin_conf *pin;                         /* NULL: nobody may */
    struct conf_items errors;                     /* struct page_conf */
    struct maintenance_conf *maintenance;         /* NULL: none */
    struct cors_conf *cors;                       /* NULL: servers speak for themselves */
    struct listener_introduction *proxy_protocol; /* NULL: clients connect themselves */
    struct tls_conf *tls;                         /* NULL: what comes is taken as it is */
};

struct proxy_limits {
    uint64_t memory_bytes; /* 0: half of what there is */
    uint32_t connections;  /* 0: as many as descriptors allow */
};

struct proxy_timeouts {
    uint64_t drain_ms, upgrade_ms;
};

struct proxy_conf {
    struct conf_items listeners; /* struct listener_conf */
    struct conf_items pools;     /* struct pool_conf */
    struct conf_items splits;    /* struct split_conf */
    struct resolver_conf resolver;
    struct access_log_conf *access_log; /* NULL: none */
    struct tracing_conf *tracing;       /* record/tracing_conf.h; NULL: none */
    struct gate_conf *gate;             /* for every listener; may be NULL */
    struct proxy_limits limits;
    struct overload_conf overload;
    struct proxy_timeouts timeouts;
    uint32_t workers; /* 0: one a core */
};

/* How many places (discovery/place.h) its pools have in place of addresses. */
uint32_t proxy_conf_count_places(const struct proxy_conf *conf);

extern const struct conf_type listener_conf_type, proxy_limits_type, proxy_timeouts_type;
