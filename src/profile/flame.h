/* profile/flame.h: a profile as a flame graph: the prefix tree of its stacks, drawn by a page of its own. Pure. */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/json.h"
#include "profile/profile.h"

/* Nodes in one graph. Beyond that, the smallest are drawn as one "(folded)" in what called them. */
#define FLAME_NODES_MAX 200000u

struct flame_options {
    const char *title, *subtitle;
    uint32_t type; /* which value is shown first */
};

/* One HTML page without outside references. `base` is NULL, or what `p` is compared with (same types): a differential
 * graph, red what grew, blue what shrank. Negative values, as differences have them, count as the base's. */
MUST_CHECK int flame_write(const struct profile *p, const struct profile *base, const struct flame_options *o,
                           FILE *out, struct err *err);

/* Puts the graph as one JSON object, for a page with more than it. `name` heads it. */
struct flame_graph {
    const char *name;
    const struct profile *profile, *base;
    uint32_t type, nodes_max; /* at most FLAME_NODES_MAX; 0: that */
};
MUST_CHECK int flame_put(struct json *j, const struct flame_graph *g, struct err *err);
