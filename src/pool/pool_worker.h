/* pool/pool_worker.h: one worker's view of one pool: whom it may pick now, its idle connections to each
 * server, and the exchanges that wait for one. That worker's thread only, the counters marked so apart. */
#pragma once

#include <stdalign.h>

#include "base/bug.h"
#include "base/slab.h"
#include "http/h1_parse.h"
#include "http/stream.h"
#include "metric/metric.h"
#include "net/mailbox.h"
#include "pool/pipelining.h"
#include "pool/pool.h"

struct h2_worker;
struct pool_worker;
struct tls_worker;
struct worker;

/* A peer set as this worker uses it; lives while an exchange refers to it. */
struct pool_view {
    struct peer_set *set; /* one reference */
    struct balance balance;
    uint32_t users;
    bool is_current;
    uint64_t stock_round; /* of proxy/stock.h: when it was last walked, */
    uint32_t stock_users; /* and how many referred to it then */
    struct pool_view *stock_next;
};

/* What a worker found when it walked all that it has (proxy/stock.h), between two turns: its own, others may read it once it
 * has told them so. */
struct server_stock {
    uint64_t round; /* that it is of; another: it found nothing */
    uint32_t attempts, connections, slots;
    uint64_t sent, received, moves; /* as they were then */
};

struct pool_stock {
    uint64_t round;
    uint32_t connections, requests, retrying, waiting, handed;
    uint64_t moves;
};

/* This worker's connections to one server. */
struct server_worker {
    alignas(64) struct server *server;
    struct pool_worker *pool;                   /* NULL: the worker does not know the pool yet */
    struct list idle;                           /* of upstream, the latest used first */
    struct list open;                           /* of upstream: at work, and can give one more stream */
    _Atomic uint32_t idle_count;                /* written by this worker, read by others, as the next */
    _Atomic uint32_t attempts, faults, answers; /* as in struct server_answers */
    _Atomic uint64_t waits;                     /* likewise */
    struct list handed_link;                    /* of pool_worker.handed_servers */
    struct list unwanted_link;                  /* of pool_worker.unwanted */
    uint32_t handed;                            /* slots that this worker holds for whoever waits longest */
    uint32_t
        slots; /* of those that are counted in flight, how many this worker holds: for attempts, and those handed */
    uint64_t slots_sent, slots_received; /* to other workers, and by them to this one */
    /* Goes up before each change that this worker makes to what all workers count of the server, with memory_order_release at
     * least: who reads it after a sum knows how far that may be off. It writes, others may look. */
    _Atomic uint64_t moves;
    struct server_stock stock;
    struct pipelining pipelining;
    bool is_http1; /* where either may be spoken: the last connection that was opened did not speak HTTP/2 */
    uint32_t streams_allowed; /* on one HTTP/2 connection, as the server said last; 0: it has not yet */
};

struct pool_worker_env {
    struct loop *loop;
    struct tls_worker *tls; /* NULL in tests that have none, as the next */
    struct h2_worker *h2;
    struct metric_shard *metrics;
    struct mailbox *box;     /* this worker's */
    struct mailbox *control; /* for evidence; NULL in tests */
    uint32_t index, worker_count;
    uint32_t *upstream_live, *upstream_idle; /* the worker's own totals */
    /* Whether a descriptor is left for one more connection; may_open NULL: there always is. */
    bool (*may_open)(struct worker *worker);
    struct worker *worker;
    void (*on_evidence)(void *control, const struct mail *m); /* server, enum server_evidence */
};

#define POOL_WAITS_SEEN 8u
#define POOL_CLASSES 3u
/* How many of its idle connections close in a turn. */
#define POOL_CLOSES_A_TURN 128u

struct pool_worker {
    struct list link; /* in the worker's list of its pools */
    struct pool *pool;
    const struct pool_worker_env *env;
    struct pool_view *view;
    struct list
        queues[POOL_CLASSES]; /* of pool_waiter, by enum pool_priority: who waits longest at the front */
    uint32_t queue_length;
    _Atomic uint64_t moves; /* as a server_worker's, of what all workers count of the pool */
    struct pool_stock stock;
    struct list displaced; /* who made way, and is to be told */
    uint32_t displaced_count;
    struct loop_task displaced_task;
    struct retry_tally tally;
    uint32_t open; /* connections counted here, idle ones and tunnels included; others may look */
    /* Read by other workers: the places of those who are next here (pool/queue.h); and how many slots are on their way to
     * them. */
    _Atomic uint64_t waits_at[POOL_WAITS_SEEN];
    _Atomic uint32_t promised;
    struct server *offered; /* whose slot is held for him whose turn it is; NULL: none, or taken */
    struct list handed_servers;
    struct list unwanted; /* of server_worker: some of whose idle connections may have to close */
    struct loop_task unwanted_task;
    struct loop_task handed_task;
    bool is_marked; /* this worker's bit stands in its servers' waiting_mask */
    struct h1_limits limits;
    struct slab upstreams;
    struct slab pipelined; /* streams of upstreams that have several */
};

static inline struct server_worker *server_worker_of(const struct pool_worker *pw, struct server *s)
{
    return &s->workers[pw->env->index];
}

void server_worker_init(struct server_worker *sw, struct server *s, struct pool_worker *pw);
static inline struct pool_view *pool_view_get(struct pool_worker *pw)
{
    (void)bug_if(POOL_WORKER, !pw->view->is_current); /* it would be freed with its last user */
    pw->view->users++;
    return pw->view;
}
void pool_view_put(struct pool_view *view);
/* Of that set, whose reference it takes, with what is remembered of the view before it. NULL: out of memory, and the reference is
 * the caller's still. */
struct pool_view *pool_view_new(const struct pool_worker *pw, struct peer_set *set);
/* The worker goes on with another, or ends. */
void pool_view_retire(struct pool_view *view);

enum lease {
    LEASE_OPEN,    /* *stream can be sent to: a reused connection */
    LEASE_OPENING, /* *stream's on_open comes */
    LEASE_FULL,    /* the server is at its cap: nothing was counted */
    LEASE_FAILED,  /* *reason */
};

enum lease_need {
    LEASE_SHARED, /* the request can be sent again, and may wait behind others: it has no body */
    LEASE_ANY,    /* it can be sent again */
    LEASE_YOUNG,  /* it cannot: no connection that the server may be about to close */
    LEASE_FRESH,  /* one that is at work or new: a reused one has just failed */
};

/* Where to, by a pool of `kind: egress`. */
struct pool_target {
    struct address address;
    const char *host; /* the name or the address that was asked for; for the call */
    bool is_secure;   /* by TLS */
};

/* No connection is open, and nobody waits. Any thread. */
bool pool_worker_is_quiet(const struct pool_worker *pw);
/* It is the last that the worker hears of the server. */
void server_worker_forget(struct server_worker *sw);
/* Whom the operator took out, or no configuration has any more, needs none but for the clients that it still has. */
bool server_worker_keeps_idle(const struct server_worker *sw);
