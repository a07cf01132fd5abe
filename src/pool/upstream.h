/* pool/upstream.h: a connection to a server as the pool has it, whatever it speaks: it gives streams, one at a time as HTTP/1
 * does, or several. What it speaks is its ops'; whether it is kept, for how long, and who has the next stream is decided here.
 * One worker's thread. */
#pragma once

#include "pool/pool_worker.h"

struct upstream;

/* Of an egress pool's. */
struct upstream_target {
    struct address address;
    uint64_t host_hash; /* of the name by which it was verified; 0: it is plain */
};

struct upstream_ops {
    /* One more stream; capacity() said that there is one. */
    struct http_stream *(*lease)(struct upstream *u, enum lease_need need);
    /* How many more it can give now. */
    uint32_t (*capacity)(const struct upstream *u);
    /* Ends it, with nothing leased; upstream_closed() comes of it. */
    void (*close)(struct upstream *u);
    /* Adds what it holds. */
    void (*reach)(const struct upstream *u, struct http_reach *out);
};

struct upstream {
    const struct upstream_ops *ops;
    struct transport *transport; /* of the connection */
    struct server_worker *home;
    struct list
        link; /* home->idle: nothing is leased; home->open: something is, and more can be; else in none */
    struct timer
        *timer; /* of how long it may be idle: on_timer is upstream_check_idle()'s to be called from */
    const struct upstream_target *target; /* whom it leads to; NULL: the server itself */
    uint64_t tls_print; /* of the rules by which its TLS was opened (tls/upstream.h); 0: it is plain */
    uint64_t idle_since_ns;
    uint32_t leases, max_leases; /* given so far; how many it gives in all, 0: no bound */
    uint8_t protocol;            /* enum pool_protocol that it was opened for */
    bool is_idle;
    bool is_opening; /* what is leased of it hears when it is open */
    bool
        is_ordered; /* of its streams one waits for another: while some are leased it is for LEASE_SHARED alone */
};

/* One that can be leased: open with capacity, else the latest used idle one that is still good; those found dead on the way
 * are closed. NULL: none. */
struct upstream *upstream_find(struct server_worker *sw, enum lease_need need,
                               const struct pool_target *target);
struct http_stream *upstream_lease(struct upstream *u, enum lease_need need);
/* A new connection, leased. */
enum lease upstream_connect(struct server_worker *sw, enum lease_need need, const struct pool_target *target,
                            struct http_stream **stream, enum end_reason *reason);
/* The idle one that was used longest ago; false: there is none. */
bool upstream_close_oldest(struct server_worker *sw);
/* What pool_worker.upstreams is made of. */
size_t upstream_size(bool has_target);

/* What the connection says. It can give one more although some are leased, or can no longer. */
void upstream_has_room(struct upstream *u, bool has_room);
/* Nothing is leased any more, and more could be: it is kept, or closed. */
void upstream_went_idle(struct upstream *u);
/* It has ended, retired already: is off every list. is_by_peer: while idle, by the server. */
void upstream_closed(struct upstream *u, bool is_by_peer);
/* Retired, and nobody can see it any more: its memory goes back. */
void upstream_bury(struct upstream *u);
/* It was idle for so long, and was closed by then. */
void upstream_was_stale(const struct upstream *u, uint64_t idle_ns);
/* Its timer is due. */
void upstream_check_idle(struct upstream *u);
/* The pool's rules have changed: an idle one that was opened by others is closed, of them the one that was used longest ago. False:
 * there is none. */
bool upstream_close_outdated(struct server_worker *sw);
