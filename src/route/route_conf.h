/* route/route_conf.h: one of a listener's routes, as configured. Part of a snapshot. */
#pragma once

#include "conf/field.h"
#include "route/gate_conf.h"
#include "route/route.h"

struct route_conf {
    const char *name;                      /* the pool's if it has none of its own */
    const char *host, *path, *path_prefix; /* NULL: any */
    const char *pool;
    struct gate_conf *gate;    /* NULL: everybody */
    struct conf_items upgrade; /* const char *: protocols that may be upgraded to; none if empty */
    bool idempotent;           /* its requests may be sent a second time, whatever their method */
};

extern const struct conf_type route_conf_type;

/* The texts are the conf's. */
struct route_row route_conf_row(const struct route_conf *conf, uint32_t index);
