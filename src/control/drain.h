/* control/drain.h: the end of a process: it takes nothing new, what it has begun comes to its end, and it is seen what is
 * left and how long that may take. Control thread. */
#pragma once

#include "net/loop.h"
#include "proxy/proxy.h"

struct drain_left {
    uint32_t exchanges, tunnels, client_connections;
    uint64_t since_ms, left_ms; /* left_ms: at most */
};

struct drain {
    struct proxy *proxy;
    struct loop *loop;
    /* Once a second, and at the beginning. */
    void (*on_word)(void *context, const struct drain_left *left);
    bool (*may_end)(void *context); /* though nothing of its own is left */
    void (*on_end)(void *context);
    void *context;
    struct timer timer;
    bool keeps_idle; /* as worker_drain() */
    uint64_t idle_until_ns, next_word_ns, next_line_ns, line_every_ns;
};

/* on_end comes when nothing is left, or after at most `ms`. is_shared: other processes listen at the same sockets, and
 * whoever has a connection here gets the time to notice. */
void drain_begin(struct drain *d, uint64_t ms, bool is_shared);
void drain_stop(struct drain *d);
