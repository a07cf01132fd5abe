/* proxy/proxy_life.h: a proxy from its making to its end, with its first configuration and its workers. The control thread's. */
#pragma once

#include "proxy/proxy.h"

struct mail;

struct proxy_options {
    const struct proxy_conf *conf;
    struct conf_arena *arena;
    uint32_t worker_count, connection_limit, descriptor_limit, file_limit, udp_session_limit;
    uint64_t memory_limit;
    struct socket_store *given;          /* sockets that this process has already; borrowed, may be NULL */
    const struct servers_finder *finder; /* likewise */
};

/* `arena`: in which conf lies; NULL: it is the caller's, for the proxy's life. Binds every listener; starts nothing. */
MUST_CHECK int proxy_new(struct proxy **out, const struct proxy_options *o, struct err *err);
/* Likewise, to be asked and not to serve: see explain.h. Opens no socket and no file, and has no workers. */
MUST_CHECK int proxy_new_detached(struct proxy **out, const struct proxy_conf *conf, struct err *err);
/* Makes the workers; `control` is where they post evidence of servers. */
MUST_CHECK int proxy_prepare(struct proxy *p, struct mailbox *control,
                             void (*on_evidence)(void *, const struct mail *), struct err *err);
/* Starts their threads: from now on connections are accepted. */
MUST_CHECK int proxy_start(struct proxy *p, struct err *err);
/* Ends everything that is still going on: no worker turns any more. Twice is fine, and NULL, also for proxy_free(). */
void proxy_stop(struct proxy *p);
/* Likewise, then gives all memory back. */
void proxy_free(struct proxy *p);
