/* admin/finder.h: what the API asks of whoever finds servers by names: control/discovery.h. Control thread. */
#pragma once

#include "admin/answer.h"
#include "admin/shape.h"

struct finder {
    void (*list)(struct finder *f, struct answer *out);
};

/* Somebody who is asked where servers are. */
struct source_row {
    const char *source, *kind;
    struct shape_list pools, addresses; /* const char * */
    uint64_t answered_ms, stale_ms, next_ms;
    const char *reason;
    bool cut;
};

extern const struct shape source_row_shape;
