/* proxy/listener.h: a listener at run time: found by name, kept across reloads with its connections and counters. What it
 * does with a request is its route set of the moment (proxy/route_set.h). The control thread's, but for what says
 * otherwise. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/end_reason.h"
#include "metric/metric.h"
#include "proxy/compression_worker.h"
#include "proxy/grpc.h"

struct listener_worker;
struct proxy;
struct route_set;
struct socket_set;

/* Datagrams that were taken, or could have been, and went nowhere. X(identifier, name) */
#define UDP_DROPS(X)                                                                       \
    X(QUEUE, "queue")         /* the kernel had no room for them: weir was too slow */     \
    X(SERVER, "server")       /* the socket to the server had none */                      \
    X(TOO_LARGE, "too_large") /* for the way to the server */                              \
    X(CLIENT, "client")       /* an answer: there was no way, or no room, to its client */ \
    X(UNASKED, "unasked")     /* an answer that nobody waits for, or not any more */

enum udp_drop {
#define X(id, name) UDP_DROP_##id,
    UDP_DROPS(X)
#undef X
        UDP_DROP_COUNT
};
const char *udp_drop_name(enum udp_drop drop);

struct listener {
    const char *name; /* in the process's names */
    uint32_t id;
    struct proxy *proxy;
    struct listener_worker *workers; /* what each worker has of it, by the worker's index */
    const struct route_set *routes;  /* of the configuration in force */
    struct socket_set *sockets;      /* where it listens now; borrowed from the proxy. NULL: nowhere */
    _Atomic bool is_leaving; /* no configuration has it any more, and what is on its way to it is taken */
    bool has_departure;      /* control thread: its sockets refer to it */
    uint32_t gone_in;        /* likewise: the first generation that has it no more; 0: there is none yet */
    _Atomic uint32_t connections;             /* any thread */
    uint32_t meter_refused[END_REASON_COUNT]; /* those that can be: see listener.c */
    uint32_t meter_accepted, meter_bytes_in, meter_bytes_out, meter_seconds, meter_errors;
    uint32_t meter_ends[END_REASON_COUNT], meter_classes[6], meter_grpc[GRPC_STATUSES];
    struct compression_meters compression;
    struct {
        uint32_t received, sent, dropped[UDP_DROP_COUNT];
    } udp; /* meters; of one for datagrams alone */
    struct metric_scope meters;
};

MUST_CHECK int listener_new(struct listener **out, struct proxy *p, const char *name, bool is_udp,
                            struct err *err);
/* Nobody refers to it any more, on any thread, and no worker has sockets of it for datagrams. */
void listener_free(struct listener *l);
