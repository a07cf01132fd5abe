/* proxy/tcp.h: a connection of a tcp listener: chooses a server, connects, and is a tunnel from then on. */
#pragma once

#include "base/memory_view.h"
#include "proxy/worker.h"
#include "record/flight.h"

struct attempt;

/* Who has connected. */
struct tcp_client {
    const struct address *address; /* borrowed during the call */
    bool is_local;                 /* the socket is of AF_UNIX, whatever the address is */
    bool is_counted;               /* among its address's connections; among all it is anyway */
};

/* Takes `fd`. */
void tcp_start(struct listener_worker *lw, int fd, const struct tcp_client *client, uint64_t id);
/* What worker->sessions is made of. */
size_t tcp_session_size(void);

struct tunnel;
/* Another configuration is in force: a session whose tunnel is open lets go of the old one. */
void tcp_unpin(struct tunnel *t);
/* What the session holds that a tunnel of a tcp listener is part of. */
struct tcp_reach {
    const struct attempt *attempt;
    struct pool_worker *pool;
    struct pool_view *view; /* NULL: it has let go of it, as the next */
    struct site_view *site;
    bool has_timer, is_waiting, is_client_counted; /* has_timer: a time-out of its own is under way */
};
void tcp_reach(const struct tunnel *t, struct tcp_reach *out);

/* Out of the memory of a dead process of this very build, or of one that is looked at from outside: the session at
 * `address`, if one of that worker's is there. Async-signal-safe. */
struct tcp_remains {
    const char *state; /* "queue", "connect" or "tunnel" */
    uint64_t start_ns;
    struct flight_record record; /* as it is: see flight_sanitize() */
};
bool tcp_salvage(const struct memory_view *m, uint64_t address, uint64_t worker, struct tcp_remains *out);
