/* net/bind.h: listening sockets, and those that take datagrams: opened once for all workers, named by their address, never lost on the way. */
#pragma once

#include "base/address.h"

struct bind_use {
    bool
        is_http; /* connections are reported once they have sent something (TCP_DEFER_ACCEPT), for defer_s seconds */
    unsigned defer_s;
    uint32_t count; /* of sockets */
    bool is_ours;   /* this process listens there already: nobody else is looked for */
    bool is_udp;    /* for datagrams; never of a unix path */
};

/* Opens the sockets on `bind` (SO_REUSEPORT; a unix path has one, shared). -1 with a sentence that says what to do, and
 * errno. */
MUST_CHECK int bind_open(const struct address *bind, const struct bind_use *use, int *fds, struct err *err);
