/* proxy/proxy.h: what lives as long as the process, and all workers share: counters, limits, names, and the listeners and
 * pools of the configuration in force. The configuration itself is a site (proxy/site.h), put in place by
 * proxy/change.h. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/block.h"
#include "base/list.h"
#include "base/names.h"
#include "net/mailbox.h"
#include "pool/pool.h"
#include "proxy/retire.h"

struct access_log;
struct client_table;
struct conf_arena;
struct denials;
struct file_readers;
struct listener;
struct metric_registry;
struct passwords;
struct proxy_conf;
struct resolver_conf;
struct servers_finder;
struct site;
struct socket_store;
struct span_export;
struct span_source;
struct tls_challenges;
struct tls_tickets;
struct verified;
struct worker;

struct proxy {
    struct budget budget;
    struct tls_tickets *tickets;       /* of all its listeners, but for those that share theirs by a file */
    struct tls_challenges *challenges; /* what CAs look for here */
    struct metric_registry *metrics;
    /* The configuration in force, and what it has of that is kept from one to the next, in its order. Control thread. */
    struct site *site;
    struct listener **listeners;
    struct pool **pools;
    uint32_t listener_count, pool_count, generation;
    struct list older;       /* of site: those before it that are not freed yet */
    struct list sockets;     /* of socket_set */
    struct list old_sockets; /* likewise, of which workers may have some still */
    struct socket_store
        *given; /* sockets that this process was given at its start; borrowed, NULL: none any more */
    struct retirement retirement;
    const struct servers_finder
        *finder; /* of pools whose servers have to be found; NULL: nobody knows of any */
    const struct resolver_conf *resolver_conf; /* of the first configuration, which is never let go of */
    struct conf_arena *first_arena;            /* in which that lies; NULL: it is the caller's */
    uint32_t worker_count;
    bool is_detached; /* made to be asked, not to serve: nothing is bound, nothing written */
    struct worker **workers;
    struct mailbox *control;    /* the control thread's */
    void (*begin_worker)(void); /* on each worker's thread, before anything else; NULL: nothing */
    void (*on_evidence)(void *control, const struct mail *m);
    struct access_log *access_log; /* NULL: none */
    struct span_export *spans;     /* record/span_export.h; NULL: no traces */
    struct span_source *span_source;
    struct client_table *clients;
    struct list rate_books; /* of rate_book: what the configurations' rate limits count in; control thread */
    struct passwords *passwords;        /* borrowed; NULL: none can be checked, as nothing is served */
    struct file_readers *file_readers;  /* files/file_readers.h; none before it is prepared */
    struct verified *verified, *tokens; /* passwords and signatures */
    unsigned long salt;                 /* of what is to look like anything, and always the same */
    struct denials *denials;            /* for a while; the control thread's to change */
    uint32_t connection_limit;
    uint32_t descriptor_limit; /* of clients, servers and files together; 0: none */
    uint32_t file_limit;       /* of files that are open for clients, shared out among the workers; 0: none */
    uint32_t udp_session_limit; /* of all listeners, each of which takes a local port; 0: none */
    _Atomic uint32_t connections, udp_sessions;
    _Atomic uint64_t asked_ms; /* loop time at which a worker last asked the others for memory */
    _Atomic bool is_draining;
    uint64_t drain_since_ns, drain_until_ns; /* while it is: monotonic; control thread */
    struct names names; /* of listeners, routes, pools, servers and variants, also of those that are gone */
    struct pool_env pool_env;
    uint64_t started_wall_ns;
};

const char *proxy_name_of(void *proxy, uint32_t id);
struct pool *proxy_pool_by_name(const struct proxy *p, const char *name);
