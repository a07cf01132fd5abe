/* route/route_conf.h: one of a listener's routes, as configured. Part of a snapshot. */
#pragma once

#include "auth/auth_conf.h"
#include "coding/compress_conf.h"
#include "conf/field.h"
#include "files/files_conf.h"
#include "http/template.h"
#include "route/cors_conf.h"
#include "route/gate_conf.h"
#include "route/maintenance_conf.h"
#include "route/rate_conf.h"
#include "route/retry_conf.h"
#include "route/rewrite.h"
#include "route/route.h"
#include "route/route_not.h"

/* `headers: {X-Env: beta}`: a map whose elements have a short form. */
struct route_pair_conf {
    const char *name, *value;
};

/* `request_headers: {set: {X-Client: "{client}"}, add: {…}, remove: [X-Debug]}` */
struct route_header_conf {
    const char *name;
    struct http_template value;
};
struct route_headers_conf {
    struct conf_items set, add; /* struct route_header_conf */
    struct conf_items remove;   /* const char * */
};

/* `redirect: {to: "https://{host}{target}", status: 308}`; short form: `to`. */
struct route_redirect_conf {
    struct http_template to;
    uint32_t status; /* 301, 302, 303, 307, 308 */
};

/* Of a listener: whatever no route takes goes to the same host, path and query by https. */
struct route_https_conf {
    uint32_t to;   /* there is one alone: https */
    uint32_t port; /* where that is spoken */
};
/* Where a request goes by it. False: its host is none that could stand in a URL. */
bool route_https_location(const struct route_https_conf *conf, const struct http_head *head,
                          struct text *out);
/* 301, or 308 where that could change the method (RFC 9110 15.4.2). */
uint16_t route_https_status(const struct http_head *head);

/* `respond: {status: 200, body: "…", content_type: text/plain}`; short form: `body`. */
struct route_respond_conf {
    uint32_t status;
    const char *body, *content_type;
};

/* `mirror: {pool: shadow, share: 10}`: copies of requests, their answers thrown away. */
struct route_mirror_conf {
    const char *pool;
    uint32_t share;      /* hundredths of a percent, 1..10000 */
    uint64_t body_bytes; /* requests with larger bodies are not copied */
    uint32_t in_flight;  /* how many copies may be going on, of all workers; beyond that none is begun */
};

/* `egress: {pool: out, allow: ["*.example.com:443", "10.1.0.0/16:80"]}`: the request says where it goes. */
struct route_egress_conf {
    const char *pool;        /* whose servers are local addresses to leave by */
    struct conf_items allow; /* const char *; see proxy/egress.h */
};

/* `timeouts: {first_byte: 5s}`: in place of the pool's and the listener's; 0: theirs hold. */
struct route_timeouts {
    uint64_t connect_ms, queue_ms, first_byte_ms, response_ms, idle_ms, half_closed_ms;
    uint64_t total_ms; /* UINT64_MAX: off, whatever the pool says */
    uint64_t body_ms, write_ms;
};

struct route_limits {
    uint64_t body_bytes; /* UINT64_MAX: no limit */
};

struct route_debug_conf {
    struct address upstream;
};

struct route_conf {
    const char *name;                            /* its pool's or split's if it has none of its own */
    struct conf_items hosts;                     /* const char *; none: any */
    const char *path, *path_prefix, *path_regex; /* NULL: any */
    uint32_t scheme;                             /* enum route_scheme */
    struct conf_items sni;                       /* const char *: of a tcp listener's; none: the others' */
    struct conf_items methods;                   /* const char * */
    struct conf_items headers, query;            /* struct route_pair_conf */
    struct conf_items clients;                   /* struct cidr */
    struct route_not_conf * not ;                /* NULL: nothing is left out */
    /* Where it leads: one of these. */
    const char *pool, *split;
    struct route_redirect_conf *redirect;
    struct route_https_conf *https; /* a listener's `redirect: https` */
    struct route_respond_conf *respond;
    struct files_conf *files;
    struct route_egress_conf *egress;
    struct route_debug_conf *debug; /* may stand beside pool or split, and goes before them */
    struct rewrite_conf *rewrite;   /* NULL: as it came */
    struct route_headers_conf *request_headers, *response_headers; /* NULL: untouched */
    struct conf_items request_trailers; /* const char *: fields that may come behind a request's body */
    struct route_mirror_conf *mirror;
    struct gate_conf *gate;               /* NULL: everybody */
    struct rate_conf *rate;               /* NULL: as many as come */
    struct auth_conf *auth;               /* NULL: its listener's */
    struct conf_items upgrade;            /* const char *: protocols that may be upgraded to; none if empty */
    struct retry_conf *retry;             /* NULL: its pool's */
    uint32_t priority;                    /* enum pool_priority: of its requests that wait for a server */
    struct route_timeouts *timeouts;      /* NULL: its pool's and listener's */
    struct route_limits *limits;          /* NULL: its listener's */
    struct compress_conf *compress;       /* likewise */
    struct cors_conf *cors;               /* likewise */
    struct conf_items errors;             /* struct page_conf; before its listener's */
    struct maintenance_conf *maintenance; /* NULL: its listener's alone */
    bool idempotent;                      /* its requests may be sent a second time, whatever their method */
};

extern const struct conf_type route_conf_type, route_https_type, route_respond_type;

/* How many rows it is in a table: one for each host. */
uint32_t route_conf_row_count(const struct route_conf *conf);
/* The row of its n-th host. Borrows everything from the conf. `conditions`: memory for the headers' and the query's rows, at least
 * headers.count + query.count of them. */
struct route_row route_conf_row(const struct route_conf *conf, uint32_t n, uint32_t index,
                                struct route_condition *conditions);
