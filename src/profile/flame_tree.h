/* profile/flame_tree.h: the prefix tree of a profile's stacks, or of two profiles that are compared: bounded, in the order
 * that it is drawn in. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "profile/profile.h"

#define FLAME_NAME_MAX 512u /* bytes; longer names are cut */
#define FLAME_LABEL_TEXTS (2 * PROFILE_LABELS_MAX)

/* A sample of either profile, or several that the graph shows as one. */
struct flame_cell {
    uint32_t stack_at, depth;           /* in `stacks`: the outermost first */
    uint32_t labels[FLAME_LABEL_TEXTS]; /* keys and texts; the rest is 0 */
    uint32_t set, node;
    int64_t values[PROFILE_TYPES_MAX], base[PROFILE_TYPES_MAX];
};

/* A node stands before what it calls and behind what calls it. */
struct flame_node {
    uint32_t parent, frame, depth;
    uint32_t id, folded_id; /* as written; folded_id: of the child that stands for its small ones */
    double weight;          /* its share of everything, all types added up */
    bool is_kept, has_folded;
};

/* A frame is a function's name and the file that it is mapped from. Both, and the labels' texts, are entries of
 * `names`, a profile without samples; a frame's number is its place in the order of names. */
struct flame_tree {
    struct profile *names;
    uint32_t type_count;
    uint32_t *ranks, *functions; /* frame by function and back */
    uint32_t *stacks;
    uint32_t stack_count;
    struct flame_cell *cells;
    uint32_t cell_count;
    uint32_t *sets; /* the combinations of labels, each as it is in a cell */
    uint32_t set_count;
    struct flame_node *nodes; /* [0]: everything */
    uint32_t node_count, folded_count;
    bool is_differential;
};

/* `base`: NULL, or what `p` is compared with. Beyond `nodes_max` nodes the smallest are folded. Out of memory: -1; what
 * there is until then is flame_tree_fini()'s. */
MUST_CHECK int flame_tree_init(struct flame_tree *t, const struct profile *p, const struct profile *base,
                               uint32_t nodes_max);
void flame_tree_fini(struct flame_tree *t);
