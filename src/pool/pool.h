/* pool/pool.h: a pool at run time: its servers, and who of them may be picked. The pool itself is the control
 * thread's; workers see it through a peer set, which is immutable, counted, and sent to them anew whenever
 * health, weights or the operator's word change. */
#pragma once

#include "pool/peer_set.h"

struct metric_registry;
struct sticky;

struct pool {
    const struct pool_conf *conf; /* the snapshot's */
    const char *name;
    uint32_t id, index, server_count;
    struct server *servers;
    struct sticky *sticky;    /* NULL: none */
    struct peer_set *current; /* control thread, as what follows */
    uint64_t set_weight;      /* of all in the current set that may be picked */
    uint64_t warm_next_ms;    /* when the warming servers' weights are next to grow */
    uint32_t meter_queued, meter_queue_full;
};

/* Servers start as the configuration says. Ids: `next_id` onwards. */
MUST_CHECK int pool_new(struct pool **out, const struct pool_conf *conf, uint32_t index, uint32_t *next_id,
                        struct metric_registry *metrics, struct err *err);
void pool_free(struct pool *p);
/* Builds the set of who may be picked now, makes it current (one reference is the pool's), and sets
 * peer.is_out of every server. The method's table is built anew only if servers or weights have changed. -1:
 * the old one stays. */
MUST_CHECK int pool_rebuild(struct pool *p, struct err *err);
/* Lets warming servers grow, in at most 20 steps and not more often than every 250 ms. True: the set is to be
 * rebuilt and published. To be called at least that often. Control thread. */
bool pool_warm_up(struct pool *p, uint64_t now_ms);
struct server *pool_server_by_name(const struct pool *p, const char *name);
