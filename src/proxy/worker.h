/* proxy/worker.h: one worker: a thread with its loop, and its own part of everything the request path touches. */
#pragma once

#include <pthread.h>
#include <sched.h>
#include <stdalign.h>

#include "base/slab.h"
#include "http/date.h"
#include "http/h1_server.h"
#include "http/h2_server.h"
#include "net/acceptor.h"
#include "net/mailbox.h"
#include "net/udp_batch.h"
#include "pool/pool_worker.h"
#include "proxy/compression_worker.h"
#include "proxy/overload.h"
#include "proxy/proxy.h"
#include "proxy/share.h"
#include "tls/worker.h"

struct access_log_writer;
struct flight_ring;
struct listener;
struct resolver;
struct route_scratch;
struct route_set;
struct site_view;
struct udp_listener;
struct udp_socket;

/* How far a round has come at a listener (proxy/round.h). */
struct listener_round {
    uint32_t number;
    uint8_t stage;   /* enum round_stage */
    bool is_leaving; /* who is idle closes */
};

/* What the worker found when it last walked all that it has (proxy/stock.h). */
struct listener_stock {
    uint64_t round;
    uint32_t exchanges, connections;
    uint64_t opened, closed; /* as they were then */
};

/* One listener on one worker, of the listener's array. */
struct listener_worker {
    alignas(64) struct http_service service; /* first */
    struct list link;                        /* in the worker's list of its listeners */
    struct acceptor acceptor;
    struct udp_listener
        *udp; /* in place of the acceptor, of one for datagrams; NULL: it is none, or has no socket here */
    struct listener *listener;
    struct worker *worker;
    struct list connections; /* of http_conn */
    struct list tunnels;
    struct list introductions;
    uint64_t begun, ended; /* exchanges; this worker's */
    /* Client connections that it counts: up before that is, as server_worker's `moves`, so that who reads it after a sum of all
     * workers' knows how far that may be off. It writes, others may look. */
    _Atomic uint64_t opened, closed;
    uint64_t departed, arrived; /* of these, gone to other workers, and come from them (proxy/hand_over.h) */
    struct listener_stock stock;
    struct listener_round round;
    struct site_view
        *view; /* the configuration that it goes by: the worker's, or the last that had it. One user */
    const struct route_set *routes; /* of that */
};

/* How many there are on this worker: it writes, others may look. */
struct worker_live {
    uint32_t exchanges, tunnels, client_connections, server_connections, idle_server_connections;
    uint32_t held_sessions; /* of datagrams, that are over and keep their port: see udp_listener_hold() */
};

/* Of all its listeners. */
struct round {
    struct loop_task task;
    uint32_t number; /* the latest of any listener's */
};

/* What is asked of those who hold memory (proxy/shed.h). */
struct shed {
    struct loop_task task;
    uint64_t again_ms, soon_again_ms; /* not before: asked by who was refused, and before anybody is */
    bool is_refused;                  /* somebody was, since it was last worked off */
    bool is_in_vain;                  /* nobody was, and the last look found nobody who holds much */
};

/* What its udp listeners share (proxy/udp_worker.h). */
struct udp_worker {
    struct worker *worker;
    struct slab sessions;
    struct udp_batch *in, *out; /* NULL until the first such listener is there */
    uint32_t out_count;
    struct udp_socket *out_at; /* those in `out` leave by it */
    struct loop_task flush;
};

/* What it saw when it last looked (proxy/descriptors.h). */
struct descriptors_seen {
    uint64_t turn; /* of its loop */
    uint32_t used; /* with those that it has opened since */
};

struct worker {
    struct loop loop;
    struct tls_worker tls;
    struct h2_worker h2;
    struct proxy *proxy;
    uint32_t index;
    pthread_t thread;
    bool has_thread, is_draining;
    _Atomic bool has_left;       /* no socket of a listener is its any more; it writes, others may look */
    _Atomic uint32_t thread_id;  /* the kernel's; 0: not started */
    _Atomic uint32_t generation; /* of the configuration that it goes by; it writes, others may look */
    struct activity *_Atomic activity;
    struct mailbox *box;
    struct metric_shard *metrics;
    struct flight_ring *flights;
    struct access_log_writer *access_log; /* NULL: none */
    struct pool_worker_env pool_env;
    struct list pools;             /* of pool_worker */
    struct list listeners;         /* of listener_worker */
    struct site_view *site;        /* the configuration that new exchanges go by */
    struct route_scratch *scratch; /* of one match at a time */
    struct slab clients, tunnels, sessions, exchanges, introductions;
    struct compression_worker compression;
    struct udp_worker udp;
    struct list mirrors;   /* of mirror */
    struct list questions; /* of password_question: under way */
    uint32_t question_count;
    struct list file_asks; /* of file_ask: likewise */
    uint32_t open_files;   /* of answers; see file_answer_may_begin() */
    struct descriptors_seen descriptors;
    struct h1_worker h1;
    struct shed shed;
    struct overload overload;
    struct round round;
    struct resolver *resolver; /* NULL if no route is an egress route */
    struct worker_live live;
    struct http_date date;
    uint64_t next_connection_id;
    uint64_t recorded;        /* exchanges and sessions that have ended */
    uint32_t counted_clients; /* connections that are counted among their address's */
    _Atomic uint64_t connections_opened,
        connections_closed; /* as a listener_worker's, of all its listeners */
    struct share share;
    struct acceptor_spare spare; /* of all its listeners */
};

/* Memory is short: the others give back what they keep and do not use. */
void worker_ask_for_memory(struct worker *w);
/* Any mail, in order, without waiting (see mailbox_keep()). Control thread. */
void worker_post(struct worker *w, const struct mail *m);
void listener_worker_init(struct listener_worker *lw, struct listener *l);
/* A client's connection of that listener has ended: it is counted no more; is_counted: nor among its address's. client: may be
 * NULL where it is not. */
void worker_client_closed(struct listener_worker *lw, const struct ip *client, bool is_counted);
/* An id for one more, of no other on any worker. */
static inline uint64_t worker_next_connection(struct worker *w)
{
    return w->next_connection_id++ * w->proxy->worker_count + w->index + 1;
}
/* Nothing is going on any more. */
bool worker_is_idle(const struct worker *w);
