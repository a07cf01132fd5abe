/* proxy/listener.h: listeners and their routes at run time: what the configuration names, found once at start. Made
 * by the control thread before workers start; immutable afterwards but for the counters. */
#pragma once

#include "base/end_reason.h"
#include "metric/metric.h"
#include "pool/pool.h"
#include "proxy/gate.h"
#include "proxy/proxy_conf.h"
#include "proxy/split.h"
#include "route/rewrite.h"
#include "route/route.h"

struct proxy;
struct egress_rules;
struct mirror_route;

/* What a request is matched to. The listener's own `pool:` is a route without conditions. */
struct route {
    const char *name;
    uint32_t id;
    const struct route_conf *conf; /* NULL for the listener's own pool */
    struct pool *pool;             /* NULL: a split's, or weir answers itself */
    struct split *split;           /* NULL: none */
    struct gate_rules *gate;       /* NULL: everybody */
    struct rewrite *rewrite;       /* NULL: as it came */
    struct egress_rules *egress;   /* NULL: the request does not say where it goes */
    struct mirror_route *mirror;   /* NULL: none */
    uint32_t meter_exchanges;
};

struct listener {
    const struct listener_conf *conf; /* the snapshot's */
    const char *name;
    uint32_t id, index;
    struct proxy *proxy;
    bool is_bound;
    int *fds;                  /* one a worker; the process's, until the drain begins */
    struct route_table *table; /* NULL: routes[0] is for everything */
    struct route *routes;
    uint32_t route_count;
    struct gate_rules *gate;
    _Atomic uint32_t connections;
    uint32_t meter_refused[END_REASON_COUNT]; /* those that can be: see listener.c */
    uint32_t meter_accepted, meter_bytes_in, meter_bytes_out, meter_seconds;
    uint32_t meter_ends[END_REASON_COUNT], meter_classes[6];
};

/* Zeroed memory in p->listeners. Binds unless the proxy is only to be asked (proxy->is_detached). */
MUST_CHECK int listener_open(struct listener *l, struct proxy *p, const struct listener_conf *conf,
                             struct err *err);
void listener_close(struct listener *l);
/* Whether one of its routes matches or rewrites by a regular expression. */
bool listener_needs_scratch(const struct listener *l);
