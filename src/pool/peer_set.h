/* pool/peer_set.h: who of a pool may be picked, and the method's table for them. Immutable and counted: an
 * exchange goes on with the one that it began with. Who is in it and with which weight: pool/membership.h.
 * With a method that keeps those who are out, peer.is_out says who may be picked now. Made by the control
 * thread, used by any. */
#pragma once

#include "pool/roster.h"

struct membership;
struct peer_table;

struct peer_set {
    _Atomic uint32_t refs;
    struct roster *roster; /* of which they are: one reference */
    const struct balance_method *method;
    void *table;               /* borrowed from `shared` */
    struct peer_table *shared; /* one reference: sets of the same servers and weights have the same table */
    uint32_t count;
    bool is_panic; /* none is usable by its health: all enabled ones are in it */
    struct server **servers;
    const struct balance_peer **peers;
    uint32_t *weights;
    uint64_t *name_hashes;
    /* Usable servers without a weight now: those of later tiers and other zones, the nearest tier first. */
    const struct roster_place **standby;
    uint32_t standby_count;
};

/* Of the roster's servers, by `members`; one reference is the caller's. The table is that of the pool's current set if that
 * has the same method, as it is configured, servers and weights, also by an older configuration. -1: out of memory, or the method refuses. */
MUST_CHECK int peer_set_new(struct peer_set **out, struct roster *r, const struct membership *members,
                            struct err *err);
struct peer_set *peer_set_get(struct peer_set *set);
void peer_set_put(struct peer_set *set);
/* For when all that have weight are at their caps: the least loaded standby server with a free slot, of the
 * nearest tier that has one; NULL: none among the first 64. Never blocks; any thread. */
struct server *peer_set_overflow(const struct peer_set *set);
