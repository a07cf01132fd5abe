/* pool/pool.h: a pool at run time: its servers, and who of them may be picked. The pool itself is the control
 * thread's; workers see it through a peer set, which is immutable, counted, and sent to them anew whenever health,
 * weights or the operator's word change. */
#pragma once

#include "pool/server.h"

struct metric_registry;

struct peer_set {
    _Atomic uint32_t refs;
    struct pool *pool;
    const struct balance_method *method;
    void *table;
    uint32_t count;
    bool is_panic; /* none is usable by its health: all enabled ones are in it */
    struct server **servers;
    const struct balance_peer **peers;
    uint32_t *weights;
    uint64_t *name_hashes;
};

struct pool {
    const struct pool_conf *conf; /* the snapshot's */
    const char *name;
    uint32_t id, index, server_count;
    struct server *servers;
    struct peer_set *current; /* control thread */
    uint32_t meter_queued, meter_queue_full;
};

/* Servers start as the configuration says. Ids: `next_id` onwards. */
MUST_CHECK int pool_new(struct pool **out, const struct pool_conf *conf, uint32_t index, uint32_t *next_id,
                        struct metric_registry *metrics, struct err *err);
void pool_free(struct pool *p);
/* Builds the set of who may be picked now and makes it current (one reference is the pool's). -1: the old one stays. */
MUST_CHECK int pool_rebuild(struct pool *p, struct err *err);
struct peer_set *peer_set_get(struct peer_set *set);
void peer_set_put(struct peer_set *set);
struct server *pool_server_by_name(const struct pool *p, const char *name);
