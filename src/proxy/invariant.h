/* proxy/invariant.h: what holds in a weir at any time: numbers that go up and down as things come and go, beside the same
 * numbers found by looking at what there is. Where the two differ, something was taken and not given back, or given back
 * twice. Pure; who looks is proxy/stock.h, who asks self/invariants.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

/* X(identifier, name, what is counted, what is found). Of one worker each, who looks between two of its turns: */
#define INVARIANTS_OF_WORKERS(X)                                                                           \
    X(EXCHANGES, "exchanges", "exchanges have begun and not ended", "are at the listener's connections")   \
    X(RECORDS, "records", "exchanges and sessions have ended", "flight records were written")              \
    X(CLIENT_CONNECTIONS, "client_connections",                                                            \
      "connections of clients were opened here, or taken over, and not closed",                            \
      "are in the listener's lists")                                                                       \
    X(CLIENT_COUNTS, "client_counts", "connections are counted for connections_per_client",                \
      "of them are open")                                                                                  \
    X(SLOTS, "slots", "of the server's slots are held by the worker",                                      \
      "are with attempts, or handed over to who waits")                                                    \
    X(IDLE_CONNECTIONS, "idle_connections", "connections to the server are counted as idle",               \
      "are in the list of those")                                                                          \
    X(POOL_CONNECTIONS, "pool_connections", "connections to the pool's servers are counted by the worker", \
      "are idle, or lead somewhere")                                                                       \
    X(REQUESTS, "requests", "requests to the pool have begun and not ended",                               \
      "exchanges are on their way to it")                                                                  \
    X(QUEUE, "queue", "wait in the pool's queue by its length", "are in its lists")                        \
    X(WAITERS, "waiters", "are in the lists of the pool's queue",                                          \
      "exchanges and sessions say that they wait")                                                         \
    X(POOL_VIEWS, "pool_views", "users are counted of a set of the pool's servers",                        \
      "exchanges, sessions and copies have it")                                                            \
    X(SITE_VIEWS, "site_views", "users are counted of a configuration",                                    \
      "exchanges, sessions, copies and listeners have it")                                                 \
    X(OPEN_FILES, "open_files", "files are counted as open for clients", "are with exchanges")             \
    X(EXCHANGE_OBJECTS, "exchange_objects", "exchanges have memory", "can be reached")                     \
    X(TUNNEL_OBJECTS, "tunnel_objects", "tunnels have memory", "can be reached")                           \
    X(CLIENT_OBJECTS, "client_objects", "connections of clients have memory", "can be reached")            \
    X(SERVER_OBJECTS, "server_objects", "connections to servers have memory", "can be reached")            \
    X(BLOCKS, "blocks", "blocks are handed out", "can be reached")                                         \
    X(TIMERS, "timers", "timers are armed", "can be reached")                                              \
    X(KEPT_MEMORY, "kept_memory", "bytes are kept and not used", "are free in blocks and slabs")           \
    X(OUTSIDE_MEMORY, "outside_memory", "bytes are drawn for what is no block and no slab",                \
      "are those of TLS connections, sessions and encoders")

/* Of all workers together, beside what they share: */
#define INVARIANTS_OF_ALL(X)                                                                              \
    X(SERVER_SLOTS, "server_slots", "exchanges are in flight at the server",                              \
      "slots of it are held by workers, or on their way to one")                                          \
    X(SERVER_CONNECTIONS, "server_connections", "connections to the server are counted as open",          \
      "were found by workers")                                                                            \
    X(LISTENER_CONNECTIONS, "listener_connections", "connections of clients are counted at the listener", \
      "were opened by workers and not closed")                                                            \
    X(ALL_CONNECTIONS, "all_connections", "connections of clients are counted in all",                    \
      "were opened by workers and not closed")                                                            \
    X(PROMISES, "promises", "slots are promised to who waits for the pool",                               \
      "are handed over, or on their way to a worker")                                                     \
    X(RETRYING, "retrying", "requests draw on the pool's retry budget", "exchanges say so")               \
    X(MEMORY, "memory", "bytes are drawn on the budget",                                                  \
      "bytes have been drawn by threads for what they have")                                              \
    X(SITE_REFERENCES, "site_references", "references to the configuration are counted",                  \
      "are weir's own and its workers'")                                                                  \
    X(STRAGGLERS, "stragglers", "exchanges are counted that let go of the configuration and go on",       \
      "were found")

#define INVARIANTS(X) INVARIANTS_OF_WORKERS(X) INVARIANTS_OF_ALL(X)

enum invariant {
#define X(id, name, counted, found) INVARIANT_##id,
    INVARIANTS(X)
#undef X
        INVARIANT_COUNT
};

struct invariant_info {
    const char *name, *counted, *found;
};
extern const struct invariant_info invariant_infos[INVARIANT_COUNT];

/* Of what a sum is; what does not apply is NULL or INVARIANT_NOWHERE. The names outlive what they name. */
#define INVARIANT_NOWHERE UINT32_MAX
struct invariant_place {
    const char *listener, *pool, *server;
    uint32_t worker, generation;
};
#define INVARIANT_ANYWHERE                                           \
    (struct invariant_place)                                         \
    {                                                                \
        .worker = INVARIANT_NOWHERE, .generation = INVARIANT_NOWHERE \
    }

/* One invariant for all that it is about: listeners, servers, workers. */
struct invariant_sum {
    uint64_t objects;
    int64_t counted, found; /* of all of them */
    uint64_t broken, unclear;
    /* The first that is broken. */
    struct invariant_place place;
    int64_t place_counted, place_found;
};

#define INVARIANT_MOVED_UNKNOWN INT64_MAX

/* Adds one object's. moved: how far the two may be apart because others went on while it was summed; within that, they are
 * unclear if they differ, and broken beyond. */
void invariant_add(struct invariant_sum *s, int64_t counted, int64_t found, int64_t moved,
                   const struct invariant_place *place);
void invariant_merge(struct invariant_sum *into, const struct invariant_sum *from);
/* A sentence on what is broken: where, what is counted, what is found. */
void invariant_say(enum invariant which, const struct invariant_sum *s, struct text *out);
