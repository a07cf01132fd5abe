/* proxy/overload_conf.h: `overload: {lag: 1s, window: 1s}`, as decoded: from when on a worker has more to do than it can. Part of
 * a snapshot. */
#pragma once

#include "conf/field.h"

struct overload_conf {
    uint64_t lag_ms; /* 0: however long it takes, nobody is refused for it */
    uint64_t window_ms;
};

extern const struct conf_type overload_conf_type;
