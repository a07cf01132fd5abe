/* pool/roster.h: a pool as one configuration has it: its settings, all of its servers whether they may be picked now or
 * not, and who signs its cookies. Immutable and counted: routes and peer sets refer to it, so what an exchange began with
 * stays until that is over. Servers are kept from one roster to the next by name and address. Made by the control thread,
 * read by any. */
#pragma once

#include "pool/server.h"

struct conf_arena;
struct metric_registry;
struct names;
struct sticky;

/* A server's place in one configuration. */
struct roster_place {
    struct server *server; /* one reference */
    const struct server_conf *conf;
    uint32_t tier;     /* 1 first */
    bool is_local;     /* of the pool's own zone, or the pool has none */
    bool is_in_subset; /* of those that this process uses */
};

struct roster {
    _Atomic uint32_t refs;
    struct pool *pool;
    uint32_t seat; /* its place among its configuration's pools: for whoever keeps something of each */
    const struct pool_conf *conf;
    struct conf_arena
        *arena; /* in which conf lies: one reference; NULL: it is the caller's, for longer than this */
    struct sticky *sticky; /* NULL: none */
    bool is_open;          /* see roster_new_open() */
    uint32_t count;
    struct roster_place places[];
};

/* What the servers of a process share. */
struct pool_env {
    struct names *names;
    struct metric_registry *metrics;
    uint32_t worker_count;
    uint32_t names_reserve; /* of names: which those of new servers may not be */
};

/* Of `conf`'s servers: those that p->roster has already (same name, same address), else new ones. What is known of a
 * server that is kept is not touched: see pool_apply(). One reference is the caller's. */
MUST_CHECK int roster_new(struct roster **out, struct pool *p, const struct pool_env *env,
                          const struct pool_conf *conf, struct conf_arena *arena, struct err *err);
/* Of a pool whose servers are found while weir runs (pool/found_servers.h), for its configuration's routes: it has none, so
 * that it holds none that have gone; who there is, the pool's current one says. */
MUST_CHECK int roster_new_open(struct roster **out, struct pool *p, const struct pool_conf *conf,
                               struct conf_arena *arena, struct err *err);
struct roster *roster_get(struct roster *r);
void roster_put(struct roster *r); /* NULL is fine */
/* Gives the only reference back, and frees the servers that no other roster has: of one that no worker has seen, or of a
 * pool that no worker can reach. NULL is fine. */
void roster_discard(struct roster *r, const struct pool_env *env);
/* NULL: there is none of that name. */
struct server *roster_server(const struct roster *r, struct slice name);
/* NULL: it is not in it. */
const struct roster_place *roster_place_of(const struct roster *r, const struct server *s);
struct server *roster_server_by_id(const struct roster *r, uint32_t id);
