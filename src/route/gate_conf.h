/* route/gate_conf.h: who may pass, as configured: for all listeners, for one, or for a route. Part of a
 * snapshot. It lives here, below the proxy that enforces it, because a route may have one. */
#pragma once

#include "base/address.h"
#include "conf/field.h"

struct gate_slot;

struct gate_conf {
    struct conf_items allow, deny;             /* struct cidr */
    struct conf_items allow_files, deny_files; /* const char * */
    struct gate_slot *slot; /* what is made of them (route/gate.h); the arena's. NULL: there are none */
    uint32_t connections_per_client,
        connections; /* 0: no limit. Not on a route: it is found after the accept. */
};

extern const struct conf_type gate_conf_type, route_gate_conf_type;
