/* proxy/proxy.h: the run-time objects that all workers share: listeners, pools, counters, and the limits. Made by
 * the control thread before workers start; what changes afterwards is atomic or sent by mail. */
#pragma once

#include "base/block.h"
#include "base/names.h"
#include "metric/metric.h"
#include "net/mailbox.h"
#include "pool/pool.h"
#include "proxy/access_log.h"
#include "proxy/client_table.h"
#include "proxy/denials.h"
#include "proxy/flight.h"
#include "proxy/gate.h"
#include "proxy/listener.h"
#include "proxy/proxy_conf.h"
#include "proxy/split.h"

struct worker;

struct proxy {
    const struct proxy_conf *conf;
    struct budget budget;
    struct metric_registry *metrics;
    struct listener *listeners;
    struct pool **pools;
    struct split *splits;
    struct conf_arena *arena; /* of what was decoded besides the configuration; may be NULL */
    uint32_t listener_count, pool_count, split_count, worker_count;
    bool is_detached; /* made to be asked, not to serve: nothing is bound, nothing written */
    struct worker **workers;
    struct mailbox *control; /* the control thread's */
    void (*on_evidence)(void *control, const struct mail *m);
    struct access_log *access_log; /* NULL: none */
    struct client_table *clients;
    struct gate_rules *gate;
    struct denials *denials; /* for a while; the control thread's to change */
    uint32_t connection_limit;
    _Atomic uint32_t connections;
    _Atomic uint64_t asked_ms; /* loop time at which a worker last asked the others for memory */
    _Atomic bool is_draining;
    struct names names; /* of listeners, routes, pools, servers and variants, also of those that are gone */
    struct pool_env pool_env;
    uint64_t started_wall_ns;
};

/* conf: borrowed for the proxy's life. Binds every listener; starts nothing. */
MUST_CHECK int proxy_new(struct proxy **out, const struct proxy_conf *conf, uint32_t worker_count,
                         uint32_t connection_limit, uint64_t memory_limit, struct err *err);
/* Likewise, to be asked and not to serve: see explain.h. Opens no socket and no file, and has no workers. */
MUST_CHECK int proxy_new_detached(struct proxy **out, const struct proxy_conf *conf, struct err *err);
/* Makes the workers; `control` is where they post evidence of servers. */
MUST_CHECK int proxy_prepare(struct proxy *p, struct mailbox *control,
                             void (*on_evidence)(void *, const struct mail *), struct err *err);
/* Starts their threads: from now on connections are accepted. */
MUST_CHECK int proxy_start(struct proxy *p, struct err *err);
/* Tells every worker of the pool's current peer set. Control thread. */
void proxy_publish(struct proxy *p, struct pool *pool);
/* Ends everything that is still going on, then gives all memory back. */
void proxy_free(struct proxy *p);
const char *proxy_name_of(void *proxy, uint32_t id);
struct pool *proxy_pool_by_name(const struct proxy *p, const char *name);
struct split *proxy_split_by_name(const struct proxy *p, const char *name);

/* A pool of one server for a route's `debug: {upstream}`. */
struct pool *proxy_debug_pool(struct proxy *p, const char *listener, const char *route,
                              const struct address *upstream, struct err *err);
