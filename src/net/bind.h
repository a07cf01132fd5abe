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

/* What the sockets have that are accepted of this one, which listens for TCP: no delay of small segments, and a bound on what the
 * kernel takes of bytes that it cannot send yet. Without one, who reads nothing has megabytes of the kernel's memory, which all
 * connections of the host share and which no limit of weir's counts; and what he takes is seen only when they have been
 * taken. What has been sent and is not acknowledged comes on top, as much as the client's window lets through. */
void bind_set_accepted(int fd);
