/* proxy/change.h: another configuration for a proxy: made beside the one in force, so that nothing has happened if anything
 * is wrong with it, then put in its place at once. What both have by the same name is kept: listeners (at the same
 * address) with their sockets and connections, pools and servers with connections, load, health and the operator's word. Control thread. */
#pragma once

#include "proxy/proxy.h"

/* Each older configuration is held by those who began with it and have no answer yet: no more than so many. */
#define OLDER_SITES_MAX 16u

struct listener_conf;
struct worker_change;

struct proxy_change {
    struct proxy *proxy;
    struct site *site;
    struct pool_change *pools; /* of the configuration's pools, then those of debug upstreams */
    bool *is_new_pool;
    struct pool **in_force; /* room for all of them: what the proxy will have */
    uint32_t pool_count, pool_room;
    struct listener **listeners;    /* in the configuration's order */
    struct socket_set **sockets;    /* likewise: where each will listen */
    struct worker_change **workers; /* what each will go on with; NULL for one that is not there yet */
    uint32_t listener_count;
};

/* Makes everything that can fail; one failure is that OLDER_SITES_MAX are still held. -1: nothing has changed, and `change` is
 * empty. `arena`: in which conf lies; NULL: conf outlives the proxy. */
MUST_CHECK int proxy_prepare_change(struct proxy_change *change, struct proxy *p,
                                    const struct proxy_conf *conf, struct conf_arena *arena, struct err *err);
/* From now on it is in force: workers hear of it by mail. `done`, if there is one, comes from each that goes by it, unless
 * the control thread's box is full. */
void proxy_commit_change(struct proxy_change *change, const struct mail *done);
/* Every worker goes by that configuration, or a later one. */
bool proxy_goes_by(const struct proxy *p, uint32_t generation);
void proxy_discard_change(struct proxy_change *change);
/* Tells every worker of the pool's current peer set. */
void proxy_publish(struct proxy *p, struct pool *pool);

/* Other servers for a pool of the configuration in force, which stays as it is: `conf` is that of the pool but for its servers
 * (pool/found_servers.h). -1: nothing has changed. */
MUST_CHECK int proxy_change_servers(struct proxy *p, struct pool *pool, const struct pool_conf *conf,
                                    struct conf_arena *arena, struct err *err);

/* Of conf, with the pools and listeners of `change`. The caller has the one reference. Control thread. */
MUST_CHECK int change_new_site(struct site **out, struct proxy_change *change, const struct proxy_conf *conf,
                               struct conf_arena *arena, struct err *err);
/* Frees what exchanges could have asked; false while there are stragglers: then once more later. Nobody may refer to it.
 * Control thread. */
MUST_CHECK bool change_free_site(struct site *s);

/* While the site is being made: its pools, into s->pools; a pool of one server for a route's `debug: {upstream}`, NULL with
 * *err; the n-th listener. */
MUST_CHECK int change_pools(struct proxy_change *change, struct site *s, struct err *err);
struct roster *change_debug_pool(struct proxy_change *change, struct site *s, const char *listener,
                                 const char *route, const struct address *upstream, struct err *err);
static inline struct listener *change_listener(const struct proxy_change *change, uint32_t n)
{
    return change->listeners[n];
}

/* Where the n-th listener will listen: the address may be open already, also for another listener. */
MUST_CHECK int change_find_sockets(struct proxy_change *change, uint32_t n, const struct listener_conf *conf,
                                   struct err *err);
/* Those that it found are in use; those that nobody wants any more are on their way out. */
void change_commit_sockets(struct proxy_change *change);
/* No listening socket is the process's any more; workers go on with what they have of them. */
void proxy_close_sockets(struct proxy *p);
/* The end of the process: everything that the configuration in force has, and what was left of others. No worker runs. */
void proxy_end_site(struct proxy *p);
