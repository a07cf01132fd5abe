/* net/bind.h: listening sockets: opened once for all workers, named by their address, never lost on the way. */
#pragma once

#include "base/address.h"

/* Opens `count` sockets on `bind` (SO_REUSEPORT; a unix path has one, shared). is_http: connections are reported
 * once they have sent something (TCP_DEFER_ACCEPT, for defer_s seconds). -1 with a sentence that says what to do. */
MUST_CHECK int bind_open(const struct address *bind, bool is_http, unsigned defer_s, int *fds, uint32_t count,
                         struct err *err);
