/* proxy/route_set.h: what one listener does with a request, by one configuration: its routes with all that they name, its
 * gate and its settings. Part of a site (proxy/site.h): made by the control thread, immutable afterwards but for counters. */
#pragma once

#include "pool/pool.h"
#include "proxy/listener.h"
#include "proxy/proxy_conf.h"
#include "proxy/rate.h"
#include "proxy/split.h"
#include "route/gate.h"
#include "route/rewrite.h"
#include "route/route.h"

enum auth_outcome {
    AUTH_UNCHECKED, /* it could not be found out, or its client went away */
    AUTH_PASSED,
    AUTH_REQUIRED, /* nothing was shown */
    AUTH_FAILED,
    AUTH_DENIED,
    AUTH_OUTCOMES
};

struct egress_rules;
struct mirror_route;
struct sni_table;
struct site;

/* Of exchanges that took it. */
struct route_meters {
    uint32_t exchanges, errors, seconds, classes[6];
};

/* What a request is matched to. The listener's own `pool:` is a route without conditions. */
struct route {
    const char *name; /* in the process's names */
    uint32_t id;
    const struct route_conf *conf; /* NULL for the listener's own pool */
    struct roster *pool;           /* NULL: a split's, or weir answers itself */
    struct split *split;           /* NULL: none */
    struct gate_slot *gate;        /* the configuration's; NULL: everybody */
    struct rate_limit *rate;       /* NULL: as many as come */
    struct rewrite *rewrite;       /* NULL: as it came */
    struct egress_rules *egress;   /* NULL: the request does not say where it goes */
    struct mirror_route *mirror;   /* NULL: none */
    struct route_meters meters;
    struct roster *auth_pool;            /* of the service that decides who may pass; NULL: none does */
    uint32_t auth_meters[AUTH_OUTCOMES]; /* of those who were asked who they are */
};

struct route_set {
    struct listener *listener;
    struct site *site;
    const struct listener_conf *conf;
    struct route_table *table; /* NULL: routes[0] is for everything, or it goes by names */
    struct sni_table *names;   /* of a tcp listener with routes; else NULL */
    struct route *routes;
    uint32_t route_count;
    struct gate_slot *gate;   /* likewise; NULL: none of the listener's own */
    struct rate_limit *rate;  /* likewise */
    struct roster *auth_pool; /* as a route's, for what no route takes */
    const char **identities;  /* fields in which servers are told who it is: clients' own are dropped */
    uint32_t identity_count;
    bool has_cors; /* it or one of its routes */
};

/* Zeroed memory in `site`, whose pools and splits are there already. */
MUST_CHECK int route_set_open(struct route_set *r, struct site *site, struct listener *l,
                              const struct listener_conf *conf, struct err *err);
void route_set_close(struct route_set *set);
