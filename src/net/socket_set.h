/* net/socket_set.h: the listening sockets of one address, one for each worker. They belong to the process, not to who accepts
 * from them: workers get duplicates, and a listener that goes, comes or is renamed leaves them as they are, with all that
 * waits in their backlogs. Control thread. */
#pragma once

#include "base/address.h"
#include "base/list.h"

struct socket_set {
    struct list link; /* the owner's */
    struct address address;
    bool is_wanted; /* the owner's, while it looks through its sets */
    uint32_t count;
    int fds[];
};

/* is_http: connections are reported once they have sent something, for defer_s seconds (TCP_DEFER_ACCEPT). -1 with a
 * sentence that says what to do. */
MUST_CHECK int socket_set_open(struct socket_set **out, const struct address *address, bool is_http,
                               unsigned defer_s, uint32_t count, struct err *err);
/* For a listener that takes the address over with other settings. */
void socket_set_defer(const struct socket_set *s, bool is_http, unsigned defer_s);
/* A duplicate for the worker; -1 with *err. */
MUST_CHECK int socket_set_share(const struct socket_set *s, uint32_t index, struct err *err);
/* Closes the process's own descriptors; a unix path goes. Whoever has a duplicate goes on until that is closed. */
void socket_set_close(struct socket_set *s);
